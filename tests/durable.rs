//! A node whose log is on disk: what was acknowledged is there after any crash, once, in order, and nobody is told of a loss that there
//! was not.
mod harness;

use harness::{Node, Socket, looks, offset, pid_of, run_to_end, within_patience};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::TempDir;

fn wide() -> Value {
    json!({"messages": 100_000, "bytes": 64 << 20, "age_ms": 600_000})
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the log")
}

async fn durable_node(folder: &Path, arguments: &[&str]) -> Node {
    let log = format!("disk:{}", folder.display());
    let own = ["--workers", "2", "--source", "none", "--log", &log];
    Node::start(&[&own[..], arguments].concat()).await
}

async fn until_hub_is_new(node: &Node, old: u32) {
    node.until("the hub is back", |status| {
        status["hub"]["state"] == "up" && pid_of(&status["hub"]) != old
    })
    .await;
}

/// Publishes until it is acknowledged; its offset.
async fn publish_until_taken(socket: &mut Socket, topic: &str, data: Value) -> i64 {
    let mut looks = looks();
    let taken = async {
        loop {
            let answer = socket
                .ask(json!({"op": "publish", "topic": topic, "data": data}))
                .await;
            if answer["op"] == "published" {
                return offset(&answer);
            }
            assert_eq!(answer["code"], "unavailable", "{answer}");
            looks.tick().await;
        }
    };
    within_patience("a publication that is taken", taken).await
}

fn position(frame: &Value) -> Value {
    json!({"epoch": frame["epoch"], "offset": frame["offset"]})
}

#[tokio::test]
async fn a_killed_hub_costs_no_message_and_no_gap() {
    let folder = folder();
    let node = durable_node(folder.path(), &[]).await;
    let mut publisher = Socket::open(node.listen).await;
    let mut reader = Socket::open(node.listen).await;
    let subscribed = reader.subscribe("a.>", json!({"bound": wide()})).await;
    for round in 0..3 {
        let last = publisher
            .publish_many("a.b", 300, |number| (None, json!([round, number])))
            .await;
        let victim = node.hub_pid().await;
        node.signal(victim, Signal::KILL);
        until_hub_is_new(&node, victim).await;
        let next = publish_until_taken(&mut publisher, "a.b", json!([round, "next"])).await;
        assert_eq!(next, offset(&last) + 1, "numbering goes on where it was");
    }
    let messages = reader.messages(903).await;
    let first = offset(&subscribed) + 1;
    let offsets: Vec<i64> = messages.iter().map(offset).collect();
    assert_eq!(offsets, (first..first + 903).collect::<Vec<i64>>());
    let status = node.status().await;
    assert_eq!(status["epoch"], subscribed["epoch"]);
    let ledger = reader.ledger("a.>").await;
    assert_eq!(
        (&ledger["published"], &ledger["delivered"]),
        (&json!(903), &json!(903))
    );
}

