//! The node that a test runs in its own process: what its builder says, two at once, and nothing left behind.
use pubsub_server::clock::mono_ns;
use pubsub_server::testing::{Counts, Limits, Node, NodeError, PublishFrom, Source, Venue};
use serde_json::Value;
use std::fs;
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tungstenite::stream::MaybeTlsStream;
use tungstenite::{Message, WebSocket};

/// Threads and files are counted for the whole process: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client that reads text.
struct Client(WebSocket<MaybeTlsStream<TcpStream>>);

impl Client {
    fn connect(node: &Node) -> (Self, Value) {
        let (socket, _) = tungstenite::connect(node.url()).expect("upgraded");
        if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
            // Only so that a failure ends.
            let patience = Some(Duration::from_secs(20));
            stream.set_read_timeout(patience).expect("set");
        }
        let mut client = Self(socket);
        let welcome = client.next("welcome");
        (client, welcome)
    }

    fn say(&mut self, text: &str) {
        self.0.send(Message::text(text)).expect("sent");
    }

    /// The next frame of this kind.
    fn next(&mut self, op: &str) -> Value {
        loop {
            let message = self
                .0
                .read()
                .unwrap_or_else(|error| panic!("no {op}: {error}"));
            let Message::Text(text) = message else {
                continue;
            };
            let frame: Value = serde_json::from_str(&text).expect("JSON");
            if frame["op"] == op {
                return frame;
            }
        }
    }

    fn subscribe(&mut self, topic: &str) -> Value {
        self.say(&format!(r#"{{"op":"subscribe","topic":"{topic}"}}"#));
        self.next("subscribed")
    }
}

/// Files this process has open, and threads of nodes.
fn open_here() -> (Vec<String>, usize) {
    let names = |folder: &str| fs::read_dir(folder).expect("proc").flatten();
    let mut files: Vec<String> = names("/proc/self/fd")
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .map(|to| to.to_string_lossy().into_owned())
        // The folder that is being read.
        .filter(|to| !to.ends_with("/fd"))
        .collect();
    files.sort();
    let threads = names("/proc/self/task")
        .filter_map(|entry| fs::read_to_string(entry.path().join("comm")).ok())
        .filter(|name| name.starts_with("pubsub-"));
    (files, threads.count())
}

/// Comes back when it is so: the kernel lists a thread for a moment after it was joined.
fn until(what: &str, is: impl Fn() -> bool) {
    let begun = mono_ns();
    while !is() {
        assert!(mono_ns() - begun < 20_000_000_000, "never: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn two_nodes_run_beside_each_other_and_leave_nothing_behind() {
    let _alone = alone();
    // The first runtime of a process opens what all later ones share.
    Node::start().expect("a node").stop().expect("an end");
    until("no thread", || open_here().1 == 0);
    let before = open_here();
    let (one, other) = (
        Node::start().expect("a node"),
        Node::start().expect("a node"),
    );
    assert_eq!(open_here().1, 4, "a worker and a hub each");
    let (mut on_one, _) = Client::connect(&one);
    let (mut on_other, _) = Client::connect(&other);
    let epochs = [&mut on_one, &mut on_other].map(|client| client.subscribe("a")["epoch"].clone());
    assert_ne!(epochs[0], epochs[1]);
    on_one.say(r#"{"op":"publish","topic":"a","data":"one"}"#);
    on_other.say(r#"{"op":"publish","topic":"a","data":"other"}"#);
    assert_eq!(on_one.next("msg")["data"], "one");
    assert_eq!(on_other.next("msg")["data"], "other");
    drop(one);
    assert!(on_one.0.read().is_err(), "its connections end with it");
    on_other.say(r#"{"op":"publish","topic":"a","data":"again"}"#);
    assert_eq!(on_other.next("msg")["data"], "again");
    other.stop().expect("an end");
    drop((on_one, on_other));
    until("no thread", || open_here().1 == 0);
    assert_eq!(open_here(), before);
}

#[test]
fn what_is_published_through_one_worker_is_delivered_by_the_others() {
    let _alone = alone();
    let workers = NonZeroU32::new(3).expect("three");
    let node = Node::builder().workers(workers).start().expect("a node");
    let mut clients: Vec<(Client, Value)> = (0..6).map(|_| Client::connect(&node)).collect();
    let mut numbers: Vec<u64> = clients
        .iter()
        .filter_map(|(_, welcome)| welcome["worker"].as_u64())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 0, 1, 1, 2, 2], "the accept gate spreads them");
    for (client, _) in &mut clients {
        client.subscribe("a.*");
    }
    clients[0]
        .0
        .say(r#"{"op":"publish","topic":"a.b","data":7}"#);
    for (client, _) in &mut clients {
        assert_eq!(client.next("msg")["data"], 7);
    }
    let all = Counts {
        connections: 6,
        subscriptions: 6,
        behind: 0,
        published: 1,
        delivered: 6,
    };
    until("all of it is counted", || node.counts() == all);
    node.stop().expect("an end");
}

#[test]
fn the_builder_decides_what_is_published_who_may_and_how_much() {
    let _alone = alone();
    let limits = Limits {
        subscriptions: 1,
        ..Limits::default()
    };
    let node = Node::builder()
        .source(Source::Synthetic)
        .interval_ms(1, 1)
        .publish(PublishFrom::Nobody)
        .venue(Venue::None)
        .limits(limits)
        .configure(|config| config.node = "mine".to_owned())
        .start()
        .expect("a node");
    let (mut client, welcome) = Client::connect(&node);
    assert_eq!(
        (&welcome["node"], &welcome["limits"]["subscriptions"]),
        (&"mine".into(), &1.into())
    );
    client.subscribe("execs");
    assert_eq!(client.next("msg")["topic"], "execs");
    client.say(r#"{"op":"subscribe","topic":"a"}"#);
    assert_eq!(client.next("error")["code"], "limit");
    client.say(r#"{"op":"publish","id":1,"topic":"a","data":1}"#);
    assert_eq!(client.next("error")["code"], "forbidden");
    node.stop().expect("an end");
}

#[test]
fn a_drained_node_tells_its_clients_to_go() {
    let _alone = alone();
    let node = Node::start().expect("a node");
    let (mut client, _) = Client::connect(&node);
    let told = std::thread::spawn(move || {
        let goaway = client.next("goaway");
        let close = loop {
            if let Message::Close(frame) = client.0.read().expect("a close frame") {
                break frame.map(|frame| u16::from(frame.code));
            }
        };
        (goaway["reason"].clone(), close)
    });
    node.drain(Duration::from_millis(10)).expect("an end");
    assert_eq!(
        told.join().expect("a client"),
        ("shutdown".into(), Some(1001))
    );
}

#[test]
fn what_cannot_be_is_told_and_leaves_nothing_behind() {
    let _alone = alone();
    let first = Node::start().expect("a node");
    let taken = first.address();
    let Err(NodeError::Machine(what, _)) = Node::builder().listen(taken).start() else {
        panic!("two nodes on one port")
    };
    assert_eq!(what, "no port to listen on");
    first.stop().expect("an end");
    until("no thread", || open_here().1 == 0);
    let before = open_here();
    let missing = Source::Replay {
        file: "/no/such/prices.csv".into(),
        again: false,
    };
    let Err(NodeError::Failed { role, why }) = Node::builder().source(missing).start() else {
        panic!("a source that is not there")
    };
    assert_eq!(role, "hub");
    assert!(
        why.contains("/no/such/prices.csv") && !why.contains('\n'),
        "{why}"
    );
    until("no thread", || open_here().1 == 0);
    assert_eq!(open_here(), before);
}
