use pubsub_wire::value::When;

use super::*;
use crate::hub::EntryRef;

const MS: u64 = 1_000_000;
/// Wall time at monotonic 0: a quarter of a millisecond past a tick.
const WALL_US: u64 = 1_790_000_000_000_250;

fn at_us(us: u64) -> Now {
    Now {
        mono_ns: us * 1000,
        wall_us: WALL_US + us,
    }
}

fn publication(offset: i64, key: &str, data: &[u8]) -> Rc<Publication> {
    let entry = EntryRef {
        offset,
        ts_us: 0,
        mono_ns: 0,
        topic: "t",
        key: Some(key),
        data,
    };
    // Only their names tell keys apart.
    Rc::new(Publication::new(&entry, |_| 1))
}

/// A rate to which entries come; offsets are ten times their place in the source.
struct Bench {
    rates: Rates,
    source: u64,
}

/// Offset and position of what passed.
type Passed = Vec<(i64, i64)>;

fn passed(out: &[Released]) -> Passed {
    out.iter()
        .map(|r| (r.publication.offset, r.position()))
        .collect()
}

fn rate(mode: RateMode, ms: u64, max_wait_ms: Option<u64>) -> Bench {
    let rate = Rate {
        mode,
        ms,
        max_wait_ms,
        when: When::Always,
    };
    Bench {
        rates: Rates::new(rate),
        source: 0,
    }
}

impl Bench {
    fn come_us(&mut self, us: u64, key: &str) -> (Passed, u64) {
        self.source += 1;
        let publication = publication(self.source as i64 * 10, key, b"1");
        let mut out = Vec::new();
        let left_out = self
            .rates
            .handle(at_us(us), self.source, &publication, &mut out);
        (passed(&out), left_out)
    }

    /// What passes when one of `key` comes, and how many are left out for it.
    fn come(&mut self, ms: u64, key: &str) -> (Passed, u64) {
        self.come_us(ms * 1000, key)
    }

    fn wake_at(&mut self, now: Now) -> Passed {
        let mut out = Vec::new();
        self.rates.handle_timeout(now, &mut out);
        passed(&out)
    }

    fn wake(&mut self, ms: u64) -> Passed {
        self.wake_at(at_us(ms * 1000))
    }

    fn due_ms(&self) -> Option<u64> {
        self.rates.due_ns().map(|at| at / MS)
    }

    fn keys(&self) -> usize {
        assert_eq!(self.rates.keys.len(), self.rates.by_name.len());
        self.rates.keys.len()
    }
}

const NOTHING: Passed = Passed::new();

#[test]
fn throttle_lets_the_first_pass_and_then_the_newest_after_each_interval() {
    let mut bench = rate(RateMode::Throttle, 100, None);
    assert_eq!(bench.come(5, "a"), (vec![(10, 10)], 0));
    assert_eq!(bench.due_ms(), None, "nothing waits");
    assert_eq!(bench.come(10, "a"), (NOTHING, 0));
    assert_eq!(bench.come(20, "a"), (NOTHING, 1));
    // Another key has an interval of its own; one resumes before what waits.
    assert_eq!(bench.come(30, "b"), (vec![(40, 29)], 0));
    assert_eq!(bench.due_ms(), Some(105));
    assert_eq!(bench.wake(104), NOTHING);
    // What comes at the very instant comes before it.
    assert_eq!(bench.come(105, "a"), (NOTHING, 1));
    assert_eq!(bench.wake(105), [(50, 50)]);
    assert_eq!(bench.due_ms(), None);
    assert_eq!(bench.come(204, "a"), (NOTHING, 0));
    assert_eq!(bench.due_ms(), Some(205));
    // And what comes later after it.
    assert_eq!(bench.come(206, "b"), (vec![(60, 60), (70, 70)], 0));
    assert_eq!(bench.keys(), 2);
    assert_eq!(bench.wake(400), NOTHING);
    assert_eq!(bench.keys(), 0, "no interval runs any more");
}

#[test]
fn one_that_comes_when_its_interval_is_over_passes_at_once() {
    for mode in [RateMode::Throttle, RateMode::ThrottleFirst] {
        let mut bench = rate(mode, 100, None);
        assert_eq!(bench.come(0, "a").0, [(10, 10)]);
        assert_eq!(bench.come(50, "b").0, [(20, 20)]);
        assert_eq!(bench.come(100, "a"), (vec![(30, 30)], 0));
        // The next interval runs from then on.
        assert_eq!(bench.come(199, "a").0, NOTHING);
        assert_eq!(bench.come(200, "b"), {
            let held = if mode == RateMode::Throttle { 39 } else { 50 };
            (vec![(50, held)], 0)
        });
    }
}

