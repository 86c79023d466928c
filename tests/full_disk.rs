//! A disk without space under the log: publications are refused before they are numbered, everything else goes on, and nothing
//! acknowledged is lost.
mod harness;

use harness::{Node, Socket, looks, offset, on_small_disk, pid_of, within_patience};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const DISK_BYTES: u64 = 16 << 20;
/// What something else has on the disk at first.
const BALLAST_BYTES: usize = 6 << 20;
/// Larger than the disk; segments are an eighth of it.
const RETAIN: &str = "24MiB";
/// More than the disk takes even without the ballast.
const PUBLICATIONS_MOST: u64 = 20_000;

fn data(number: u64) -> Value {
    json!([number, "x".repeat(1000)])
}

/// What has been published so far.
struct Publisher {
    socket: Socket,
    next: u64,
    /// Numbers by offset.
    acknowledged: BTreeMap<i64, u64>,
}

impl Publisher {
    /// Publishes the next number; the refusal if it is not taken.
    async fn publish(&mut self) -> Option<Value> {
        let number = self.next;
        self.next += 1;
        let command = json!({"op": "publish", "topic": "a", "data": data(number)});
        let answer = self.socket.ask(command).await;
        if answer["op"] == "published" {
            let twice = self.acknowledged.insert(offset(&answer), number);
            assert_eq!(twice, None, "an offset is given once");
            return None;
        }
        assert_eq!(answer["code"], "unavailable", "{answer}");
        assert!(answer["retry_after_ms"].is_u64(), "{answer}");
        Some(answer)
    }

    async fn until_refused(&mut self) {
        for _ in 0..PUBLICATIONS_MOST {
            if self.publish().await.is_some() {
                return;
            }
        }
        panic!(
            "a disk of {DISK_BYTES} bytes took {} publications",
            self.next
        );
    }

    async fn until_taken(&mut self) {
        let mut looks = looks();
        let taken = async {
            while self.publish().await.is_some() {
                looks.tick().await;
            }
        };
        within_patience("a publication that is taken again", taken).await;
    }

    /// Reads from the beginning: everything acknowledged is there in order, and nothing else.
    async fn check(&self, node: &Node) {
        let mut reader = Socket::open(node.listen).await;
        reader.subscribe("a", json!({"from": "earliest"})).await;
        let messages = reader.messages(self.acknowledged.len()).await;
        let found: Vec<i64> = messages.iter().map(offset).collect();
        let expected: Vec<i64> = self.acknowledged.keys().copied().collect();
        assert_eq!(found, expected);
        for (message, number) in messages.iter().zip(self.acknowledged.values()) {
            assert_eq!(message["data"], data(*number));
        }
        assert!(reader.is_quiet().await, "nothing that was refused is there");
        let ledger = reader.ledger("a").await;
        assert_eq!(ledger["delivered"], json!(self.acknowledged.len()));
    }
}

/// A file on the disk of a node, made from outside.
fn ballast(node: &Node, folder: &Path) -> PathBuf {
    let inside = format!("/proc/{}/root{}", node.pid, folder.display());
    let path = Path::new(&inside).join("ballast");
    std::fs::write(&path, vec![1; BALLAST_BYTES]).expect("there is space for the ballast");
    path
}

#[tokio::test]
async fn a_full_disk_refuses_publications_until_there_is_space_and_loses_none() {
    let folder = tempfile::tempdir().expect("a folder for the disk");
    let folder = folder.path();
    let words = on_small_disk(folder, DISK_BYTES);
    let log = format!("disk:{}", folder.join("log").display());
    let own = ["--workers", "1", "--source", "none"];
    let arguments = [&own[..], &["--log", &log, "--retain", RETAIN]].concat();
    let node = Node::start_behind(&words, &arguments).await;
    let ballast = ballast(&node, folder);
    let mut publisher = Publisher {
        socket: Socket::open(node.listen).await,
        next: 0,
        acknowledged: BTreeMap::new(),
    };
    publisher.until_refused().await;
    for _ in 0..100 {
        let refused = publisher.publish().await;
        assert!(refused.is_some(), "the disk is still full");
    }
    publisher.check(&node).await;

    // Nor does it help to begin anew.
    let victim = node.hub_pid().await;
    node.signal(victim, Signal::KILL);
    node.until("the hub is back", |status| {
        status["hub"]["state"] == "up" && pid_of(&status["hub"]) != victim
    })
    .await;
    publisher.check(&node).await;

    std::fs::remove_file(ballast).expect("the ballast goes");
    publisher.until_taken().await;
    let before = publisher.acknowledged.len();
    publisher.until_refused().await;
    let more = publisher.acknowledged.len() - before;
    assert!(more > 1000, "the space is used: {more} more were taken");
    let offsets = publisher.acknowledged.keys().copied();
    assert!(
        offsets.eq(1..=publisher.acknowledged.len() as i64),
        "nothing refused has had a number"
    );
    publisher.check(&node).await;
}
