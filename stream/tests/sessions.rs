//! What belongs to a session and no subscription: heartbeats, closes, the control lane, rates, and turns. Time is an argument.
use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest, SliceHead};
use pubsub_stream::{CloseHow, Config, Engine, GoawayReason, Now, Peer, SessionId};
use serde_json::Value;

const SECOND: u64 = 1_000_000_000;

fn config() -> Config {
    Config {
        worker: 3,
        control_bytes: 4096,
        ring_bytes: 1 << 20,
        commands_per_s: 10,
        commands_burst: 20,
        publishes_per_s: 10,
        publish_bytes_per_s: 1 << 20,
        pending_publishes: 2,
        mode_hold_ns: 0,
        cohorts: 2,
        publish_denied: vec!["execs".into()],
        read_bytes: 1 << 16,
        reads_in_flight: 2,
        ..Config::default()
    }
}

struct Bench {
    engine: Engine,
    now: Now,
    offset: i64,
}

impl Bench {
    fn new() -> Self {
        let mut engine = Engine::new(config());
        let now = Now {
            mono_ns: SECOND,
            wall_us: 5,
        };
        engine.handle_hub(
            now,
            HubEvent::Hello {
                epoch: "e",
                position: 0,
            },
        );
        Self {
            engine,
            now,
            offset: 0,
        }
    }

    /// A session that has taken its welcome.
    fn open(&mut self) -> SessionId {
        let id = self
            .engine
            .handle_open(self.now, Peer { may_publish: true });
        assert_eq!(self.take(id)[0]["op"], "welcome");
        id
    }

    fn say(&mut self, id: SessionId, command: &str) {
        self.engine.handle_text(self.now, id, command);
        self.serve_hub();
    }

    fn subscribe(&mut self, id: SessionId, rest: &str) {
        self.say(id, &format!(r#"{{"op":"subscribe",{rest}}}"#));
        assert_eq!(self.take(id).last().unwrap()["op"], "subscribed");
    }

    /// Confirms what is watched; everything else is left alone.
    fn serve_hub(&mut self) -> Vec<HubRequest> {
        let mut rest = Vec::new();
        while let Some(request) = self.engine.poll_hub() {
            if let HubRequest::Watch { view, .. } = request {
                self.engine.handle_hub(
                    self.now,
                    HubEvent::Watched {
                        view,
                        position: self.offset,
                    },
                );
            } else {
                rest.push(request);
            }
        }
        rest
    }

    fn publish(&mut self, topic: &str) {
        self.offset += 1;
        let entry = EntryRef {
            offset: self.offset,
            ts_us: 1,
            mono_ns: self.now.mono_ns,
            topic,
            key: None,
            data: b"1",
        };
        self.engine.handle_hub(self.now, HubEvent::Entry(entry));
    }

    fn wait(&mut self, ns: u64) {
        self.now.mono_ns += ns;
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono_ns)
        {
            self.engine.handle_timeout(self.now);
        }
    }

    /// The bytes of one write, of which the kernel takes `most`.
    fn write(&mut self, id: SessionId, most: usize) -> Vec<u8> {
        let offered: Vec<u8> = self
            .engine
            .poll_write(self.now, id)
            .iter()
            .flat_map(|p| p.bytes().to_vec())
            .collect();
        let taken = offered.len().min(most);
        if !offered.is_empty() {
            self.engine
                .handle_written(self.now, id, taken, taken < offered.len());
        }
        offered[..taken].to_vec()
    }

    /// Takes all there is; text frames as JSON, others as `{"opcode":…}`.
    fn take(&mut self, id: SessionId) -> Vec<Value> {
        let mut bytes = Vec::new();
        while let Some(visited) = self.engine.poll_visit(self.now) {
            let written = self.write(visited, usize::MAX);
            if visited == id {
                bytes.extend(written);
            }
        }
        frames(&bytes)
    }

    /// The kernel refuses whatever this session is offered.
    fn refuse(&mut self, id: SessionId) {
        self.refuse_all(&[id]);
    }

    /// The kernel refuses whatever these sessions are offered.
    fn refuse_all(&mut self, ids: &[SessionId]) {
        while let Some(visited) = self.engine.poll_visit(self.now) {
            let refuses = ids.contains(&visited);
            self.write(visited, if refuses { 0 } else { usize::MAX });
        }
    }
}

fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (header, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            n => (2, usize::from(n)),
        };
        let payload = &bytes[header..header + length];
        all.push(match bytes[0] & 0xF {
            1 => serde_json::from_slice(payload).unwrap(),
            8 => serde_json::json!({"close": u16::from_be_bytes([payload[0], payload[1]])}),
            opcode => serde_json::json!({ "opcode": opcode }),
        });
        bytes = &bytes[header + length..];
    }
    all
}