#[test]
fn throttle_first_leaves_out_all_that_comes_within_the_interval() {
    let mut bench = rate(RateMode::ThrottleFirst, 100, None);
    assert_eq!(bench.come(0, "a"), (vec![(10, 10)], 0));
    assert_eq!(bench.come(1, "a"), (NOTHING, 1));
    assert_eq!(bench.come(99, "a"), (NOTHING, 1));
    assert_eq!(bench.due_ms(), None);
    assert_eq!(bench.rates.held_bytes(), 0);
    assert_eq!(bench.wake(100), NOTHING);
    assert_eq!(bench.keys(), 0);
    assert_eq!(bench.come(150, "a"), (vec![(40, 40)], 0));
}

#[test]
fn debounce_waits_until_nothing_comes_but_no_longer_than_the_longest_time() {
    let mut bench = rate(RateMode::Debounce, 50, Some(120));
    assert_eq!(bench.come(5, "a"), (NOTHING, 0));
    assert_eq!(bench.due_ms(), Some(55));
    assert_eq!(bench.come(45, "a"), (NOTHING, 1));
    assert_eq!(bench.wake(94), NOTHING);
    assert_eq!(bench.come(85, "a"), (NOTHING, 1));
    assert_eq!(bench.wake(124), NOTHING);
    assert_eq!(bench.due_ms(), Some(125));
    assert_eq!(bench.come(125, "a"), (NOTHING, 1));
    assert_eq!(bench.wake(125), [(40, 40)]);
    assert_eq!((bench.keys(), bench.due_ms()), (0, None));
    // The longest time begins with the next.
    assert_eq!(bench.come(130, "a"), (NOTHING, 0));
    assert_eq!(bench.wake(179), NOTHING);
    assert_eq!(bench.wake(180), [(50, 50)]);
}

#[test]
fn what_is_due_together_passes_in_the_order_of_the_deadlines_and_then_of_the_log() {
    let mut bench = rate(RateMode::Debounce, 50, Some(1000));
    for (ms, key) in [(0, "a"), (10, "b"), (10, "c"), (20, "a")] {
        assert_eq!(bench.come(ms, key).0, NOTHING);
    }
    assert_eq!(bench.keys(), 3);
    assert_eq!(bench.wake(100), [(20, 29), (30, 39), (40, 40)]);
    assert_eq!(bench.keys(), 0);
}

#[test]
fn a_key_that_is_forgotten_takes_no_other_with_it() {
    let mut bench = rate(RateMode::Debounce, 50, Some(1000));
    bench.come(0, "a");
    let one = bench.rates.held_bytes();
    bench.come(10, "b");
    assert_eq!(bench.rates.held_bytes(), 2 * one);
    assert_eq!(bench.wake(50), [(10, 19)]);
    assert_eq!((bench.keys(), bench.rates.held_bytes()), (1, one));
    assert_eq!(bench.come(55, "b"), (NOTHING, 1));
    assert_eq!(bench.come(55, "a"), (NOTHING, 0));
    assert_eq!(bench.wake(105), [(30, 39), (40, 40)]);
}

#[test]
fn sample_lets_all_that_came_pass_at_the_ticks_of_a_grid_over_wall_time() {
    let mut bench = rate(RateMode::Sample, 100, None);
    assert_eq!(bench.come(30, "a"), (NOTHING, 0));
    assert_eq!(bench.rates.due_ns(), Some(99_750_000));
    assert_eq!(bench.come(40, "b"), (NOTHING, 0));
    assert_eq!(bench.come(50, "a"), (NOTHING, 1));
    assert_eq!(bench.wake_at(at_us(99_749)), NOTHING);
    assert_eq!(bench.rates.due_ns(), Some(99_750_000));
    // What comes at the very tick comes before it.
    assert_eq!(bench.come_us(99_750, "c"), (NOTHING, 0));
    let all = [(20, 29), (30, 39), (40, 40)];
    assert_eq!(bench.wake_at(at_us(99_750)), all);
    assert_eq!((bench.keys(), bench.rates.due_ns()), (0, None));
    assert_eq!(bench.wake(150), NOTHING);
    // And what comes later after it, for the tick that follows.
    assert_eq!(bench.come_us(199_750, "a"), (NOTHING, 0));
    assert_eq!(bench.rates.due_ns(), Some(199_750_000));
    assert_eq!(bench.come_us(199_751, "a"), (vec![(50, 50)], 0));
    assert_eq!(bench.rates.due_ns(), Some(299_750_000));
}

