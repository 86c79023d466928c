//! Holes of `drop_newest`: where they begin, how long they last, and what is told of them.
use pubsub_stream::SessionId;
use pubsub_stream::hub::HubEvent;
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, frames, told};

fn newest(bench: &mut Bench, rest: &str) -> SessionId {
    let id = bench.open();
    bench.subscribe(
        id,
        &format!(r#""topic":"t","overflow":"drop_newest",{rest}"#),
    );
    id
}

#[test]
fn what_arrives_while_a_frame_is_under_way_falls_into_a_hole_until_that_is_whole() {
    const MEDIUM: &[u8] = &[b'1'; 200];
    let mut bench = Bench::new();
    let id = newest(&mut bench, r#""bound":{"bytes":450}"#);
    bench.data = MEDIUM;
    bench.publish("t");
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let mut bytes = bench.write(visited, 9);
    bench.publish("t");
    // There would be room for this one.
    bench.data = b"1";
    bench.publish("t");
    bench.engine.handle_writable(bench.now, id);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        bytes.extend(bench.write(visited, usize::MAX));
    }
    assert_eq!(told(&frames(&bytes)), json!([1, ["drop_newest", 2, 3, 2]]));
}

#[test]
fn where_a_hole_begins_sooner_what_is_lost_before_it_goes_up_to_there() {
    let mut bench = Bench::new();
    let id = newest(&mut bench, r#""bound":{"messages":4,"age_ms":1000}"#);
    for _ in 0..6 {
        bench.publish("t");
        bench.refuse(id);
    }
    let bound = r#"{"op":"reconfigure","topic":"t","bound":{"messages":2}}"#;
    bench.say(id, bound);
    bench.wait(2 * SECOND);
    bench.engine.handle_writable(bench.now, id);
    let gaps = json!([["expired", 1, 2, 2], ["drop_newest", 3, 6, 4]]);
    assert_eq!(told(&bench.take(id)), gaps);
}

#[test]
fn no_loss_is_told_between_two_that_follow_each_other_in_a_hole() {
    let mut bench = Bench::new();
    let id = newest(&mut bench, r#""bound":{"messages":1}"#);
    for _ in 0..2 {
        bench.publish("t");
        bench.refuse(id);
    }
    for _ in 0..2 {
        let (from, to) = (bench.offset + 1, bench.offset + 3);
        let lost = HubEvent::Lost {
            view: bench.view,
            from,
            to,
            count: Some(3),
        };
        bench.engine.handle_hub(bench.now, lost);
        bench.offset = to;
    }
    let rate = r#""rate":{"mode":"sample","ms":10}"#;
    bench.say(id, &format!(r#"{{"op":"reconfigure","topic":"t",{rate}}}"#));
    bench.engine.handle_writable(bench.now, id);
    let gaps = json!([
        1,
        ["drop_newest", 2, 2, 1],
        ["retention", 3, 5, 3],
        ["retention", 6, 8, 3]
    ]);
    assert_eq!(told(&bench.take(id)), gaps);
}

#[test]
fn what_a_smaller_bound_has_no_room_for_falls_into_the_hole_from_part_to_part() {
    // The last part is what a rate holds, or a window of what it has let pass.
    for mode in ["sample", "throttle"] {
        let mut bench = Bench::new();
        let id = newest(&mut bench, r#""bound":{"messages":10}"#);
        for _ in 0..3 {
            bench.publish("t");
            bench.refuse(id);
        }
        let change = |rest: &str| format!(r#"{{"op":"reconfigure","topic":"t",{rest}}}"#);
        let rate = format!(r#""rate":{{"mode":"{mode}","ms":1000}}"#);
        bench.say(id, &change(&rate));
        bench.publish("t");
        bench.say(id, &change(r#""rate":null"#));
        bench.say(id, &change(r#""bound":{"messages":2}"#));
        bench.engine.handle_writable(bench.now, id);
        let all = bench.take(id);
        let messages: Vec<&Value> = all.iter().filter(|f| f["op"] == "msg").collect();
        assert_eq!(messages.len(), 2, "{all:?}");
        let lost = all.iter().filter(|f| f["op"] == "gap");
        assert_eq!(lost.filter_map(|g| g["count"].as_u64()).sum::<u64>(), 2);
    }
}
