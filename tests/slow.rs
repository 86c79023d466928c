//! Subscribers that don't keep up: what each overflow policy takes from them, what it tells them, and that nobody else notices.
mod harness;

use harness::{Closing, Node, Socket, offset, residual};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Payload that fills what kernel and peer buffer within some hundred messages.
const FILLING_BYTES: usize = 8000;
/// Enough of them that most cannot have been taken by buffers.
const FLOOD: u64 = 3000;

async fn quiet_node() -> Node {
    Node::start(&["--workers", "1", "--source", "none"]).await
}

/// An entry with its number and something to fill buffers with.
fn bulky(number: u64) -> Value {
    json!({"number": number, "filling": "x".repeat(FILLING_BYTES)})
}

/// What a subscriber got to see of one topic, checked as it came.
#[derive(Default)]
struct Seen {
    received: u64,
    announced: u64,
    modes: Vec<String>,
    gaps: u64,
    /// Offset after which the next thing has to follow.
    position: i64,
}

impl Seen {
    /// Takes the frames of a subscription whose topic owns every offset: each is received or inside a gap, exactly once.
    fn take(&mut self, frame: &Value) {
        match frame["op"].as_str() {
            Some("msg") => {
                assert_eq!(
                    offset(frame),
                    self.position + 1,
                    "neither lost unannounced nor repeated: {:.200}",
                    frame.to_string()
                );
                self.position = offset(frame);
                self.received += 1;
            }
            Some("gap") => {
                assert_eq!(
                    frame["from"],
                    self.position + 1,
                    "begins after the last one delivered: {frame}"
                );
                let to = frame["to"].as_i64().expect("an offset");
                assert_eq!(
                    frame["count"],
                    to - self.position,
                    "counts what is between: {frame}"
                );
                assert_eq!(offset(frame), to, "{frame}");
                self.position = to;
                self.announced += frame["count"].as_u64().expect("a count");
                self.gaps += 1;
            }
            Some("mode") => self
                .modes
                .push(frame["mode"].as_str().expect("a mode").to_owned()),
            _ => panic!("unexpected: {frame}"),
        }
    }
}

#[tokio::test]
async fn drop_oldest_announces_exactly_what_it_took() {
    let node = quiet_node().await;
    let mut slow = Socket::open_narrow(node.listen).await;
    let bound = json!({"messages": 50, "bytes": 64 << 20});
    let subscribed = slow
        .subscribe("flood", json!({"overflow": "drop_oldest", "bound": bound}))
        .await;
    assert_eq!(subscribed["settings"]["overflow"], "drop_oldest");
    assert_eq!(subscribed["settings"]["bound"]["messages"], 50);
    let mut publisher = Socket::open(node.listen).await;
    let last = offset(
        &publisher
            .publish_many("flood", FLOOD, |number| (None, bulky(number)))
            .await,
    );

    let mut seen = Seen::default();
    while seen.position < last {
        seen.take(&slow.next().await);
    }
    assert_eq!(seen.received + seen.announced, FLOOD);
    assert!(
        seen.announced > FLOOD / 10,
        "a client that stands still loses: {}",
        seen.announced
    );
    assert!(
        seen.gaps <= 3,
        "one hole while it stood still, few while it caught up: {}",
        seen.gaps
    );
    assert_eq!(
        seen.modes.first().map(String::as_str),
        Some("behind"),
        "{:?}",
        seen.modes
    );
    let ledger = slow.ledger("flood").await;
    assert_eq!(ledger["published"], FLOOD);
    assert_eq!(ledger["delivered"], seen.received);
    assert_eq!(ledger["dropped"]["drop_oldest"], seen.announced);
    node.until_metric("pubsub_lost_total", "drop_oldest", seen.announced)
        .await;

    publisher.publish("flood", None, json!("after")).await;
    while seen.position < last + 1 {
        seen.take(&slow.next().await);
    }
    assert_eq!(
        seen.modes.last().map(String::as_str),
        Some("live"),
        "{:?}",
        seen.modes
    );
}

