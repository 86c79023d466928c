//! Limits: topics, keys, sizes, retention.
use super::stand::{MS, Stand, after, keep, retention};
use crate::config::Retain;
use crate::hub::entry::Publication;
use crate::hub::settings::{Refused, Settings};
use pubsub_stream::hub::{HubRequest, Start};
use pubsub_wire::value::Else;
use pubsub_wire::{ErrorCode, Limits};

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
    assert_eq!((head.gap, offsets), (Some(retention(1, 2, None)), vec![4]));
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
    stand.now.mono_ns = 100 * MS;
    stand.turn();
    assert_eq!(stand.hub.log().size().entries, 2);
    stand.now.mono_ns += 1;
    stand.turn();
    assert_eq!(
        (stand.hub.log().size().entries, stand.hub.log().size().first),
        (1, 2)
    );
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
