//! The stage of these tests: a node whose sockets hold little, its only publisher, and readers that stand still.
//!
//! A reader stands still by not being polled. Little is then enough to fill what the kernel holds for it, since both ends' buffers
//! are small. That the worker has taken in what was published shows by a message published behind it ([`Publisher::flood`]).
use crate::harness::{Node, Socket, offset};
use crate::seen::{Seen, View};
use serde_json::{Value, json};

/// Text that makes a message a good kilobyte.
const FILLING_BYTES: usize = 1000;
/// Enough of them that most cannot have been taken by buffers.
pub(crate) const FLOOD: u64 = 400;
/// What one end's buffers and a frame under way may hold of a client that stands still.
pub(crate) const HELD_BYTES_MAX: usize = 64 << 10;
/// Topic of the message that shows how far a worker has come.
const MARK: &str = "mark";

/// Buffers of 4 KiB, which the kernel doubles for its bookkeeping, and modes that switch at once.
const NARROW: &str = "
[worker]
send_buffer_bytes = 4096
notsent_lowat_bytes = 4096
mode_hold_ms = 0
";

/// A node with one worker and small buffers.
pub(crate) async fn narrow_node() -> Node {
    narrow_node_with(&[]).await
}

/// The same with further arguments.
pub(crate) async fn narrow_node_with(arguments: &[&str]) -> Node {
    let quiet = ["--workers", "1", "--source", "none"];
    Node::start_with(NARROW, &[&quiet, arguments].concat()).await
}

/// A bound of so many messages, and no other that acts.
pub(crate) fn messages_bound(messages: u64) -> Value {
    json!({"messages": messages, "bytes": 64 << 20, "age_ms": 600_000})
}

/// One publication.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
}

/// The only publisher of a node; so it knows which offset each publication has.
pub(crate) struct Publisher {
    socket: Socket,
    /// By offset, from 1 on.
    log: Vec<Entry>,
}

impl Publisher {
    pub(crate) async fn start(node: &Node) -> Publisher {
        let mut socket = Socket::open(node.listen).await;
        socket.subscribe(MARK, json!({})).await;
        Publisher {
            socket,
            log: Vec::new(),
        }
    }

    /// Publishes `count` entries and waits until the worker has taken in all of them.
    pub(crate) async fn flood(&mut self, count: u64, entry: impl Fn(u64) -> Entry) {
        for number in 0..count {
            self.feed(entry(number)).await;
        }
        let mark = Entry {
            topic: MARK.to_owned(),
            key: None,
        };
        self.feed(mark).await;
        self.socket.flush().await;
        let seen = offset(&self.socket.next_op("msg").await);
        assert_eq!(seen as usize, self.log.len(), "nobody else publishes");
    }

    /// Waits until the worker has taken in what other clients sent before.
    pub(crate) async fn round_trip(&mut self) {
        self.socket.ask(json!({"op": "ping"})).await;
    }

    async fn feed(&mut self, entry: Entry) {
        self.log.push(entry.clone());
        let data = json!({"offset": self.log.len(), "filling": "x".repeat(FILLING_BYTES)});
        let Entry { topic, key } = entry;
        let publish = json!({"op": "publish", "topic": topic, "key": key, "data": data});
        self.socket.feed_text(publish.to_string()).await;
    }

    /// All that was published, by offset from 1 on.
    pub(crate) fn log(&self) -> &[Entry] {
        &self.log
    }

    /// Offset of the newest publication.
    pub(crate) fn head(&self) -> i64 {
        self.log.len() as i64
    }
}

/// A subscription by topic or by pattern, and publications of which it wants four of five, under one of `keys` keys.
pub(crate) fn entry(view: View, keys: u64) -> impl Fn(u64) -> Entry {
    move |number| Entry {
        topic: match number % 5 {
            4 => "noise".to_owned(),
            other => view.topic(other),
        },
        key: Some(format!("k{}", number % keys)),
    }
}

