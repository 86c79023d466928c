//! Where a subscription begins: live, last, earliest, recent, after a position; and what is said when that is gone.
mod harness;

use harness::{Node, Raw, Socket, masked_frame, offset};
use serde_json::{Value, json};
use std::io::Read;

/// A bound that nothing in these tests reaches.
fn wide() -> Value {
    json!({"messages": 100_000, "bytes": 64 << 20})
}

async fn quiet_node() -> Node {
    Node::start(&["--workers", "1", "--source", "none"]).await
}

fn data(messages: &[Value]) -> Vec<Value> {
    messages
        .iter()
        .map(|message| message["data"].clone())
        .collect()
}

fn epoch(subscribed: &Value) -> String {
    subscribed["epoch"].as_str().expect("an epoch").to_owned()
}

#[tokio::test]
async fn live_starts_after_what_was_there() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    let head = socket.publish("a", None, json!("before")).await;
    let subscribed = socket.subscribe("a", json!({"from": "live"})).await;
    assert_eq!(subscribed["offset"], head["offset"]);
    assert_eq!(subscribed["epoch"], head["epoch"]);
    socket.publish("a", None, json!("after")).await;
    assert_eq!(data(&socket.messages(1).await), [json!("after")]);
}

#[tokio::test]
async fn offsets_start_at_one_and_rise_over_all_topics() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    for (number, topic) in (1..).zip(["a", "b", "a", "c.d"]) {
        assert_eq!(offset(&socket.publish(topic, None, json!(0)).await), number);
    }
}

#[tokio::test]
async fn earliest_brings_all_that_the_log_holds_and_goes_on_live() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .publish_many("a", 500, |number| (None, json!(number)))
        .await;
    let subscribed = socket.subscribe("a", json!({"from": "earliest"})).await;
    assert_eq!(subscribed["offset"], 0, "the position before the first");
    socket.publish("a", None, json!(500)).await;
    assert_eq!(
        data(&socket.messages(501).await),
        (0..=500)
            .map(|number| json!(number))
            .collect::<Vec<Value>>()
    );
    let ledger = socket.ledger("a").await;
    assert_eq!(
        (&ledger["published"], &ledger["delivered"]),
        (&json!(501), &json!(501))
    );
}

#[tokio::test]
async fn recent_brings_the_newest_few_in_order() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .publish_many("a", 20, |number| (None, json!(number)))
        .await;
    socket.subscribe("a", json!({"from": {"recent": 3}})).await;
    assert_eq!(
        data(&socket.messages(3).await),
        [json!(17), json!(18), json!(19)]
    );
    let mut second = Socket::open(node.listen).await;
    second
        .subscribe("a", json!({"from": {"recent": 1000}}))
        .await;
    assert_eq!(second.messages(20).await.len(), 20);
    assert!(second.is_quiet().await);
}

#[tokio::test]
async fn last_brings_the_newest_of_every_key_in_log_order_and_then_goes_live() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    for (key, value) in [("x", 1), ("y", 2), ("z", 3), ("y", 4), ("x", 5)] {
        socket.publish("a.k", Some(key), json!(value)).await;
    }
    socket.publish("a.bare", None, json!(6)).await;
    socket.publish("a.bare", None, json!(7)).await;
    socket.subscribe("a.*", json!({"from": "last"})).await;
    let snapshot = socket.messages(4).await;
    assert_eq!(
        data(&snapshot),
        [json!(3), json!(4), json!(5), json!(7)],
        "a message without key is keyed by its topic"
    );
    assert_eq!(
        snapshot.iter().map(offset).collect::<Vec<i64>>(),
        [3, 4, 5, 7],
        "with their own offsets"
    );
    socket.publish("a.k", Some("x"), json!(8)).await;
    assert_eq!(data(&socket.messages(1).await), [json!(8)]);
    assert_eq!(
        socket.ledger("a.*").await["published"],
        5,
        "each of the snapshot counts as published"
    );
}

#[tokio::test]
async fn a_reconnected_subscriber_goes_on_after_its_position_without_loss_or_repetition() {
    let node = Node::start(&["--workers", "3", "--source", "none"]).await;
    let mut publisher = Socket::open(node.listen).await;
    let mut first = Socket::open(node.listen).await;
    let subscribed = first.subscribe("a.>", json!({"bound": wide()})).await;
    publisher
        .publish_many("a.b.c", 100, |number| (None, json!(number)))
        .await;
    let seen = first.messages(50).await;
    drop(first);
    publisher
        .publish_many("a.d", 100, |number| (None, json!(100 + number)))
        .await;

    let mut second = Socket::open(node.listen).await;
    let position = json!({"epoch": epoch(&subscribed), "offset": seen[49]["offset"]});
    second
        .subscribe("a.>", json!({"from": position, "bound": wide()}))
        .await;
    let rest = second.messages(150).await;
    assert_eq!(
        data(&[seen, rest].concat()),
        (0..200).map(|number| json!(number)).collect::<Vec<Value>>()
    );
    assert!(second.is_quiet().await);
}

