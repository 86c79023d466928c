//! Each overflow policy, of a topic and of a pattern: what it takes from a client that stands still, what it tells, and that the
//! client's neighbour notices nothing.
use crate::harness::{Closing, Node, Socket, offset, residual, worker};
use crate::seen::{Seen, View};
use crate::stage::{
    Entry, FLOOD, Neighbour, Publisher, Stalled, entry, messages_bound, narrow_node,
    narrow_node_with,
};
use serde_json::{Value, json};

/// Keys of the publications.
const KEYS: u64 = 7;

/// A client that stood still during a flood, before it goes on reading.
struct Scene {
    node: Node,
    publisher: Publisher,
    neighbour: Neighbour,
    stalled: Stalled,
}

impl Scene {
    async fn flooded(view: View, overflow: &str, bound: u64) -> Scene {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let mut neighbour = Neighbour::subscribe(&node, view).await;
        let fields = json!({"overflow": overflow, "bound": messages_bound(bound)});
        let stalled = Stalled::subscribe(&node, view, fields).await;
        neighbour
            .reads_along(&mut publisher, FLOOD, entry(view, KEYS))
            .await;
        Scene {
            node,
            publisher,
            neighbour,
            stalled,
        }
    }

    /// Floods again, with little, while both read.
    async fn goes_on(&mut self) {
        let view = self.stalled.seen.view;
        self.neighbour
            .reads_along(&mut self.publisher, 10, entry(view, KEYS))
            .await;
        self.stalled.read_to_the_end().await;
    }
}

fn published(seen: &Seen, publisher: &Publisher) -> u64 {
    seen.wanted(publisher.log()).len() as u64
}

#[tokio::test]
async fn drop_oldest_keeps_the_newest_and_announces_exactly_what_it_took() {
    const BOUND: u64 = 50;
    for view in View::BOTH {
        let mut scene = Scene::flooded(view, "drop_oldest", BOUND).await;
        let ledger = scene.stalled.read_to_the_end().await;
        let seen = &scene.stalled.seen;
        seen.accounts_for(scene.publisher.log());
        assert_eq!(ledger["published"], published(seen, &scene.publisher));
        let lost = seen.announced_as("drop_oldest");
        assert!(lost > FLOOD / 10 && lost == seen.announced(), "{lost}");
        assert_eq!(seen.gaps.len(), 1, "it stood still once: {:?}", seen.gaps);
        let wanted = seen.wanted(scene.publisher.log());
        let newest = &wanted[wanted.len() + 1 - BOUND as usize..];
        let came: Vec<i64> = seen.messages.iter().map(|message| message.offset).collect();
        assert!(came.ends_with(newest), "a frame under way and the newest");
        assert_eq!(seen.modes.first().map(String::as_str), Some("behind"));
        scene
            .node
            .until_metric("pubsub_lost_total", "drop_oldest", lost)
            .await;

        scene.goes_on().await;
        let seen = &scene.stalled.seen;
        seen.accounts_for(scene.publisher.log());
        assert_eq!(seen.modes.last().map(String::as_str), Some("live"));
    }
}

#[tokio::test]
async fn drop_newest_keeps_the_oldest_and_announces_its_hole_behind_them() {
    const BOUND: u64 = 50;
    for view in View::BOTH {
        let mut scene = Scene::flooded(view, "drop_newest", BOUND).await;
        scene.stalled.read_to_the_end().await;
        let seen = &scene.stalled.seen;
        seen.accounts_for(scene.publisher.log());
        let kept = seen.received() as usize;
        assert!(
            kept >= BOUND as usize,
            "a bound of {BOUND} keeps {BOUND}: {kept}"
        );
        let came: Vec<i64> = seen.messages.iter().map(|message| message.offset).collect();
        assert_eq!(came, seen.wanted(scene.publisher.log())[..kept]);
        let [gap] = &seen.gaps[..] else {
            panic!("one hole: {:?}", seen.gaps);
        };
        assert_eq!((gap.after, gap.reason.as_str()), (kept, "drop_newest"));
        let lost = gap.count;
        scene
            .node
            .until_metric("pubsub_lost_total", "drop_newest", lost)
            .await;

        scene.goes_on().await;
        let seen = &scene.stalled.seen;
        seen.accounts_for(scene.publisher.log());
        assert_eq!(seen.announced(), lost, "it keeps up again");
    }
}

#[tokio::test]
async fn a_volatile_subscription_holds_one_message_and_loses_the_others() {
    let mut scene = Scene::flooded(View::Topic, "drop_newest", 1).await;
    scene.stalled.read_to_the_end().await;
    let seen = &scene.stalled.seen;
    seen.accounts_for(scene.publisher.log());
    assert!(seen.announced() > FLOOD / 10, "{}", seen.announced());
    scene.goes_on().await;
    scene.stalled.seen.accounts_for(scene.publisher.log());
}

