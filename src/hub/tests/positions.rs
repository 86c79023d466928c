//! History: where it begins, what is missing before it, and what one slice has.
use super::stand::{Stand, after, keep, retention, tiny_outbox};
use crate::hub::settings::Settings;
use crate::link::event::told::Told;
use pubsub_stream::hub::{HubRequest, LostHistory, SliceGap, Start};
use pubsub_wire::value::Else;
use pubsub_wire::{ErrorCode, Limits};

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
        (1, Some(retention(1, 1, 1)), vec![11])
    );
    let (head, offsets) = stand.slice(worker, 2, after(1, Else::Earliest));
    assert_eq!(
        (head.start, head.gap, offsets),
        (8, Some(retention(2, 8, 7)), vec![9, 10, 11])
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
    assert_eq!((head.start, head.gap), (4, Some(retention(3, 4, None))));
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
    assert_eq!((head.start, head.gap), (4, Some(retention(2, 4, 3))));
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
        (5, 5, Some(retention(2, 5, None)), vec![])
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
fn what_is_held_before_a_readers_place_is_not_counted_among_what_it_lost_behind() {
    // Of the pattern's topics b is kept longer than a, so that the oldest entry is not the first to leave.
    let mut stand = Stand::new(&[keep("b", 100), keep(">", 3)]);
    let worker = stand.join();
    stand.watch(worker, 1, "*");
    for topic in ["a", "b", "a", "a"] {
        stand.publish(topic, None);
    }
    stand.take_all(worker);
    let first = HubRequest::Read {
        request: 1,
        view: 1,
        start: Start::Earliest,
        budget_bytes: 90,
    };
    stand.ask(worker, first);
    let told = stand.take_all(worker);
    let Some(Told::Slice(head, _)) = told.first() else {
        panic!("a slice: {told:?}")
    };
    assert_eq!((head.end, head.joined), (2, false));
    stand.publish_times("a", 4);
    stand.take_all(worker);
    // Of 3..=5 all have left, and 2, which was read, is still held.
    let (head, _) = stand.slice(
        worker,
        1,
        Start::Continue {
            offset: 2,
            compacted: false,
        },
    );
    let gap = head.gap.expect("a gap");
    assert_eq!((gap.from, gap.to), (Some(3), Some(5)));
    assert!(gap.count.is_none_or(|count| count == 3), "{gap:?}");
}

#[test]
fn a_reader_of_the_newest_of_each_key_is_told_when_some_leave_before_it_comes_to_them() {
    let settings = Settings::new(Limits::default(), 100, 3);
    let mut stand = Stand::with(&[keep(">", 100)], settings);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.watch(worker, 2, "b");
    for key in ["x", "y", "z"] {
        stand.publish("a", Some(key));
    }
    stand.turn();
    stand.take(worker);
    let further = Start::Continue {
        offset: 1,
        compacted: true,
    };
    let (head, offsets) = stand.slice(worker, 1, further.clone());
    assert_eq!((head.gap, offsets), (None, vec![2, 3]));
    // There is room for three keys: what is new takes the places of x and y.
    stand.publish("b", Some("v"));
    stand.publish("b", Some("w"));
    stand.turn();
    let (head, offsets) = stand.slice(worker, 1, further);
    let memory = SliceGap {
        reason: LostHistory::Memory,
        from: None,
        to: None,
        count: None,
    };
    assert_eq!((head.start, head.gap, offsets), (1, Some(memory), vec![3]));
    let later = Start::Continue {
        offset: 2,
        compacted: true,
    };
    assert_eq!(
        stand.slice(worker, 1, later).0.gap,
        None,
        "it had read those"
    );
    let other = Start::Continue {
        offset: 0,
        compacted: true,
    };
    assert_eq!(stand.slice(worker, 2, other).0.gap, None, "none of its own");
}
