//! Who is written to next, and what goes first.
use pubsub_stream::SessionId;
use serde_json::Value;

use crate::bench::{Bench, frames, offsets};

#[test]
fn an_answer_goes_before_data_at_the_next_frame_boundary() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t""#);
    for _ in 0..5 {
        bench.publish("t");
    }
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let begun = bench.write(visited, 10);
    bench.say(id, r#"{"op":"ping","id":9}"#);
    bench.engine.handle_writable(bench.now, id);
    let mut bytes = begun;
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        bytes.extend(bench.write(visited, usize::MAX));
    }
    let ops: Vec<Value> = frames(&bytes).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["msg", "pong", "msg", "msg", "msg", "msg"]);
}

#[test]
fn a_deep_subscription_does_not_starve_the_others_of_its_session() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"deep""#);
    bench.subscribe(id, r#""topic":"other""#);
    for _ in 0..200 {
        bench.publish("deep");
    }
    bench.publish("other");
    bench.refuse(id);
    bench.engine.handle_writable(bench.now, id);
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let first = frames(&bench.write(visited, usize::MAX));
    assert!(
        first.iter().any(|f| f["topic"] == "other"),
        "in the first write already"
    );
    assert_eq!(first.iter().filter(|f| f["topic"] == "deep").count(), 32);
}