/// A client that has subscribed and doesn't read on, unless asked to.
pub(crate) struct Stalled {
    pub(crate) socket: Socket,
    pub(crate) seen: Seen,
    pub(crate) text: &'static str,
    /// The answer to its `subscribe`.
    pub(crate) subscribed: Value,
}

impl Stalled {
    pub(crate) async fn subscribe(node: &Node, view: View, fields: Value) -> Stalled {
        let socket = Socket::open_narrow(node.listen).await;
        Self::subscribe_on(socket, view, fields).await
    }

    pub(crate) async fn subscribe_on(mut socket: Socket, view: View, fields: Value) -> Stalled {
        let subscribed = socket.subscribe(view.text(), fields).await;
        Stalled {
            socket,
            seen: Seen::of(view, offset(&subscribed)),
            text: view.text(),
            subscribed,
        }
    }

    /// Takes the next frame, which belongs to the subscription.
    pub(crate) async fn read_one(&mut self) {
        let frame = self.socket.next().await;
        self.seen.take(&frame);
    }

    /// Takes what comes before an answer of that `op`, which is left out.
    pub(crate) async fn take_up_to(&mut self, op: &str) {
        loop {
            let frame = self.socket.next().await;
            if frame["op"] == op {
                return;
            }
            self.seen.take(&frame);
        }
    }

    /// Changes settings; what comes before the answer is taken.
    pub(crate) async fn reconfigure(&mut self, fields: Value) -> Value {
        let mut command = json!({"op": "reconfigure", "topic": self.text});
        let command_fields = command.as_object_mut().expect("an object");
        command_fields.extend(fields.as_object().expect("fields").clone());
        let answer = self.socket.ask(command).await;
        assert_eq!(answer["op"], "reconfigured", "{answer}");
        answer["settings"].clone()
    }

    pub(crate) async fn credit(&mut self, n: u64) {
        let credit = json!({"op": "credit", "topic": self.text, "n": n});
        self.socket.send(credit).await;
    }

    /// Takes what comes up to a ledger, which agrees with it, and gives that.
    pub(crate) async fn ledger(&mut self) -> Value {
        let ledger = self.socket.ledger(self.text).await;
        while let Some(frame) = self.socket.waiting() {
            self.seen.take(&frame);
        }
        self.seen.agrees(&ledger);
        ledger
    }

    /// Reads on until nothing is pending and every loss is announced; gives the ledger of then.
    pub(crate) async fn read_to_the_end(&mut self) -> Value {
        loop {
            let ledger = self.ledger().await;
            if self.seen.is_all(&ledger) {
                return ledger;
            }
            self.read_one().await;
        }
    }
}

/// A client on the same worker that reads all the time, and gets everything.
pub(crate) struct Neighbour(Stalled);

impl Neighbour {
    pub(crate) async fn subscribe(node: &Node, view: View) -> Neighbour {
        let socket = Socket::open(node.listen).await;
        let wide = json!({"overflow": "disconnect", "bound": messages_bound(100_000)});
        Neighbour(Stalled::subscribe_on(socket, view, wide).await)
    }

    /// Floods while this client reads, until it has everything.
    pub(crate) async fn reads_along(
        &mut self,
        publisher: &mut Publisher,
        count: u64,
        entry: impl Fn(u64) -> Entry,
    ) {
        let head = publisher.head();
        let wanted = (0..count)
            .filter(|number| self.0.seen.view.wants(&entry(*number).topic))
            .count();
        let all = self.0.seen.messages.len() + wanted;
        let reading = async {
            while self.0.seen.messages.len() < all {
                self.0.read_one().await;
            }
        };
        tokio::join!(publisher.flood(count, &entry), reading);
        assert_eq!(self.0.seen.gaps.len(), 0, "since {head}");
        self.0.seen.accounts_for(publisher.log());
    }
}