#[test]
fn a_wall_clock_that_is_set_back_puts_off_the_tick_by_no_more_than_an_interval() {
    const TICK_US: u64 = 99_750;
    // So much less than the tick; set back by more, there is another grid.
    for (back_us, due_us) in [
        (9_750, TICK_US + 9_750),
        (3_600_030_000, TICK_US + 30_000),
        (3_600_000_000, TICK_US),
    ] {
        let mut bench = rate(RateMode::Sample, 100, None);
        bench.come(0, "a");
        let at = |us: u64| Now {
            wall_us: WALL_US + us - back_us,
            ..at_us(us)
        };
        assert_eq!(bench.wake_at(at(TICK_US)), NOTHING);
        assert_eq!(bench.rates.due_ns(), Some(due_us * 1000));
        assert_eq!(bench.wake_at(at(due_us)), [(10, 10)]);
    }
}

#[test]
fn the_shortest_interval_is_one_tick_and_no_division_by_nothing() {
    let mut bench = rate(RateMode::Sample, 0, None);
    bench.come(7, "a");
    assert_eq!(bench.rates.due_ns(), Some(7 * MS));
}

#[test]
fn bytes_are_those_of_the_newest_that_wait() {
    let mut rates = rate(RateMode::Sample, 100, None).rates;
    let mut come = |source, key, data: &[u8]| {
        let publication = publication(source as i64, key, data);
        rates.handle(at_us(0), source, &publication, &mut Vec::new());
        rates.held_bytes() - size_of::<Publication>() as u64
    };
    // Topic, what stands between, key and data.
    assert_eq!(come(1, "kk", b"12345"), 4 + 5);
    assert_eq!(come(2, "kk", b"1"), 4 + 1);
    assert_eq!(
        come(3, "k", b""),
        4 + 1 + 3 + size_of::<Publication>() as u64
    );
    rates.flush(&mut Vec::new());
    assert_eq!(rates.held_bytes(), 0);
}

#[test]
fn what_waits_is_counted_and_copied_from_any_place_on() {
    let mut bench = rate(RateMode::Debounce, 50, Some(1000));
    assert_eq!(bench.rates.first_held(), None);
    assert!(bench.rates.is_through(u64::MAX));
    for key in ["a", "b", "c", "a"] {
        bench.come(0, key);
    }
    assert_eq!(bench.rates.first_held(), Some(20));
    let before = [0, 2, 3, 4, 5].map(|since| bench.rates.held_before(since));
    assert_eq!(before, [0, 0, 1, 2, 3]);
    let through = [1, 2, 3].map(|since| bench.rates.is_through(since));
    assert_eq!(through, [true, true, false]);
    let since = |since: u64| {
        let mut out = Vec::new();
        bench.rates.held_since(since, &mut out);
        passed(&out)
    };
    assert_eq!(since(0), [(20, 29), (30, 39), (40, 40)]);
    assert_eq!(since(3), [(30, 39), (40, 40)]);
    assert_eq!(since(5), NOTHING);
}

#[test]
fn a_flush_lets_all_pass_in_the_order_of_the_log_and_intervals_run_on() {
    let mut bench = rate(RateMode::Throttle, 100, None);
    for (ms, key) in [(0, "a"), (5, "b"), (10, "b"), (15, "a")] {
        bench.come(ms, key);
    }
    let mut out = Vec::new();
    bench.rates.flush(&mut out);
    assert_eq!(passed(&out), [(30, 39), (40, 40)]);
    assert_eq!((bench.keys(), bench.due_ms()), (2, None));
    assert_eq!(bench.come(90, "a"), (NOTHING, 0));
    assert_eq!(bench.due_ms(), Some(100));
    let mut bench = rate(RateMode::Sample, 100, None);
    bench.come(0, "a");
    bench.rates.flush(&mut Vec::new());
    assert_eq!(bench.keys(), 0);
}