#[tokio::test]
async fn a_bound_in_bytes_acts_as_one_in_messages_does() {
    let node = quiet_node().await;
    let mut slow = Socket::open_narrow(node.listen).await;
    let bound = json!({"messages": 100_000, "bytes": 20 * FILLING_BYTES});
    slow.subscribe("flood", json!({"overflow": "drop_oldest", "bound": bound}))
        .await;
    let last = offset(
        &Socket::open(node.listen)
            .await
            .publish_many("flood", FLOOD, |number| (None, bulky(number)))
            .await,
    );
    let mut seen = Seen::default();
    while seen.position < last {
        seen.take(&slow.next().await);
    }
    assert_eq!(seen.received + seen.announced, FLOOD);
    assert!(seen.announced > FLOOD / 10, "{}", seen.announced);
    assert_eq!(
        slow.ledger("flood").await["dropped"]["drop_oldest"],
        seen.announced
    );
}

#[tokio::test]
async fn conflate_ends_with_the_newest_of_every_key() {
    const KEYS: u64 = 20;
    let node = quiet_node().await;
    let mut slow = Socket::open_narrow(node.listen).await;
    let bound = json!({"messages": 40, "bytes": 64 << 20});
    slow.subscribe("prices", json!({"overflow": "conflate", "bound": bound}))
        .await;
    let mut publisher = Socket::open(node.listen).await;
    publisher
        .publish_many("prices", FLOOD, |number| {
            (Some(format!("k{}", number % KEYS)), bulky(number))
        })
        .await;
    publisher.publish("prices", Some("end"), json!("end")).await;

    let mut newest = BTreeMap::new();
    let mut received = 0_u64;
    let mut before = 0;
    loop {
        let frame = slow.next().await;
        match frame["op"].as_str() {
            Some("msg") => {
                received += 1;
                assert!(offset(&frame) > before, "survivors keep the log's order");
                before = offset(&frame);
                let key = frame["key"].as_str().expect("a key").to_owned();
                if key == "end" {
                    break;
                }
                newest.insert(key, frame["data"]["number"].as_u64().expect("a number"));
            }
            Some("mode") => {}
            _ => panic!("conflation was asked for and needs no gap: {frame}"),
        }
    }
    let expected: BTreeMap<String, u64> = (FLOOD - KEYS..FLOOD)
        .map(|number| (format!("k{}", number % KEYS), number))
        .collect();
    assert_eq!(newest, expected);
    let ledger = slow.ledger("prices").await;
    assert_eq!(ledger["published"], FLOOD + 1);
    assert_eq!(ledger["delivered"], received);
    assert_eq!(ledger["conflated"], FLOOD + 1 - received);
    assert!(ledger["conflated"].as_u64() > Some(FLOOD / 10), "{ledger}");
    node.until_metric("pubsub_conflated_total", "", FLOOD + 1 - received)
        .await;
}

#[tokio::test]
async fn disconnect_lets_go_of_a_client_that_takes_nothing() {
    let node = quiet_node().await;
    let mut slow = Socket::open_narrow(node.listen).await;
    slow.subscribe(
        "flood",
        json!({"overflow": "disconnect", "bound": {"messages": 50, "bytes": 64 << 20}}),
    )
    .await;
    let mut publisher = Socket::open(node.listen).await;
    publisher
        .publish_many("flood", FLOOD, |number| (None, bulky(number)))
        .await;
    node.until("only the publisher is left", |status| {
        harness::worker(status, 0)["connections"] == 1
    })
    .await;
    let (frames, closing) = slow.rest().await;
    assert!(
        frames.iter().all(|frame| frame["op"] != "gap"),
        "a close announces nothing"
    );
    assert!(
        matches!(closing, Closing::Cut | Closing::Frame(4001, _)),
        "{closing:?}"
    );
    assert!((frames.len() as u64) < FLOOD);
}

