//! Topics and patterns: what matches, what each of several overlapping subscriptions gets, and in which order.
mod harness;

use harness::{Node, Socket, offset};
use serde_json::{Value, json};
use std::collections::BTreeMap;

async fn quiet_node() -> Node {
    Node::start(&["--workers", "2", "--source", "none"]).await
}

fn topics(messages: &[Value]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message["topic"].as_str().expect("a topic"))
        .collect()
}

#[tokio::test]
async fn a_star_is_one_token_and_an_angle_the_rest() {
    let node = quiet_node().await;
    let mut publisher = Socket::open(node.listen).await;
    let names = ["a", "a.b", "a.c", "a.b.c", "a.b.c.d", "b.b", "ab"];
    for (pattern, expected) in [
        ("*", vec!["a", "ab"]),
        (">", names.to_vec()),
        ("a.*", vec!["a.b", "a.c"]),
        ("a.>", vec!["a.b", "a.c", "a.b.c", "a.b.c.d"]),
        ("*.b", vec!["a.b", "b.b"]),
        ("a.*.c", vec!["a.b.c"]),
        ("*.*.>", vec!["a.b.c", "a.b.c.d"]),
        ("a.b", vec!["a.b"]),
    ] {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe(pattern, json!({})).await;
        for topic in names {
            publisher.publish(topic, None, json!(topic)).await;
        }
        publisher.publish("z.end", None, json!(0)).await;
        let messages = socket.messages(expected.len()).await;
        assert_eq!(topics(&messages), expected, "{pattern}");
        for message in &messages {
            assert_eq!(message["data"], message["topic"]);
            let sub = message.get("sub").and_then(Value::as_str);
            assert_eq!(sub, (pattern != "a.b").then_some(pattern), "{message}");
        }
    }
}

#[tokio::test]
async fn overlapping_texts_each_deliver_and_end_each_for_itself() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    for text in ["n.eu", "n.*", "n.>"] {
        socket.subscribe(text, json!({})).await;
    }
    socket.publish("n.eu", None, json!(1)).await;
    let mut subs: Vec<Option<String>> = socket
        .messages(3)
        .await
        .iter()
        .map(|message| message["sub"].as_str().map(str::to_owned))
        .collect();
    subs.sort();
    assert_eq!(subs, [None, Some("n.*".to_owned()), Some("n.>".to_owned())]);

    let again = socket.ask(json!({"op": "subscribe", "topic": "n.*"})).await;
    assert_eq!(again["code"], "already_subscribed");
    socket
        .ask(json!({"op": "unsubscribe", "topic": "n.*"}))
        .await;
    socket.publish("n.eu", None, json!(2)).await;
    assert!(
        socket
            .messages(2)
            .await
            .iter()
            .all(|message| message["sub"] != "n.*")
    );
    assert!(socket.is_quiet().await);
    socket.subscribe("n.*", json!({})).await;
    socket.publish("n.eu", None, json!(3)).await;
    assert_eq!(socket.messages(3).await.len(), 3, "the text is free again");
}

#[tokio::test]
async fn a_pattern_keeps_the_order_of_the_log_over_its_topics() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .subscribe("t.*", json!({"bound": {"messages": 10_000}}))
        .await;
    let mut publisher = Socket::open(node.listen).await;
    let mut order = Vec::new();
    for number in 0..1000_u32 {
        let topic = format!("t.{}", number.wrapping_mul(2_654_435_761) % 37);
        publisher
            .feed_text(json!({"op": "publish", "topic": topic, "data": number}).to_string())
            .await;
        order.push(topic);
    }
    publisher.publish("end", None, json!(0)).await;
    let messages = socket.messages(1000).await;
    assert_eq!(topics(&messages), order);
    assert!(
        messages
            .windows(2)
            .all(|pair| offset(&pair[0]) < offset(&pair[1]))
    );
}

#[tokio::test]
async fn a_pattern_takes_in_topics_that_come_into_being_later() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket.subscribe("new.*", json!({})).await;
    for number in 0..50 {
        socket
            .publish(&format!("new.{number}"), None, json!(number))
            .await;
        assert_eq!(socket.next_op("msg").await["data"], number);
    }
}

#[tokio::test]
async fn one_of_many_topics_brings_only_its_own() {
    const TOPICS: usize = 500;
    let node = quiet_node().await;
    let mut sockets = Vec::new();
    for number in 0..TOPICS {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe(&format!("each.{number}"), json!({})).await;
        sockets.push(socket);
    }
    let mut publisher = Socket::open(node.listen).await;
    for round in 0..3 {
        for number in 0..TOPICS {
            let command = json!({"op": "publish", "topic": format!("each.{number}"), "data": [number, round]});
            publisher.feed_text(command.to_string()).await;
        }
    }
    publisher.publish("end", None, json!(0)).await;
    for (number, socket) in sockets.iter_mut().enumerate() {
        let data: Vec<Value> = socket
            .messages(3)
            .await
            .iter()
            .map(|message| message["data"].clone())
            .collect();
        assert_eq!(
            data,
            [json!([number, 0]), json!([number, 1]), json!([number, 2])]
        );
        assert!(socket.is_quiet().await);
    }
}

#[tokio::test]
async fn last_of_a_pattern_is_the_newest_of_every_topic_and_key() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    for round in 0..3 {
        for topic in ["p.a", "p.b", "q.a"] {
            for key in ["x", "y"] {
                socket
                    .publish(topic, Some(key), json!(format!("{topic} {key} {round}")))
                    .await;
            }
        }
    }
    socket.subscribe("p.>", json!({"from": "last"})).await;
    let newest: BTreeMap<(String, String), String> = socket
        .messages(4)
        .await
        .iter()
        .map(|message| {
            let text = |field: &str| message[field].as_str().expect("text").to_owned();
            ((text("topic"), text("key")), text("data"))
        })
        .collect();
    assert_eq!(newest.len(), 4);
    assert!(
        newest
            .iter()
            .all(|((topic, key), data)| *data == format!("{topic} {key} 2")),
        "{newest:?}"
    );
    assert!(socket.is_quiet().await);
}

#[tokio::test]
async fn an_empty_key_and_no_key_are_two_identities_and_null_is_no_key() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket.publish("k", Some(""), json!("empty")).await;
    socket.publish("k", None, json!("null")).await;
    let absent = socket
        .ask(json!({"op": "publish", "topic": "k", "data": "absent"}))
        .await;
    assert_eq!(absent["op"], "published");
    socket.subscribe("k", json!({"from": "last"})).await;
    let newest: Vec<Value> = socket
        .messages(2)
        .await
        .iter()
        .map(|message| message["data"].clone())
        .collect();
    assert_eq!(newest, [json!("empty"), json!("absent")]);
}
