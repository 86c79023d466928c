//! Processes that die or hang under load: who notices, what they are told, and how the node heals.
mod harness;

use harness::{
    Node, Socket, looks, offset, pid_of, process_rss_bytes, within_patience, worker, workers,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tokio::net::TcpStream;

async fn streaming_node(workers: &str) -> Node {
    Node::start(&["--workers", workers, "--interval-ms", "1..3"]).await
}

/// One socket on each of `workers` workers, by slot, subscribed to `execs`.
async fn one_on_each(node: &Node, workers: usize) -> BTreeMap<u64, Socket> {
    let mut by_worker = BTreeMap::new();
    while by_worker.len() < workers {
        let mut socket = Socket::open(node.listen).await;
        if let Entry::Vacant(slot) = by_worker.entry(socket.worker()) {
            socket.subscribe("execs", json!({})).await;
            slot.insert(socket);
        }
    }
    by_worker
}

/// `count` payloads of `execs`, which are checked to follow each other without a hole.
async fn consecutive(socket: &mut Socket, count: usize) -> u64 {
    let messages = socket.messages(count).await;
    let request = |message: &Value| message["data"]["request"].as_u64().expect("a count");
    assert!(
        messages
            .windows(2)
            .all(|pair| request(&pair[0]) + 1 == request(&pair[1])),
        "a payload is missing"
    );
    request(messages.last().expect("some"))
}

#[tokio::test]
async fn a_killed_worker_costs_only_its_own_connections() {
    let node = streaming_node("3").await;
    let mut by_worker = one_on_each(&node, 3).await;
    for socket in by_worker.values_mut() {
        socket.messages(20).await;
    }
    let victim = node.worker_pid(1).await;
    node.signal(victim, Signal::KILL);

    // Nobody who connects meanwhile is refused, whoever would have accepted.
    let mut newcomers = Vec::new();
    for _ in 0..60 {
        let stream = TcpStream::connect(node.listen)
            .await
            .expect("the listener has outlived its worker");
        newcomers.push(
            Socket::try_upgrade(stream, node.listen)
                .await
                .expect("somebody upgrades"),
        );
    }
    let mut lost = by_worker.remove(&1).expect("one was there");
    lost.closed().await;
    for socket in by_worker.values_mut() {
        consecutive(socket, 100).await;
    }
    let status = node
        .until("slot 1 is back", |status| {
            worker(status, 1)["state"] == "up" && pid_of(worker(status, 1)) != victim
        })
        .await;
    assert_eq!(worker(&status, 1)["restarts"], 1);
    assert_eq!(worker(&status, 0)["restarts"], 0);
    node.until_metric("pubsub_worker_restarts_total", "", 1)
        .await;
    drop(newcomers);
    one_on_each(&node, 3).await;
}

#[tokio::test]
async fn a_subscriber_of_a_killed_worker_resumes_elsewhere_without_loss() {
    let node = streaming_node("2").await;
    let mut by_worker = one_on_each(&node, 2).await;
    let socket = by_worker.get_mut(&0).expect("one on each");
    let before = socket.messages(10).await.pop().expect("ten");
    node.signal(node.worker_pid(0).await, Signal::KILL);
    let (after, _) = socket.rest().await;
    let last = after
        .into_iter()
        .rfind(|frame| frame["op"] == "msg")
        .unwrap_or(before);

    let epoch = node.status().await["epoch"].clone();
    let mut second = Socket::open(node.listen).await;
    second
        .subscribe(
            "execs",
            json!({"from": {"epoch": epoch, "offset": offset(&last)}}),
        )
        .await;
    let next = second.messages(50).await;
    assert_eq!(
        next[0]["data"]["request"],
        last["data"]["request"].as_u64().expect("a count") + 1
    );
}

#[tokio::test]
async fn a_killed_hub_is_announced_to_connections_that_stay() {
    let node = streaming_node("2").await;
    let mut by_worker = one_on_each(&node, 2).await;
    let mut epochs = Vec::new();
    for socket in by_worker.values_mut() {
        socket.messages(10).await;
        socket.subscribe("own.topic", json!({})).await;
    }
    let before = node.status().await;
    let victim = pid_of(&before["hub"]);
    node.signal(victim, Signal::KILL);
    for socket in by_worker.values_mut() {
        let mut told = BTreeMap::new();
        while told.len() < 2 {
            let gap = socket.next_op("gap").await;
            assert_eq!(gap["reason"], "epoch", "{gap}");
            assert!(
                gap["count"].is_null() && gap["from"].is_null() && gap["to"].is_null(),
                "{gap}"
            );
            told.insert(
                gap["topic"].as_str().expect("a topic").to_owned(),
                gap["epoch"].clone(),
            );
        }
        assert!(
            told.contains_key("execs") && told.contains_key("own.topic"),
            "each subscription is told: {told:?}"
        );
        epochs.extend(told.into_values());
        let message = socket.messages(20).await.pop().expect("twenty");
        assert!(offset(&message) > 0);
        assert_eq!(socket.ledger("execs").await["dropped"]["drop_oldest"], 0);
    }
    let status = node
        .until("the hub is back", |status| {
            status["hub"]["state"] == "up" && pid_of(&status["hub"]) != victim
        })
        .await;
    assert_eq!(status["hub"]["restarts"], 1);
    assert_ne!(
        status["epoch"], before["epoch"],
        "a memory log's offsets are given out anew"
    );
    assert!(
        epochs.iter().all(|epoch| *epoch == status["epoch"]),
        "{epochs:?}"
    );
    assert_eq!(
        workers(&status)
            .iter()
            .filter_map(|w| w["restarts"].as_u64())
            .sum::<u64>(),
        0
    );
    assert!(
        workers(&status)
            .iter()
            .all(|worker| worker["connections"].as_u64() >= Some(1)),
        "connections stayed: {status}"
    );
}

#[tokio::test]
async fn publications_while_the_hub_is_away_are_answered_truly() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    socket.publish("a", None, json!(0)).await;
    let victim = node.hub_pid().await;

    // Sent to a hub that stands still, then killed: it may or may not have been numbered.
    node.signal(victim, Signal::STOP);
    socket
        .send(json!({"op": "publish", "id": "sent", "topic": "a", "data": 1}))
        .await;
    socket.ask(json!({"op": "ping"})).await;
    node.signal(victim, Signal::KILL);
    let sent = socket.answer(&json!("sent")).await;
    assert_eq!(
        (&sent["op"], &sent["code"]),
        (&json!("error"), &json!("unknown_outcome")),
        "{sent}"
    );

    // Until it is back: unavailable, and when to try again. Then it is taken.
    let mut looks = looks();
    let answers = within_patience("a publication that is taken", async {
        let mut answers = Vec::new();
        while answers.last() != Some(&json!("published")) {
            looks.tick().await;
            let answer = socket
                .ask(json!({"op": "publish", "topic": "a", "data": 2}))
                .await;
            if answer["code"] == "unavailable" {
                assert!(answer["retry_after_ms"].is_u64(), "{answer}");
            }
            answers.push(answer.get("code").unwrap_or(&answer["op"]).clone());
        }
        answers
    });
    for answer in answers.await {
        assert!(
            ["unavailable", "unknown_outcome", "published"]
                .contains(&answer.as_str().expect("a word")),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_stopped_worker_holds_up_neither_the_others_nor_the_hub() {
    const PAYLOAD_BYTES: usize = 8000;
    const MESSAGES: u64 = 6000;
    // The log is small against what is published, so memory that grows with a stopped worker would show.
    let node = Node::start(&["--workers", "2", "--source", "none", "--retain", "4MiB"]).await;
    let mut by_worker = BTreeMap::new();
    while by_worker.len() < 2 {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe("flood", json!({"bound": {"messages": 100_000, "bytes": 64 << 20}, "overflow": "drop_oldest"})).await;
        by_worker.insert(socket.worker(), socket);
    }
    let mut publisher = Socket::open(node.listen).await;
    while publisher.worker() != 1 {
        publisher = Socket::open(node.listen).await;
    }
    let filling = "x".repeat(PAYLOAD_BYTES);
    let entry = |number: u64| (None, json!({"number": number, "filling": filling}));
    publisher.publish_many("flood", 1000, entry).await; // the hub's memory is what it is when its log is full
    by_worker
        .get_mut(&1)
        .expect("on worker 1")
        .messages(1000)
        .await;
    by_worker
        .get_mut(&0)
        .expect("on worker 0")
        .messages(1000)
        .await;

    let hub = node.hub_pid().await;
    let stopped = node.worker_pid(0).await;
    node.signal(stopped, Signal::STOP);
    let full = process_rss_bytes(hub);
    let last = {
        let reader = by_worker.get_mut(&1).expect("on worker 1");
        let (last, messages) = tokio::join!(
            publisher.publish_many("flood", MESSAGES, entry),
            reader.messages(usize::try_from(MESSAGES).expect("it fits"))
        );
        assert!(
            messages
                .windows(2)
                .all(|pair| offset(&pair[0]) + 1 == offset(&pair[1]))
        );
        last
    };
    let poured = MESSAGES * PAYLOAD_BYTES as u64;
    let grown = process_rss_bytes(hub).saturating_sub(full);
    assert!(
        grown < poured / 3,
        "{poured} B were published, and the hub grew by {grown} B"
    );
    assert_eq!(node.hub_pid().await, hub);

    node.signal(stopped, Signal::CONT);
    let late = by_worker.get_mut(&0).expect("on worker 0");
    let mut position = 1000;
    while position < offset(&last) {
        let frame = late.next().await;
        match frame["op"].as_str() {
            Some("msg") => {
                assert_eq!(offset(&frame), position + 1, "nothing is lost unannounced");
                position = offset(&frame);
            }
            Some("gap") => position = offset(&frame),
            Some("mode" | "position") => {}
            _ => panic!("unexpected: {frame}"),
        }
    }
    late.ledger("flood").await;
}

#[tokio::test]
async fn a_stopped_worker_does_not_keep_newcomers_out() {
    let node = streaming_node("2").await;
    let stopped = node.worker_pid(0).await;
    node.signal(stopped, Signal::STOP);
    for _ in 0..30 {
        let mut socket = Socket::open(node.listen).await;
        assert_eq!(socket.worker(), 1);
        socket.subscribe("execs", json!({})).await;
        consecutive(&mut socket, 5).await;
    }
    node.signal(stopped, Signal::CONT);
    node.until_workers(2).await;
}

#[tokio::test]
async fn a_killed_admin_role_is_back_and_has_forgotten_no_total() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .publish_many("a", 30, |number| (None, json!(number)))
        .await;
    node.until("all are counted", |status| {
        status["totals"]["published"] == 30
    })
    .await;
    let known = [node.pid, node.worker_pid(0).await, node.hub_pid().await];
    let admin = *node
        .members()
        .iter()
        .find(|pid| !known.contains(pid))
        .expect("one process more");
    node.signal(admin, Signal::KILL);
    let status = node
        .until("the admin role answers again", |_| {
            !node.members().contains(&admin)
        })
        .await;
    assert_eq!(status["totals"]["published"], 30, "{status}");
}

#[tokio::test]
async fn totals_survive_the_death_of_who_counted_them() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    socket.subscribe("a", json!({})).await;
    socket
        .publish_many("a", 30, |number| (None, json!(number)))
        .await;
    socket.messages(30).await;
    node.until("all are counted", |status| {
        status["totals"]["delivered"] == 30
    })
    .await;
    for round in 1..=2 {
        let victim = node.worker_pid(0).await;
        node.signal(victim, Signal::KILL);
        let status = node
            .until("the worker is back", |status| {
                worker(status, 0)["state"] == "up" && worker(status, 0)["restarts"] == round
            })
            .await;
        assert_eq!(status["totals"]["delivered"], 30, "{status}");
        assert_ne!(pid_of(worker(&status, 0)), victim);
    }
}

#[tokio::test]
async fn a_killed_supervisor_leaves_everything_serving() {
    let node = streaming_node("2").await;
    let mut by_worker = one_on_each(&node, 2).await;
    node.signal(node.pid, Signal::KILL);
    for socket in by_worker.values_mut() {
        consecutive(socket, 50).await;
    }
    for _ in 0..10 {
        let mut newcomer = Socket::open(node.listen).await;
        newcomer.publish("a", None, json!(1)).await;
        newcomer.subscribe("execs", json!({})).await;
        consecutive(&mut newcomer, 5).await;
    }
    assert_eq!(
        workers(&node.status().await).len(),
        2,
        "the admin role has no need of it either"
    );
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_drains_and_is_replaced() {
    let node = Node::start(&[
        "--workers",
        "2",
        "--interval-ms",
        "1..3",
        "--drain",
        "500ms",
    ])
    .await;
    let mut by_worker = one_on_each(&node, 2).await;
    let leaving = node.worker_pid(0).await;
    node.signal(leaving, Signal::TERM);
    let mut told = by_worker.remove(&0).expect("one on each");
    let goaway = told.next_op("goaway").await;
    assert_eq!(goaway["reason"], "restart", "{goaway}");
    assert_eq!(told.closed().await.code(), Some(1012));
    consecutive(by_worker.get_mut(&1).expect("one on each"), 50).await;
    node.until("slot 0 is filled again", |status| {
        worker(status, 0)["state"] == "up" && pid_of(worker(status, 0)) != leaving
    })
    .await;
    one_on_each(&node, 2).await;
}
