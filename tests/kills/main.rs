//! A node whose log is on disk, some of its processes killed again and again while messages and orders flow: nothing acknowledged is lost,
//! nothing comes twice, and who resumes misses nothing.
//!
//! Who is killed and when, and when subscribers stop reading or leave, is drawn from a seed that a failure shows. What the processes were
//! just doing is not: a seed makes a failure likely, not certain. `PUBSUB_KILL_SEED=7` makes the same choices again, `PUBSUB_KILL_ROUNDS=50`
//! kills each kind of victim so many times.
#[path = "../harness/mod.rs"]
mod harness;

mod caller;
mod follower;
mod publisher;
mod stage;
mod strike;

use fastrand::Rng;
use follower::{END, Followed, Habits, follow};
use futures::future::join_all;
use harness::{Node, Socket, looks, offset};
use publisher::{Outcome, TOPICS, publish};
use serde_json::{Value, json};
use stage::Stage;
use std::collections::BTreeMap;
use strike::{plan, start, strike};

/// Each kind of victim is killed so often, unless it is said otherwise.
const ROUNDS: u64 = 3;
const PUBLISHERS: usize = 3;

#[tokio::test]
async fn whoever_is_killed_what_was_acknowledged_is_there_once_and_followed_without_a_gap() {
    let seed = Seed(setting("PUBSUB_KILL_SEED").unwrap_or_else(|| fastrand::u64(..1 << 32)));
    let rounds = setting("PUBSUB_KILL_ROUNDS").unwrap_or(ROUNDS);
    let plan = plan(&mut seed.rng(0), rounds, PUBLISHERS as u64);
    let folder = tempfile::tempdir().expect("a folder for the log");
    let node = start(folder.path()).await;
    let epoch = node.status().await["epoch"].as_str().map(str::to_owned);
    let stage = Stage::new(node.listen, epoch.expect("an epoch"), PUBLISHERS);

    let whole = async {
        let (node, outcomes, orders) = tokio::join!(
            strike(&stage, folder.path(), node, &plan),
            join_all((0..PUBLISHERS).map(|by| publish(&stage, by))),
            caller::submit(&stage)
        );
        let mut last = Socket::open(node.listen).await;
        last.publish(TOPICS[1], None, json!(END)).await;
        (node, outcomes, orders)
    };
    let followers = habits().into_iter().zip(1..);
    let followers = followers.map(|(habits, number)| follow(&stage, habits, seed.rng(number)));
    let ((node, outcomes, orders), followed) = tokio::join!(whole, join_all(followers));

    let log = read_all(&node).await;
    check_publications(&outcomes, &log);
    for (habits, followed) in habits().iter().zip(&followed) {
        check_followed(habits, followed, &log, rounds);
    }
    let reports = log.iter().filter(|entry| entry.topic == "execs.a");
    let reports: Vec<Value> = reports.map(|entry| entry.data.clone()).collect();
    caller::check(&node, &orders, &reports).await;
}

/// Tells itself if the test fails.
struct Seed(u64);

impl Seed {
    /// For one of those who draw, so that none takes another's draws.
    fn rng(&self, number: u64) -> Rng {
        Rng::with_seed(self.0.wrapping_mul(1000) + number)
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PUBSUB_KILL_SEED={} makes the same choices", self.0);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a number, it is {text:?}")))
}

fn habits() -> [Habits; 3] {
    let wide = json!({"messages": 100_000, "bytes": 64 << 20, "age_ms": 600_000});
    [
        Habits {
            name: "plain",
            pattern: "load.>",
            settings: json!({"bound": wide}),
            receive_buffer: None,
            pauses: None,
            leaves: None,
        },
        Habits {
            name: "spilling",
            pattern: "load.*",
            settings: json!({"bound": {"messages": 50}, "overflow": "spill"}),
            receive_buffer: Some(4096),
            pauses: Some((50..400, 200..600)),
            leaves: None,
        },
        Habits {
            name: "leaving",
            pattern: TOPICS[1],
            settings: json!({"bound": wide}),
            receive_buffer: None,
            pauses: None,
            leaves: Some(20..300),
        },
    ]
}

/// Something in the log.
struct Entry {
    topic: String,
    offset: i64,
    data: Value,
}

/// Everything in the log, by one who comes when all is over.
async fn read_all(node: &Node) -> Vec<Entry> {
    let mut socket = Socket::open(node.listen).await;
    socket.subscribe(">", json!({"from": "earliest"})).await;
    let mut log: Vec<Entry> = Vec::new();
    while log.last().is_none_or(|last| last.data != END) {
        let mut message = socket.messages(1).await.remove(0);
        let offset = offset(&message);
        let rises = log.last().is_none_or(|last| last.offset < offset);
        assert!(rises, "offsets rise: {message}");
        log.push(Entry {
            topic: message["topic"].as_str().expect("a topic").to_owned(),
            offset,
            data: message["data"].take(),
        });
    }
    socket.ledger(">").await;
    log
}

/// What was acknowledged is there once, with its data; what was refused is not; nothing else is there.
fn check_publications(outcomes: &[Vec<Outcome>], log: &[Entry]) {
    let mut found = BTreeMap::new();
    for entry in log.iter().filter(|entry| is_load(entry)) {
        let number = |at: usize| entry.data[at].as_u64().expect("a number") as usize;
        let (by, number) = (number(0), number(1));
        assert_eq!(entry.topic, publisher::topic(by, number));
        assert_eq!(entry.data, publisher::data(by, number));
        let twice = found.insert((by, number), entry.offset);
        assert_eq!(twice, None, "{number} of {by} is there twice");
    }
    for (by, outcomes) in outcomes.iter().enumerate() {
        for (number, outcome) in outcomes.iter().enumerate() {
            let there = found.remove(&(by, number));
            let is_true = match outcome {
                Outcome::Acknowledged(offset) => there == Some(*offset),
                Outcome::Refused => there.is_none(),
                Outcome::Unknown => true,
            };
            assert!(is_true, "{number} of {by}: {outcome:?}, found at {there:?}");
        }
    }
    assert!(found.is_empty(), "published by nobody: {found:?}");
}

fn is_load(entry: &Entry) -> bool {
    TOPICS.contains(&entry.topic.as_str()) && entry.data != END
}

/// One who followed has exactly what is in the log.
fn check_followed(habits: &Habits, followed: &Followed, log: &[Entry], rounds: u64) {
    let name = habits.name;
    let takes = |entry: &&Entry| pubsub_wire::topic::matches(habits.pattern, &entry.topic);
    let expected: Vec<(i64, &Value)> = log
        .iter()
        .filter(takes)
        .map(|entry| (entry.offset, &entry.data))
        .collect();
    let messages = followed.messages.iter();
    let received: Vec<(i64, &Value)> = messages.map(|(offset, data)| (*offset, data)).collect();
    let differs = received.iter().zip(&expected).find(|(a, b)| a != b);
    assert!(
        differs.is_none(),
        "{name}: received, in the log: {differs:?}"
    );
    assert_eq!(received.len(), expected.len(), "{name}");
    assert!(followed.resumed >= rounds, "{name} was never cut off");
    if habits.pauses.is_some() {
        assert!(followed.spilled > 0, "{name} never fell behind in the log");
    }
}

/// Lets a moment pass before something is tried again.
async fn a_moment() {
    let mut looks = looks();
    looks.tick().await;
    looks.tick().await;
}
