//! One fact each: positions, gaps, losses, limits.
use crate::config::Retain;
use crate::hub::core::{Hub, Refused, Settings, Violation};
use crate::hub::entry::Publication;
use crate::hub::log::{Log, MemoryLog};
use crate::hub::worker::WorkerId;
use crate::link::LinkReader;
use crate::link::event::told::Told;
use pubsub_stream::Now;
use pubsub_stream::hub::{HubRequest, LostHistory, SliceGap, SliceHead, Start};
use pubsub_wire::value::Else;
use pubsub_wire::{ErrorCode, Limits};

const EPOCH: &str = "0123456789abcdef";
const MS: u64 = 1_000_000;

fn keep(pattern: &str, count: u64) -> Retain {
    Retain {
        pattern: pattern.to_owned(),
        bytes: u64::MAX,
        age_ms: None,
        count: Some(count),
    }
}

/// A hub whose time stands still unless it is moved.
struct Stand {
    hub: Hub<MemoryLog>,
    now: Now,
}

impl Stand {
    fn new(rules: &[Retain]) -> Self {
        Self::with(rules, Settings::new(Limits::default(), 100, 100))
    }

    fn with(rules: &[Retain], settings: Settings) -> Self {
        let hub = Hub::new(MemoryLog::new(EPOCH.to_owned(), rules), settings);
        Self {
            hub,
            now: Now {
                mono_ns: 1,
                wall_us: 1,
            },
        }
    }

    fn join(&mut self) -> WorkerId {
        let worker = self.hub.handle_join(self.now);
        assert_eq!(
            self.take(worker),
            [Told::Hello(EPOCH.to_owned(), self.hub.log().head())]
        );
        worker
    }

    fn ask(&mut self, worker: WorkerId, request: HubRequest) {
        self.hub
            .handle_request(self.now, worker, request)
            .expect("a good request");
    }

    fn watch(&mut self, worker: WorkerId, view: u32, text: &str) {
        self.ask(
            worker,
            HubRequest::Watch {
                view,
                text: text.to_owned(),
            },
        );
    }

    fn read(&mut self, worker: WorkerId, view: u32, start: Start) {
        self.ask(
            worker,
            HubRequest::Read {
                request: 1,
                view,
                start,
                budget_bytes: 1 << 20,
            },
        );
    }

    fn publish(&mut self, topic: &str, key: Option<&str>) -> i64 {
        self.hub
            .publish(
                self.now,
                &Publication {
                    topic,
                    key,
                    data: b"1",
                },
            )
            .expect("a good publication")
    }

    fn publish_times(&mut self, topic: &str, times: usize) {
        for _ in 0..times {
            self.publish(topic, None);
        }
    }

    /// Turns until there is nothing to do.
    fn turn(&mut self) {
        while self.hub.turn(self.now) {}
    }

    fn take(&mut self, worker: WorkerId) -> Vec<Told> {
        let bytes = self.hub.take(worker).0;
        let (mut reader, mut told) = (LinkReader::default(), Vec::new());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let read = reader.fill(|space| {
                let n = space.len().min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                Ok::<_, ()>(n)
            });
            rest = &rest[read.unwrap_or(0)..];
            reader
                .drain(&mut |event| told.push(Told::of(event)))
                .expect("well formed");
        }
        self.hub.give_back(worker, bytes);
        told
    }

    /// Takes and turns until nothing comes.
    fn take_all(&mut self, worker: WorkerId) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            self.turn();
            let told = self.take(worker);
            if told.is_empty() {
                return all;
            }
            all.extend(told);
        }
    }

    /// The one slice that answers a read, and the offsets in it.
    fn slice(&mut self, worker: WorkerId, view: u32, start: Start) -> (SliceHead, Vec<i64>) {
        self.read(worker, view, start);
        let slices: Vec<(SliceHead, Vec<i64>)> = self
            .take_all(worker)
            .into_iter()
            .filter_map(|told| match told {
                Told::Slice(head, entries) => {
                    Some((head, entries.iter().map(|e| e.offset).collect()))
                }
                _ => None,
            })
            .collect();
        let [slice] = slices.try_into().expect("one slice");
        slice
    }
}

fn after(offset: i64, otherwise: Else) -> Start {
    Start::After {
        epoch: EPOCH.to_owned(),
        offset,
        otherwise,
    }
}

fn retention(from: i64, to: i64, count: impl Into<Option<u64>>) -> Option<SliceGap> {
    let (from, to, count) = (Some(from), Some(to), count.into());
    Some(SliceGap {
        reason: LostHistory::Retention,
        from,
        to,
        count,
    })
}

