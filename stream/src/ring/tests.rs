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
}
