use super::*;

const WIDE: Reach = Reach {
    messages: 1000,
    bytes: 1 << 20,
};

fn ring_of(n: i64) -> Ring {
    let mut ring = Ring::new(0);
    ring.hold(1, Hold::Live);
    for offset in 1..=n {
        ring.push(NewEntry {
            offset: offset * 10,
            mono_ns: 0,
            frame: vec![0; 10].into(),
            seat: Seat::default(),
            source: 0,
            bytes: 10,
        });
    }
    ring
}

#[test]
fn an_entry_is_kept_while_a_live_cursor_stands_at_or_before_it() {
    let mut ring = ring_of(5);
    ring.evict(WIDE);
    assert_eq!(ring.first(), 1);
    ring.release(1, Hold::Live);
    ring.hold(4, Hold::Live);
    ring.evict(WIDE);
    assert_eq!(
        (ring.first(), ring.head(), ring.position_before(4)),
        (4, 6, Some(30))
    );
}

#[test]
fn a_parked_cursor_keeps_no_more_than_the_reach() {
    let mut ring = ring_of(5);
    ring.release(1, Hold::Live);
    ring.hold(1, Hold::Parked);
    ring.evict(WIDE);
    assert_eq!(ring.first(), 1);
    ring.evict(Reach {
        messages: 3,
        bytes: 1000,
    });
    assert_eq!((ring.first(), ring.head()), (3, 6));
    ring.release(1, Hold::Parked);
    ring.evict(WIDE);
    assert_eq!(ring.first(), 6, "nobody waits any more");
}

#[test]
fn a_cursor_that_was_overtaken_keeps_what_the_reach_allows() {
    let mut ring = ring_of(5);
    ring.pop();
    ring.evict(WIDE);
    assert_eq!(ring.first(), 2);
    for (bytes, first) in [(40, 2), (39, 3), (30, 3), (5, 5)] {
        ring.evict(Reach { bytes, ..WIDE });
        assert_eq!(ring.first(), first, "{bytes} bytes");
    }
    ring.evict(Reach {
        messages: 1,
        bytes: 5,
    });
    assert_eq!(ring.first(), 5, "one waits however large it is");
    ring.release(1, Hold::Live);
    ring.evict(WIDE);
    assert_eq!(ring.first(), 6);
}

#[test]
fn an_epoch_begins_after_its_mark() {
    let mut ring = ring_of(2);
    let mark = Mark {
        ordinal: 3,
        kind: Kind::Epoch,
        before: 20,
        after: 4,
        epoch: None,
        seen: 0,
        filtered: 0,
    };
    ring.push_mark(mark, 0, vec![0; 10].into());
    assert_eq!(ring.ordinal_after(3), None);
    assert_eq!(ring.ordinal_after(4), Some(4));
    assert_eq!(ring.position(), 4);
}

#[test]
fn reach_is_by_messages_or_by_bytes_whichever_is_less() {
    let ring = ring_of(5);
    assert_eq!(
        ring.within(Reach {
            messages: 2,
            bytes: 1000
        }),
        4
    );
    assert_eq!(
        ring.within(Reach {
            messages: 100,
            bytes: 30
        }),
        3
    );
    assert_eq!(
        ring.within(Reach {
            messages: 100,
            bytes: 25
        }),
        4
    );
    assert_eq!(
        ring.within(Reach {
            messages: 100,
            bytes: 1000
        }),
        1
    );
    assert_eq!(
        ring.within(Reach {
            messages: 100,
            bytes: 0
        }),
        6
    );
}

#[test]
fn a_position_is_found_only_where_the_ring_reaches_back() {
    let mut ring = ring_of(5);
    assert_eq!(ring.ordinal_after(0), Some(1));
    assert_eq!(ring.ordinal_after(25), Some(3));
    assert_eq!(ring.ordinal_after(50), Some(6));
    ring.pop();
    assert_eq!(ring.ordinal_after(9), None);
    assert_eq!(ring.ordinal_after(10), Some(2));
}

#[test]
fn what_others_pinned_behind_a_cursor_is_none_of_its_bytes() {
    let mut ring = ring_of(5);
    ring.pin(1, 2);
    for _ in 0..4 {
        ring.pop();
    }
    assert_eq!(ring.bytes_between(3, ring.head()), 10);
    assert_eq!(ring.bytes(), 20);
    ring.unpin(1, 2);
    assert_eq!(ring.bytes(), 10);
}

#[test]
fn an_entry_stays_at_hand_for_as_many_windows_as_still_need_it() {
    let mut ring = ring_of(3);
    ring.pin(1, 3);
    ring.pin(1, 2);
    ring.unpin(1, 3);
    ring.pop();
    ring.pop();
    assert_eq!(ring.first_pinned().map(|(at, _)| at), Some(1));
    assert_eq!(ring.bytes(), 20);
    ring.pin(1, 2);
    ring.unpin(1, 2);
    assert_eq!(ring.bytes(), 20);
    ring.unpin(1, 2);
    assert_eq!(ring.bytes(), 10);
    assert!(ring.first_pinned().is_none());
}

#[test]
fn half_of_the_room_is_given_back_where_less_than_a_quarter_is_in_use() {
    let mut ring = ring_of(512);
    let full = ring.entries.capacity();
    let mut keep = |from: usize, to: usize| {
        ring.release(ring.head() - from as u64, Hold::Live);
        ring.hold(ring.head() - to as u64, Hold::Live);
        ring.evict(WIDE);
        ring.entries.capacity()
    };
    let quarter = full / 4;
    assert_eq!(keep(512, quarter), full);
    assert_eq!(keep(quarter, quarter - 1), 2 * (quarter - 1));
    let room = keep(quarter - 1, 0);
    assert!((ROOM / 4..=ROOM).contains(&room), "{room}");
}
