//! When memory is short: whose entries leave, and what is told of it.
use pubsub_stream::SessionId;
use pubsub_stream::hub::Start;
use serde_json::json;

use crate::bench::{Bench, offsets, piece, told};

/// A string of so many bytes that memory is short after a hundred.
const LARGE: &[u8] = &{
    let mut string = [b'x'; 10_000];
    string[0] = b'"';
    string[9_999] = b'"';
    string
};

/// So many large ones, each of a topic of its own.
fn publish(bench: &mut Bench, topics: std::ops::RangeInclusive<u32>) {
    bench.data = LARGE;
    for topic in topics {
        bench.publish(&format!("t.{topic}"));
    }
    bench.data = b"1";
}

#[test]
fn who_takes_what_he_is_given_loses_no_more_than_memory_took() {
    for overflow in ["drop_oldest", "drop_newest"] {
        let mut bench = Bench::new();
        let id = bench.open();
        let bound = r#""bound":{"messages":2}"#;
        let rest = format!(r#""topic":"t.*","overflow":"{overflow}",{bound}"#);
        bench.subscribe(id, &rest);
        // Its bound keeps the ring from letting go of more.
        let wide = bench.open();
        let bound = r#""bound":{"messages":1000,"bytes":10000000}"#;
        bench.subscribe(wide, &format!(r#""topic":"t.*",{bound}"#));
        publish(&mut bench, 1..=110);
        let all = told(&bench.take(id));
        let all = all.as_array().unwrap();
        let taken = all[0][2].as_i64().unwrap();
        assert_eq!(all[0], json!(["memory", 1, taken, taken]));
        assert_eq!(
            all[1..],
            (taken + 1..=110).map(|o| json!(o)).collect::<Vec<_>>()
        );
    }
}

#[test]
fn who_would_be_disconnected_is_told_what_he_has_lost_while_he_took() {
    let mut bench = Bench::new();
    let id = bench.open();
    let bound = r#""overflow":"disconnect","bound":{"messages":2}"#;
    bench.subscribe(id, &format!(r#""topic":"t.*",{bound}"#));
    publish(&mut bench, 1..=110);
    // Of those whom it has overtaken a ring keeps no more than the bound.
    let gap = json!(["memory", 1, 108, 108]);
    assert_eq!(told(&bench.take(id)), json!([gap, 109, 110]));
    assert_eq!(bench.engine.poll_closed(), None);
}

/// One that conflates and takes nothing, and is behind.
fn conflater(bench: &mut Bench) -> SessionId {
    let id = bench.open();
    let rest = r#""topic":"t.*","overflow":"conflate","bound":{"messages":10}"#;
    bench.subscribe(id, rest);
    bench.publish("t.0");
    bench.refuse(id);
    id
}

#[test]
fn the_newest_of_each_key_that_memory_took_is_lost_and_what_was_superseded_is_not() {
    // The window that waits may have been left behind by then, by other settings.
    for changed in ["never", "before", "after"] {
        let mut bench = Bench::new();
        let id = conflater(&mut bench);
        let change = r#"{"op":"reconfigure","topic":"t.*","overflow":"drop_oldest"}"#;
        publish(&mut bench, 1..=90);
        let others = bench.open();
        bench.subscribe(others, r#""topic":"t.*""#);
        if changed == "before" {
            bench.say(id, change);
        }
        bench.data = LARGE;
        for _ in 0..20 {
            bench.publish("other");
            bench.publish("t.200");
            bench.take(others);
        }
        if changed == "after" {
            bench.say(id, change);
        }
        bench.engine.slowest(bench.now, 9);
        let first = bench.engine.stats().lost_memory;
        // The next that is at hand is superseded now.
        bench.data = b"1";
        bench.publish(&format!("t.{first}"));
        bench.engine.handle_writable(bench.now, id);
        let all = told(&bench.take(id));
        assert_eq!(all[0], json!(["memory", 1, first, first]), "{changed}");
        assert_eq!(all[1], first + 2, "{changed}");
        assert_eq!(bench.engine.stats().lost_memory, first, "{changed}");
    }
}

/// One who takes what he is given, and is not visited while it comes.
fn other(bench: &mut Bench) {
    let other = bench.open();
    let bound = r#""bound":{"messages":1000,"bytes":10000000}"#;
    bench.subscribe(other, &format!(r#""topic":"other",{bound}"#));
}

/// So many large ones wait for that one, and are the newest there are.
fn fill(bench: &mut Bench, n: usize) {
    bench.wait(1);
    bench.data = LARGE;
    for _ in 0..n {
        bench.publish("other");
    }
    bench.data = b"1";
}

#[test]
fn what_memory_took_of_what_was_left_behind_ends_right_before_the_next() {
    let mut bench = Bench::new();
    other(&mut bench);
    let id = bench.open();
    let bound = r#""bound":{"messages":1000,"bytes":10000000}"#;
    let rest = format!(r#""topic":"t.*","overflow":"drop_oldest",{bound}"#);
    bench.subscribe(id, &rest);
    publish(&mut bench, 1..=90);
    bench.refuse(id);
    let rate = r#""rate":{"mode":"sample","ms":1000}"#;
    bench.say(
        id,
        &format!(r#"{{"op":"reconfigure","topic":"t.*",{rate}}}"#),
    );
    fill(&mut bench, 20);
    bench.engine.handle_writable(bench.now, id);
    let all = told(&bench.take(id));
    let taken = all[0][2].as_i64().unwrap();
    assert_eq!(all[0], json!(["memory", 1, taken, taken]));
    assert_eq!(all[1], taken + 1);
}

#[test]
fn a_loss_is_told_behind_the_only_message_of_another_that_keeps_up() {
    const HUGE: &[u8] = &[b'1'; 200_000];
    let mut bench = Bench::new();
    other(&mut bench);
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","overflow":"drop_oldest""#);
    bench.subscribe(id, r#""topic":"u""#);
    bench.data = HUGE;
    bench.publish("t");
    bench.data = b"1";
    bench.publish("u");
    bench.say(
        id,
        r#"{"op":"reconfigure","topic":"t","overflow":"conflate"}"#,
    );
    while bench.engine.poll_visit(bench.now).is_some() {}
    let answer = bench.engine.poll_write(bench.now, id)[0].bytes().len();
    bench.engine.handle_written(bench.now, id, answer, false);
    fill(&mut bench, 90);
    let all = told(&bench.take(id));
    assert_eq!(all, json!([2, ["memory", 1, 1, 1]]));
}

#[test]
fn one_that_reads_on_from_the_log_and_has_no_credit_is_passed_by() {
    let mut bench = Bench::new();
    let (spills, other) = (bench.open(), bench.open());
    let bound = r#""bound":{"messages":1000,"bytes":10000000}"#;
    let rest = format!(r#""topic":"t.*","overflow":"spill","credit":1,{bound}"#);
    bench.subscribe(spills, &rest);
    bench.subscribe(other, &format!(r#""topic":"t.*",{bound}"#));
    publish(&mut bench, 1..=110);
    bench.take(other);
    let (request, start) = bench.reads()[0].clone();
    let after = |offset| Start::Continue {
        offset,
        compacted: false,
    };
    assert_eq!(start, after(0));
    // It has credit for what this piece has, and stands where what comes passes by.
    bench.slice(piece(request, 0, 1), "t.1", &[1]);
    assert_eq!(offsets(&bench.take(spills)), [1]);
    for n in 111..=113 {
        bench.publish("t.1");
        assert_eq!(offsets(&bench.take(other)), [n]);
    }
    assert_eq!(bench.reads()[0].1, after(1));
}
