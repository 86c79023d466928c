//! Where subscriptions begin, and what is asked of the log.
use pubsub_stream::hub::{HubEvent, LostHistory, Refusal, SliceGap, SliceHead, Start};
use pubsub_stream::{Config, SessionId};
use serde_json::{Value, json};

use crate::bench::{Bench, SECOND, config, frames, offsets, piece};

/// Subscribes to `t` from there: what is asked of the log for it.
fn ask(bench: &mut Bench, id: SessionId, rest: &str) -> (u32, Start) {
    let command = format!(r#"{{"op":"subscribe","topic":"t",{rest}}}"#);
    bench.engine.handle_text(bench.now, id, &command);
    let reads = bench.reads();
    assert_eq!(reads.len(), 1, "{reads:?}");
    reads[0].clone()
}

fn after(offset: i64) -> Start {
    Start::Continue {
        offset,
        compacted: false,
    }
}

#[test]
fn reconfigured_says_where_the_subscription_began() {
    for from in ["live", "earliest"] {
        let mut bench = Bench::new();
        let id = bench.open();
        let subscribe = format!(r#"{{"op":"subscribe","topic":"t","from":"{from}"}}"#);
        bench.engine.handle_text(bench.now, id, &subscribe);
        for (request, _) in bench.reads() {
            let head = SliceHead {
                joined: true,
                ..piece(request, 0, 0)
            };
            bench.slice(head, "t", &[]);
        }
        let change = r#"{"op":"reconfigure","id":1,"topic":"t","overflow":"conflate"}"#;
        bench.say(id, change);
        let answers = bench.take(id);
        let told = answers.iter().find(|a| a["op"] == "reconfigured").unwrap();
        assert_eq!(told["settings"]["from"], from);
    }
}

#[test]
fn no_more_reads_are_under_way_than_allowed_and_the_next_follows_each_answer() {
    let mut bench = Bench::new();
    bench.offset = 100;
    let mut asked = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        let id = bench.open();
        let command = format!(r#"{{"op":"subscribe","topic":"{topic}","from":"earliest"}}"#);
        bench.engine.handle_text(bench.now, id, &command);
        asked.extend(bench.reads());
    }
    assert_eq!(asked.len(), 2, "{asked:?}");
    fail(&mut bench, asked[0].0);
    assert_eq!(bench.reads().len(), 1);
}

#[test]
fn a_reader_within_a_slice_asks_for_nothing_when_the_hub_is_back() {
    let mut bench = Bench::new();
    bench.offset = 9;
    let id = bench.open();
    let (request, start) = ask(&mut bench, id, r#""from":"earliest""#);
    assert_eq!(start, Start::Earliest);
    bench.slice(piece(request, 0, 6), "t", &[2, 6]);
    bench.refuse(id);
    bench.restart_hub("e");
    assert_eq!(bench.reads(), []);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(offsets(&bench.take(id)), [2, 6]);
    let reads = bench.reads();
    assert_eq!(reads.len(), 1, "{reads:?}");
    assert_eq!(reads[0].1, after(6));
}

#[test]
fn subscribed_tells_the_position_after_which_messages_follow() {
    for (from, told) in [
        (r#""earliest""#, 3),
        (r#"{"recent":2}"#, 3),
        (r#"{"epoch":"e","offset":3,"else":"last"}"#, 3),
        // Before the first of the snapshot.
        (r#""last""#, 5),
    ] {
        let mut bench = Bench::new();
        bench.offset = 9;
        let id = bench.open();
        let (request, _) = ask(&mut bench, id, &format!(r#""from":{from}"#));
        // The offsets between are those of other topics.
        bench.slice(piece(request, 3, 7), "t", &[6, 7]);
        let all = bench.take(id);
        assert_eq!(
            (&all[0]["op"], &all[0]["offset"]),
            (&json!("subscribed"), &json!(told)),
            "{from}"
        );
        assert_eq!(offsets(&all), [6, 7], "{from}");
        let next = Start::Continue {
            offset: 7,
            compacted: from == r#""last""#,
        };
        let reads = bench.reads();
        assert_eq!(reads.iter().map(|r| &r.1).collect::<Vec<_>>(), [&next]);
    }
}

/// What a client is told of a gap.
fn gap(all: &[Value]) -> Value {
    let told = all.iter().find(|f| f["op"] == "gap").unwrap();
    let fields = ["reason", "from", "to", "count", "epoch", "offset"];
    fields.iter().map(|f| told[*f].clone()).collect()
}

/// The fields of a ledger, taken now.
fn ledger(bench: &mut Bench, id: SessionId, fields: &[&str]) -> Value {
    bench.say(id, r#"{"op":"ledger","id":1,"topic":"t"}"#);
    let all = bench.take(id);
    let told = all.iter().find(|f| f["op"] == "ledger").unwrap();
    fields.iter().map(|f| told["ledger"][*f].clone()).collect()
}

#[test]
fn who_begins_where_the_log_no_longer_is_is_told_what_is_gone_and_has_it_in_the_ledger() {
    for (otherwise, begins) in [("earliest", 3), ("last", 5)] {
        let mut bench = Bench::new();
        bench.offset = 9;
        let id = bench.open();
        let from = format!(r#""from":{{"epoch":"e","offset":1,"else":"{otherwise}"}}"#);
        let (request, _) = ask(&mut bench, id, &from);
        let lost = SliceGap {
            reason: LostHistory::Retention,
            from: Some(2),
            to: Some(3),
            count: Some(2),
        };
        let head = SliceHead {
            gap: Some(lost),
            joined: true,
            ..piece(request, 3, 9)
        };
        bench.slice(head, "t", &[6, 7, 9]);
        let all = bench.take(id);
        assert_eq!(gap(&all), json!(["retention", 2, 3, 2, "e", begins]));
        assert_eq!(all[0]["offset"], begins, "{otherwise}");
        let ledger = ledger(&mut bench, id, &["published", "delivered", "retention"]);
        assert_eq!(ledger, json!([5, 3, 2]));
        let stats = bench.engine.stats();
        assert_eq!((stats.lost_retention, stats.gaps_epoch), (2, 0));
    }
}

#[test]
fn of_what_is_gone_and_cannot_be_counted_no_range_is_told() {
    for (reason, name, epochs) in [
        (LostHistory::Epoch, "epoch", 1),
        (LostHistory::Retention, "retention", 0),
        (LostHistory::Memory, "memory", 0),
    ] {
        let mut bench = Bench::new();
        bench.offset = 9;
        let id = bench.open();
        let from = r#""from":{"epoch":"d","offset":1,"else":"earliest"}"#;
        let (request, _) = ask(&mut bench, id, from);
        let lost = SliceGap {
            reason,
            from: Some(2),
            to: Some(3),
            count: None,
        };
        let head = SliceHead {
            gap: Some(lost),
            joined: true,
            ..piece(request, 3, 9)
        };
        bench.slice(head, "t", &[6]);
        let told = gap(&bench.take(id));
        assert_eq!(told, json!([name, null, null, null, "e", 3]));
        let ledger = ledger(&mut bench, id, &["published", "delivered"]);
        assert_eq!(ledger, json!([1, 1]));
        assert_eq!(bench.engine.stats().gaps_epoch, epochs);
    }
}

#[test]
fn replay_is_told_once_unless_there_is_nothing_to_replay() {
    for (first, joined, told) in [
        (&[][..], true, 0),
        (&[4], true, 2),
        (&[], false, 2),
        (&[4], false, 2),
    ] {
        let mut bench = Bench::new();
        bench.offset = 9;
        let id = bench.open();
        let (mut request, _) = ask(&mut bench, id, r#""from":"earliest""#);
        let end = if joined { 9 } else { 5 };
        let head = SliceHead {
            joined,
            ..piece(request, 0, end)
        };
        bench.slice(head, "t", first);
        let mut all = bench.take(id);
        if !joined {
            (request, _) = bench.reads()[0];
            let head = SliceHead {
                joined: true,
                ..piece(request, 5, 9)
            };
            bench.slice(head, "t", &[7]);
            all.extend(bench.take(id));
        }
        let modes = all.iter().filter(|f| f["op"] == "mode");
        let modes: Vec<&Value> = modes.map(|f| &f["mode"]).collect();
        assert_eq!(modes, [&json!("replay"), &json!("live")][..told]);
    }
}

/// Fourteen of them are more than half of what all slices may hold.
const LARGE: &[u8] = &{
    let mut string = [b'x'; 10_000];
    string[0] = b'"';
    string[9_999] = b'"';
    string
};
const TWENTY: [i64; 20] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
];

/// A reader from the earliest on that was handed so many large entries.
fn reader(bench: &mut Bench, rest: &str, entries: usize) -> SessionId {
    let end = TWENTY[entries - 1];
    bench.offset = 100;
    read(bench, rest, piece(0, 0, end), &TWENTY[..entries])
}

/// The same, with all there is in the log.
fn joined_reader(bench: &mut Bench, entries: usize) -> SessionId {
    bench.offset = TWENTY[entries - 1];
    let head = SliceHead {
        joined: true,
        ..piece(0, 0, bench.offset)
    };
    read(bench, "", head, &TWENTY[..entries])
}

fn read(bench: &mut Bench, rest: &str, head: SliceHead, entries: &[i64]) -> SessionId {
    bench.data = LARGE;
    let id = bench.open();
    let (request, _) = ask(bench, id, &format!(r#""from":"earliest"{rest}"#));
    bench.slice(SliceHead { request, ..head }, "t", entries);
    id
}

#[test]
fn who_takes_is_handed_its_slice_however_short_memory_is() {
    let mut bench = Bench::new();
    let id = reader(&mut bench, "", 20);
    assert_eq!(bench.reads(), []);
    assert_eq!(offsets(&bench.take(id)), TWENTY);
    assert_eq!(bench.reads()[0].1, after(20));
}

#[test]
fn who_takes_nothing_gives_its_slice_back_where_memory_is_short_and_asks_again_once_it_takes() {
    for (entries, joined, rests) in [
        (20, false, true),
        (20, true, true),
        (10, false, false),
        (10, true, false),
    ] {
        let mut bench = Bench::new();
        let id = if joined {
            joined_reader(&mut bench, entries)
        } else {
            reader(&mut bench, "", entries)
        };
        // All but a part of the third goes out.
        let visited = bench.engine.poll_visit(bench.now).unwrap();
        let mut bytes = bench.write(visited, 25_000);
        assert_eq!(bench.reads(), []);
        bench.engine.handle_writable(bench.now, id);
        if rests {
            let reads = bench.reads();
            let (request, start) = reads[0].clone();
            assert_eq!(start, after(3));
            bench.slice(piece(request, 3, 20), "t", &TWENTY[3..]);
        }
        assert_eq!(bench.reads(), []);
        while let Some(visited) = bench.engine.poll_visit(bench.now) {
            bytes.extend(bench.write(visited, usize::MAX));
        }
        assert_eq!(offsets(&frames(&bytes)), TWENTY[..entries]);
        let ledger = ledger(&mut bench, id, &["published", "delivered"]);
        assert_eq!(ledger, json!([entries, entries]));
    }
}

#[test]
fn what_is_left_of_an_epoch_that_ended_is_not_given_back() {
    for joined in [true, false] {
        let mut bench = Bench::new();
        let id = if joined {
            joined_reader(&mut bench, 20)
        } else {
            reader(&mut bench, "", 20)
        };
        bench.offset = 0;
        bench.restart_hub("f");
        assert_eq!(bench.reads(), []);
        bench.publish("t");
        bench.refuse(id);
        bench.engine.handle_writable(bench.now, id);
        assert_eq!(bench.reads(), []);
        let all = bench.take(id);
        let mut came = TWENTY.to_vec();
        came.push(1);
        assert_eq!(offsets(&all), came);
        assert_eq!(bench.reads(), []);
        assert_eq!(gap(&all), json!(["epoch", null, null, null, "f", 0]));
        let ledger = ledger(&mut bench, id, &["published", "delivered"]);
        assert_eq!(ledger, json!([1, 1]));
    }
}

#[test]
fn who_has_no_credit_left_gives_its_slice_back_and_asks_for_no_other_before_it_has() {
    let mut bench = Bench::new();
    let id = reader(&mut bench, r#","credit":2"#, 20);
    assert_eq!(offsets(&bench.take(id)), [1, 2]);
    assert_eq!(bench.reads(), []);
    let change = r#"{"op":"reconfigure","id":1,"topic":"t","bound":{"messages":7}}"#;
    bench.engine.handle_text(bench.now, id, change);
    bench.refuse(id);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(bench.reads(), []);
    let credit = r#"{"op":"credit","topic":"t","n":3}"#;
    bench.engine.handle_text(bench.now, id, credit);
    let reads = bench.reads();
    assert_eq!(reads[0].1, after(2));
    bench.slice(piece(reads[0].0, 2, 20), "t", &TWENTY[2..]);
    assert_eq!(offsets(&bench.take(id)), [3, 4, 5]);
}

#[test]
fn nothing_more_is_asked_while_slices_are_over_their_budget() {
    let mut bench = Bench::new();
    let all: Vec<i64> = (1..=30).collect();
    let (one, other) = (bench.open(), bench.open());
    bench.data = LARGE;
    bench.offset = 100;
    let (request, _) = ask(&mut bench, one, r#""from":"earliest""#);
    bench.slice(piece(request, 0, 30), "t", &all);
    let late = r#"{"op":"subscribe","topic":"t","from":"last"}"#;
    bench.engine.handle_text(bench.now, other, late);
    assert_eq!(bench.reads(), []);
    assert_eq!(offsets(&bench.take(one)), all);
    let starts: Vec<Start> = bench.reads().into_iter().map(|r| r.1).collect();
    assert_eq!(starts, [Start::Last, after(30)]);
}

#[test]
fn those_who_want_the_same_share_one_question() {
    let mut bench = Bench::new();
    bench.offset = 9;
    let ids: Vec<SessionId> = (0..3).map(|_| bench.open()).collect();
    for (id, from) in ids.iter().zip(["earliest", "earliest", "last"]) {
        let command = format!(r#"{{"op":"subscribe","topic":"t","from":"{from}"}}"#);
        bench.engine.handle_text(bench.now, *id, &command);
    }
    let reads = bench.reads();
    let starts: Vec<&Start> = reads.iter().map(|r| &r.1).collect();
    assert_eq!(starts, [&Start::Earliest, &Start::Last]);
    bench.slice(piece(reads[0].0, 0, 5), "t", &[5]);
    let mut told = Vec::new();
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        let written = bench.write(visited, usize::MAX);
        told.push((visited, offsets(&frames(&written))));
    }
    told.sort_unstable();
    assert_eq!(told, [(ids[0], vec![5]), (ids[1], vec![5])]);
}

/// The hub can't answer.
fn fail(bench: &mut Bench, request: u32) {
    let why = Refusal {
        code: pubsub_wire::ErrorCode::Unavailable,
        message: "later",
        retry_after_ms: Some(40),
    };
    bench
        .engine
        .handle_hub(bench.now, HubEvent::ReadFailed { request, why });
}

fn answers(all: &[Value]) -> Value {
    let told = |f: &Value| json!([f["id"], f["op"], f["code"]]);
    all.iter().map(told).collect()
}

#[test]
fn who_is_refused_its_beginning_has_every_command_answered() {
    let mut bench = Bench::new();
    let id = bench.open();
    let (request, _) = ask(&mut bench, id, r#""id":1,"from":"earliest""#);
    bench.say(id, r#"{"op":"ledger","id":2,"topic":"t"}"#);
    bench.say(id, r#"{"op":"unsubscribe","id":3,"topic":"t"}"#);
    fail(&mut bench, request);
    let told = json!([
        [2, "error", "not_subscribed"],
        [1, "error", "unavailable"],
        [3, "error", "not_subscribed"],
    ]);
    assert_eq!(answers(&bench.take(id)), told);
    let stats = bench.engine.stats();
    assert_eq!((stats.subscriptions, stats.views), (0, 0));
}

/// One that has read a piece of history and asked for the next.
fn reading_on() -> (Bench, SessionId, u32) {
    let mut bench = Bench::new();
    bench.offset = 9;
    let id = bench.open();
    let (request, _) = ask(&mut bench, id, r#""id":1,"from":"earliest""#);
    bench.slice(piece(request, 0, 5), "t", &[4, 5]);
    assert_eq!(offsets(&bench.take(id)), [4, 5]);
    let (request, _) = bench.reads()[0];
    (bench, id, request)
}

#[test]
fn a_drain_for_which_the_log_can_not_be_read_ends() {
    let (mut bench, id, request) = reading_on();
    let drain = r#"{"op":"unsubscribe","id":2,"topic":"t","drain":true}"#;
    bench.say(id, drain);
    assert_eq!(answers(&bench.take(id)), json!([]));
    fail(&mut bench, request);
    let told = json!([[2, "unsubscribed", null]]);
    assert_eq!(answers(&bench.take(id)), told);
}

#[test]
fn who_leaves_while_the_log_is_read_for_it_is_not_told_that_it_could_not_be() {
    let (mut bench, id, request) = reading_on();
    bench.say(id, r#"{"op":"unsubscribe","id":2,"topic":"t"}"#);
    fail(&mut bench, request);
    let told = json!([[2, "unsubscribed", null]]);
    assert_eq!(answers(&bench.take(id)), told);
    assert_eq!(bench.engine.stats().subscriptions, 0);
}

#[test]
fn who_is_refused_its_beginning_is_told_why_and_may_try_again() {
    let mut bench = Bench::new();
    let id = bench.open();
    let (request, _) = ask(&mut bench, id, r#""id":7,"from":"earliest""#);
    fail(&mut bench, request);
    let all = bench.take(id);
    let fields = ["op", "id", "code", "message", "retry_after_ms"];
    let told: Value = fields.iter().map(|f| all[0][*f].clone()).collect();
    assert_eq!(told, json!(["error", 7, "unavailable", "later", 40]));
    let stats = bench.engine.stats();
    assert_eq!((stats.subscriptions, stats.views), (0, 0));
    bench.subscribe(id, r#""topic":"t""#);
}

/// A ring that holds the entries from 1 on for one who takes nothing, of which there are five so far.
fn held() -> (Bench, SessionId) {
    let mut bench = Bench::new();
    let slow = bench.open();
    bench.subscribe(slow, r#""topic":"t""#);
    for _ in 0..5 {
        bench.publish("t");
        bench.refuse(slow);
    }
    let id = bench.open();
    (bench, id)
}

/// What comes to one who resumes there: what is asked of the log, what it is told, and which modes.
fn resume(bench: &mut Bench, id: SessionId, from: &str) -> (usize, Vec<Value>) {
    let command = format!(r#"{{"op":"subscribe","topic":"t","from":{from}}}"#);
    bench.engine.handle_text(bench.now, id, &command);
    let asked = bench.reads().len();
    let all = bench.take(id);
    let told = |f: &Value| {
        let field = if f["op"] == "mode" { "mode" } else { "offset" };
        f[field].clone()
    };
    (asked, all.iter().map(told).collect())
}

#[test]
fn who_resumes_where_the_ring_still_is_goes_on_there_without_the_log() {
    for (offset, told) in [
        (2, json!([2, "replay", 3, 4, 5, "live"])),
        (5, json!([5])),
        (0, json!([0, "replay", 1, 2, 3, 4, 5, "live"])),
    ] {
        let (mut bench, id) = held();
        let from = format!(r#"{{"epoch":"e","offset":{offset}}}"#);
        let (asked, came) = resume(&mut bench, id, &from);
        assert_eq!((asked, json!(came)), (0, told));
        let stats = bench.engine.stats();
        assert_eq!((stats.replaying, stats.views), (0, 1));
    }
}

#[test]
fn who_resumes_at_another_epoch_or_past_the_head_asks_the_hub() {
    for from in [
        r#"{"epoch":"d","offset":2}"#,
        r#"{"epoch":"e","offset":6}"#,
        r#"{"epoch":"d","offset":6}"#,
    ] {
        let (mut bench, id) = held();
        assert_eq!(resume(&mut bench, id, from), (1, vec![]), "{from}");
    }
}

#[test]
fn who_resumes_while_the_hub_is_away_waits_for_it() {
    let (mut bench, id) = held();
    bench.engine.handle_hub_down(bench.now);
    let from = r#"{"epoch":"e","offset":2}"#;
    assert_eq!(resume(&mut bench, id, from), (0, vec![]));
    let hello = HubEvent::Hello {
        epoch: "e",
        position: 5,
    };
    bench.engine.handle_hub(bench.now, hello);
    assert_eq!(bench.reads(), []);
    let told: Vec<Value> = bench.take(id).iter().map(|f| f["offset"].clone()).collect();
    assert_eq!(json!(told), json!([2, null, 3, 4, 5, null]));
}

#[test]
fn who_comes_live_while_the_hub_is_away_begins_where_it_was_left() {
    let (mut bench, id) = held();
    bench.engine.handle_hub_down(bench.now);
    bench.say(id, r#"{"op":"subscribe","topic":"t"}"#);
    let all = bench.take(id);
    assert_eq!(
        (&all[0]["op"], &all[0]["offset"]),
        (&json!("subscribed"), &json!(5))
    );
}

#[test]
fn who_waits_for_the_log_and_not_for_its_socket_is_not_slow() {
    let mut bench = Bench::new();
    let id = reader(&mut bench, "", 20);
    // Three frames go out, and no byte of the next.
    let visited = bench.engine.poll_visit(bench.now).unwrap();
    let pieces = bench.engine.poll_write(bench.now, visited);
    let most = pieces[..3].iter().map(|p| p.bytes().len()).sum();
    let bytes = bench.write(visited, most);
    assert_eq!(offsets(&frames(&bytes)), [1]);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(bench.reads()[0].1, after(1));
    let hundred_seconds = |bench: &mut Bench| {
        for _ in 0..10 {
            assert!(bench.take(id).is_empty());
            bench.wait(10 * SECOND);
            bench.engine.handle_received(bench.now, id);
        }
    };
    hundred_seconds(&mut bench);
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.wait(50 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.engine.handle_writable(bench.now, id);
    assert!(bench.take(id).iter().any(|f| f["op"] == "pong"));
    hundred_seconds(&mut bench);
    hundred_seconds(&mut bench);
    assert_eq!(bench.engine.poll_closed(), None);
}

#[test]
fn a_drain_in_history_ends_where_credit_does() {
    for credit in [0, 1, 2] {
        let mut bench = Bench::new();
        bench.offset = 9;
        let id = bench.open();
        let rest = format!(r#""from":"earliest","credit":{credit}"#);
        let (request, _) = ask(&mut bench, id, &rest);
        bench.slice(piece(request, 0, 5), "t", &[3, 4, 5]);
        let drain = r#"{"op":"unsubscribe","id":2,"topic":"t","drain":true}"#;
        bench.say(id, drain);
        let all = bench.take(id);
        assert_eq!(offsets(&all), [3, 4][..credit]);
        let last = all.last().unwrap();
        assert_eq!(
            (&last["op"], &last["id"]),
            (&"unsubscribed".into(), &2.into())
        );
        let told = &last["ledger"];
        let told = json!([
            told["published"],
            told["delivered"],
            told["pending"]["memory"]
        ]);
        assert_eq!(told, json!([3, credit, 3 - credit]));
    }
}

#[test]
fn what_is_caught_up_on_in_the_ring_comes_in_batches_too() {
    let mut bench = Bench::new();
    let (id, wide) = (bench.open(), bench.open());
    let settings =
        r#""topic":"t","overflow":"spill","bound":{"messages":2},"batch":{"messages":2}"#;
    bench.subscribe(id, settings);
    // Its bound keeps the ring from letting go.
    bench.subscribe(wide, r#""topic":"t","bound":{"messages":100}"#);
    bench.publish("t");
    bench.refuse_all(&[id, wide]);
    for _ in 0..7 {
        bench.publish("t");
    }
    bench.refuse(id);
    bench.engine.handle_writable(bench.now, id);
    let mut said = bench.take(id);
    let (request, _) = bench.reads()[0];
    bench.slice(piece(request, 0, 3), "t", &[1, 2, 3]);
    said.extend(bench.take(id));
    let batches = said.iter().filter(|f| f["op"] == "batch");
    let items = |batch: &Value| -> Vec<i64> {
        let items = batch["items"].as_array().unwrap().iter();
        items.filter_map(|i| i["offset"].as_i64()).collect()
    };
    let batches: Vec<Vec<i64>> = batches.map(items).collect();
    assert_eq!(
        batches,
        [vec![1, 2], vec![3], vec![4, 5], vec![6, 7], vec![8]],
        "{said:?}"
    );
}

#[test]
fn one_that_waited_to_ask_when_the_hub_went_away_is_answered_once() {
    let mut bench = Bench::new();
    bench.offset = 9;
    let ids: Vec<SessionId> = (0..3).map(|_| bench.open()).collect();
    bench.subscribe(ids[0], r#""topic":"t""#);
    for (id, topic) in ids.iter().zip(["u", "v"]) {
        let from = format!(r#"{{"op":"subscribe","topic":"{topic}","from":"earliest"}}"#);
        bench.engine.handle_text(bench.now, *id, &from);
    }
    assert_eq!(bench.reads().len(), 2);
    let from = r#"{"op":"subscribe","topic":"t","from":"earliest"}"#;
    bench.engine.handle_text(bench.now, ids[2], from);
    assert_eq!(bench.reads(), []);
    bench.restart_hub("e");
    let (request, _) = bench.reads()[0];
    bench.slice(piece(request, 0, 5), "t", &[4, 5]);
    assert_eq!(offsets(&bench.take(ids[2])), [4, 5]);
    let ledger = ledger(&mut bench, ids[2], &["published", "delivered"]);
    assert_eq!(ledger, json!([2, 2]));
}

#[test]
fn who_is_about_to_leave_goes_on_nowhere() {
    let (mut bench, id, request) = reading_on();
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.say(id, r#"{"op":"unsubscribe","id":2,"topic":"t"}"#);
    let head = SliceHead {
        joined: true,
        ..piece(request, 5, 9)
    };
    bench.slice(head, "t", &[]);
    bench.publish("t");
    bench.engine.handle_writable(bench.now, id);
    let all = bench.take(id);
    let ledger = &all.last().unwrap()["ledger"];
    assert_eq!([&ledger["published"], &ledger["delivered"]], [2, 2]);
}

#[test]
fn one_that_stands_in_line_twice_since_the_hub_went_away_is_handed_its_piece_once() {
    let mut bench = Bench::with(Config {
        reads_in_flight: 3,
        ..config()
    });
    let late = bench.open();
    bench.offset = 100;
    let all: Vec<i64> = (1..=30).collect();
    let reader = read(&mut bench, "", piece(0, 0, 30), &all);
    bench.say(late, r#"{"op":"subscribe","topic":"u","from":"earliest"}"#);
    bench.restart_hub("e");
    assert_eq!(bench.reads(), [], "slices are over their budget");
    bench.take(reader);
    bench.data = b"1";
    let reads = bench.reads();
    let (request, _) = reads.iter().find(|r| r.1 == Start::Earliest).unwrap();
    bench.slice(piece(*request, 0, 5), "u", &[4, 5]);
    assert_eq!(offsets(&bench.take(late)), [4, 5]);
    bench.say(late, r#"{"op":"ledger","id":1,"topic":"u"}"#);
    let ledger = &bench.take(late)[0]["ledger"];
    assert_eq!([&ledger["published"], &ledger["delivered"]], [2, 2]);
}

#[test]
fn what_was_read_for_one_that_ends_is_pending_however_short_memory_is() {
    let mut bench = Bench::new();
    let id = reader(&mut bench, "", 20);
    bench.say(id, r#"{"op":"unsubscribe","id":2,"topic":"t"}"#);
    let all = bench.take(id);
    let ledger = &all.last().unwrap()["ledger"];
    let counts = [&ledger["published"], &ledger["pending"]["memory"]];
    assert_eq!(counts, [20, 20]);
}
