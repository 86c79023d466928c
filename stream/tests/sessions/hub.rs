//! What the hub says beside publications: what is lost, how far it has come, and where it begins anew.
use pubsub_stream::SessionId;
use pubsub_stream::hub::{HubEvent, HubRequest};
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND};

/// Messages by their offsets, and gaps whole.
fn came(all: &[Value]) -> Value {
    let told = all.iter().filter_map(|f| match f["op"].as_str()? {
        "msg" => Some(f["offset"].clone()),
        "gap" => {
            let fields = ["reason", "from", "to", "count", "epoch", "offset"];
            Some(fields.iter().map(|name| f[*name].clone()).collect())
        }
        _ => None,
    });
    told.collect()
}

/// The hub has lost what came meanwhile, up to `to`.
fn lose(bench: &mut Bench, to: i64, count: Option<u64>) {
    let lost = HubEvent::Lost {
        view: bench.view,
        from: bench.offset + 1,
        to,
        count,
    };
    bench.engine.handle_hub(bench.now, lost);
    bench.offset = to;
}

fn ledger(bench: &mut Bench, id: SessionId) -> Value {
    bench.say(id, r#"{"op":"ledger","id":1,"topic":"t"}"#);
    let told = &bench.take(id)[0]["ledger"];
    let fields = ["published", "delivered", "retention"];
    fields.iter().map(|f| told[*f].clone()).collect()
}

#[test]
fn what_the_hub_lost_in_mid_stream_is_told_in_its_place_and_counted_where_that_is_known() {
    for (count, range, counted) in [(Some(3), json!([2, 5]), 3), (None, json!([null, null]), 0)] {
        for refuses in [false, true] {
            let mut bench = Bench::new();
            let id = bench.open();
            bench.subscribe(id, r#""topic":"t""#);
            bench.publish("t");
            lose(&mut bench, 5, count);
            bench.publish("t");
            if refuses {
                bench.refuse(id);
                bench.engine.handle_writable(bench.now, id);
            }
            let gap = json!(["retention", range[0], range[1], count, "e", 5]);
            assert_eq!(came(&bench.take(id)), json!([1, gap, 6]));
            assert_eq!(ledger(&mut bench, id), json!([2 + counted, 2, counted]));
            assert_eq!(bench.engine.stats().lost_retention, counted);
        }
    }
}

#[test]
fn what_the_hub_lost_is_told_in_its_place_also_where_other_settings_came_since() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t","overflow":"conflate""#);
    bench.publish("t");
    lose(&mut bench, 5, Some(3));
    bench.publish("t");
    bench.refuse(id);
    let rate = r#""rate":{"mode":"sample","ms":10},"overflow":"drop_oldest""#;
    bench.say(id, &format!(r#"{{"op":"reconfigure","topic":"t",{rate}}}"#));
    bench.engine.handle_writable(bench.now, id);
    let gap = json!(["retention", 2, 5, 3, "e", 5]);
    assert_eq!(came(&bench.take(id)), json!([1, gap, 6]));
    assert_eq!(ledger(&mut bench, id), json!([5, 2, 3]));
    assert_eq!(bench.engine.stats().lost_retention, 3);
}

#[test]
fn what_the_hub_lost_since_one_is_drained_is_not_told_to_it() {
    let mut bench = Bench::new();
    let id = bench.open();
    let conflates = r#""overflow":"conflate","bound":{"messages":6}"#;
    bench.subscribe(id, &format!(r#""topic":"t",{conflates}"#));
    for _ in 0..3 {
        bench.publish("t");
    }
    bench.refuse(id);
    bench.say(id, r#"{"op":"unsubscribe","topic":"t","drain":true}"#);
    lose(&mut bench, 9, Some(3));
    // It supersedes what is pending.
    bench.publish("t");
    bench.engine.handle_writable(bench.now, id);
    let ops: Vec<Value> = bench.take(id).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["mode", "unsubscribed"]);
}

#[test]
fn what_came_while_the_hub_was_away_is_lost_uncounted_if_anything_did() {
    for (passed, told) in [
        (0, json!([])),
        (4, json!([["retention", null, null, null, "e", 5]])),
    ] {
        let mut bench = Bench::new();
        let id = bench.open();
        bench.subscribe(id, r#""topic":"t""#);
        bench.publish("t");
        bench.take(id);
        bench.engine.handle_hub_down(bench.now);
        bench.offset += passed;
        bench.restart_hub("e");
        // Nothing is said of views before the hub has confirmed them.
        let lost = HubEvent::Lost {
            view: bench.view,
            from: 1,
            to: 9,
            count: Some(9),
        };
        bench.engine.handle_hub(bench.now, lost);
        bench.serve_hub();
        assert_eq!(came(&bench.take(id)), told);
        assert_eq!(ledger(&mut bench, id), json!([1, 1, 0]));
    }
}

#[test]
fn a_hub_that_goes_on_where_the_link_was_lost_brings_what_came_meanwhile() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(id, r#""topic":"t""#);
    bench.publish("t");
    let quiet = HubEvent::Position { position: 3 };
    bench.engine.handle_hub(bench.now, quiet);
    bench.engine.handle_hub_down(bench.now);
    assert_eq!(bench.engine.hub_position(), Some(("e", 3)));
    let hello = HubEvent::Hello {
        epoch: "e",
        position: 3,
    };
    bench.engine.handle_hub(bench.now, hello);
    let Some(HubRequest::Watch { view, .. }) = bench.engine.poll_hub() else {
        panic!("it is not watched again")
    };
    let last = bench.engine.poll_hub();
    assert_eq!(last, Some(HubRequest::Resume), "when all is watched");
    let watched = HubEvent::Watched { view, position: 3 };
    bench.engine.handle_hub(bench.now, watched);
    bench.offset = 3;
    bench.publish("t");
    assert_eq!(came(&bench.take(id)), json!([1, 4]));
    assert_eq!(ledger(&mut bench, id), json!([2, 2, 0]));
}

#[test]
fn an_epoch_that_begins_is_told_to_all_and_counts_from_zero() {
    let mut bench = Bench::new();
    let (one, other) = (bench.open(), bench.open());
    for id in [one, other] {
        bench.subscribe(id, r#""topic":"t""#);
    }
    for _ in 0..3 {
        bench.publish("t");
    }
    bench.take(one);
    bench.offset = 1;
    bench.restart_hub("f");
    bench.serve_hub();
    bench.publish("t");
    let gap = json!(["epoch", null, null, null, "f", 1]);
    assert_eq!(came(&bench.take(one)), json!([gap, 2]));
    assert_eq!(ledger(&mut bench, one), json!([1, 1, 0]));
    assert_eq!(bench.engine.stats().gaps_epoch, 2);
}

#[test]
fn a_position_of_the_hub_is_where_live_begins() {
    let mut bench = Bench::new();
    let (one, other) = (bench.open(), bench.open());
    bench.subscribe(one, r#""topic":"t""#);
    let position = HubEvent::Position { position: 7 };
    bench.engine.handle_hub(bench.now, position);
    bench.say(other, r#"{"op":"subscribe","topic":"t"}"#);
    assert_eq!(bench.take(other)[0]["offset"], 7);
}

#[test]
fn a_quiet_subscriber_is_told_how_far_the_others_are_after_twelve_seconds() {
    for others in [true, false] {
        let mut bench = Bench::new();
        let id = bench.open();
        bench.subscribe(id, r#""topic":"t""#);
        if others {
            bench.publish("other");
        }
        bench.engine.handle_received(bench.now, id);
        bench.wait(12 * SECOND - 1);
        assert!(bench.take(id).is_empty());
        bench.wait(1);
        let position = json!({"op": "position", "topic": "t", "epoch": "e", "offset": 1});
        let told = if others { vec![position] } else { vec![] };
        assert_eq!(bench.take(id), told);
        bench.publish("t");
        bench.take(id);
        bench.publish("other");
        // It was told something itself not long ago.
        bench.wait(6 * SECOND);
        bench.publish("t");
        bench.take(id);
        bench.publish("other");
        bench.wait(6 * SECOND);
        assert!(bench.take(id).is_empty());
        bench.wait(12 * SECOND);
        let told = bench.take(id);
        let position = told.iter().find(|f| f["op"] == "position").unwrap();
        assert_eq!(position["offset"], bench.offset);
    }
}

#[test]
fn what_was_superseded_before_a_loss_is_counted_as_conflated() {
    let mut bench = Bench::new();
    let id = bench.open();
    let bound = r#""overflow":"conflate","bound":{"messages":4}"#;
    bench.subscribe(id, &format!(r#""topic":"t",{bound}"#));
    for _ in 0..3 {
        bench.publish("t");
        bench.refuse(id);
    }
    lose(&mut bench, 9, Some(6));
    bench.publish("t");
    bench.engine.handle_writable(bench.now, id);
    let gap = json!(["retention", 4, 9, 6, "e", 9]);
    assert_eq!(came(&bench.take(id)), json!([gap, 10]));
    bench.say(id, r#"{"op":"ledger","id":1,"topic":"t"}"#);
    let ledger = &bench.take(id)[0]["ledger"];
    let told = json!([
        ledger["delivered"],
        ledger["conflated"],
        ledger["retention"]
    ]);
    assert_eq!(told, json!([1, 3, 6]));
    let stats = bench.engine.stats();
    assert_eq!((stats.conflated, stats.lost_retention), (3, 6));
}

#[test]
fn what_is_the_newest_of_its_key_comes_before_a_loss_that_is_behind_it() {
    let mut bench = Bench::new();
    let id = bench.open();
    let bound = r#""overflow":"conflate","bound":{"messages":4}"#;
    bench.subscribe(id, &format!(r#""topic":"t.*",{bound}"#));
    for topic in ["t.a", "t.b", "t.a"] {
        bench.publish(topic);
        bench.refuse(id);
    }
    lose(&mut bench, 9, Some(6));
    bench.publish("t.c");
    bench.engine.handle_writable(bench.now, id);
    let gap = json!(["retention", 4, 9, 6, "e", 9]);
    assert_eq!(came(&bench.take(id)), json!([2, 3, gap, 10]));
}