#[test]
fn silence_is_pinged_and_two_more_silent_heartbeats_end_the_session() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(24 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [serde_json::json!({"opcode": 9})]);
    bench.wait(49 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [serde_json::json!({"close": 4002})]);
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!(
        (closed.session, closed.how, closed.code),
        (id, CloseHow::Flushed, 4002)
    );
    assert_eq!(bench.engine.stats().closed_heartbeat, 1);
}

#[test]
fn a_session_that_is_heard_of_lives_and_is_pinged_anew_after_the_next_silence() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(25 * SECOND);
    assert_eq!(bench.take(id).len(), 1);
    bench.wait(SECOND);
    bench.engine.handle_received(bench.now, id);
    bench.wait(24 * SECOND);
    assert!(bench.take(id).is_empty());
    bench.wait(SECOND);
    assert_eq!(bench.take(id), [serde_json::json!({"opcode": 9})]);
}

#[test]
fn the_time_does_not_run_while_a_ping_has_not_reached_the_kernel() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.wait(25 * SECOND);
    bench.refuse(id);
    bench.wait(90 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.engine.handle_writable(bench.now, id);
    assert_eq!(bench.take(id), [serde_json::json!({"opcode": 9})]);
    bench.wait(49 * SECOND);
    assert!(bench.take(id).is_empty());
}

#[test]
fn a_socket_that_takes_nothing_though_something_waits_is_closed_hard() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.wait(119 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.wait(SECOND);
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 4001));
}

#[test]
fn a_socket_that_takes_a_byte_now_and_then_is_not_closed_before_it_takes_none() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping"}"#);
    bench.refuse(id);
    bench.wait(100 * SECOND);
    bench.engine.handle_writable(bench.now, id);
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        assert_eq!(bench.write(visited, 1).len(), 1);
    }
    bench.wait(119 * SECOND);
    assert_eq!(bench.engine.poll_closed(), None);
    bench.wait(SECOND);
    assert_eq!(bench.engine.poll_closed().unwrap().code, 4001);
}

#[test]
fn all_are_told_at_once_to_go_and_closed_within_the_window() {
    let mut bench = Bench::new();
    let all: Vec<SessionId> = (0..50).map(|_| bench.open()).collect();
    bench
        .engine
        .handle_goaway(bench.now, GoawayReason::Shutdown, 5000);
    let mut waits = Vec::new();
    while let Some(visited) = bench.engine.poll_visit(bench.now) {
        let told = &frames(&bench.write(visited, usize::MAX))[0];
        assert_eq!(
            (&told["op"], &told["reason"]),
            (&"goaway".into(), &"shutdown".into())
        );
        waits.extend(told["retry_after_ms"].as_u64());
    }
    assert_eq!(waits.len(), all.len());
    assert!(waits.iter().all(|ms| *ms < 5000), "{waits:?}");
    waits.sort_unstable();
    waits.dedup();
    assert!(waits.len() > 40, "drawn, not all the same: {waits:?}");
    let mut closed = Vec::new();
    for _ in 0..50 {
        bench.wait(SECOND / 10);
        bench.take(all[0]);
        let mut now = 0;
        while let Some(one) = bench.engine.poll_closed() {
            assert_eq!(one.code, 1001);
            now += 1;
        }
        closed.push(now);
    }
    assert_eq!(closed.iter().sum::<i32>(), 50);
    assert!(
        closed.iter().all(|n| *n < 10),
        "spread, not all at once: {closed:?}"
    );
}

#[test]
fn a_control_lane_that_is_filled_and_not_read_ends_the_session() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.say(id, r#"{"op":"ping","id":1}"#);
    bench.refuse(id);
    for _ in 0..60 {
        bench.engine.handle_ping(bench.now, id, &[0; 100]);
    }
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 4003));
    assert_eq!(bench.engine.stats().closed_control, 1);
}