#[tokio::test]
async fn whoever_joins_while_the_log_grows_sees_neither_hole_nor_duplicate() {
    const ALL: i64 = 10_000;
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let listen = node.listen;
    let publishing = tokio::spawn(async move {
        let mut publisher = Socket::open(listen).await;
        publisher
            .publish_many("grow", ALL as u64, |number| (None, json!(number)))
            .await
    });
    let mut joined = Vec::new();
    for _ in 0..8 {
        let mut socket = Socket::open(node.listen).await;
        socket
            .subscribe("grow", json!({"from": "earliest", "bound": wide()}))
            .await;
        socket.messages(10).await; // so that each joins at another place
        joined.push(socket);
    }
    publishing.await.expect("the publisher is done");
    for socket in &mut joined {
        let messages = socket
            .messages(usize::try_from(ALL).expect("it fits") - 10)
            .await;
        assert!(
            messages.iter().map(offset).eq(11..=ALL),
            "every offset once and in order"
        );
        assert!(socket.is_quiet().await);
    }
}

#[tokio::test]
async fn a_position_of_another_epoch_is_said_and_all_that_is_held_comes() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .publish_many("a", 3, |number| (None, json!(number)))
        .await;
    let strange = json!({"epoch": "of-another-log", "offset": 2});
    let subscribed = socket.subscribe("a", json!({"from": strange})).await;
    let gap = socket.next().await;
    assert_eq!(
        (&gap["op"], &gap["reason"], &gap["topic"]),
        (&json!("gap"), &json!("epoch"), &json!("a")),
        "{gap}"
    );
    for unknown in ["from", "to", "count"] {
        assert!(gap[unknown].is_null(), "{unknown} can't be known: {gap}");
    }
    assert_eq!(
        (&gap["epoch"], &gap["offset"]),
        (&subscribed["epoch"], &json!(0))
    );
    assert_eq!(socket.messages(3).await.len(), 3);
    assert_eq!(
        socket.ledger("a").await["published"],
        3,
        "the ledger starts after the gap"
    );
}

#[tokio::test]
async fn else_says_where_to_begin_instead() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    for value in 0..4 {
        socket.publish("a", Some("k"), json!(value)).await;
    }
    for (otherwise, expected) in [
        ("earliest", vec![0, 1, 2, 3]),
        ("last", vec![3]),
        ("live", vec![]),
    ] {
        let mut socket = Socket::open(node.listen).await;
        let strange = json!({"epoch": "of-another-log", "offset": 2, "else": otherwise});
        socket.subscribe("a", json!({"from": strange})).await;
        assert_eq!(socket.next().await["reason"], "epoch", "{otherwise}");
        let values: Vec<Value> = expected.into_iter().map(|value| json!(value)).collect();
        assert_eq!(
            data(&socket.messages(values.len()).await),
            values,
            "{otherwise}"
        );
        assert!(socket.is_quiet().await, "{otherwise}");
    }
}

#[tokio::test]
async fn a_position_that_the_log_has_not_reached_is_of_another_epoch() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    let published = socket.publish("a", None, json!(0)).await;
    let ahead = json!({"epoch": published["epoch"], "offset": offset(&published) + 1_000_000});
    socket.subscribe("a", json!({"from": ahead})).await;
    let gap = socket.next().await;
    assert_eq!(
        (&gap["op"], &gap["reason"]),
        (&json!("gap"), &json!("epoch")),
        "{gap}"
    );
}

