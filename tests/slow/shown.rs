//! What an operator sees of slow subscriptions: `/status`, `ctl slow` and the metrics, which say what the ledgers say.
use crate::harness::Node;
use crate::seen::View;
use crate::stage::{FLOOD, Publisher, Stalled, entry, messages_bound, narrow_node};
use serde_json::{Value, json};

const KEYS: u64 = 7;

async fn row_of(node: &Node, stalled: &Stalled, holds: impl Fn(&Value) -> bool) -> Value {
    let session = &stalled.socket.welcome["session"];
    let find = |status: &Value| {
        let rows = status["slowest"].as_array()?;
        let row = rows.iter().find(|row| row["session"] == *session)?;
        holds(row).then(|| row.clone())
    };
    let status = node
        .until("the subscription is shown", |status| find(status).is_some())
        .await;
    find(&status).expect("it was there")
}

#[tokio::test]
async fn a_slow_subscription_is_shown_with_its_lag_its_mode_and_its_settings() {
    for (fields, overflow, text) in [
        (json!({}), "drop_oldest", ""),
        (
            json!({"rate": {"mode": "sample", "ms": 1}}),
            "conflate",
            "sample 1 ms",
        ),
        (
            json!({"rate": {"mode": "throttle_first", "ms": 1, "when": "behind"}}),
            "drop_newest",
            "throttle_first 1 ms when behind",
        ),
        (
            json!({"batch": {"ms": 5, "messages": 10}, "credit": 100_000}),
            "drop_newest",
            "batch 5 ms, 10 messages · credit",
        ),
    ] {
        let node = narrow_node().await;
        let mut publisher = Publisher::start(&node).await;
        let mut all = fields;
        all["overflow"] = json!(overflow);
        all["bound"] = messages_bound(20);
        let stalled = Stalled::subscribe(&node, View::Pattern, all).await;
        let row = loop {
            publisher.flood(FLOOD / 4, entry(View::Pattern, KEYS)).await;
            let status = node.status().await;
            if status["slowest"][0]["mode"] == "behind" {
                break row_of(&node, &stalled, |row| {
                    row["lag"]["age_ms"].as_u64() > Some(20)
                })
                .await;
            }
        };
        let lag = |name: &str| row["lag"][name].as_u64().expect("a number");
        let most = if overflow == "conflate" { u64::MAX } else { 20 };
        assert!((1..=most).contains(&lag("messages")), "{row}");
        assert!(lag("bytes") > 1000, "{row}");
        assert_eq!(
            (&row["worker"], &row["topic"]),
            (&json!(0), &json!("flood.*")),
            "{row}"
        );
        assert_eq!(
            (&row["mode"], &row["overflow"]),
            (&json!("behind"), &json!(overflow))
        );
        let settings = row["settings"].as_str().expect("a text");
        assert!(settings.starts_with(text), "{settings:?} {text:?}");
        assert!(!text.is_empty() || settings.is_empty(), "{settings:?}");

        let shown = node.ctl(&["slow", "5"]).await;
        assert_eq!(shown.code, Some(0), "{shown:?}");
        let session = stalled.socket.welcome["session"].as_str().expect("a name");
        let line = shown.stdout.lines().find(|line| line.contains(session));
        let line = line.unwrap_or_else(|| panic!("{session} in {shown:?}"));
        for word in ["flood.*", "behind", overflow, "KiB", "ms", text] {
            assert!(line.contains(word), "{word} in {line}");
        }
    }
}

#[tokio::test]
async fn history_that_is_read_slowly_is_shown_as_replay() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let fields = json!({"overflow": "spill", "bound": messages_bound(20)});
    let stalled = Stalled::subscribe(&node, View::Topic, fields).await;
    publisher.flood(FLOOD, entry(View::Topic, KEYS)).await;
    let row = row_of(&node, &stalled, |row| row["mode"] == "replay").await;
    assert_eq!(row["overflow"], "spill", "{row}");
}

#[tokio::test]
async fn metrics_move_as_the_ledgers_say() {
    let node = narrow_node().await;
    let mut publisher = Publisher::start(&node).await;
    let mut all = Vec::new();
    for fields in [
        json!({"overflow": "drop_oldest"}),
        json!({"overflow": "drop_newest"}),
        json!({"overflow": "conflate"}),
        json!({"overflow": "conflate", "rate": {"mode": "sample", "ms": 5}}),
        json!({"overflow": "drop_oldest", "rate": {"mode": "throttle_first", "ms": 5}}),
        json!({"overflow": "drop_newest", "batch": {"messages": 5}, "credit": 60}),
    ] {
        let mut fields = fields;
        fields["bound"] = messages_bound(20);
        all.push(Stalled::subscribe(&node, View::Pattern, fields).await);
    }
    for _ in 0..4 {
        publisher.flood(FLOOD, entry(View::Pattern, KEYS)).await;
    }
    let mut ledgers = Vec::new();
    for stalled in &mut all {
        if stalled.subscribed["settings"]["credit"].is_number() {
            stalled.credit(1_000_000).await;
        }
        ledgers.push(stalled.read_to_the_end().await);
    }
    let sum = |place: &str| -> u64 {
        let count = |ledger: &Value| ledger.pointer(place).and_then(Value::as_u64);
        ledgers
            .iter()
            .map(|ledger| count(ledger).expect("a count"))
            .sum()
    };
    for (metric, label, place) in [
        ("pubsub_lost_total", "drop_oldest", "/dropped/drop_oldest"),
        ("pubsub_lost_total", "drop_newest", "/dropped/drop_newest"),
        ("pubsub_lost_total", "memory", "/dropped/memory"),
        ("pubsub_lost_total", "expired", "/expired"),
        ("pubsub_conflated_total", "", "/conflated"),
        ("pubsub_filtered_total", "", "/filtered_by_rate"),
    ] {
        node.until_metric(metric, label, sum(place)).await;
    }
    let totals = node.status().await["totals"].clone();
    assert_eq!(totals["conflated"], sum("/conflated"));
    assert_eq!(totals["filtered"], sum("/filtered_by_rate"));
    assert_eq!(totals["lost"]["drop_oldest"], sum("/dropped/drop_oldest"));
    assert!(sum("/conflated") > 0 && sum("/filtered_by_rate") > 0);
}
