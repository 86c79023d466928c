//! Retention that overtakes a reader of a log on disk: it gets what is still held, and is told exactly of what left.
mod harness;

use harness::{Node, Socket, offset, pid_of};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// Segments are an eighth of it.
const RETAIN: &str = "2MiB";
/// The kernel takes little for one who doesn't read.
const CONFIGURATION: &str = "[worker]\nsend_buffer_bytes = 16384\n";
/// Together about ten times what is retained.
const PUBLICATIONS: i64 = 20_000;

async fn start(folder: &Path) -> Node {
    let log = format!("disk:{}", folder.display());
    let own = ["--workers", "1", "--source", "none", "--log", &log];
    Node::start_with(CONFIGURATION, &[&own[..], &["--retain", RETAIN]].concat()).await
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the log")
}

/// The publication with an odd offset is one of `r.odd`.
fn is_odd(offset: i64) -> bool {
    offset % 2 == 1
}

/// Publishes on `r.odd` and `r.even` in turn, so that an offset says which it is of.
async fn publish_all(node: &Node) {
    let mut publisher = Socket::open(node.listen).await;
    let filling = "x".repeat(1000);
    for number in 1..=PUBLICATIONS {
        let topic = if is_odd(number) { "r.odd" } else { "r.even" };
        let data = json!([number, filling]);
        if number == PUBLICATIONS || number % 500 == 0 {
            let last = publisher.publish(topic, None, data).await;
            assert_eq!(offset(&last), number);
        } else {
            let command = json!({"op": "publish", "topic": topic, "data": data});
            publisher.feed_text(command.to_string()).await;
        }
    }
}

/// The oldest offset of `r.odd` that is held.
async fn oldest_odd(node: &Node) -> i64 {
    let mut socket = Socket::open(node.listen).await;
    socket.subscribe("r.odd", json!({"from": "earliest"})).await;
    offset(&socket.messages(1).await[0])
}

fn odd_ones(from: i64, to: i64) -> i64 {
    (from..=to).filter(|offset| is_odd(*offset)).count() as i64
}

/// What one gets of `r.odd` after a position, up to the last one.
#[derive(Debug, Default)]
struct Got {
    offsets: Vec<i64>,
    gaps: Vec<Gap>,
}

/// Everything after `after` and up to `upto` has left.
#[derive(Debug)]
struct Gap {
    after: i64,
    upto: i64,
    /// How many that were, where it is known.
    count: Option<i64>,
}

impl Gap {
    /// That of a frame which comes after this position.
    fn of(frame: &Value, after: i64) -> Self {
        assert_eq!(frame["reason"], "retention", "{frame}");
        let gap = Self {
            after,
            upto: offset(frame),
            count: frame["count"].as_i64(),
        };
        if let (Some(count), Some(from), Some(to)) =
            (gap.count, frame["from"].as_i64(), frame["to"].as_i64())
        {
            assert_eq!(odd_ones(after + 1, from - 1), 0, "after {after}: {frame}");
            assert_eq!(odd_ones(to + 1, gap.upto), 0, "{frame}");
            assert_eq!(count, odd_ones(from, to), "{frame}");
        } else {
            let unknown = ["count", "from", "to"];
            assert!(
                unknown.iter().all(|field| frame[field].is_null()),
                "{frame}"
            );
        }
        gap
    }
}

/// Reads to the end and checks that messages and gaps leave nothing out and overlap in nothing, and that the ledger agrees.
async fn read_on(socket: &mut Socket, mut position: i64) -> Got {
    let last = PUBLICATIONS - 1;
    let mut got = Got::default();
    while position < last {
        let frame = socket.next().await;
        match frame["op"].as_str() {
            Some("msg") => {
                let passed = odd_ones(position + 1, offset(&frame));
                assert_eq!(passed, 1, "after {position}: {frame}");
                assert_eq!(frame["data"][0], frame["offset"]);
                position = offset(&frame);
                got.offsets.push(position);
            }
            Some("gap") => {
                got.gaps.push(Gap::of(&frame, position));
                position = offset(&frame);
            }
            Some("mode" | "position") => {}
            _ => panic!("unexpected: {frame}"),
        }
    }
    assert_eq!(position, last);
    let ledger = socket.ledger("r.odd").await;
    let taken: i64 = got.gaps.iter().filter_map(|gap| gap.count).sum();
    assert_eq!(ledger["delivered"], got.offsets.len(), "{ledger}");
    assert_eq!(ledger["retention"], taken, "{ledger}");
    assert_eq!(
        ledger["published"],
        got.offsets.len() as i64 + taken,
        "{ledger}"
    );
    got
}

#[tokio::test]
async fn who_stopped_reading_gets_what_is_held_and_a_gap_for_what_left() {
    let folder = folder();
    let node = start(folder.path()).await;
    let mut stalled = Socket::open_narrow(node.listen).await;
    let settings = json!({"overflow": "spill", "bound": {"messages": 50}});
    stalled.subscribe("r.odd", settings).await;
    publish_all(&node).await;
    let oldest = oldest_odd(&node).await;
    assert!(
        oldest > PUBLICATIONS / 2,
        "retention has taken most: {oldest}"
    );
    let got = read_on(&mut stalled, 0).await;
    assert!(!got.gaps.is_empty(), "nothing was lost");
    let held = got.offsets.iter().filter(|offset| **offset >= oldest);
    assert_eq!(held.count() as i64, odd_ones(oldest, PUBLICATIONS));
}

#[tokio::test]
async fn a_position_that_retention_has_taken_begins_with_a_gap_also_after_the_hub_was_killed() {
    let folder = folder();
    let node = start(folder.path()).await;
    publish_all(&node).await;
    let oldest = oldest_odd(&node).await;
    assert!(
        oldest > PUBLICATIONS / 2,
        "retention has taken most: {oldest}"
    );
    let count = resume_after(&node, 0, oldest).await;
    assert_eq!(
        count,
        Some(odd_ones(1, oldest - 1)),
        "all there was is gone"
    );
    resume_after(&node, 10, oldest).await;

    let victim = node.hub_pid().await;
    node.signal(victim, Signal::KILL);
    node.until("the hub is back", |status| {
        status["hub"]["state"] == "up" && pid_of(&status["hub"]) != victim
    })
    .await;
    assert_eq!(oldest_odd(&node).await, oldest, "the same is held");
    resume_after(&node, 0, oldest).await;
    resume_after(&node, 10, oldest).await;
}

/// Goes on after a position behind which everything before `oldest` has left; how many were lost, if that is told.
async fn resume_after(node: &Node, position: i64, oldest: i64) -> Option<i64> {
    let epoch = node.status().await["epoch"].take();
    let mut socket = Socket::open(node.listen).await;
    let from = json!({"epoch": epoch, "offset": position});
    let subscribed = socket.subscribe("r.odd", json!({"from": from})).await;
    assert_eq!(odd_ones(offset(&subscribed) + 1, oldest), 1, "{subscribed}");
    let got = read_on(&mut socket, position).await;
    assert_eq!(got.gaps.len(), 1, "{:?}", got.gaps);
    let gap = &got.gaps[0];
    assert_eq!((gap.after, odd_ones(gap.upto + 1, oldest)), (position, 1));
    let count = gap.count;
    let expected: Vec<i64> = (oldest..PUBLICATIONS).step_by(2).collect();
    assert_eq!(got.offsets, expected, "all that is held");
    count
}
