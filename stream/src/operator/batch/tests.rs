use super::*;
use crate::hub::EntryRef;
use crate::operator::Publication;

const TOPIC: &str = "t.a";

fn at_ms(ms: u64) -> Now {
    Now {
        mono_ns: ms * 1_000_000,
        wall_us: 0,
    }
}

fn released(source: u64, offset: i64) -> Released {
    let entry = EntryRef {
        offset,
        ts_us: 0,
        mono_ns: source * 7,
        topic: TOPIC,
        key: None,
        data: b"1",
    };
    Released {
        source,
        publication: Rc::new(Publication::new(&entry, |_| 0)),
        resume: None,
    }
}

fn open(ms: Option<u64>, messages: Option<u64>, bytes: Option<u64>) -> Open {
    Open::new(Batch {
        ms,
        messages,
        bytes,
    })
}

/// Items as short as these make the sums easy to see.
fn push(open: &mut Open, ms: u64, source: u64, item: &str) -> bool {
    let released = released(source, source as i64 * 10);
    open.push(at_ms(ms), TOPIC, released, item.as_bytes())
}

const BEFORE: &str = r#"{"op":"batch","topic":"t.a","items":["#;

#[test]
fn what_is_closed_is_one_frame_in_which_each_item_has_its_seat() {
    let mut open = open(Some(50), None, None);
    for (source, item) in [(1, "{1}"), (2, "{22}"), (5, "{333}")] {
        assert!(!push(&mut open, 0, source, item));
    }
    let closed = open.close(TOPIC, &mut FrameBuf::default());
    let frame = Rc::clone(&closed[0].1.frame);
    let text = format!("{BEFORE}{{1}},{{22}},{{333}}]}}");
    assert_eq!(&frame[2..], text.as_bytes());
    for (index, (one, entry)) in closed.iter().enumerate() {
        assert!(Rc::ptr_eq(&entry.frame, &frame));
        assert_eq!((entry.seat.index, entry.seat.of), (index as u32, 3));
        let item = &frame[entry.seat.from as usize..entry.seat.to as usize];
        assert_eq!(item, ["{1}", "{22}", "{333}"][index].as_bytes());
        let source = [1, 2, 5][index];
        assert_eq!((one.source, entry.source), (source, source));
        assert_eq!(
            (entry.offset, entry.mono_ns),
            (source as i64 * 10, source * 7)
        );
    }
    // Each counts with the comma behind it, and what surrounds them with the last: together they are the frame.
    let bytes: Vec<u32> = closed.iter().map(|(_, e)| e.bytes).collect();
    assert_eq!(bytes, [4, 5, frame.len() as u32 - 9]);
}

#[test]
fn a_batch_of_one_counts_as_its_frame_and_none_comes_of_nothing() {
    let mut open = open(Some(50), None, None);
    let mut frames = FrameBuf::default();
    assert!(open.close(TOPIC, &mut frames).is_empty());
    push(&mut open, 0, 1, "{1}");
    let closed = open.close(TOPIC, &mut frames);
    assert_eq!(closed[0].1.bytes as usize, closed[0].1.frame.len());
    assert_eq!(closed[0].1.frame.len(), 2 + BEFORE.len() + 3 + 2);
    assert!(open.close(TOPIC, &mut frames).is_empty());
}

#[test]
fn it_is_due_when_its_first_item_has_waited_for_its_time() {
    let mut open = open(Some(50), None, None);
    assert_eq!(open.due_ns(), None);
    assert!(!open.is_due(at_ms(1000)), "nothing waits");
    push(&mut open, 10, 1, "{1}");
    push(&mut open, 30, 2, "{2}");
    assert_eq!(open.due_ns(), Some(60_000_000));
    assert!(!open.is_due(at_ms(59)));
    assert!(open.is_due(at_ms(60)));
    open.close(TOPIC, &mut FrameBuf::default());
    assert_eq!(open.due_ns(), None);
    push(&mut open, 70, 3, "{3}");
    assert_eq!(open.due_ns(), Some(120_000_000));
}

#[test]
fn one_without_a_time_waits_for_ever() {
    let mut open = open(None, Some(3), None);
    push(&mut open, 10, 1, "{1}");
    assert_eq!(open.due_ns(), None);
    assert!(!open.is_due(at_ms(u64::MAX / 1_000_000)));
}

#[test]
fn it_is_due_at_once_with_as_many_items_as_it_may_have() {
    let mut one = open(None, Some(1), None);
    assert!(push(&mut one, 0, 1, "{1}"));
    let mut three = open(None, Some(3), None);
    let due: Vec<bool> = (1..=3).map(|n| push(&mut three, 0, n, "{1}")).collect();
    assert_eq!(due, [false, false, true]);
    three.close(TOPIC, &mut FrameBuf::default());
    assert!(!push(&mut three, 0, 4, "{1}"));
}

#[test]
fn no_frame_is_larger_than_it_may_be_unless_one_item_alone_is() {
    // Two of these fill it to the byte.
    let two = (2 + BEFORE.len() + "{1},{2}".len() + 2) as u64;
    let fits = |bytes: u64| {
        let mut open = open(None, None, Some(bytes));
        assert!(!open.is_full_for(TOPIC, 10_000), "the first always fits");
        let due = push(&mut open, 0, 1, "{1}");
        (due, !open.is_full_for(TOPIC, "{2}".len()))
    };
    assert_eq!(fits(two), (false, true));
    assert_eq!(fits(two - 1), (false, false));
    // Where not even an empty item would fit, it waits for none.
    let least = two - "{2}".len() as u64;
    assert_eq!(fits(least), (false, false));
    assert_eq!(fits(least - 1), (true, false));
    assert_eq!(fits(10), (true, false));
}

#[test]
fn what_waits_is_counted() {
    let mut open = open(Some(50), None, None);
    assert_eq!((open.held_bytes(), open.first_held()), (0, None));
    let at = at_ms(0);
    for (source, offset) in [(2, 50), (4, 30), (6, 40)] {
        open.push(at, TOPIC, released(source, offset), b"{1}");
    }
    // The items with their commas, and a record of each.
    let bytes = 3 * 3 + 2 + 3 * size_of::<Waiting>();
    assert_eq!(open.held_bytes(), bytes as u64);
    assert_eq!(open.first_held(), Some(30));
    let before = [2, 3, 4, 5, 7].map(|since| open.held_before(since));
    assert_eq!(before, [0, 1, 1, 2, 3]);
    let sources = open.waiting().iter().map(|w| w.released.source);
    assert_eq!(sources.collect::<Vec<_>>(), [2, 4, 6]);
    open.close(TOPIC, &mut FrameBuf::default());
    assert_eq!((open.held_bytes(), open.first_held()), (0, None));
    assert!(open.waiting().is_empty());
}

#[test]
fn an_item_tells_what_its_message_would_but_for_the_pattern() {
    let one = Released {
        resume: Some(8),
        ..released(1, 10)
    };
    let mut item = Vec::new();
    write_item(&mut item, &one);
    let text = r#"{"topic":"t.a","offset":10,"resume":8,"ts":0,"data":1}"#;
    assert_eq!(String::from_utf8(item).unwrap(), text);
}
