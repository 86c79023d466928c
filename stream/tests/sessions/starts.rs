//! Those who come to a rate or batch that holds what is older than they are: nothing of that is theirs.
use pubsub_stream::SessionId;
use pubsub_stream::hub::HubEvent;
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, frames, told};

/// One that was there when `topics` came, and one that comes then.
fn first_and_second(
    bench: &mut Bench,
    settings: &str,
    topics: &[&str],
    rest: &str,
) -> [SessionId; 2] {
    let first = bench.open();
    bench.subscribe(first, &format!(r#""topic":"t.*",{settings}"#));
    for topic in topics {
        bench.publish(topic);
    }
    bench.take(first);
    let second = bench.open();
    bench.subscribe(second, &format!(r#""topic":"t.*",{settings}{rest}"#));
    [first, second]
}

const THROTTLE: &str = r#""rate":{"mode":"throttle","ms":1000}"#;

#[test]
fn what_is_older_than_ones_start_takes_no_room_of_its_bound() {
    let mut bench = Bench::new();
    // Of two topics one message came at once, and the next is held.
    let older = ["t.a", "t.a", "t.b", "t.b"];
    let rest = r#","overflow":"drop_oldest","bound":{"messages":8}"#;
    let [first, second] = first_and_second(&mut bench, THROTTLE, &older, rest);
    for topic in ["t.1", "t.2", "t.3", "t.4"] {
        bench.publish(topic);
        bench.refuse(second);
    }
    bench.wait(2 * SECOND);
    for topic in ["t.5", "t.6", "t.7", "t.8"] {
        bench.publish(topic);
        bench.refuse(second);
    }
    let slow = bench.engine.slowest(bench.now, 9);
    assert_eq!(slow[0].messages, 8);
    bench.take(first);
    for topic in ["t.9", "t.10"] {
        bench.publish(topic);
        bench.take(first);
    }
    assert_eq!(bench.engine.stats().lost_drop_oldest, 2);
    let bound = r#"{"op":"reconfigure","topic":"t.*","bound":{"messages":7}}"#;
    bench.say(second, bound);
    assert_eq!(bench.engine.stats().lost_drop_oldest, 3);
    bench.engine.handle_writable(bench.now, second);
    let gap = json!(["drop_oldest", null, null, 3]);
    assert_eq!(
        told(&bench.take(second)),
        json!([gap, 8, 9, 10, 11, 12, 13, 14])
    );
}

#[test]
fn where_more_than_one_is_to_be_dropped_among_what_is_older_all_are() {
    let mut bench = Bench::new();
    let rest = r#","overflow":"drop_oldest","bound":{"messages":30}"#;
    let [_, second] = first_and_second(&mut bench, THROTTLE, &["t.a", "t.a"], rest);
    for n in 0..20 {
        bench.publish(&format!("t.{n}"));
        bench.refuse(second);
    }
    let bound = r#"{"op":"reconfigure","topic":"t.*","bound":{"messages":1}}"#;
    bench.say(second, bound);
    assert_eq!(bench.engine.stats().lost_drop_oldest, 19);
}

#[test]
fn a_ring_in_which_something_older_stands_is_bounded_all_the_same() {
    let mut bench = Bench::new();
    let rest = r#","overflow":"drop_oldest","bound":{"messages":4}"#;
    let [first, second] = first_and_second(&mut bench, THROTTLE, &["t.a", "t.a"], rest);
    for n in 0..200 {
        bench.publish(&format!("t.{n}"));
        bench.refuse(second);
    }
    bench.take(first);
    let held = bench.engine.stats().ring_bytes;
    assert!(held < 6 * 400, "{held}");
}

#[test]
fn of_a_batch_its_last_message_comes_alone_to_one_for_whom_the_others_are_too_old() {
    let mut bench = Bench::new();
    let batch = r#""batch":{"messages":3}"#;
    let [_, second] = first_and_second(&mut bench, batch, &["t.a", "t.a"], "");
    bench.publish("t.a");
    let change = r#"{"op":"reconfigure","topic":"t.*","bound":{"messages":9}}"#;
    bench.say(second, change);
    // The kernel takes the answer, and then the rest.
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    assert_eq!(visited, second);
    let pieces = bench.engine.poll_write(bench.now, visited);
    let answer = pieces[0].bytes().len();
    bench
        .engine
        .handle_written(bench.now, visited, answer, false);
    let all = bench.take(second);
    let items = all[0]["items"].as_array().unwrap();
    assert_eq!(items.iter().map(|i| &i["offset"]).collect::<Vec<_>>(), [3]);
}

#[test]
fn a_position_that_is_older_than_ones_start_is_not_told() {
    let mut bench = Bench::new();
    let first = bench.open();
    let batch = r#""topic":"t.*","batch":{"messages":3}"#;
    bench.subscribe(first, batch);
    bench.publish("other");
    bench.publish("t.a");
    for _ in 0..5 {
        bench.publish("other");
    }
    let second = bench.open();
    bench.subscribe(second, batch);
    bench.wait(13 * SECOND);
    let mut came: Vec<(SessionId, Value)> = Vec::new();
    for n in 0..3 {
        while let Some(visited) = bench.engine.poll_visit(bench.now) {
            let written = frames(&bench.write(visited, usize::MAX));
            let all = written.iter().filter(|f| f["op"] != "batch");
            came.extend(all.map(|f| (visited, f["offset"].clone())));
        }
        if n < 2 {
            bench.publish("t.a");
        }
    }
    assert_eq!(came, [(first, json!(1))]);
}

#[test]
fn a_loss_is_told_to_one_before_whose_cursor_something_older_stands() {
    let mut bench = Bench::new();
    let [_, second] = first_and_second(&mut bench, THROTTLE, &["t.a", "t.a"], "");
    let lost = HubEvent::Lost {
        view: bench.view,
        from: 3,
        to: 5,
        count: Some(3),
    };
    bench.engine.handle_hub(bench.now, lost);
    bench.offset = 5;
    bench.publish("t.b");
    let gap = json!(["retention", 3, 5, 3]);
    assert_eq!(told(&bench.take(second)), json!([gap, 6]));
}
