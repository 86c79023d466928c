//! Those that are behind or quiet: what is kept for them, lost, and told.
use pubsub_stream::hub::{HubEvent, HubRequest};
use pubsub_stream::{SessionId, Slow};
use pubsub_wire::value::Overflow;
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, offsets, piece};

#[test]
fn a_quiet_subscriber_is_told_no_position_past_what_its_rate_or_batch_holds() {
    for holds in [
        r#""batch":{"ms":60000}"#,
        r#""rate":{"mode":"debounce","ms":60000,"max_wait_ms":60000}"#,
        r#""rate":{"mode":"sample","ms":60000},"batch":{"messages":5}"#,
    ] {
        let mut bench = Bench::new();
        let id = bench.open();
        bench.publish("other");
        bench.subscribe(id, &format!(r#""topic":"t",{holds}"#));
        bench.publish("t");
        for _ in 0..9 {
            bench.publish("other");
        }
        bench.wait(13 * SECOND);
        let told = bench.take(id);
        let positions = told.iter().filter(|f| f["op"] == "position");
        let offsets: Vec<_> = positions.map(|f| f["offset"].as_i64().unwrap()).collect();
        assert!(
            offsets.is_empty(),
            "{holds}: 2 is still to come, and it has 1: {told:?}"
        );
        bench.say(
            id,
            r#"{"op":"reconfigure","topic":"t","rate":null,"batch":null}"#,
        );
        let told = bench.take(id);
        assert!(
            told.iter()
                .any(|f| f["offset"] == 2 || f["items"][0]["offset"] == 2),
            "{told:?}"
        );
        for _ in 0..2 {
            bench.publish("other");
            bench.wait(13 * SECOND);
        }
        let told = bench.take(id);
        let position = told.iter().rfind(|f| f["op"] == "position");
        assert_eq!(
            position.map(|f| &f["offset"]),
            Some(&13.into()),
            "{holds}: {told:?}"
        );
    }
}

#[test]
fn who_began_where_a_quiet_view_had_come_is_not_told_that_again() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    bench.subscribe(first, r#""topic":"t","batch":{"ms":60000}"#);
    bench.publish("other");
    bench.wait(13 * SECOND);
    let told = |all: Vec<Value>| {
        let positions = all.into_iter().filter(|f| f["op"] == "position");
        positions.map(|f| f["offset"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(told(bench.take(first)), [1]);
    bench.subscribe(second, r#""topic":"t""#);
    bench.wait(13 * SECOND);
    assert_eq!(told(bench.take(second)), [0; 0]);
}

#[test]
fn the_slowest_are_those_furthest_behind_and_no_more_than_asked_for() {
    let mut bench = Bench::new();
    let ids: Vec<SessionId> = (0..4).map(|_| bench.open()).collect();
    for (id, bound) in ids.iter().zip([100, 3, 100, 100]) {
        bench.subscribe(
            *id,
            &format!(r#""topic":"t","overflow":"drop_oldest","bound":{{"messages":{bound}}}"#),
        );
    }
    // The first refuses for longest, the second too, but no more than three wait for it; the last keeps up.
    bench.publish("t");
    bench.refuse_all(&ids[..2]);
    for _ in 0..5 {
        bench.publish("t");
        bench.take(ids[3]);
    }
    bench.publish("t");
    bench.refuse(ids[2]);
    bench.publish("t");
    bench.take(ids[3]);
    let slowest = |bench: &mut Bench, n: usize| -> Vec<u64> {
        let slow = bench.engine.slowest(bench.now, n);
        slow.iter().map(|s| s.messages).collect()
    };
    assert_eq!(slowest(&mut bench, 10), [8, 3, 2]);
    assert_eq!(slowest(&mut bench, 2), [8, 3]);
    assert_eq!(slowest(&mut bench, 0), [0_u64; 0]);
    // Looking has cost nobody more than its bound.
    assert_eq!(bench.engine.stats().lost_drop_oldest, 5);
}

#[test]
fn a_ring_keeps_no_more_than_the_largest_bound_of_those_who_are_there() {
    let mut bench = Bench::new();
    let bound = |n: u32| {
        format!(r#""topic":"t","overflow":"drop_oldest","bound":{{"messages":{n},"bytes":100000}}"#)
    };
    let (large, small) = (bench.open(), bench.open());
    bench.subscribe(large, &bound(400));
    bench.subscribe(small, &bound(4));
    bench.publish("t");
    bench.refuse_all(&[large, small]);
    for _ in 0..100 {
        bench.publish("t");
    }
    let all = bench.engine.stats().ring_bytes;
    assert!(all > 100 * 50, "the large one has not lost anything: {all}");
    bench.engine.handle_disconnect(bench.now, large);
    bench.publish("t");
    let few = bench.engine.stats().ring_bytes;
    assert!((100..6 * 80).contains(&few), "four are kept: {few}");
}

#[test]
fn what_the_ring_let_go_of_behind_the_end_of_an_epoch_is_lost_by_the_policy_that_is() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(
        id,
        r#""topic":"t","overflow":"conflate","bound":{"messages":2}"#,
    );
    bench.publish("t");
    bench.refuse(id);
    bench.engine.handle_hub_down(bench.now);
    let hello = HubEvent::Hello {
        epoch: "f",
        position: 0,
    };
    bench.engine.handle_hub(bench.now, hello);
    bench.offset = 0;
    bench.serve_hub();
    bench.publish("t");
    // What waits goes out by `conflate`, and what comes behind it is bounded to two.
    bench.say(
        id,
        r#"{"op":"reconfigure","topic":"t","overflow":"drop_oldest"}"#,
    );
    for _ in 0..5 {
        bench.publish("t");
    }
    bench.engine.handle_writable(bench.now, id);
    let told = bench.take(id);
    let told: Vec<Value> = (told.iter())
        .filter(|f| f["op"] == "msg" || f["op"] == "gap")
        .map(|f| {
            f["reason"]
                .as_str()
                .map_or(f["offset"].clone(), Value::from)
        })
        .collect();
    assert_eq!(
        Value::from(told),
        serde_json::json!(["epoch", "drop_oldest", 5, 6])
    );
    assert_eq!(bench.engine.stats().lost_drop_oldest, 3);
}

#[test]
fn a_row_of_the_slowest_says_whose_it_is_how_far_behind_and_by_which_settings() {
    let mut bench = Bench::new();
    let id = bench.open();
    let settings = r#""rate":{"mode":"sample","ms":100,"when":"behind"},"batch":{"ms":50,"messages":10,"bytes":900},"credit":0"#;
    let from = format!(r#"{{"op":"subscribe","topic":"t","from":"earliest",{settings}}}"#);
    bench.engine.handle_text(bench.now, id, &from);
    let (request, _) = bench.reads()[0];
    bench.slice(piece(request, 0, 2), "t", &[1, 2]);
    bench.take(id);
    bench.wait(2 * SECOND + 1_999_999);
    let frame = r#"{"op":"msg","topic":"t","offset":1,"ts":1,"data":1}"#;
    let slow = Slow {
        session: "s-1".into(),
        topic: "t".into(),
        mode: "replay",
        messages: 2,
        bytes: 2 * (2 + frame.len() as u64),
        age_ms: 2001,
        overflow: Overflow::DropOldest,
        settings: "sample 100 ms when behind · batch 50 ms, 10 messages, 900 bytes · credit 0"
            .into(),
    };
    assert_eq!(bench.engine.slowest(bench.now, 5), [slow]);
}

#[test]
fn the_slowest_are_found_by_what_they_are_to_receive() {
    let mut bench = Bench::new();
    let (bounded, replays) = (bench.open(), bench.open());
    let bound = r#""overflow":"drop_oldest","bound":{"messages":3}"#;
    bench.subscribe(bounded, &format!(r#""topic":"t",{bound}"#));
    bench.refuse(bounded);
    for _ in 0..9 {
        bench.publish("t");
        bench.refuse(bounded);
    }
    let from = format!(r#"{{"op":"subscribe","topic":"u","from":"earliest",{bound}}}"#);
    bench.engine.handle_text(bench.now, replays, &from);
    let (request, _) = bench.reads()[0];
    bench.slice(piece(request, 0, 9), "u", &[1, 2, 3, 4, 5]);
    // Of the nine three are within the bound, and history has none.
    let slow = bench.engine.slowest(bench.now, 1);
    assert_eq!(slow.len(), 1);
    assert_eq!((&*slow[0].topic, slow[0].messages), ("u", 5));
}

#[test]
fn what_one_that_goes_has_lost_is_counted() {
    let mut bench = Bench::new();
    let id = bench.open();
    let bound = r#""overflow":"drop_oldest","bound":{"messages":2}"#;
    bench.subscribe(id, &format!(r#""topic":"t",{bound}"#));
    for _ in 0..9 {
        bench.publish("t");
        bench.refuse(id);
    }
    bench.engine.handle_disconnect(bench.now, id);
    let stats = bench.engine.stats();
    assert_eq!((stats.lost_drop_oldest, stats.behind), (7, 0));
    assert_eq!(
        (stats.subscriptions, stats.views, stats.ring_bytes),
        (0, 0, 0)
    );
    let unwatch = |r: &HubRequest| matches!(r, HubRequest::Unwatch { .. });
    assert_eq!(bench.serve_hub().iter().filter(|r| unwatch(r)).count(), 1);
}

#[test]
fn a_frame_under_way_counts_as_memory_as_long_as_one_of_those_who_share_it_waits_for_its_rest() {
    const HUGE: &[u8] = &[b'1'; 400_000];
    const LARGE: &[u8] = &[b'1'; 10_000];
    for ended in ["still there", "gone", "closed by its peer"] {
        let mut bench = Bench::new();
        let ids: Vec<SessionId> = (0..2).map(|_| bench.open()).collect();
        let slow = bench.open();
        let bound = r#""topic":"t","bound":{"messages":1000,"bytes":10000000}"#;
        for id in ids.iter().chain([&slow]) {
            bench.subscribe(*id, bound);
        }
        bench.data = HUGE;
        bench.publish("t");
        while let Some(visited) = bench.engine.poll_visit(bench.now) {
            let most = if visited == slow { usize::MAX } else { 9 };
            bench.write(visited, most);
        }
        match ended {
            "gone" => bench.engine.handle_disconnect(bench.now, ids[0]),
            "closed by its peer" => {
                bench
                    .engine
                    .handle_peer_close(bench.now, ids[0], Some(1000));
                bench.engine.handle_writable(bench.now, ids[0]);
                while let Some(visited) = bench.engine.poll_visit(bench.now) {
                    bench.write(visited, usize::MAX);
                }
                assert_eq!(bench.engine.poll_closed().unwrap().session, ids[0]);
            }
            _ => {}
        }
        bench.data = LARGE;
        let mut most = 0;
        for _ in 0..200 {
            bench.publish("t");
            bench.refuse(slow);
            let held = bench.engine.stats().ring_bytes;
            assert!(held + 400_000 <= 1 << 20, "{held} held, one {ended}");
            most = most.max(held);
        }
        assert!(most > 600_000, "all that is left is made use of: {most}");
        assert_eq!(bench.engine.poll_closed(), None);
    }
}

#[test]
fn nothing_is_kept_of_what_all_have_taken() {
    let mut bench = Bench::new();
    let ids = [bench.open(), bench.open()];
    for id in ids {
        bench.subscribe(id, r#""topic":"t""#);
    }
    bench.publish("t");
    let first = bench.engine.poll_visit(bench.now).unwrap();
    bench.write(first, usize::MAX);
    assert!(
        bench.engine.stats().ring_bytes > 0,
        "one has yet to take it"
    );
    let second = bench.engine.poll_visit(bench.now).unwrap();
    bench.write(second, usize::MAX);
    assert_eq!(bench.engine.stats().ring_bytes, 0);
}

#[test]
fn what_fell_into_a_hole_and_is_told_by_the_last_ledger_alone_is_counted() {
    let mut bench = Bench::new();
    let id = bench.open();
    let bound = r#""overflow":"drop_newest","bound":{"messages":1}"#;
    bench.subscribe(id, &format!(r#""topic":"t",{bound}"#));
    for _ in 0..3 {
        bench.publish("t");
        bench.refuse(id);
    }
    bench.say(id, r#"{"op":"unsubscribe","topic":"t"}"#);
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    let ledger = &all.last().unwrap()["ledger"];
    assert_eq!(ledger["pending"]["memory"], 1);
    assert_eq!(ledger["dropped"]["drop_newest"], 2);
    assert_eq!(bench.engine.stats().lost_drop_newest, 2);
}

#[test]
fn one_that_ends_is_sent_of_an_open_batch_what_came_since_it_began() {
    let mut bench = Bench::new();
    let (first, second) = (bench.open(), bench.open());
    let batch = r#""topic":"t","batch":{"messages":10}"#;
    bench.subscribe(first, batch);
    bench.publish("t");
    bench.subscribe(second, batch);
    for _ in 0..2 {
        bench.publish("t");
    }
    for (id, came) in [(second, vec![2, 3]), (first, vec![1, 2, 3])] {
        bench.say(id, r#"{"op":"unsubscribe","topic":"t"}"#);
        let all = bench.take(id);
        let items = all[0]["items"].as_array().unwrap();
        let offsets: Vec<i64> = items.iter().filter_map(|i| i["offset"].as_i64()).collect();
        assert_eq!(offsets, came);
        let ledger = &all[1]["ledger"];
        assert_eq!(ledger["delivered"], came.len());
        assert_eq!(ledger["pending"]["memory"], 0);
    }
    assert_eq!(bench.engine.stats().delivered, 5);
}

#[test]
fn one_message_is_let_through_however_large_and_it_is_the_newest() {
    let mut bench = Bench::new();
    bench.data =
        br#""more than the bound allows, much more than the bound allows, ever so much more""#;
    let id = bench.open();
    bench.subscribe(
        id,
        r#""topic":"t","overflow":"drop_oldest","bound":{"bytes":50}"#,
    );
    bench.publish("t");
    bench.refuse(id);
    bench.publish("t");
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    assert_eq!(offsets(&all), [2], "{all:?}");
    let gap = all.iter().find(|f| f["op"] == "gap").expect("a gap");
    assert_eq!(
        (&gap["reason"], &gap["to"]),
        (&"drop_oldest".into(), &1.into())
    );
}

#[test]
fn what_spills_is_read_from_the_ring_as_long_as_that_has_it() {
    // Whether it is the one that stands furthest back, or another.
    for taken in [0, 1] {
        let mut bench = Bench::new();
        let (id, wide) = (bench.open(), bench.open());
        bench.subscribe(
            id,
            r#""topic":"t","overflow":"spill","bound":{"messages":2}"#,
        );
        // Its bound keeps the ring from letting go.
        bench.subscribe(wide, r#""topic":"t","bound":{"messages":100}"#);
        for _ in 0..taken {
            bench.publish("t");
            bench.refuse(wide);
        }
        bench.publish("t");
        bench.refuse_all(&[id, wide]);
        for _ in 0..4 {
            bench.publish("t");
        }
        // It is tried once in vain.
        bench.engine.handle_writable(bench.now, id);
        bench.refuse(id);
        bench.engine.handle_writable(bench.now, id);
        let all = bench.take(id);
        assert!(all.iter().any(|f| f["mode"] == "replay"), "{all:?}");
        let first = taken + 1;
        assert_eq!(offsets(&all), (first..=bench.offset).collect::<Vec<_>>());
        assert!(bench.reads().is_empty());
    }
}

#[test]
fn one_is_as_old_as_what_waits_for_it_whatever_is_under_way_for_another() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t""#);
    let ends = r#""overflow":"disconnect","bound":{"age_ms":5000}"#;
    bench.subscribe(id, &format!(r#""topic":"u",{ends}"#));
    bench.publish("t");
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    bench.write(visited, 9);
    bench.wait(9 * SECOND);
    bench.publish("u");
    bench.refuse(id);
    let ages = |bench: &mut Bench| -> Vec<(String, u64)> {
        let slow = bench.engine.slowest(bench.now, 5);
        slow.iter().map(|s| (s.topic.clone(), s.age_ms)).collect()
    };
    let mut all = ages(&mut bench);
    all.sort_unstable();
    assert_eq!(all, [("t".into(), 9000), ("u".into(), 0)]);
    assert_eq!(bench.engine.poll_closed(), None);
}

#[test]
fn a_loss_is_told_before_the_mode_unless_that_explains_it() {
    for (overflow, told) in [
        ("drop_oldest", json!(["gap", "mode", "msg", "msg"])),
        ("drop_newest", json!(["mode", "msg", "msg", "gap"])),
    ] {
        let mut bench = Bench::new();
        let id = bench.open();
        let bound = r#""bound":{"messages":2}"#;
        bench.subscribe(
            id,
            &format!(r#""topic":"t","overflow":"{overflow}",{bound}"#),
        );
        bench.publish("t");
        bench.refuse(id);
        for _ in 0..4 {
            bench.publish("t");
        }
        bench.engine.handle_writable(bench.now, id);
        let ops: Value = bench.take(id).iter().map(|f| f["op"].clone()).collect();
        let ops: Vec<Value> = ops.as_array().unwrap().iter().take(4).cloned().collect();
        assert_eq!(Value::from(ops), told);
    }
}

#[test]
fn who_has_unsubscribed_loses_nothing_more() {
    let mut bench = Bench::new();
    let id = bench.open();
    let bound = r#""overflow":"drop_oldest","bound":{"messages":2}"#;
    bench.subscribe(id, &format!(r#""topic":"t",{bound}"#));
    bench.publish("t");
    bench.refuse(id);
    bench.say(id, r#"{"op":"unsubscribe","topic":"t"}"#);
    for _ in 0..9 {
        bench.publish("t");
    }
    bench.engine.handle_disconnect(bench.now, id);
    let stats = bench.engine.stats();
    assert_eq!((stats.lost_drop_oldest, stats.subscriptions), (0, 0));
}

#[test]
fn what_is_superseded_within_a_batch_is_conflated() {
    let mut bench = Bench::new();
    let id = bench.open();
    let settings = r#""batch":{"ms":10,"messages":3},"overflow":"conflate""#;
    let bound = r#""bound":{"messages":4}"#;
    bench.subscribe(id, &format!(r#""topic":"t.*",{settings},{bound}"#));
    for _ in 0..2 {
        bench.publish("t.a");
    }
    bench.wait(SECOND / 50);
    assert_eq!(bench.take(id)[0]["items"].as_array().unwrap().len(), 2);
    for topic in ["t.a", "t.a", "t.b"] {
        bench.publish(topic);
    }
    bench.refuse(id);
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    let batch = all.iter().find(|f| f["op"] == "batch").unwrap();
    let items = batch["items"].as_array().unwrap();
    assert_eq!(
        items.iter().map(|i| &i["offset"]).collect::<Vec<_>>(),
        [4, 5]
    );
    bench.say(id, r#"{"op":"ledger","topic":"t.*"}"#);
    let ledger = &bench.take(id)[0]["ledger"];
    assert_eq!([&ledger["delivered"], &ledger["conflated"]], [4, 1]);
}