#[tokio::test]
async fn after_the_death_of_everything_a_subscriber_goes_on_at_the_very_next_message() {
    let folder = folder();
    let node = durable_node(folder.path(), &[]).await;
    let mut publisher = Socket::open(node.listen).await;
    let fifth = publisher
        .publish_many("a", 5, |number| (None, json!(number)))
        .await;
    publisher.publish("k.x", Some("one"), json!(1)).await;
    publisher.publish("k.x", Some("two"), json!(2)).await;
    let last = publisher.publish("k.x", Some("one"), json!(3)).await;
    node.kill_all().await;

    let node = durable_node(folder.path(), &[]).await;
    let mut reader = Socket::open(node.listen).await;
    let mut from = position(&fifth);
    from["offset"] = json!(offset(&fifth) - 3);
    reader.subscribe("a", json!({"from": from})).await;
    let again: Vec<Value> = reader.messages(3).await;
    assert_eq!(
        again.iter().map(|m| &m["data"]).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    reader.subscribe("k.*", json!({"from": "last"})).await;
    let newest = reader.messages(2).await;
    assert_eq!(
        newest.iter().map(|m| &m["data"]).collect::<Vec<_>>(),
        [2, 3]
    );

    let mut publisher = Socket::open(node.listen).await;
    let next = publisher.publish("a", None, json!(5)).await;
    assert_eq!(next["epoch"], last["epoch"]);
    assert_eq!(offset(&next), offset(&last) + 1);
    let message = reader.messages(1).await.remove(0);
    assert_eq!(
        (offset(&message), &message["data"]),
        (offset(&next), &json!(5))
    );
}

#[tokio::test]
async fn whatever_dies_under_load_every_acknowledged_publication_is_there_once() {
    const ROUNDS: u64 = 3;
    let folder = folder();
    let mut acknowledged = BTreeMap::new();
    let mut number = 0;
    for round in 0..ROUNDS {
        let node = durable_node(folder.path(), &["--log-sync", "none"]).await;
        let mut socket = Socket::open(node.listen).await;
        let hub = node.hub_pid().await;
        let mut answers = Vec::new();
        for step in 0..2000 {
            number += 1;
            let command = json!({"op": "publish", "id": number, "topic": "t", "data": number});
            socket.feed_text(command.to_string()).await;
            if step == 1000 + 100 * round {
                socket.flush().await;
                // Some are acknowledged, and many are under way.
                answers.push(socket.next().await);
                node.signal(hub, Signal::KILL);
                while answers.len() <= step as usize {
                    answers.push(socket.next().await);
                }
            }
        }
        socket.flush().await;
        while answers.len() < 2000 {
            answers.push(socket.next().await);
        }
        for answer in &answers {
            if answer["op"] == "published" {
                let told = answer["id"].as_u64().expect("a number");
                assert_eq!(acknowledged.insert(told, offset(answer)), None);
            }
        }
        for _ in 0..100 {
            number += 1;
            let offset = publish_until_taken(&mut socket, "t", json!(number)).await;
            assert_eq!(acknowledged.insert(number, offset), None);
        }
        node.kill_all().await;
    }
    let node = durable_node(folder.path(), &[]).await;
    let mut reader = Socket::open(node.listen).await;
    reader
        .subscribe("t", json!({"from": "earliest", "bound": wide()}))
        .await;
    let mut publisher = Socket::open(node.listen).await;
    publisher.publish("t", None, json!("end")).await;
    let (mut found, mut last) = (BTreeMap::new(), 0);
    loop {
        let message = reader.messages(1).await.remove(0);
        assert!(offset(&message) > last, "offsets rise");
        last = offset(&message);
        let Some(told) = message["data"].as_u64() else {
            break;
        };
        assert_eq!(found.insert(told, last), None, "{told} is there twice");
    }
    assert!(
        acknowledged.len() as u64 > 100 * ROUNDS,
        "none before a kill"
    );
    for (told, offset) in &acknowledged {
        assert_eq!(found.get(told), Some(offset), "{told} was acknowledged");
    }
    reader.ledger("t").await;
}

#[tokio::test]
async fn a_stalled_spilling_subscriber_gets_all_of_it_and_its_neighbour_notices_nothing() {
    const MESSAGES: u64 = 4000;
    let folder = folder();
    let node = durable_node(folder.path(), &[]).await;
    let mut publisher = Socket::open(node.listen).await;
    let (mut stalled, mut neighbour) = (
        Socket::open(node.listen).await,
        Socket::open(node.listen).await,
    );
    let settings = json!({"overflow": "spill", "bound": {"messages": 100, "bytes": 1 << 20}});
    stalled.subscribe("s", settings).await;
    neighbour.subscribe("s", json!({"bound": wide()})).await;
    let filling = "x".repeat(4000);
    let entry = |number: u64| (None, json!([number, filling]));
    let (_, received) = tokio::join!(
        publisher.publish_many("s", MESSAGES, entry),
        neighbour.messages(MESSAGES as usize)
    );
    assert!(
        received
            .windows(2)
            .all(|pair| offset(&pair[0]) + 1 == offset(&pair[1]))
    );
    let late = stalled.messages(MESSAGES as usize).await;
    let numbers: Vec<u64> = late.iter().filter_map(|m| m["data"][0].as_u64()).collect();
    assert_eq!(numbers, (0..MESSAGES).collect::<Vec<u64>>());
    stalled.ledger("s").await;
}

#[tokio::test]
async fn a_publication_is_acknowledged_only_when_it_is_synced() {
    let folder = folder();
    let node = durable_node(folder.path(), &["--log-sync", "always"]).await;
    let mut publisher = Socket::open(node.listen).await;
    let last = publisher
        .publish_many("a", 500, |number| (None, json!(number)))
        .await;
    assert_eq!(offset(&last), 500);
    node.kill_all().await;
    let node = durable_node(folder.path(), &["--log-sync", "always"]).await;
    let mut reader = Socket::open(node.listen).await;
    reader.subscribe("a", json!({"from": {"recent": 2}})).await;
    let newest = reader.messages(2).await;
    assert_eq!(
        newest.iter().map(|m| &m["data"]).collect::<Vec<_>>(),
        [498, 499]
    );
}

#[tokio::test]
async fn two_nodes_on_one_folder_are_one_too_many() {
    let folder = folder();
    let node = durable_node(folder.path(), &[]).await;
    let log = format!("disk:{}", folder.path().display());
    let other = folder.path().join("other-run-dir");
    let run_dir = other.to_str().expect("a path in UTF-8");
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--run-dir",
        run_dir,
        "--log",
        &log,
    ];
    let refused = run_to_end(&arguments, &[]).await;
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert_eq!(refused.stderr.lines().count(), 1, "{refused:?}");
    let hub = node.hub_pid().await.to_string();
    assert!(refused.stderr.contains(&hub), "{refused:?}");
}

