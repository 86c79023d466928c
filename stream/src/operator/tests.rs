use pubsub_wire::frame::FrameBuf;
use pubsub_wire::value::{Batch, Rate, RateMode, When};

use super::*;
use crate::hub::EntryRef;

const MS: u64 = 1_000_000;

fn at_ms(ms: u64) -> Now {
    Now {
        mono_ns: ms * MS,
        wall_us: ms * 1000,
    }
}

fn publication(offset: i64, key: Option<&str>) -> Rc<Publication> {
    let entry = EntryRef {
        offset,
        ts_us: 3,
        mono_ns: 0,
        topic: "t.a",
        key,
        data: b"17",
    };
    Rc::new(Publication::new(&entry, |name| name.len() as u64))
}

fn acting(rated: bool, batched: bool) -> Acting {
    Acting {
        rate: rated.then_some(Rate {
            mode: RateMode::Sample,
            ms: 100,
            max_wait_ms: None,
            when: When::Always,
        }),
        batch: batched.then_some(Batch {
            ms: Some(50),
            messages: None,
            bytes: None,
        }),
    }
}

/// One of `key` comes; its offset is ten times its place in the source.
fn come(operator: &mut Operator, ms: u64, key: &str) -> Vec<Released> {
    let mut out = Vec::new();
    let publication = publication((operator.seen as i64 + 1) * 10, Some(key));
    operator.handle(at_ms(ms), &publication, &mut out);
    out
}

/// What passed the rate waits in the batch.
fn batch(operator: &mut Operator, ms: u64, released: Vec<Released>) {
    let open = operator.open.as_mut().unwrap();
    for one in released {
        open.push(at_ms(ms), "t.a", one, b"{}");
    }
}

fn offsets(released: &[Released]) -> Vec<i64> {
    released.iter().map(|r| r.publication.offset).collect()
}

/// Two keys wait in a batch, which was due at 100, and after them two in a rate, due at 200; one was left out.
fn holding() -> Operator {
    let mut operator = Operator::new(acting(true, true));
    for (ms, key) in [(60, "a"), (70, "b"), (80, "a")] {
        assert!(come(&mut operator, ms, key).is_empty());
    }
    assert_eq!(operator.due_ns(), Some(100 * MS));
    let mut out = Vec::new();
    operator.handle_timeout(at_ms(100), &mut out);
    assert_eq!(offsets(&out), [20, 30]);
    batch(&mut operator, 100, out);
    for key in ["c", "d"] {
        assert!(come(&mut operator, 110, key).is_empty());
    }
    operator
}

#[test]
fn a_name_is_topic_and_key() {
    let keyed = publication(1, Some("k"));
    assert_eq!(
        (keyed.name(), keyed.topic(), keyed.key(), keyed.hash),
        ("t.a\0k", "t.a", Some("k"), 5)
    );
    let empty = publication(1, Some(""));
    assert_eq!((empty.topic(), empty.key()), ("t.a", Some("")));
    let none = publication(1, None);
    assert_eq!(
        (none.name(), none.topic(), none.key()),
        ("t.a", "t.a", None)
    );
    let bytes = size_of::<Publication>() + 5 + 2;
    assert_eq!(keyed.bytes(), bytes as u64);
}

#[test]
fn a_message_tells_its_own_offset_and_where_to_resume() {
    let one = Released {
        source: 1,
        publication: publication(30, Some("k")),
        resume: Some(20),
    };
    let (view, place) = one.message(Some("t.*"));
    assert_eq!(
        (view.sub, view.topic, view.key),
        (Some("t.*"), "t.a", Some("k"))
    );
    assert_eq!((view.offset, view.ts, view.data), (30, 3, &b"17"[..]));
    assert_eq!((place.part, place.resume), (None, Some(20)));
    assert_eq!(one.position(), 20);
    let plain = Released {
        resume: None,
        ..one
    };
    assert_eq!(plain.position(), 30);
}