#[tokio::test]
async fn what_left_the_log_is_announced_exactly() {
    const ALL: i64 = 3000;
    let node = Node::start(&["--workers", "1", "--source", "none", "--retain", "1MiB"]).await;
    let mut socket = Socket::open(node.listen).await;
    let filling = "x".repeat(1000);
    let last = socket
        .publish_many("a", ALL as u64, |_| (None, json!(filling)))
        .await;
    let from = json!({"epoch": last["epoch"], "offset": 10});
    let subscribed = socket
        .subscribe("a", json!({"from": from, "bound": wide()}))
        .await;
    let gap = socket.next().await;
    assert_eq!(
        (&gap["op"], &gap["reason"]),
        (&json!("gap"), &json!("retention")),
        "{gap}"
    );
    assert_eq!(
        gap["offset"], subscribed["offset"],
        "subscribed tells the gap's position"
    );
    if !gap["count"].is_null() {
        assert_eq!(
            (&gap["from"], &gap["to"]),
            (&json!(11), &gap["offset"]),
            "{gap}"
        );
        assert_eq!(
            gap["count"],
            offset(&gap) - 10,
            "one topic, no holes: {gap}"
        );
    }
    let held = ALL - offset(&gap);
    assert!((500..1100).contains(&held), "about a MiB is kept: {held}");
    let messages = socket
        .messages(usize::try_from(held).expect("positive"))
        .await;
    assert!(messages.iter().map(offset).eq(offset(&gap) + 1..=ALL));
    let ledger = socket.ledger("a").await;
    assert_eq!(ledger["delivered"], held);
}

#[tokio::test]
async fn that_other_topics_moved_on_loses_nothing() {
    let node = Node::start(&["--workers", "1", "--source", "none", "--retain", "1MiB"]).await;
    let mut socket = Socket::open(node.listen).await;
    let before = socket.publish("noise", None, json!(0)).await;
    let quiet = socket.publish("quiet", None, json!(1)).await;
    let filling = "x".repeat(1000);
    socket
        .publish_many("noise", 3000, |_| (None, json!(filling)))
        .await;

    let after = json!({"epoch": quiet["epoch"], "offset": quiet["offset"]});
    socket.subscribe("quiet", json!({"from": after})).await;
    assert!(
        socket.is_quiet().await,
        "its only entry was before the position"
    );

    let mut late = Socket::open(node.listen).await;
    late.subscribe(
        "quiet",
        json!({"from": {"epoch": before["epoch"], "offset": before["offset"]}}),
    )
    .await;
    let gap = late.next().await;
    assert_eq!(
        gap["reason"], "retention",
        "its only entry was after the position and is gone: {gap}"
    );
}

#[tokio::test]
async fn a_quiet_subscription_is_told_how_far_the_others_got() {
    let node = Node::start(&["--workers", "1", "--interval-ms", "1..5"]).await;
    let mut socket = Socket::open(node.listen).await;
    let subscribed = socket.subscribe("nothing.here", json!({})).await;
    let position = socket.next_op("position").await;
    assert_eq!(
        (&position["topic"], &position["epoch"]),
        (&json!("nothing.here"), &subscribed["epoch"])
    );
    assert!(offset(&position) > offset(&subscribed), "{position}");
}

#[tokio::test]
async fn a_recorded_file_is_replayed_whole_and_in_order() {
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/prices.csv.gz");
    let mut text = String::new();
    let file = std::fs::File::open(FILE).expect("the recorded file");
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("a gzipped file");
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip(1)
        .map(|line| line.split(',').collect())
        .collect();
    assert_eq!(rows.len(), 40_000);

    let node = Node::start(&[
        "--workers",
        "2",
        "--source",
        &format!("replay:{FILE}"),
        "--interval-ms",
        "0..0",
    ])
    .await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .subscribe(
            "quotes.*",
            json!({"from": "earliest", "bound": wide(), "overflow": "drop_oldest"}),
        )
        .await;
    for (number, (message, row)) in socket
        .messages(rows.len())
        .await
        .iter()
        .zip(&rows)
        .enumerate()
    {
        let quote = &message["data"];
        let price: f64 = row[2].parse().expect("a price");
        assert_eq!(
            (&quote["time"], &quote["symbol"]),
            (&json!(row[0]), &json!(row[1])),
            "row {number}"
        );
        assert!(
            ["bid", "ask", "last"]
                .iter()
                .all(|side| quote[side] == price),
            "row {number}: {quote}"
        );
        assert_eq!(quote["volume"], 0, "row {number}");
    }
    assert!(socket.is_quiet().await, "no row more");

    let mut raw = Raw::upgraded(node.listen).await;
    let command = format!(
        r#"{{"op":"subscribe","topic":"quotes.{}","from":"earliest"}}"#,
        rows[0][1]
    );
    raw.write(&masked_frame(0x81, command.as_bytes())).await;
    raw.frame().await.expect("subscribed");
    let first = loop {
        let (_, frame) = raw.frame().await.expect("a message");
        if frame.starts_with(br#"{"op":"msg""#) {
            break String::from_utf8(frame).expect("UTF-8");
        }
    };
    assert!(
        first.contains(&format!(r#""last":{}"#, rows[0][2])),
        "number text as in the file: {first}"
    );
}