fn tiny_outbox() -> Settings {
    Settings {
        outbox_bytes: 1,
        ..Settings::new(Limits::default(), 100, 100)
    }
}

#[test]
fn a_stopped_worker_is_told_exactly_what_each_of_its_views_lost() {
    let mut stand = Stand::with(&[keep(">", 4)], tiny_outbox());
    let worker = stand.join();
    for (view, text) in [(1, "a"), (2, "b"), (3, ">"), (4, "c")] {
        stand.watch(worker, view, text);
    }
    stand.take(worker);
    stand.publish("a", None);
    stand.turn();
    // The first entry fills the outbox; from here on the cursor stays at 1.
    for topic in ["a", "a", "b", "b", "a", "b", "b"] {
        stand.publish(topic, None);
    }
    stand.turn();
    let told = stand.take_all(worker);
    let is_loss = |told: &&Told| matches!(told, Told::Lost(..));
    let mut losses: Vec<&Told> = told.iter().filter(is_loss).collect();
    losses.sort_by_key(|told| match told {
        Told::Lost(view, ..) => *view,
        _ => 0,
    });
    // Of 2..=4, which left, 2 and 3 were of a, 4 of b, none of c.
    assert_eq!(
        losses,
        [
            &Told::Lost(1, 2, 3, Some(2)),
            &Told::Lost(2, 2, 4, Some(1)),
            &Told::Lost(3, 2, 4, Some(3))
        ]
    );
    let place = |wanted: &dyn Fn(&Told) -> bool| told.iter().position(wanted).expect("is there");
    assert!(
        place(&|t| matches!(t, Told::Entry(e) if e.offset == 1))
            < place(&|t| matches!(t, Told::Lost(..)))
    );
    assert!(
        place(&|t| matches!(t, Told::Entry(e) if e.offset == 5))
            > place(&|t| matches!(t, Told::Lost(3, ..)))
    );
}

#[test]
fn a_stopped_workers_outbox_stays_as_large_as_it_may() {
    let settings = Settings {
        outbox_bytes: 2000,
        ..Settings::new(Limits::default(), 100, 100)
    };
    let mut stand = Stand::with(&[keep(">", 1_000_000)], settings);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    for _ in 0..10_000 {
        stand.publish("a", None);
        stand.hub.turn(stand.now);
    }
    let bytes = stand.hub.take(worker).0.len();
    assert!((2000..2200).contains(&bytes), "{bytes}");
}

