//! The main job: ten workers stream executions and quotes; people watch, steer and stop the node.
mod harness;

use harness::{
    Closing, Finished, Node, Raw, Socket, http_get, http_request, pid_of, residual,
    upgrade_request, worker, workers,
};
use pubsub_server::clock;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A drain that no test waits out: what ends earlier was ended by what the test did.
const ENDLESS_DRAIN: &str = "10m";

/// Far more than any test takes, and far less than a wrong unit would make of it.
const HOUR_US: u64 = 3_600_000_000;

fn single_line(text: &str) -> &str {
    let line = text.strip_suffix('\n').expect("a whole line");
    assert!(!line.contains('\n'), "one line: {text:?}");
    line
}

fn assert_ok(finished: &Finished) {
    assert_eq!(finished.code, Some(0), "{finished:?}");
}

#[tokio::test]
async fn ten_workers_are_up_when_the_node_says_it_is_ready() {
    let node = Node::start(&["--workers", "10"]).await;
    assert_eq!(
        node.ready,
        format!(
            "ready listen={} admin={} workers=10 pid={}",
            node.listen, node.admin, node.pid
        )
    );
    let status = node.status().await;
    let pids: BTreeSet<u32> = workers(&status).iter().map(pid_of).collect();
    assert_eq!(pids.len(), 10, "ten processes: {status}");
    assert!(
        workers(&status)
            .iter()
            .all(|worker| worker["state"] == "up"),
        "{status}"
    );
    let slots: Vec<u64> = workers(&status)
        .iter()
        .filter_map(|worker| worker["slot"].as_u64())
        .collect();
    assert_eq!(slots, (0..10).collect::<Vec<u64>>());
    let family: BTreeSet<u32> = pids
        .into_iter()
        .chain([node.pid, pid_of(&status["hub"])])
        .collect();
    assert!(
        family.is_subset(&node.members()),
        "every process in /status is alive"
    );
}

#[tokio::test]
async fn welcome_comes_first_and_tells_who_serves_and_what_is_allowed() {
    let node = Node::start(&[
        "--workers",
        "3",
        "--source",
        "none",
        "--node",
        "north",
        "--heartbeat",
        "7s",
    ])
    .await;
    let socket = Socket::open(node.listen).await;
    let welcome = &socket.welcome;
    assert_eq!(welcome["node"], "north");
    assert_eq!(welcome["heartbeat_ms"], 7000);
    assert!(socket.worker() < 3, "{welcome}");
    assert!(!welcome["session"].as_str().expect("a name").is_empty());
    assert_eq!(
        welcome["limits"],
        json!({"frame_bytes": 262_144, "topic_bytes": 255, "tokens": 16, "key_bytes": 255, "id_bytes": 64, "subscriptions": 1000,
               "bound": {"messages": 100_000, "bytes": 67_108_864, "age_ms": 600_000}})
    );
}

#[tokio::test]
async fn executions_come_as_payloads_of_the_prototype_counted_by_request() {
    let node = Node::start(&["--workers", "2", "--rows", "3", "--interval-ms", "1..5"]).await;
    let mut socket = Socket::open(node.listen).await;
    let subscribed = socket.subscribe("execs", json!({})).await;
    let messages = socket.messages(20).await;
    let mut offset = subscribed["offset"].as_i64().expect("a position");
    let mut request = None;
    for message in &messages {
        assert_eq!(message["topic"], "execs");
        assert!(
            message.get("sub").is_none(),
            "a topic's own subscriber needs no sub: {message}"
        );
        assert!(
            message["offset"].as_i64() > Some(offset),
            "offsets rise: {message}"
        );
        offset = message["offset"].as_i64().expect("an offset");
        let payload = &message["data"];
        let number = payload["request"].as_u64().expect("a count");
        assert_eq!(
            request.map_or(number, |before: u64| before + 1),
            number,
            "nothing is left out"
        );
        request = Some(number);
        assert_eq!(payload["rows"], 3);
        let execs = payload["execs"].as_array().expect("executions");
        assert_eq!(execs.len(), 3);
        for field in [
            "sequence",
            "activityDateStr",
            "com",
            "price",
            "accountId",
            "symbol",
            "transaction",
            "description",
            "qty",
            "key",
            "netAmount",
        ] {
            assert!(
                execs
                    .iter()
                    .all(|exec| exec.get(field).is_some_and(|value| !value.is_null())),
                "{field} in {payload}"
            );
        }
    }
    let now_us = clock::now().wall_us;
    let stamp_us = messages[0]["ts"].as_u64().expect("a time");
    assert!(
        stamp_us <= now_us && now_us - stamp_us < HOUR_US,
        "microseconds since the epoch: {stamp_us}"
    );
}