#[test]
fn those_of_a_session_share_a_write_and_none_has_less_than_eight_messages_of_it() {
    let mut bench = Bench::new();
    let id = bench.open();
    let topics = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    for topic in topics {
        bench.subscribe(id, &format!(r#""topic":"{topic}""#));
    }
    for topic in topics {
        for _ in 0..20 {
            bench.publish(topic);
        }
    }
    let mut writes = Vec::new();
    bench.refuse(id);
    bench.engine.handle_writable(bench.now, id);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        let frames = frames(&bench.write(visited, usize::MAX));
        let mut counts: Vec<(String, usize)> = Vec::new();
        for frame in &frames {
            let topic = frame["topic"].as_str().unwrap();
            match counts.last_mut().filter(|c| c.0 == topic) {
                Some(last) => last.1 += 1,
                None => counts.push((topic.to_owned(), 1)),
            }
        }
        assert!(counts.iter().all(|c| c.1 <= 8), "{counts:?}");
        let told = counts.iter().map(|c| format!("{}{}", c.0, c.1));
        writes.push(told.collect::<Vec<_>>().join(" "));
    }
    assert_eq!(writes[0], "a8 b8 c8 d8 e8 f8 g8 h8");
    assert_eq!(writes[1], "i8 j8 a8 b8 c8 d8 e8 f8");
    assert_eq!(writes[2], "g8 h8 i8 j8 a4 b4 c4 d4 e4 f4");
    assert_eq!(writes[3..], ["g4 h4 i4 j4"]);
}

#[test]
fn a_visit_waits_exactly_as_long_as_there_is_something_to_write() {
    let mut bench = Bench::new();
    let id = bench.open();
    assert!(!bench.engine.has_visits(), "the welcome is taken");
    bench.subscribe(id, r#""topic":"t""#);
    assert!(!bench.engine.has_visits());
    for write in ["a publication", "an answer", "a write that was refused"] {
        match write {
            "an answer" => bench.say(id, r#"{"op":"ping","id":1}"#),
            "a publication" => bench.publish("t"),
            _ => {
                bench.publish("t");
                bench.refuse(id);
                assert!(!bench.engine.has_visits(), "nobody takes anything");
                bench.engine.handle_writable(bench.now, id);
            }
        }
        assert!(bench.engine.has_visits(), "{write}");
        assert!(!bench.take(id).is_empty(), "{write}");
        assert!(!bench.engine.has_visits(), "{write}");
    }
}

/// Everybody takes all, in the order in which they are visited: whose offsets came.
fn visits(bench: &mut Bench) -> Vec<(SessionId, Vec<i64>)> {
    let mut all = Vec::new();
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        let written = bench.write(visited, usize::MAX);
        all.push((visited, offsets(&frames(&written))));
    }
    all
}

fn subscribers(bench: &mut Bench, n: usize, topic: &str) -> Vec<SessionId> {
    let ids: Vec<SessionId> = (0..n).map(|_| bench.open()).collect();
    for id in &ids {
        bench.subscribe(*id, &format!(r#""topic":"{topic}""#));
    }
    ids
}

#[test]
fn what_comes_during_a_pass_is_taken_along_and_brings_those_already_visited_another() {
    let mut bench = Bench::new();
    let ids = subscribers(&mut bench, 3, "t");
    bench.publish("t");
    let first = bench.engine.poll_visit(bench.now).unwrap();
    assert_eq!(first, ids[0]);
    bench.write(first, usize::MAX);
    bench.publish("t");
    assert_eq!(
        visits(&mut bench),
        [
            (ids[1], vec![1, 2]),
            (ids[2], vec![1, 2]),
            (ids[0], vec![2])
        ]
    );
}

#[test]
fn a_topic_of_many_keeps_another_waiting_for_a_turn_and_no_longer() {
    let mut bench = Bench::new();
    let many = subscribers(&mut bench, 600, "many");
    let few = subscribers(&mut bench, 2, "few");
    for _ in 0..2 {
        bench.publish("many");
        bench.publish("few");
        let order: Vec<SessionId> = visits(&mut bench).iter().map(|v| v.0).collect();
        let expected = [&many[..256], &few[..], &many[256..]].concat();
        assert_eq!(order, expected);
    }
}

#[test]
fn those_who_catch_up_and_those_for_whom_something_came_take_turns() {
    let mut bench = Bench::new();
    let late = subscribers(&mut bench, 3, "t");
    let prompt = subscribers(&mut bench, 3, "u");
    bench.publish("t");
    bench.refuse_all(&late);
    bench.publish("u");
    for id in &late {
        bench.engine.handle_writable(bench.now, *id);
    }
    let order: Vec<bool> = visits(&mut bench)
        .iter()
        .map(|v| late.contains(&v.0))
        .collect();
    let turns = [order[0], !order[0]];
    assert_eq!(order, turns.repeat(3));
    assert_eq!(prompt.len(), 3);
}

#[test]
fn an_answer_goes_before_all_who_wait_for_messages() {
    let mut bench = Bench::new();
    let ids = subscribers(&mut bench, 3, "t");
    bench.publish("t");
    bench.say(ids[2], r#"{"op":"ping"}"#);
    let told = |at: usize, offsets: &[i64]| (ids[at], offsets.to_vec());
    assert_eq!(
        visits(&mut bench),
        [told(2, &[]), told(0, &[1]), told(1, &[1]), told(2, &[1])]
    );
}

#[test]
fn those_who_have_no_credit_or_take_nothing_are_passed_by_and_come_back() {
    let mut bench = Bench::new();
    let ids = subscribers(&mut bench, 5, "t");
    for at in [1, 3] {
        let none = r#"{"op":"reconfigure","topic":"t","credit":0}"#;
        bench.say(ids[at], none);
    }
    bench.take(ids[0]);
    bench.publish("t");
    bench.refuse_all(&ids[..1]);
    bench.publish("t");
    let visited = visits(&mut bench);
    let mut order: Vec<SessionId> = visited.iter().map(|v| v.0).collect();
    order.sort_unstable();
    assert_eq!(order, [ids[2], ids[4]]);
    assert!(visited.iter().all(|v| v.1 == [2]));
    bench.engine.handle_writable(bench.now, ids[0]);
    let credit = r#"{"op":"credit","topic":"t","n":1}"#;
    bench.say(ids[1], credit);
    let mut came = visits(&mut bench);
    came.sort_unstable();
    assert_eq!(came, [(ids[0], vec![1, 2]), (ids[1], vec![1])]);
    bench.publish("t");
    assert_eq!(visits(&mut bench).len(), 3);
}

#[test]
fn who_unsubscribes_leaves_the_others_of_its_session_in_their_order() {
    for gone in ["a", "b", "c"] {
        let mut bench = Bench::new();
        let id = bench.open();
        for topic in ["a", "b", "c"] {
            bench.subscribe(id, &format!(r#""topic":"{topic}""#));
        }
        for topic in ["a", "b", "c"] {
            bench.publish(topic);
        }
        bench.refuse(id);
        bench.say(id, &format!(r#"{{"op":"unsubscribe","topic":"{gone}"}}"#));
        bench.engine.handle_writable(bench.now, id);
        let told = |f: &Value| (f["op"].clone(), f["topic"].clone());
        let all: Vec<_> = bench.take(id).iter().map(told).collect();
        let mut expected = vec![("unsubscribed".into(), gone.into())];
        let left = ["a", "b", "c"].into_iter().filter(|t| *t != gone);
        expected.extend(left.map(|t| ("msg".into(), t.into())));
        assert_eq!(all, expected);
        assert_eq!(bench.engine.stats().subscriptions, 2);
    }
}

#[test]
fn a_socket_that_took_all_and_takes_no_more_is_left_alone_until_it_does() {
    let mut bench = Bench::new();
    let id = subscribers(&mut bench, 1, "t")[0];
    bench.publish("t");
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let pieces = bench.engine.poll_write(bench.now, visited);
    let all = pieces.iter().map(|p| p.bytes().len()).sum();
    bench.engine.handle_written(bench.now, id, all, true);
    bench.publish("t");
    assert_eq!(bench.engine.poll_visit(bench.now), None);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(visits(&mut bench), [(id, vec![2])]);
}

#[test]
fn one_without_credit_is_not_visited_for_what_it_can_not_be_given() {
    let mut bench = Bench::new();
    let ids: Vec<SessionId> = (0..3).map(|_| bench.open()).collect();
    for (id, credit) in ids.iter().zip([5, 0, 5]) {
        bench.subscribe(*id, &format!(r#""topic":"t","credit":{credit}"#));
    }
    bench.publish("t");
    let mut came = visits(&mut bench);
    came.sort_unstable();
    assert_eq!(came, [(ids[0], vec![1]), (ids[2], vec![1])]);
}

#[test]
fn the_end_of_one_subscription_goes_before_what_another_has_to_send() {
    let mut bench = Bench::new();
    let id = bench.open();
    for topic in ["a", "b"] {
        bench.subscribe(id, &format!(r#""topic":"{topic}""#));
    }
    bench.publish("a");
    bench.publish("b");
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let mut bytes = bench.write(visited, 9);
    bench.say(id, r#"{"op":"unsubscribe","topic":"a"}"#);
    bench.say(id, r#"{"op":"ping"}"#);
    bench.engine.handle_writable(bench.now, id);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        bytes.extend(bench.write(visited, usize::MAX));
    }
    let told = |f: &Value| (f["op"].clone(), f["topic"].clone());
    let all: Vec<_> = frames(&bytes).iter().map(told).collect();
    let expected = [
        ("msg".into(), "a".into()),
        ("unsubscribed".into(), "a".into()),
        ("pong".into(), Value::Null),
        ("msg".into(), "b".into()),
    ];
    assert_eq!(all, expected);
}

#[test]
fn an_answer_goes_before_the_newest_message_of_one_that_keeps_up() {
    let mut bench = Bench::new();
    let id = subscribers(&mut bench, 1, "t")[0];
    bench.publish("t");
    let change = r#"{"op":"reconfigure","topic":"t","bound":{"messages":9}}"#;
    bench.say(id, change);
    let ops: Vec<Value> = bench.take(id).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["reconfigured", "msg"]);
}

#[test]
fn what_the_kernel_did_not_take_though_it_refused_nothing_follows() {
    let mut bench = Bench::new();
    let id = subscribers(&mut bench, 1, "t")[0];
    bench.publish("t");
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let pieces = bench.engine.poll_write(bench.now, visited);
    let mut bytes = pieces[0].bytes()[..9].to_vec();
    bench.engine.handle_written(bench.now, visited, 9, false);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        bytes.extend(bench.write(visited, usize::MAX));
    }
    assert_eq!(offsets(&frames(&bytes)), [1]);
    assert_eq!(visits(&mut bench), []);
    bench.publish("t");
    assert_eq!(visits(&mut bench), [(id, vec![2])]);
}

#[test]
fn who_subscribes_on_a_socket_that_takes_nothing_is_given_what_comes_once_it_takes() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.say(id, r#"{"op":"subscribe","topic":"t"}"#);
    bench.publish("t");
    bench.engine.handle_writable(bench.now, id);
    let ops: Vec<Value> = bench.take(id).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["pong", "subscribed", "msg"]);
}

#[test]
fn who_keeps_up_is_handed_as_many_bytes_as_who_catches_up() {
    let mut bench = Bench::new();
    let deep: Vec<SessionId> = (0..2).map(|_| bench.open()).collect();
    for id in &deep {
        bench.subscribe(*id, r#""topic":"deep""#);
    }
    let live: Vec<SessionId> = (0..8).map(|_| bench.open()).collect();
    for id in &live {
        bench.subscribe(*id, r#""topic":"live""#);
    }
    for _ in 0..200 {
        bench.publish("deep");
    }
    bench.refuse_all(&deep);
    for id in &deep {
        bench.engine.handle_writable(bench.now, *id);
    }
    bench.publish("live");
    let mut visited = Vec::new();
    while let Some(id) = bench.engine.poll_visit(bench.now) {
        bench.write(id, usize::MAX);
        visited.push(id);
    }
    // The first write to one of the deep is more than all the live get together.
    assert_eq!(visited[1..9], live);
    assert!(deep.contains(&visited[0]) && deep.contains(&visited[9]));
}