#[tokio::test]
async fn conflate_ends_with_the_newest_of_every_key() {
    for view in View::BOTH {
        let mut scene = Scene::flooded(view, "conflate", 50).await;
        let ledger = scene.stalled.read_to_the_end().await;
        let seen = &scene.stalled.seen;
        let conflated = seen.left_out(scene.publisher.log());
        assert!(conflated > FLOOD / 10, "{conflated}");
        assert_eq!(ledger["conflated"], conflated);
        assert_eq!(seen.announced(), 0, "it was asked for");
        seen.holds_the_newest(scene.publisher.log());
        scene
            .node
            .until_metric("pubsub_conflated_total", "", conflated)
            .await;
    }
}

#[tokio::test]
async fn conflate_holds_more_keys_than_its_bound() {
    const BOUND: u64 = 10;
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"overflow": "conflate", "bound": messages_bound(BOUND)});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    for _ in 0..3 {
        publisher.flood(FLOOD, entry(View::Topic, FLOOD / 2)).await;
    }
    let ledger = stalled.read_to_the_end().await;
    assert_eq!(stalled.seen.announced(), 0);
    assert_eq!(ledger["conflated"], stalled.seen.left_out(publisher.log()));
    stalled.seen.holds_the_newest(publisher.log());
}

#[tokio::test]
async fn spill_loses_nothing_and_reads_on_from_the_log() {
    for view in View::BOTH {
        let mut scene = Scene::flooded(view, "spill", 50).await;
        scene.stalled.read_to_the_end().await;
        let seen = &scene.stalled.seen;
        assert_eq!(seen.announced(), 0, "{:?}", seen.gaps);
        seen.accounts_for(scene.publisher.log());
        assert!(
            seen.modes.iter().any(|mode| mode == "replay"),
            "{:?}",
            seen.modes
        );

        scene.goes_on().await;
        let seen = &scene.stalled.seen;
        seen.accounts_for(scene.publisher.log());
        assert_eq!(seen.modes.last().map(String::as_str), Some("live"));
    }
}

#[tokio::test]
async fn spill_announces_what_left_the_log_before_it_was_read() {
    let node = narrow_node_with(&["--retain", "1MiB"]).await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"overflow": "spill", "bound": messages_bound(20)});
    let mut stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(4 * FLOOD, entry(View::Topic, KEYS)).await;
    let ledger = stalled.read_to_the_end().await;
    let seen = &stalled.seen;
    let lost = seen.announced_as("retention") + seen.gone.len() as u64;
    assert!(lost > 0, "{ledger}");
    let known = |offset: &&i64| seen.gone.iter().all(|gone| !gone.contains(offset));
    let counted = seen.wanted(publisher.log()).iter().filter(known).count() as u64;
    assert_eq!(seen.received() + seen.announced(), counted);
    assert_eq!(ledger["published"], counted, "{:?} {ledger}", seen.gone);
}

#[tokio::test]
async fn disconnect_lets_go_of_a_client_that_takes_nothing() {
    for view in View::BOTH {
        let scene = Scene::flooded(view, "disconnect", 50).await;
        scene
            .node
            .until("only publisher and neighbour are left", |status| {
                worker(status, 0)["connections"] == 2
            })
            .await;
        scene
            .node
            .until_metric("pubsub_closed_total", "slow", 1)
            .await;
        let Stalled {
            mut seen,
            mut socket,
            subscribed,
            ..
        } = scene.stalled;
        let (frames, closing) = socket.rest().await;
        assert!(
            matches!(closing, Closing::Cut | Closing::Frame(4001, _)),
            "{closing:?}"
        );
        seen.take_all(&frames);
        assert_eq!(seen.announced(), 0, "a close announces nothing");
        assert!(seen.received() < FLOOD / 2, "{}", seen.received());

        // What came after the last one received is had by resuming.
        let after = json!({"epoch": subscribed["epoch"], "offset": seen.position});
        let mut again = Stalled::subscribe(&scene.node, view, json!({"from": after})).await;
        again.read_to_the_end().await;
        again.seen.messages.splice(0..0, seen.messages);
        let all: Vec<i64> = again
            .seen
            .messages
            .iter()
            .map(|message| message.offset)
            .collect();
        let start = Seen::of(view, offset(&subscribed));
        assert_eq!(all, start.wanted(scene.publisher.log()));
    }
}

