//! Who is written to next, and what goes first.
use serde_json::Value;

use crate::bench::{Bench, frames};

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
