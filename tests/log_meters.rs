//! Who runs a node with a log on disk sees how the log is: in `/metrics`, in `/status` and with `ctl`.
mod harness;

use harness::{Node, Socket, looks, offset, pid_of, within_patience};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

/// So many are published.
const MESSAGES: u64 = 500;

async fn node_on(folder: &TempDir, sync: &str) -> Node {
    let log = format!("disk:{}", folder.path().display());
    let own = ["--workers", "1", "--source", "none", "--log", &log];
    Node::start(&[&own[..], &["--log-sync", sync]].concat()).await
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the log")
}

fn has_log(status: &Value, holds: impl Fn(&Value) -> bool) -> bool {
    holds(&status["hub"]["log"])
}

/// Waits until so many entries have been read from the files.
async fn until_read(node: &Node, entries: u64) {
    let mut looks = looks();
    let reached = async {
        while node.metric("pubsub_log_read_entries_total", "").await < entries {
            looks.tick().await;
        }
    };
    within_patience("entries read from the log", reached).await;
}

#[tokio::test]
async fn what_the_log_writes_syncs_and_reads_is_counted_also_over_the_death_of_its_hub() {
    let folder = folder();
    let node = node_on(&folder, "interval:10ms").await;
    let mut publisher = Socket::open(node.listen).await;
    let last = publisher
        .publish_many("a", MESSAGES, |number| (None, json!(number)))
        .await;
    node.until_metric("pubsub_published_total", "", MESSAGES)
        .await;
    node.until_metric("pubsub_log_unsynced_entries", "", 0)
        .await;
    let written = node.metric("pubsub_log_written_bytes_total", "").await;
    let payload = node.metric("pubsub_published_bytes_total", "").await;
    assert!(written > payload, "{written} for {payload}");
    for count in [
        "pubsub_log_write_seconds_count",
        "pubsub_log_sync_seconds_count",
        "pubsub_log_disk_free_bytes",
    ] {
        assert!(node.metric(count, "").await > 0, "{count}");
    }
    assert_eq!(node.metric("pubsub_log_segments", "").await, 1);
    for name in [
        "pubsub_log_holes",
        "pubsub_log_failures_total",
        "pubsub_log_refused_total",
        "pubsub_log_space_short",
        "pubsub_log_read_entries_total",
    ] {
        assert_eq!(node.metric(name, "").await, 0, "{name}");
    }

    let victim = node.hub_pid().await;
    node.signal(victim, Signal::KILL);
    node.until("a new hub has read the log", |status| {
        let hub = &status["hub"];
        hub["state"] == "up" && pid_of(hub) != victim && hub["restoring"] == false
    })
    .await;
    let still = node.metric("pubsub_log_written_bytes_total", "").await;
    assert_eq!(still, written, "a total outlives who counted");
    until_read(&node, MESSAGES).await;
    // The worker, too, may have to pass by what nobody has told it of.
    node.until_metric("pubsub_hub_workers_behind", "", 0).await;
    let before = node.metric("pubsub_log_read_entries_total", "").await;
    let mut reader = Socket::open(node.listen).await;
    reader.subscribe("a", json!({"from": "earliest"})).await;
    let messages = reader.messages(MESSAGES as usize).await;
    assert_eq!(messages.last().map(offset), Some(offset(&last)));
    until_read(&node, before + MESSAGES).await;
    assert!(node.metric("pubsub_log_read_seconds_count", "").await > 0);
    assert!(node.metric("pubsub_log_read_bytes_total", "").await > 0);
    node.until_metric("pubsub_hub_reads_waiting", "", 0).await;
}

#[tokio::test]
async fn the_status_says_where_the_log_is_and_how_far_it_lasts() {
    let folder = folder();
    let node = node_on(&folder, "always").await;
    let mut publisher = Socket::open(node.listen).await;
    let last = publisher
        .publish_many("a", 20, |number| (None, json!(number)))
        .await;
    let last = offset(&last);
    let status = node
        .until("what was acknowledged lasts", |status| {
            has_log(status, |log| log["synced"] == last)
        })
        .await;
    let log = &status["hub"]["log"];
    assert_eq!(log["kind"], "disk");
    assert_eq!(log["folder"], folder.path().to_str().expect("UTF-8"));
    assert_eq!(log["sync"], "always");
    assert_eq!(log["acknowledged"], last);
    assert_eq!((&log["entries"], &log["segments"]), (&json!(20), &json!(1)));
    assert_eq!(log["holes"], json!({"damaged": 0, "skipped": 0}));
    assert_eq!(log["space_short"], false);
    assert!(log["free_bytes"].as_u64() > Some(0), "{log}");
    let told = node.ctl(&["status"]).await.stdout;
    let line = told.lines().find(|line| line.starts_with("log disk in "));
    let line = line.unwrap_or_else(|| panic!("no log in {told}"));
    assert!(
        line.contains(&format!("acknowledged {last}  synced {last} ")),
        "{line}"
    );
}

#[tokio::test]
async fn a_log_that_never_syncs_and_one_in_memory_say_nothing_of_syncs() {
    let folder = folder();
    let node = node_on(&folder, "none").await;
    let mut publisher = Socket::open(node.listen).await;
    publisher.publish("a", None, json!(1)).await;
    let status = node
        .until("it is written", |status| {
            has_log(status, |log| log["entries"] == 1)
        })
        .await;
    let log = &status["hub"]["log"];
    assert!(
        log["synced"].is_null() && log["unsynced_ms"].is_null(),
        "{log}"
    );
    let metrics = harness::http_get(node.admin, "/metrics")
        .await
        .expect("an answer")
        .body;
    assert!(!metrics.contains("\npubsub_log_unsynced_seconds "));
    assert!(metrics.contains("\npubsub_log_disk_free_bytes "));

    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let status = node.status().await;
    assert_eq!(status["hub"]["log"]["kind"], "memory");
    assert!(status["hub"]["log"]["folder"].is_null());
    let metrics = harness::http_get(node.admin, "/metrics")
        .await
        .expect("an answer")
        .body;
    assert!(!metrics.contains("\npubsub_log_unsynced_seconds "));
    assert!(!metrics.contains("\npubsub_log_disk_free_bytes "));
}