#[tokio::test]
async fn a_bound_in_bytes_acts_as_one_in_messages_does() {
    for overflow in ["drop_oldest", "drop_newest"] {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let bound = json!({"messages": 100_000, "bytes": 20_000, "age_ms": 600_000});
        let fields = json!({"overflow": overflow, "bound": bound});
        let mut stalled = Stalled::subscribe(&node, View::Pattern, fields).await;
        publisher.flood(FLOOD, entry(View::Pattern, KEYS)).await;
        let ledger = stalled.read_to_the_end().await;
        stalled.seen.accounts_for(publisher.log());
        let lost = stalled.seen.announced_as(overflow);
        assert!(lost > FLOOD / 10, "{overflow}: {lost} {ledger}");
    }
}

#[tokio::test]
async fn each_of_several_stalled_ones_closes_its_books_and_their_neighbour_gets_everything() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut stalled = Vec::new();
    for overflow in [
        "drop_oldest",
        "drop_newest",
        "conflate",
        "spill",
        "drop_oldest",
    ] {
        let fields = json!({"overflow": overflow, "bound": messages_bound(10)});
        stalled.push(Stalled::subscribe(&node, View::Pattern, fields).await);
    }
    let mut neighbour = Neighbour::subscribe(&node, View::Pattern).await;
    for _ in 0..3 {
        neighbour
            .reads_along(&mut publisher, FLOOD, entry(View::Pattern, KEYS))
            .await;
    }
    for one in &mut stalled {
        let ledger = one.read_to_the_end().await;
        assert_eq!(ledger["conflated"], one.seen.left_out(publisher.log()));
    }
}

#[tokio::test]
async fn subscriptions_of_one_stalled_session_each_keep_their_own_books() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut socket = Socket::open_narrow(node.listen).await;
    let mut begun = Vec::new();
    for (view, overflow) in [(View::Topic, "drop_newest"), (View::Pattern, "drop_oldest")] {
        let fields = json!({"overflow": overflow, "bound": messages_bound(20)});
        begun.push((view, offset(&socket.subscribe(view.text(), fields).await)));
    }
    let both = |number: u64| {
        let view = View::BOTH[number as usize % 2];
        Entry {
            topic: view.topic(number),
            key: None,
        }
    };
    publisher.flood(FLOOD, both).await;
    let mut seen: Vec<Seen> = begun
        .into_iter()
        .map(|(view, start)| Seen::of(view, start))
        .collect();
    for which in [0, 1] {
        let text = View::BOTH[which].text();
        let mut ledger = Value::Null;
        while !seen[which].is_all(&ledger) {
            if !ledger.is_null() {
                take_for(&mut seen, &socket.next().await);
            }
            ledger = socket.ledger(text).await;
            while let Some(frame) = socket.waiting() {
                take_for(&mut seen, &frame);
            }
            seen[which].agrees(&ledger);
        }
        assert_eq!(residual(&ledger), 0);
        seen[which].accounts_for(publisher.log());
        assert!(seen[which].announced() > FLOOD / 10);
    }
}

/// A frame goes to the books of its subscription.
fn take_for(seen: &mut [Seen], frame: &Value) {
    let text = frame.get("sub").unwrap_or(&frame["topic"]);
    let of = seen.iter_mut().find(|seen| *text == seen.view.text());
    of.unwrap_or_else(|| panic!("whose is {frame}")).take(frame);
}

#[tokio::test]
async fn a_bound_above_the_limit_is_clamped_and_said() {
    let node = narrow_node().await;
    let mut socket = Socket::open(node.listen).await;
    let bound = json!({"messages": 1_000_000_000_u64, "bytes": 1_u64 << 40, "age_ms": 1_u64 << 40});
    let subscribed = socket.subscribe("a", json!({"bound": bound})).await;
    let limits = &socket.welcome["limits"]["bound"];
    assert_eq!(&subscribed["settings"]["bound"], limits);
}

#[tokio::test]
async fn one_message_passes_however_large_it_is() {
    let node = narrow_node().await;
    let mut socket = Socket::open(node.listen).await;
    for overflow in [
        "drop_oldest",
        "drop_newest",
        "conflate",
        "spill",
        "disconnect",
    ] {
        let bound = json!({"messages": 1, "bytes": 1});
        socket
            .subscribe(overflow, json!({"overflow": overflow, "bound": bound}))
            .await;
        let large = "x".repeat(100_000);
        socket.publish(overflow, None, json!(large)).await;
        assert_eq!(socket.messages(1).await[0]["data"], large, "{overflow}");
    }
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
        .until("the hub and the worker have counted", |status| {
            status["totals"]["published"] == 2001 && status["totals"]["delivered"] != 0
        })
        .await;
    assert_eq!(status["totals"]["delivered"], 1, "{status}");
}