#[tokio::test]
async fn a_folder_of_a_newer_format_is_left_alone() {
    let folder = folder();
    std::fs::write(folder.path().join("meta"), r#"{"format":99}"#).expect("a file");
    let log = format!("disk:{}", folder.path().display());
    let refused = run_to_end(
        &["--listen", "127.0.0.1:0", "--admin", "none", "--log", &log],
        &[],
    )
    .await;
    assert_eq!(refused.code, Some(69), "{refused:?}");
    assert!(refused.stderr.contains("99"), "{refused:?}");
}

async fn call(socket: &mut Socket, method: &str, params: Value) -> Value {
    let command = json!({"op": "call", "method": method, "params": params});
    let mut looks = looks();
    let answered = async {
        loop {
            let answer = socket.ask(command.clone()).await;
            if answer["code"] != "unavailable" {
                return answer;
            }
            looks.tick().await;
        }
    };
    within_patience("an answer of the desk", answered).await
}

async fn quote(socket: &mut Socket, price: u32) {
    let data = json!({"symbol": "ABC", "bid": price, "ask": price, "last": price, "volume": 1, "time": "t"});
    publish_until_taken(socket, "quotes.ABC", data).await;
}

#[tokio::test]
async fn after_the_death_of_everything_orders_are_known_and_go_on() {
    let folder = folder();
    let node = durable_node(folder.path(), &[]).await;
    let mut socket = Socket::open(node.listen).await;
    quote(&mut socket, 10).await;
    let market = json!({"client_order_id": "m", "account": "a", "symbol": "ABC", "side": "buy", "qty": 1, "type": "market"});
    let limit = json!({"client_order_id": "l", "account": "a", "symbol": "ABC", "side": "buy", "qty": 2, "type": "limit", "limit_price": 9});
    let filled = call(&mut socket, "order.submit", market.clone()).await["result"].clone();
    let rests = call(&mut socket, "order.submit", limit).await["result"].clone();
    node.kill_all().await;

    let node = durable_node(folder.path(), &[]).await;
    let mut socket = Socket::open(node.listen).await;
    let get = |order: &Value| json!({"order_id": order["order_id"]});
    let found = call(&mut socket, "order.get", get(&filled)).await;
    assert_eq!(
        (&found["result"]["status"], &found["result"]["price"]),
        (&json!("filled"), &json!(10))
    );
    let again = call(&mut socket, "order.submit", market).await;
    assert_eq!(again["result"]["duplicate"], true, "{again}");
    assert_eq!(again["result"]["order_id"], filled["order_id"]);
    let found = call(&mut socket, "order.get", get(&rests)).await;
    assert_eq!(found["result"]["status"], "working", "{found}");
    quote(&mut socket, 8).await;
    let found = call(&mut socket, "order.get", get(&rests)).await;
    assert_eq!(
        (&found["result"]["status"], &found["result"]["price"]),
        (&json!("filled"), &json!(8))
    );
    let next = json!({"client_order_id": "n", "account": "a", "symbol": "ABC", "side": "sell", "qty": 1, "type": "market"});
    let next = call(&mut socket, "order.submit", next).await;
    let listed = call(&mut socket, "order.list", json!({"account": "a"})).await;
    let ids: Vec<&Value> = listed["result"]["orders"]
        .as_array()
        .expect("orders")
        .iter()
        .map(|o| &o["order_id"])
        .collect();
    assert_eq!(
        ids,
        [
            &filled["order_id"],
            &rests["order_id"],
            &next["result"]["order_id"]
        ]
    );
}

#[tokio::test]
async fn what_retention_has_left_far_behind_is_known_after_the_death_of_everything() {
    let folder = folder();
    let small = ["--retain", "1MiB"];
    let node = durable_node(folder.path(), &small).await;
    let mut socket = Socket::open(node.listen).await;
    socket.publish("k.x", Some("one"), json!("first")).await;
    quote(&mut socket, 10).await;
    let limit = json!({"client_order_id": "l", "account": "a", "symbol": "ABC", "side": "buy", "qty": 2, "type": "limit", "limit_price": 9});
    let rests = call(&mut socket, "order.submit", limit.clone()).await["result"].clone();
    let filling = "x".repeat(4000);
    let entry = |number: u64| (None, json!([number, filling]));
    socket.publish_many("s", 1500, entry).await;
    node.until("retention has taken the order's reports", |status| {
        status["hub"]["first"].as_i64() > Some(10)
    })
    .await;
    assert!(node.metric("pubsub_log_checkpoints_total", "").await > 0);
    assert!(node.metric("pubsub_log_checkpoint_bytes", "").await > 0);
    node.kill_all().await;

    let node = durable_node(folder.path(), &small).await;
    let mut socket = Socket::open(node.listen).await;
    let get = json!({"order_id": rests["order_id"]});
    let found = call(&mut socket, "order.get", get).await;
    assert_eq!(found["result"]["status"], "working", "{found}");
    let again = call(&mut socket, "order.submit", limit).await;
    assert_eq!(
        (&again["result"]["duplicate"], &again["result"]["ts"]),
        (&json!(true), &rests["ts"])
    );
    socket.subscribe("k.*", json!({"from": "last"})).await;
    assert_eq!(socket.messages(1).await[0]["data"], "first");
}