#[test]
fn all_that_came_was_left_out_or_released_or_is_held() {
    let mut operator = holding();
    let counts = |o: &Operator| (o.seen, o.filtered, o.released, o.held());
    assert_eq!(counts(&operator), (5, 1, 0, 4));
    let before = [2, 3, 4, 5, 6].map(|since| operator.held_before(since));
    assert_eq!(before, [0, 1, 2, 3, 4]);
    let through = [2, 3].map(|since| operator.is_through(since));
    assert_eq!(through, [true, false], "the batch");
    let since = |operator: &Operator, since| {
        let mut out = Vec::new();
        operator.held_since(since, &mut out);
        offsets(&out)
    };
    assert_eq!(since(&operator, 0), [20, 30, 40, 50]);
    assert_eq!(since(&operator, 3), [30, 40, 50]);
    assert_eq!(since(&operator, 5), [50]);
    let closed = operator.open.as_mut().unwrap();
    operator.released += closed.close("t.a", &mut FrameBuf::default()).len() as u64;
    assert_eq!(counts(&operator), (5, 1, 2, 2));
    let through = [4, 5].map(|since| operator.is_through(since));
    assert_eq!(through, [true, false], "the rate");
    let mut out = Vec::new();
    operator.flush_rate(&mut out);
    assert_eq!(offsets(&out), [40, 50]);
    assert!(operator.is_through(u64::MAX));
}

#[test]
fn one_resumes_before_the_oldest_that_is_held() {
    let mut operator = holding();
    assert_eq!(operator.resume(1000), 19);
    assert_eq!(operator.resume(7), 7, "the source has not come further");
    let open = operator.open.as_mut().unwrap();
    open.close("t.a", &mut FrameBuf::default());
    assert_eq!(operator.resume(1000), 39);
    operator.flush_rate(&mut Vec::new());
    assert_eq!(operator.resume(1000), 1000);
}

#[test]
fn what_is_due_first_is_due() {
    let mut operator = holding();
    assert_eq!(operator.due_ns(), Some(150 * MS), "the batch");
    let open = operator.open.as_mut().unwrap();
    open.close("t.a", &mut FrameBuf::default());
    assert_eq!(operator.due_ns(), Some(200 * MS), "the rate");
    operator.flush_rate(&mut Vec::new());
    assert_eq!(operator.due_ns(), None);
}

#[test]
fn what_is_held_takes_memory_in_rate_and_batch() {
    let mut operator = holding();
    let publication = publication(1, Some("k")).bytes();
    let waiting = size_of_val(operator.open.as_ref().unwrap().waiting()) as u64;
    assert_eq!(
        operator.held_bytes(),
        2 * publication + waiting + "{},{}".len() as u64
    );
    operator.flush_rate(&mut Vec::new());
    assert_eq!(operator.held_bytes(), waiting + 5);
    let rated = Operator::new(acting(true, false));
    let batched = Operator::new(acting(false, true));
    assert_eq!((rated.held_bytes(), batched.held_bytes()), (0, 0));
}

#[test]
fn what_nobody_waits_for_is_left_out_and_the_counts_go_on() {
    let mut operator = holding();
    operator.released += 1;
    operator.forget_held(acting(true, true));
    let counts = (operator.seen, operator.filtered, operator.released);
    assert_eq!(counts, (5, 4, 1));
    assert_eq!((operator.held(), operator.held_bytes()), (0, 0));
    assert_eq!(operator.due_ns(), None);
}

#[test]
fn without_a_rate_all_passes_at_once() {
    let mut operator = Operator::new(acting(false, true));
    let out = come(&mut operator, 5, "a");
    assert_eq!((out[0].source, out[0].position()), (1, 10));
    let out = come(&mut operator, 6, "a");
    assert_eq!((out[0].source, out[0].position()), (2, 20));
    assert_eq!((operator.seen, operator.filtered), (2, 0));
    assert!(operator.is_through(0));
}