#[test]
fn a_position_is_too_old_only_if_its_own_view_lost_something_after_it() {
    let mut stand = Stand::new(&[keep(">", 3)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.watch(worker, 2, "*");
    stand.publish("a", None);
    stand.publish_times("b", 9);
    stand.publish("a", None);
    stand.turn();
    stand.take(worker);
    // Held: 9, 10 (b) and 11 (a). Of a only 1 has left.
    let (head, offsets) = stand.slice(worker, 1, after(1, Else::Earliest));
    assert_eq!((head.start, head.gap, offsets), (1, None, vec![11]));
    let (head, offsets) = stand.slice(worker, 1, after(0, Else::Earliest));
    assert_eq!(
        (head.start, head.gap, offsets),
        (1, retention(1, 1, 1), vec![11])
    );
    let (head, offsets) = stand.slice(worker, 2, after(1, Else::Earliest));
    assert_eq!(
        (head.start, head.gap, offsets),
        (8, retention(2, 8, 7), vec![9, 10, 11])
    );
}

#[test]
fn what_is_not_known_exactly_has_no_count() {
    let mut stand = Stand::new(&[keep(">", 2)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish_times("a", 3);
    stand.turn();
    // Topic a lost one at or before 2 and, later, some after: how many is not remembered.
    stand.publish_times("a", 3);
    stand.turn();
    stand.take(worker);
    let (head, _) = stand.slice(worker, 1, after(2, Else::Earliest));
    assert_eq!((head.start, head.gap), (4, retention(3, 4, None)));
}

#[test]
fn a_reader_that_retention_overtakes_is_told_how_many_it_lost() {
    let mut stand = Stand::new(&[keep(">", 6)]);
    let worker = stand.join();
    stand.watch(worker, 1, "*");
    for topic in ["a", "b", "a", "a", "b", "a"] {
        stand.publish(topic, None);
    }
    stand.take_all(worker);
    stand.ask(
        worker,
        HubRequest::Read {
            request: 1,
            view: 1,
            start: Start::Earliest,
            budget_bytes: 1,
        },
    );
    let told = stand.take_all(worker);
    let Some(Told::Slice(head, entries)) = told.first() else {
        panic!("a slice: {told:?}")
    };
    assert_eq!((head.end, head.joined, entries.len()), (1, false, 1));
    stand.publish_times("a", 4);
    stand.take_all(worker);
    let (head, offsets) = stand.slice(
        worker,
        1,
        Start::Continue {
            offset: 1,
            compacted: false,
        },
    );
    assert_eq!((head.start, head.gap), (4, retention(2, 4, 3)));
    assert_eq!(offsets, [5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_position_of_another_log_or_past_the_head_is_answered_as_asked() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    for key in ["x", "y", "x"] {
        stand.publish("a", Some(key));
    }
    stand.turn();
    stand.take(worker);
    let gap = Some(SliceGap {
        reason: LostHistory::Epoch,
        from: None,
        to: None,
        count: None,
    });
    let foreign = |otherwise| Start::After {
        epoch: "other".to_owned(),
        offset: 1,
        otherwise,
    };
    for start in [
        foreign(Else::Earliest),
        after(4, Else::Earliest),
        after(-1, Else::Earliest),
    ] {
        let (head, offsets) = stand.slice(worker, 1, start);
        assert_eq!(
            (head.start, head.gap, head.joined, offsets),
            (0, gap, true, vec![1, 2, 3])
        );
    }
    let (head, offsets) = stand.slice(worker, 1, foreign(Else::Last));
    assert_eq!((head.start, head.gap, offsets), (1, gap, vec![2, 3]));
    let (head, offsets) = stand.slice(worker, 1, foreign(Else::Live));
    assert_eq!(
        (head.start, head.end, head.gap, head.joined, offsets),
        (3, 3, gap, true, vec![])
    );
}

#[test]
fn what_stands_in_for_a_position_that_is_gone_is_what_was_asked_for() {
    let mut stand = Stand::new(&[keep(">", 2)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    for key in ["x", "y", "z", "y", "z"] {
        stand.publish("a", Some(key));
    }
    stand.turn();
    stand.take(worker);
    let (head, offsets) = stand.slice(worker, 1, after(1, Else::Live));
    assert_eq!(
        (head.start, head.end, head.gap, offsets),
        (5, 5, retention(2, 5, None), vec![])
    );
    // The newest of x has left the log but is the newest of x.
    let (head, offsets) = stand.slice(worker, 1, after(1, Else::Last));
    let gap = Some(SliceGap {
        reason: LostHistory::Retention,
        from: None,
        to: None,
        count: None,
    });
    assert_eq!((head.start, head.gap, offsets), (0, gap, vec![1, 4, 5]));
}

#[test]
fn recent_is_exactly_the_newest_in_order_however_the_view_is_read() {
    let settings = Settings::new(Limits::default(), 1000, 1000);
    let mut stand = Stand::with(&[keep(">", 10_000)], settings);
    let worker = stand.join();
    // 100 topics under n, one entry each among 900 others: more topics than are merged.
    for (view, text) in [(1, "n.7"), (2, "n.*"), (3, "o.*"), (4, "none"), (5, ">")] {
        stand.watch(worker, view, text);
    }
    let mut of_n = Vec::new();
    for round in 0..100 {
        for _ in 0..9 {
            stand.publish("o.x", None);
        }
        of_n.push(stand.publish(&format!("n.{round}"), None));
    }
    stand.take_all(worker);
    let mut recent = |view, n| stand.slice(worker, view, Start::Recent(n)).1;
    assert_eq!(recent(1, 5), [80]);
    assert_eq!(recent(2, 3), of_n[97..]);
    assert_eq!(recent(2, 1000), of_n);
    assert_eq!(recent(3, 4), [996, 997, 998, 999]);
    assert_eq!(recent(5, 2), [999, 1000]);
    assert_eq!(recent(5, 0), [0i64; 0]);
    assert_eq!(recent(4, 9), [0i64; 0]);
}

#[test]
fn the_newest_of_every_key_come_in_log_order_also_when_they_left_the_log() {
    let mut stand = Stand::new(&[keep(">", 2)]);
    let worker = stand.join();
    stand.watch(worker, 1, "q.*");
    for (topic, key) in [
        ("q.a", Some("a")),
        ("q.b", None),
        ("q.a", Some("x")),
        ("q.b", Some("q.b")),
        ("other", None),
        ("q.a", Some("a")),
    ] {
        stand.publish(topic, key);
    }
    stand.take_all(worker);
    let (head, offsets) = stand.slice(worker, 1, Start::Last);
    // A message without key is keyed by its topic, so 4 supersedes 2.
    assert_eq!(
        (head.start, head.end, head.joined, offsets),
        (2, 6, true, vec![3, 4, 6])
    );
}

#[test]
fn a_key_that_changes_between_two_slices_is_not_read_twice() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    for key in ["x", "y", "z"] {
        stand.publish("a", Some(key));
    }
    stand.take_all(worker);
    stand.ask(
        worker,
        HubRequest::Read {
            request: 1,
            view: 1,
            start: Start::Last,
            budget_bytes: 1,
        },
    );
    let told = stand.take_all(worker);
    let Some(Told::Slice(head, entries)) = told.first() else {
        panic!("a slice: {told:?}")
    };
    assert_eq!((entries[0].offset, head.end, head.joined), (1, 1, false));
    stand.publish("a", Some("y"));
    stand.take_all(worker);
    let (head, offsets) = stand.slice(
        worker,
        1,
        Start::Continue {
            offset: 1,
            compacted: true,
        },
    );
    assert_eq!((head.joined, offsets), (true, vec![3, 4]));
}

#[test]
fn a_search_that_took_several_turns_forgets_what_it_found_when_another_is_begun() {
    let settings = Settings {
        scan_entries: 10,
        ..Settings::new(Limits::default(), 1000, 1000)
    };
    let mut stand = Stand::with(&[keep(">", 100)], settings);
    let worker = stand.join();
    stand.watch(worker, 1, "n.*");
    // More topics than are merged, so the view is read by scanning.
    for n in 0..70 {
        stand.publish(&format!("n.{n}"), None);
    }
    stand.publish_times("o", 99);
    stand.publish("n.0", None);
    stand.take_all(worker);
    let reads = stand.hub.counters().reads;
    stand.read(worker, 1, after(70, Else::Last));
    assert!(
        stand.hub.turn(stand.now),
        "ten entries were looked at, there are more"
    );
    assert_eq!(stand.hub.counters().reads, reads);
    // Now the entry that was searched for leaves too: the position is gone, and the newest of every key are what was asked for.
    stand.publish_times("o", 100);
    stand.turn();
    let slices: Vec<Vec<i64>> = stand
        .take_all(worker)
        .into_iter()
        .filter_map(|told| match told {
            Told::Slice(_, entries) => Some(entries.iter().map(|e| e.offset).collect()),
            _ => None,
        })
        .collect();
    let expected: Vec<i64> = (2..=70).chain([170]).collect();
    assert_eq!(slices, [expected[..10].to_vec()], "the first ten of 70");
}

#[test]
fn live_entries_go_before_history_and_one_slice_at_a_time() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish("a", None);
    stand.take_all(worker);
    for request in [1, 2] {
        stand.ask(
            worker,
            HubRequest::Read {
                request,
                view: 1,
                start: Start::Earliest,
                budget_bytes: 100,
            },
        );
    }
    stand.publish("a", None);
    stand.turn();
    let told = stand.take(worker);
    assert!(
        matches!(
            told[..],
            [Told::Entry(_), Told::Slice(..), Told::Position(2)]
        ),
        "{told:?}"
    );
    stand.turn();
    assert!(matches!(stand.take(worker)[..], [Told::Slice(..)]));
}

#[test]
fn a_read_of_what_is_not_watched_is_refused_also_if_it_waited() {
    let mut stand = Stand::with(&[keep(">", 100)], tiny_outbox());
    let worker = stand.join();
    stand.read(worker, 9, Start::Earliest);
    let refused = |told: &Told| matches!(told, Told::ReadFailed(1, ErrorCode::NotSubscribed, ..));
    assert!(refused(&stand.take_all(worker)[0]));
    stand.watch(worker, 1, "a");
    stand.publish_times("a", 5);
    stand.turn();
    // The worker is behind: a position it has not reached waits.
    stand.read(worker, 1, after(5, Else::Earliest));
    stand.turn();
    stand.ask(worker, HubRequest::Unwatch { view: 1 });
    assert!(stand.take_all(worker).iter().any(refused));
}

#[test]
fn interest_begins_after_the_head_at_which_it_was_asked_for() {
    let mut stand = Stand::with(&[keep(">", 100)], tiny_outbox());
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.take(worker);
    for topic in ["a", "a", "b"] {
        stand.publish(topic, None);
    }
    stand.watch(worker, 2, "b");
    stand.publish("b", None);
    let told: Vec<Told> = stand
        .take_all(worker)
        .into_iter()
        .filter(|told| !matches!(told, Told::Position(_)))
        .collect();
    let offset = |told: &Told| match told {
        Told::Entry(entry) => entry.offset,
        _ => 0,
    };
    assert_eq!(told.iter().map(offset).collect::<Vec<_>>(), [1, 2, 0, 4]);
    assert_eq!(told[2], Told::Watched(2, 3));
}

#[test]
fn a_topic_too_many_is_refused_until_one_is_forgotten() {
    let settings = Settings::new(Limits::default(), 2, 2);
    let mut stand = Stand::with(&[keep(">", 1)], settings);
    let publish = |stand: &mut Stand, topic: &str, key: &str| {
        let publication = Publication {
            topic,
            key: Some(key),
            data: b"1",
        };
        let outcome = stand
            .hub
            .publish(stand.now, &publication)
            .map_err(Refused::code);
        stand.turn();
        outcome
    };
    assert_eq!(publish(&mut stand, "a", "1"), Ok(1));
    assert_eq!(publish(&mut stand, "b", "1"), Ok(2));
    assert_eq!(publish(&mut stand, "c", "1"), Err(ErrorCode::Limit));
    assert_eq!(
        (stand.hub.counters().refused, stand.hub.log().head()),
        (1, 2)
    );
    // A second key of b takes the newest of a away, which was all that was left of a.
    assert_eq!(publish(&mut stand, "b", "2"), Ok(3));
    assert_eq!((stand.hub.topics(), stand.hub.keys()), (1, 2));
    assert_eq!(publish(&mut stand, "c", "1"), Ok(4));
}

#[test]
fn a_topic_that_is_watched_is_not_forgotten_until_it_no_longer_is() {
    let mut stand = Stand::with(&[keep(">", 1)], Settings::new(Limits::default(), 10, 1));
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.watch(worker, 2, ">");
    stand.publish("a", None);
    stand.publish("b", None);
    stand.turn();
    assert_eq!(stand.hub.topics(), 2);
    stand.ask(worker, HubRequest::Unwatch { view: 2 });
    assert_eq!(stand.hub.topics(), 2);
    stand.hub.handle_leave(worker);
    assert_eq!(stand.hub.topics(), 1);
}

#[test]
fn a_topic_forgotten_and_come_back_has_not_forgotten_its_floor() {
    let mut stand = Stand::with(&[keep(">", 1)], Settings::new(Limits::default(), 10, 1));
    stand.publish_times("a", 2);
    stand.publish("b", None);
    stand.turn();
    assert_eq!(stand.hub.topics(), 1);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish("a", None);
    stand.take_all(worker);
    let (head, offsets) = stand.slice(worker, 1, after(0, Else::Earliest));
    assert_eq!((head.gap, offsets), (retention(1, 2, None), vec![4]));
    assert_eq!(stand.slice(worker, 1, after(2, Else::Earliest)).0.gap, None);
}

#[test]
fn sizes_are_checked_again() {
    let limits = Limits {
        frame_bytes: 10,
        key_bytes: 3,
        topic_bytes: 5,
        ..Limits::default()
    };
    let mut stand = Stand::with(&[keep(">", 100)], Settings::new(limits, 10, 10));
    let mut code = |topic, key, data| {
        let outcome = stand
            .hub
            .publish(stand.now, &Publication { topic, key, data });
        outcome.map_err(Refused::code)
    };
    assert_eq!(code("a", None, b"0123456789"), Ok(1));
    assert_eq!(code("a", None, b"0123456789."), Err(ErrorCode::TooLarge));
    assert_eq!(code("a", Some("1234"), b""), Err(ErrorCode::TooLarge));
    assert_eq!(code("abcdef", None, b""), Err(ErrorCode::BadField));
    assert_eq!(code("a.>", None, b""), Err(ErrorCode::BadField));
    assert_eq!(code("a", Some(""), b""), Ok(2));
}

#[test]
fn what_is_too_old_leaves_without_any_publication() {
    let rule = Retain {
        pattern: ">".to_owned(),
        bytes: u64::MAX,
        age_ms: Some(100),
        count: None,
    };
    let mut stand = Stand::new(&[rule]);
    stand.publish("a", None);
    stand.now.mono_ns += 50 * MS;
    stand.publish("a", None);
    assert_eq!(stand.hub.log().deadline(), Some(1 + 100 * MS));
    stand.now.mono_ns = 100 * MS;
    stand.turn();
    assert_eq!(stand.hub.log().size().entries, 2);
    stand.now.mono_ns += 1;
    stand.turn();
    assert_eq!(
        (stand.hub.log().size().entries, stand.hub.log().size().first),
        (1, 2)
    );
    assert_eq!(stand.hub.log().deadline(), Some(1 + 150 * MS));
}

#[test]
fn each_topic_keeps_by_the_first_rule_that_matches_it() {
    let mut stand = Stand::new(&[keep("few.*", 1), keep("few.>", 100), keep(">", 2)]);
    let worker = stand.join();
    for (view, text) in [(1, "few.a"), (2, "few.a.b"), (3, "x")] {
        stand.watch(worker, view, text);
    }
    for _ in 0..3 {
        for topic in ["few.a", "few.a.b", "x"] {
            stand.publish(topic, None);
        }
    }
    stand.take_all(worker);
    let mut held = |view| stand.slice(worker, view, Start::Earliest).1;
    assert_eq!(
        (held(1), held(2), held(3)),
        (vec![7], vec![2, 5, 8], vec![6, 9])
    );
}

#[test]
fn a_worker_that_wants_nothing_hears_within_a_second_how_far_others_are() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.publish("a", None);
    stand.turn();
    stand.hub.tick(stand.now);
    assert_eq!(stand.take(worker), []);
    stand.now.mono_ns += 1000 * MS;
    stand.hub.tick(stand.now);
    assert_eq!(stand.take(worker), [Told::Position(1)]);
    stand.now.mono_ns += 9000 * MS;
    stand.hub.tick(stand.now);
    assert_eq!(stand.take(worker), [], "nothing has moved since");
}

#[test]
fn acknowledgements_come_at_once_and_too_many_of_them_stop_the_requests() {
    let settings = Settings {
        outbox_bytes: 500,
        ..Settings::new(Limits::default(), 10, 10)
    };
    let mut stand = Stand::with(&[keep(">", 100)], settings);
    let worker = stand.join();
    let publication = Publication {
        topic: "a",
        key: None,
        data: b"1",
    };
    let mut request = 0;
    while stand.hub.wants_input(worker) {
        request += 1;
        stand
            .hub
            .handle_publish(stand.now, worker, request, &publication);
    }
    assert!((20..60).contains(&request), "{request}");
    let told = stand.take(worker);
    let acks: Vec<Told> = (1..=request)
        .map(|n| Told::Published(n, n as i64))
        .collect();
    assert_eq!(told, acks);
    assert!(stand.hub.wants_input(worker));
}

#[test]
fn a_burst_leaves_no_buffers_behind() {
    let mut stand = Stand::new(&[keep(">", 10_000)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish_times("a", 2000);
    stand.take_all(worker);
    let capacity = |stand: &mut Stand| {
        let (bytes, _) = stand.hub.take(worker);
        let capacity = bytes.capacity();
        stand.hub.give_back(worker, bytes);
        capacity
    };
    assert!(capacity(&mut stand) > 64 << 10);
    stand.hub.tick(stand.now);
    stand.hub.tick(stand.now);
    assert!(capacity(&mut stand) <= 16 << 10);
}

#[test]
fn what_no_worker_would_ask_ends_its_link() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    let mut ask = |view, text: &str| {
        stand.hub.handle_request(
            stand.now,
            worker,
            HubRequest::Watch {
                view,
                text: text.to_owned(),
            },
        )
    };
    assert_eq!(ask(1, "b"), Err(Violation::ViewTaken(1)));
    assert!(matches!(ask(2, "b..c"), Err(Violation::BadText(_))));
}

#[test]
fn two_views_of_one_text_each_begin_at_their_own_place() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish("a", None);
    stand.watch(worker, 2, "a");
    stand.publish("a", None);
    stand.ask(worker, HubRequest::Unwatch { view: 1 });
    stand.publish("a", None);
    let told: Vec<Told> = stand
        .take_all(worker)
        .into_iter()
        .filter(|told| !matches!(told, Told::Position(_)))
        .collect();
    let kinds: Vec<String> = told
        .iter()
        .map(|told| match told {
            Told::Entry(entry) => format!("entry {}", entry.offset),
            Told::Watched(view, position) => format!("watched {view} after {position}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "watched 1 after 0",
            "entry 1",
            "watched 2 after 1",
            "entry 2",
            "entry 3"
        ]
    );
}