#[tokio::test]
async fn quotes_come_under_the_pattern_that_was_asked_for() {
    let node = Node::start(&["--workers", "2", "--interval-ms", "1..5"]).await;
    let mut socket = Socket::open(node.listen).await;
    let subscribed = socket.subscribe("quotes.*", json!({})).await;
    assert_eq!(
        subscribed["settings"]["overflow"], "conflate",
        "the default for quotes"
    );
    for message in socket.messages(50).await {
        let quote = &message["data"];
        let symbol = quote["symbol"].as_str().expect("a symbol");
        assert_eq!(message["sub"], "quotes.*");
        assert_eq!(message["topic"], format!("quotes.{symbol}"));
        assert_eq!(message["key"], symbol);
        for field in ["bid", "ask", "last", "volume"] {
            assert!(quote[field].is_number(), "{field} in {quote}");
        }
        assert!(quote["bid"].as_f64() <= quote["ask"].as_f64(), "{quote}");
        assert!(!quote["time"].is_null(), "{quote}");
    }
}

#[tokio::test]
async fn a_publication_reaches_subscribers_of_every_worker_as_the_very_bytes() {
    let node = Node::start(&["--workers", "4", "--source", "none"]).await;
    let mut by_worker = BTreeMap::new();
    while by_worker.len() < 4 {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe("news.eu", json!({})).await;
        by_worker.insert(socket.worker(), socket);
    }
    let mut raw = Raw::upgraded(node.listen).await;
    raw.write(&harness::masked_frame(
        0x81,
        br#"{"op":"subscribe","topic":"news.eu"}"#,
    ))
    .await;
    let (_, subscribed) = raw.frame().await.expect("subscribed");
    assert!(subscribed.starts_with(br#"{"op":"subscribed""#));

    let mut publisher = Socket::open(node.listen).await;
    let data = r#"{"b" : 1.50, "a":[ 1e2,"\u00e4" ]}"#;
    publisher
        .send_text(format!(
            r#"{{"op":"publish","id":"p","topic":"news.eu","key":"k","data":{data}}}"#
        ))
        .await;
    let answer = publisher.answer(&json!("p")).await;
    assert_eq!(answer["op"], "published");
    for socket in by_worker.values_mut() {
        let message = socket.messages(1).await.remove(0);
        assert_eq!(message["offset"], answer["offset"]);
        assert_eq!(message["key"], "k");
        assert_eq!(
            message["data"],
            serde_json::from_str::<Value>(data).expect("JSON")
        );
    }
    let (_, message) = raw.frame().await.expect("a message");
    let message = String::from_utf8(message).expect("UTF-8");
    assert!(message.contains(&format!(r#""data":{data}"#)), "{message}");
}

#[tokio::test]
async fn what_is_published_after_a_subscribe_comes_to_the_publisher_itself() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    for round in 0..20 {
        socket
            .feed_text(json!({"op": "subscribe", "topic": format!("own.{round}")}).to_string())
            .await;
        socket
            .send(json!({"op": "publish", "topic": format!("own.{round}"), "data": round}))
            .await;
        let message = socket.next_op("msg").await;
        assert_eq!(message["data"], round);
    }
}

#[tokio::test]
async fn unsubscribe_ends_with_a_ledger_that_closes_and_nothing_after_it() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    socket.subscribe("a", json!({})).await;
    socket
        .publish_many("a", 100, |number| (None, json!(number)))
        .await;
    let live = socket.ledger("a").await;
    assert_eq!(live["published"], 100);
    let answer = socket.ask(json!({"op": "unsubscribe", "topic": "a"})).await;
    assert_eq!(answer["op"], "unsubscribed", "{answer}");
    assert_eq!(
        answer["ledger"]["delivered"], 100,
        "it came in its subscription's order: {answer}"
    );
    assert_eq!(residual(&answer["ledger"]), 0);
    assert_eq!(socket.messages(100).await.len(), 100);
    socket.publish("a", None, json!("late")).await;
    assert!(socket.is_quiet().await, "nothing comes after unsubscribed");
    let again = socket.ask(json!({"op": "unsubscribe", "topic": "a"})).await;
    assert_eq!(again["code"], "not_subscribed");
}

#[tokio::test]
async fn connections_are_spread_over_the_workers() {
    let node = Node::start(&["--workers", "4", "--source", "none"]).await;
    let mut held = Vec::new();
    for _ in 0..400 {
        held.push(Socket::open(node.listen).await);
    }
    let mut counts = [0_u32; 4];
    for socket in &held {
        counts[usize::try_from(socket.worker()).expect("a slot")] += 1;
    }
    // The gate keeps them within a few of each other; the rest is for a machine so busy that a worker misses its turn.
    assert!(
        counts.iter().all(|count| (60..=160).contains(count)),
        "{counts:?}"
    );
    let status = node
        .until("all are counted", |status| {
            workers(status)
                .iter()
                .filter_map(|w| w["connections"].as_u64())
                .sum::<u64>()
                == 400
        })
        .await;
    for (slot, count) in (0..).zip(counts) {
        assert_eq!(worker(&status, slot)["connections"], count);
    }
}

#[tokio::test]
async fn metrics_and_status_count_what_was_delivered() {
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let mut sockets = Vec::new();
    for _ in 0..5 {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe("counted", json!({})).await;
        sockets.push(socket);
    }
    sockets[0]
        .publish_many("counted", 40, |number| (None, json!(number)))
        .await;
    for socket in &mut sockets {
        socket.messages(40).await;
    }
    let status = node
        .until(
            "40 publications and 5 x 40 deliveries are counted",
            |status| status["totals"]["published"] == 40 && status["totals"]["delivered"] == 200,
        )
        .await;
    assert!(!status["epoch"].as_str().expect("an epoch").is_empty());
    node.until_metric("pubsub_delivered_total", "", 200).await;
    node.until_metric("pubsub_published_total", "", 40).await;
    node.until_metric("pubsub_connections", "", 5).await;
    node.until_metric("pubsub_subscriptions", "", 5).await;
    node.until_metric("pubsub_delivery_seconds_count", "", 200)
        .await;
    node.until_metric("pubsub_hub_up", "", 1).await;
    node.until_metric("pubsub_worker_up", "", 2).await;
    node.until_metric("pubsub_lost_total", "", 0).await;
}

#[tokio::test]
async fn health_is_ok_on_both_ports() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    for address in [node.listen, node.admin] {
        let health = http_get(address, "/health").await.expect("an answer");
        assert_eq!(health.code, 200, "{health:?}");
        let body: Value = serde_json::from_str(&health.body).expect("JSON");
        assert_eq!(body["status"], "ok");
    }
    assert_eq!(
        http_get(node.listen, "/elsewhere")
            .await
            .expect("an answer")
            .code,
        404
    );
}

#[tokio::test]
async fn ctl_status_shows_what_the_admin_port_shows() {
    let node = Node::start(&["--workers", "3", "--source", "none"]).await;
    let shown = node.ctl(&["status", "--json"]).await;
    assert_ok(&shown);
    let shown: Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let status = node.status().await;
    assert_eq!(shown["node"], status["node"]);
    let pids = |status: &Value| workers(status).iter().map(pid_of).collect::<Vec<u32>>();
    assert_eq!(pids(&shown), pids(&status));
    let for_people = node.ctl(&["status"]).await;
    assert_ok(&for_people);
    for pid in pids(&status) {
        assert!(
            for_people.stdout.contains(&pid.to_string()),
            "{}",
            for_people.stdout
        );
    }
}

#[tokio::test]
async fn ctl_workers_changes_the_number_of_workers_under_way() {
    let node = Node::start(&["--workers", "2", "--interval-ms", "1..5", "--drain", "1s"]).await;
    let before: Vec<u32> = workers(&node.status().await).iter().map(pid_of).collect();
    assert_ok(&node.ctl(&["workers", "4"]).await);
    let status = node.until_workers(4).await;
    assert_eq!(
        workers(&status)
            .iter()
            .map(pid_of)
            .take(2)
            .collect::<Vec<u32>>(),
        before,
        "the old ones stay"
    );

    let mut by_worker = BTreeMap::new();
    while by_worker.len() < 4 {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe("execs", json!({})).await;
        by_worker.insert(socket.worker(), socket);
    }
    assert_ok(&node.ctl(&["workers", "1"]).await);
    for slot in 1..4 {
        let socket = by_worker.get_mut(&slot).expect("one in each slot");
        let goaway = socket.next_op("goaway").await;
        assert_eq!(goaway["reason"], "rebalance");
        assert!(goaway["retry_after_ms"].is_u64(), "{goaway}");
        assert_eq!(socket.closed().await.code(), Some(1012));
    }
    node.until_workers(1).await;
    by_worker
        .get_mut(&0)
        .expect("the one that stays")
        .messages(50)
        .await;
}

#[tokio::test]
async fn sigterm_tells_all_clients_and_delivers_until_it_closes_them() {
    let mut node = Node::start(&["--workers", "2", "--interval-ms", "1..5", "--drain", "2s"]).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe("execs", json!({})).await;
        sockets.push(socket);
    }
    node.signal(node.pid, Signal::TERM);
    for socket in &mut sockets {
        let goaway = socket.next_op("goaway").await;
        assert_eq!(goaway["reason"], "shutdown");
        assert!(
            goaway["retry_after_ms"]
                .as_u64()
                .is_some_and(|wait| wait <= 2000),
            "spread over the window: {goaway}"
        );
    }
    for socket in &mut sockets {
        let (_, closing) = socket.rest().await;
        assert_eq!(closing.code(), Some(1001), "{closing:?}");
    }
    assert_eq!(node.exited().await.code(), Some(0));
    node.all_gone().await;
}

#[tokio::test]
async fn a_draining_node_answers_503_and_goes_on_delivering() {
    let mut node = Node::start(&[
        "--workers",
        "2",
        "--interval-ms",
        "1..5",
        "--drain",
        ENDLESS_DRAIN,
    ])
    .await;
    let mut socket = Socket::open(node.listen).await;
    socket.subscribe("execs", json!({})).await;
    node.signal(node.pid, Signal::TERM);
    socket.next_op("goaway").await;
    socket.messages(50).await;

    let health = http_get(node.listen, "/health")
        .await
        .expect("the listener stays open");
    let upgrade = http_request(node.listen, &upgrade_request(node.listen, ""))
        .await
        .expect("the listener stays open");
    for refused in [health, upgrade] {
        assert_eq!(refused.code, 503, "{refused:?}");
        assert!(
            refused
                .header("retry-after")
                .is_some_and(|seconds| seconds.parse::<u64>().is_ok()),
            "{refused:?}"
        );
    }
    node.signal(node.pid, Signal::TERM);
    assert_eq!(
        node.exited().await.code(),
        Some(0),
        "a second signal stops at once"
    );
    assert_ne!(socket.closed().await, Closing::NoCode);
    node.all_gone().await;
}

#[tokio::test]
async fn a_drained_node_without_clients_ends_without_waiting_for_the_window() {
    let mut node = Node::start(&[
        "--workers",
        "3",
        "--source",
        "none",
        "--drain",
        ENDLESS_DRAIN,
    ])
    .await;
    node.signal(node.pid, Signal::INT);
    assert_eq!(node.exited().await.code(), Some(0));
    node.all_gone().await;
}

#[tokio::test]
async fn ctl_stop_drains_and_ends_the_node() {
    let mut node = Node::start(&["--workers", "2", "--source", "none", "--drain", "1s"]).await;
    let mut socket = Socket::open(node.listen).await;
    assert_ok(&node.ctl(&["stop"]).await);
    assert_eq!(socket.next_op("goaway").await["reason"], "shutdown");
    assert_eq!(socket.closed().await.code(), Some(1001));
    assert_eq!(node.exited().await.code(), Some(0));
    node.all_gone().await;
    let gone = node.ctl(&["status"]).await;
    assert_eq!(gone.code, Some(69), "no node there: {gone:?}");
    single_line(&gone.stderr);
}

#[tokio::test]
async fn ctl_drain_sends_clients_away_and_keeps_the_node_until_it_is_stopped() {
    let mut node = Node::start(&["--workers", "2", "--source", "none", "--drain", "500ms"]).await;
    let mut socket = Socket::open(node.listen).await;
    assert_ok(&node.ctl(&["drain"]).await);
    socket.next_op("goaway").await;
    assert!(socket.closed().await.code().is_some());
    node.until("nobody is connected", |status| {
        status["totals"]["connections"] == 0
    })
    .await;
    assert_eq!(
        http_get(node.listen, "/health")
            .await
            .expect("it is there")
            .code,
        503
    );
    assert_ok(&node.ctl(&["status"]).await);
    assert_ok(&node.ctl(&["stop"]).await);
    assert_eq!(node.exited().await.code(), Some(0));
}

#[tokio::test]
async fn ctl_slow_names_who_is_furthest_behind() {
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let mut stalled = Socket::open_narrow(node.listen).await;
    stalled
        .subscribe("flood", json!({"bound": {"bytes": 64 << 20}}))
        .await;
    let filling = "x".repeat(8000);
    Socket::open(node.listen)
        .await
        .publish_many("flood", 1000, |_| (None, json!(filling)))
        .await;
    let shown = node.ctl(&["slow", "5"]).await;
    assert_ok(&shown);
    let session = stalled.welcome["session"].as_str().expect("a name");
    assert!(
        shown.stdout.contains(session) && shown.stdout.contains("flood"),
        "{shown:?}"
    );
}

#[tokio::test]
async fn a_drain_ends_also_for_a_client_that_reads_nothing() {
    let mut node = Node::start(&["--workers", "1", "--source", "none", "--drain", "1s"]).await;
    let mut stalled = Socket::open_narrow(node.listen).await;
    stalled
        .subscribe("flood", json!({"bound": {"bytes": 1 << 20}}))
        .await;
    let mut publisher = Socket::open(node.listen).await;
    let filling = "x".repeat(8000);
    publisher
        .publish_many("flood", 1500, |_| (None, json!(filling)))
        .await;
    node.signal(node.pid, Signal::TERM);
    assert_eq!(node.exited().await.code(), Some(0));
    node.all_gone().await;
}

#[tokio::test]
async fn browsers_come_from_loopback_or_a_listed_origin_only() {
    let node = Node::start(&[
        "--workers",
        "1",
        "--source",
        "none",
        "--origins",
        "https://desk.example",
    ])
    .await;
    let attempt = async |origin: &str| {
        let mut raw = Raw::connect(node.listen).await;
        raw.write(upgrade_request(node.listen, &format!("Origin: {origin}\r\n")).as_bytes())
            .await;
        let head = raw.read_past(b"\r\n\r\n").await;
        String::from_utf8_lossy(&head)["HTTP/1.1 ".len()..][..3].to_owned()
    };
    for welcome in [
        "http://127.0.0.1:3000",
        "http://localhost:8080",
        "http://[::1]:9",
        "https://desk.example",
    ] {
        assert_eq!(attempt(welcome).await, "101", "{welcome}");
    }
    for stranger in [
        "https://elsewhere.example",
        "null",
        "https://desk.example.evil",
        "http://127.0.0.1.evil",
        "https://notdesk.example",
    ] {
        assert_eq!(attempt(stranger).await, "403", "{stranger}");
    }
}

#[tokio::test]
async fn what_the_node_itself_publishes_is_forbidden_to_others() {
    let node = Node::start(&["--workers", "1"]).await;
    let mut socket = Socket::open(node.listen).await;
    for topic in ["execs", "execs.ACCOUNT", "quotes.AAPL", "quotes.a.b"] {
        let answer = socket
            .ask(json!({"op": "publish", "topic": topic, "data": 1}))
            .await;
        assert_eq!(answer["code"], "forbidden", "{topic}: {answer}");
    }
    socket.publish("other", None, json!(1)).await;
    let quiet = Node::start(&["--workers", "1", "--source", "none"]).await;
    Socket::open(quiet.listen)
        .await
        .publish("quotes.AAPL", None, json!(1))
        .await;
}

#[tokio::test]
async fn nobody_publishes_where_nobody_may() {
    let node = Node::start(&["--workers", "1", "--source", "none", "--publish", "nobody"]).await;
    let answer = Socket::open(node.listen)
        .await
        .ask(json!({"op": "publish", "topic": "a", "data": 1}))
        .await;
    assert_eq!(answer["code"], "forbidden", "{answer}");
}

#[tokio::test]
async fn a_forwarded_client_is_not_taken_for_a_local_one() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut raw = Raw::connect(node.listen).await;
    raw.write(upgrade_request(node.listen, "X-Forwarded-For: 192.0.2.7\r\n").as_bytes())
        .await;
    assert!(
        raw.read_past(b"\r\n\r\n")
            .await
            .starts_with(b"HTTP/1.1 101 ")
    );
    raw.frame().await.expect("a welcome");
    raw.write(&harness::masked_frame(
        0x81,
        br#"{"op":"publish","id":1,"topic":"a","data":1}"#,
    ))
    .await;
    let (_, answer) = raw.frame().await.expect("an answer");
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["code"], "forbidden", "{answer}");
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_one_that_never_answers_is_closed() {
    let node = Node::start(&["--workers", "1", "--source", "none", "--heartbeat", "200ms"]).await;
    let mut mute = Raw::upgraded(node.listen).await;
    let (opcode, _) = mute.frame().await.expect("a ping");
    assert_eq!(opcode, 9);
    assert_eq!(mute.close_code().await, Some(4002));

    let mut polite = Raw::upgraded(node.listen).await;
    for _ in 0..5 {
        let (opcode, payload) = polite.frame().await.expect("a ping");
        assert_eq!(opcode, 9);
        polite.write(&harness::masked_frame(0x8a, &payload)).await;
    }
}