#[tokio::test]
async fn the_others_on_the_worker_of_a_stalled_one_get_everything() {
    let node = quiet_node().await;
    let mut stalled = Vec::new();
    for overflow in ["drop_oldest", "conflate", "drop_oldest"] {
        let mut socket = Socket::open_narrow(node.listen).await;
        socket
            .subscribe(
                "flood",
                json!({"overflow": overflow, "bound": {"messages": 10}}),
            )
            .await;
        stalled.push(socket);
    }
    let mut reader = Socket::open(node.listen).await;
    reader
        .subscribe(
            "flood",
            json!({"bound": {"messages": 100_000, "bytes": 64 << 20}}),
        )
        .await;
    let listen = node.listen;
    let publishing = tokio::spawn(async move {
        Socket::open(listen)
            .await
            .publish_many("flood", FLOOD, |number| (None, bulky(number)))
            .await
    });
    let messages = reader
        .messages(usize::try_from(FLOOD).expect("it fits"))
        .await;
    assert!(
        messages
            .windows(2)
            .all(|pair| offset(&pair[0]) + 1 == offset(&pair[1]))
    );
    publishing.await.expect("the publisher is done");
    let ledger = reader.ledger("flood").await;
    assert_eq!(ledger["delivered"], FLOOD);
}

#[tokio::test]
async fn a_stalled_subscription_still_gets_answers_before_its_data() {
    let node = quiet_node().await;
    let mut slow = Socket::open_narrow(node.listen).await;
    slow.subscribe(
        "flood",
        json!({"bound": {"messages": 100_000, "bytes": 64 << 20}}),
    )
    .await;
    Socket::open(node.listen)
        .await
        .publish_many("flood", FLOOD, |number| (None, bulky(number)))
        .await;
    slow.send(json!({"op": "ping", "id": "now"})).await;
    let mut before = 0;
    while slow.next().await["op"] != "pong" {
        before += 1;
    }
    assert!(before < FLOOD, "a pong doesn't queue behind the data");
    let end = slow
        .ask(json!({"op": "unsubscribe", "topic": "flood"}))
        .await;
    assert_eq!(end["op"], "unsubscribed");
    assert_eq!(residual(&end["ledger"]), 0);
    assert!(
        end["ledger"]["pending"]["memory"].as_u64() > Some(0),
        "it ends at the next frame, not after what is pending: {end}"
    );
}

#[tokio::test]
async fn a_bound_above_the_limit_is_clamped_and_said() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    let subscribed = socket
        .subscribe(
            "a",
            json!({"bound": {"messages": 1_000_000_000_u64, "bytes": 1_u64 << 40}}),
        )
        .await;
    let limits = &socket.welcome["limits"]["bound"];
    assert_eq!(
        subscribed["settings"]["bound"]["messages"],
        limits["messages"]
    );
    assert_eq!(subscribed["settings"]["bound"]["bytes"], limits["bytes"]);
}

#[tokio::test]
async fn one_message_passes_however_large_it_is() {
    let node = quiet_node().await;
    let mut socket = Socket::open(node.listen).await;
    socket
        .subscribe("a", json!({"bound": {"messages": 1, "bytes": 1}}))
        .await;
    socket.publish("a", None, bulky(1)).await;
    assert_eq!(socket.messages(1).await[0]["data"]["number"], 1);
}

#[tokio::test]
async fn a_topic_that_nobody_reads_costs_no_worker_anything() {
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let mut publisher = Socket::open(node.listen).await;
    publisher.subscribe("wanted", json!({})).await;
    publisher
        .publish_many("unwanted", 2000, |number| (None, json!(number)))
        .await;
    publisher.publish("wanted", None, json!(1)).await;
    publisher.messages(1).await;
    let status = node
        .until("the publications are counted", |status| {
            status["totals"]["published"] == 2001
        })
        .await;
    assert_eq!(status["totals"]["delivered"], 1, "{status}");
}