#[test]
fn commands_too_fast_are_refused_with_a_time_and_whoever_goes_on_is_closed() {
    let mut bench = Bench::new();
    let id = bench.open();
    for _ in 0..21 {
        bench.say(id, r#"{"op":"ping","id":1}"#);
    }
    let answers = bench.take(id);
    assert_eq!(answers[19]["op"], "pong");
    assert_eq!(
        (&answers[20]["code"], &answers[20]["retry_after_ms"]),
        (&"rate_limited".into(), &100.into())
    );
    assert_eq!(bench.engine.stats().rejected_rate, 1);
    bench.wait(SECOND / 10);
    bench.say(id, r#"{"op":"ping","id":2}"#);
    assert_eq!(bench.take(id)[0]["op"], "pong");
    for _ in 0..60 {
        bench.say(id, r#"{"op":"ping"}"#);
    }
    assert_eq!(
        *bench.take(id).last().unwrap(),
        serde_json::json!({"close": 1008})
    );
    let stats = bench.engine.stats();
    assert_eq!(stats.closed_policy, 1);
    assert!(stats.rejected_rate > 20, "{}", stats.rejected_rate);
}

#[test]
fn reconfigured_says_where_the_subscription_began() {
    for from in ["live", "earliest"] {
        let mut bench = Bench::new();
        let id = bench.open();
        let subscribe = format!(r#"{{"op":"subscribe","topic":"t","from":"{from}"}}"#);
        bench.engine.handle_text(bench.now, id, &subscribe);
        bench.serve_hub();
        for request in bench.serve_hub() {
            let HubRequest::Read { request, .. } = request else {
                continue;
            };
            let head = SliceHead {
                request,
                start: 0,
                gap: None,
                end: 0,
                joined: true,
            };
            let entries = &mut std::iter::empty();
            let slice = HubEvent::Slice { head, entries };
            bench.engine.handle_hub(bench.now, slice);
        }
        let change = r#"{"op":"reconfigure","id":1,"topic":"t","overflow":"conflate"}"#;
        bench.say(id, change);
        let answers = bench.take(id);
        let told = answers.iter().find(|a| a["op"] == "reconfigured").unwrap();
        assert_eq!(told["settings"]["from"], from);
    }
}

#[test]
fn publications_are_answered_by_what_became_of_them() {
    let mut bench = Bench::new();
    let id = bench.open();
    let publish = |n: u32| format!(r#"{{"op":"publish","id":{n},"topic":"t","data":1}}"#);
    bench.engine.handle_text(bench.now, id, &publish(1));
    assert!(matches!(
        bench.engine.poll_hub(),
        Some(HubRequest::Publish { request: 1, .. })
    ));
    bench.engine.handle_text(bench.now, id, &publish(2));
    bench.engine.handle_text(bench.now, id, &publish(3));
    assert_eq!(
        bench.take(id)[0]["code"],
        "unavailable",
        "the table of those that wait is full"
    );
    bench.engine.handle_hub_down(bench.now);
    let answers = bench.take(id);
    assert_eq!(
        (&answers[0]["id"], &answers[0]["code"]),
        (&1.into(), &"unknown_outcome".into())
    );
    assert_eq!(
        (&answers[1]["id"], &answers[1]["code"]),
        (&2.into(), &"unavailable".into())
    );
    assert!(answers[1]["retry_after_ms"].is_u64());
    bench.say(id, &publish(4));
    assert_eq!(bench.take(id)[0]["code"], "unavailable");
    bench.say(id, r#"{"op":"publish","id":5,"topic":"execs","data":1}"#);
    assert_eq!(bench.take(id)[0]["code"], "forbidden");
}

#[test]
fn disconnect_acts_at_the_message_that_passes_the_bound() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench.subscribe(
        id,
        r#""topic":"t","overflow":"disconnect","bound":{"messages":3}"#,
    );
    for n in 1..=4 {
        assert_eq!(bench.engine.poll_closed(), None, "after {} messages", n - 1);
        bench.publish("t");
        bench.refuse(id);
    }
    let closed = bench.engine.poll_closed().unwrap();
    assert_eq!((closed.how, closed.code), (CloseHow::Hard, 4001));
}

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
    assert!(first.iter().filter(|f| f["topic"] == "deep").count() >= 8);
}

#[test]
fn one_more_rate_than_the_node_computes_for_a_topic_is_refused_and_one_that_others_have_is_not() {
    let mut bench = Bench::new();
    let rate = |ms: u64| format!(r#""topic":"t","rate":{{"mode":"sample","ms":{ms}}}"#);
    let first = bench.open();
    bench.subscribe(first, &rate(1));
    bench.wait(SECOND);
    let second = bench.open();
    bench.subscribe(second, &rate(2));
    for (ms, op) in [(3, "error"), (2, "subscribed")] {
        bench.wait(SECOND);
        let id = bench.open();
        bench.say(id, &format!(r#"{{"op":"subscribe",{}}}"#, rate(ms)));
        let answers = bench.take(id);
        assert_eq!(answers[0]["op"], op, "{answers:?}");
        let refused = op == "error";
        assert_eq!(answers[0]["code"] == "limit", refused);
        assert_eq!(answers[0]["field"] == "rate", refused);
    }
    let stats = bench.engine.stats();
    assert_eq!((stats.rejected_limit, stats.rejected_bad), (1, 0));
}

#[test]
fn an_unsubscribe_before_the_hub_has_answered_is_carried_out_after_it() {
    let mut bench = Bench::new();
    let id = bench.open();
    bench
        .engine
        .handle_text(bench.now, id, r#"{"op":"subscribe","id":1,"topic":"t"}"#);
    bench
        .engine
        .handle_text(bench.now, id, r#"{"op":"unsubscribe","id":2,"topic":"t"}"#);
    assert!(bench.take(id).is_empty());
    bench.serve_hub();
    let ops: Vec<Value> = bench.take(id).iter().map(|f| f["op"].clone()).collect();
    assert_eq!(ops, ["subscribed", "unsubscribed"]);
    assert_eq!(
        (
            bench.engine.stats().subscriptions,
            bench.engine.stats().views
        ),
        (0, 0)
    );
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

#[test]
fn a_client_that_was_too_fast_begins_anew_after_ten_seconds_and_not_before() {
    // One burst is allowed, and so many that were refused.
    let (burst, strikes) = (20, 40);
    for (pause_s, closed) in [(11, false), (9, true)] {
        let mut bench = Bench::new();
        let id = bench.open();
        for _ in 0..burst + strikes {
            bench.say(id, r#"{"op":"ping"}"#);
        }
        assert!(bench.take(id).iter().all(|f| f["close"].is_null()));
        bench.wait(pause_s * SECOND);
        for _ in 0..=burst {
            bench.say(id, r#"{"op":"ping"}"#);
        }
        let close = bench.take(id).iter().any(|f| f["close"] == 1008);
        assert_eq!(close, closed, "after {pause_s} s");
    }
}

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
            offsets.iter().all(|o| *o <= 1),
            "{holds}: 2 is still to come: {told:?}"
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
fn no_more_reads_are_under_way_than_allowed_and_the_next_follows_each_answer() {
    let mut bench = Bench::new();
    bench.offset = 100;
    let mut asked = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        let id = bench.open();
        let command = format!(r#"{{"op":"subscribe","topic":"{topic}","from":"earliest"}}"#);
        bench.engine.handle_text(bench.now, id, &command);
        asked.extend(bench.serve_hub());
        asked.extend(bench.serve_hub());
    }
    let reads = |all: &[HubRequest]| {
        let reads = all.iter().filter_map(|r| match r {
            HubRequest::Read { request, .. } => Some(*request),
            _ => None,
        });
        reads.collect::<Vec<u32>>()
    };
    let first = reads(&asked);
    assert_eq!(first.len(), 2, "{asked:?}");
    let why = pubsub_stream::hub::Refusal {
        code: pubsub_wire::ErrorCode::Unavailable,
        message: "no",
        retry_after_ms: None,
    };
    let request = first[0];
    bench
        .engine
        .handle_hub(bench.now, HubEvent::ReadFailed { request, why });
    assert_eq!(reads(&bench.serve_hub()).len(), 1);
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
