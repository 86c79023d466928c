//! Plays a scene to the engine: virtual time, a log that answers reads, and sockets that take everything or nothing.
//!
//! Time goes from one event of the script, or one deadline of the engine, to the next; nothing is skipped and nothing sleeps.

use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest, SliceHead, Start};
use pubsub_stream::{Config, Engine, Now, Peer, SessionId};
use serde_json::Value;

use super::scenes::{Scene, Subscriber, TOPIC};

/// Wall time when a scene begins: a multiple of a minute, so that it lies on every grid of `sample` that is drawn.
const BEGIN_US: u64 = 1_790_000_040_000_000;
/// Monotonic time then.
const BEGIN_NS: u64 = 1_000_000_000;

/// One item that came to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    /// Messages of one frame, by offset; several only in a batch.
    Messages { offsets: Vec<i64>, batched: bool },
    /// A loss.
    Gap {
        span: Option<(i64, i64)>,
        count: u64,
        reason: String,
    },
    /// It is in this mode from here on.
    Mode(String),
    /// The connection was closed with this code.
    Closed(u16),
}

/// What one subscriber got, with the milliseconds since the beginning, and its ledger at the end.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) came: Vec<(u64, Came)>,
    pub(crate) ledger: Option<Value>,
}

/// A subscriber, its socket, and what it got so far.
struct Client<'a> {
    script: &'a Subscriber,
    session: SessionId,
    stalled: bool,
    open: bool,
    record: Record,
}

enum Event<'a> {
    Publish(&'a str),
    Stall(usize),
    Take(usize),
    Say(usize, &'a str),
    End,
}

struct Stage<'a> {
    engine: Engine,
    now: Now,
    /// Offset and key of all that was published.
    log: Vec<(i64, u64, String)>,
    clients: Vec<Client<'a>>,
}

/// Plays a scene to its end.
pub(crate) fn play(scene: &Scene) -> Vec<Record> {
    let mut stage = Stage::new();
    for subscriber in scene.subscribers.iter().chain(&scene.beside) {
        stage.join(subscriber);
    }
    for (ms, event) in events(scene) {
        stage.wait_until(ms);
        stage.take_place(&event);
        stage.turn();
    }
    let drawn = stage.clients.into_iter().take(scene.subscribers.len());
    drawn.map(|c| c.record).collect()
}

/// What a session without anything subscribed, or with `prices`, is told against a command.
#[allow(dead_code, reason = "only the test asks")]
pub(crate) fn refusal(commands: &[&str]) -> Option<String> {
    let mut stage = Stage::new();
    let session = stage
        .engine
        .handle_open(stage.now, Peer { may_publish: true });
    let mut refused = None;
    for command in commands {
        stage.engine.handle_text(stage.now, session, command);
        stage.serve();
        while let Some(visited) = stage.engine.poll_visit(stage.now) {
            let bytes = stage.write(visited, true);
            let error = frames(&bytes).into_iter().find(|f| f["op"] == "error");
            refused = refused.or(error.map(|e| format!("{command}: {e}")));
        }
    }
    refused
}

fn events(scene: &Scene) -> Vec<(u64, Event<'_>)> {
    let published = scene.published.iter();
    let mut all: Vec<_> = published.map(|(ms, k)| (*ms, Event::Publish(k))).collect();
    for (who, subscriber) in scene.subscribers.iter().enumerate() {
        for (from, to) in &subscriber.stalls {
            all.push((*from, Event::Stall(who)));
            all.push((*to, Event::Take(who)));
        }
        let says = subscriber.says.iter();
        all.extend(says.map(|s| (s.ms, Event::Say(who, &s.command))));
    }
    all.push((scene.ms, Event::End));
    all.sort_by_key(|(ms, _)| *ms);
    all
}

impl<'a> Stage<'a> {
    fn new() -> Self {
        let mut engine = Engine::new(Config::default());
        let now = Now {
            mono_ns: BEGIN_NS,
            wall_us: BEGIN_US,
        };
        let hello = HubEvent::Hello {
            epoch: "e",
            position: 0,
        };
        engine.handle_hub(now, hello);
        Self {
            engine,
            now,
            log: Vec::new(),
            clients: Vec::new(),
        }
    }

    fn join(&mut self, script: &'a Subscriber) {
        let session = self
            .engine
            .handle_open(self.now, Peer { may_publish: true });
        self.clients.push(Client {
            script,
            session,
            stalled: false,
            open: true,
            record: Record::default(),
        });
        let command = script.subscribe();
        self.engine.handle_text(self.now, session, &command);
        self.turn();
    }

    fn wait_until(&mut self, ms: u64) {
        let until_ns = BEGIN_NS + ms * 1_000_000;
        while let Some(due_ns) = self.engine.poll_timeout().filter(|at| *at < until_ns) {
            self.set_time(due_ns.max(self.now.mono_ns));
            self.engine.handle_timeout(self.now);
            self.turn();
        }
        self.set_time(until_ns);
    }

    fn set_time(&mut self, mono_ns: u64) {
        self.now = Now {
            mono_ns,
            wall_us: BEGIN_US + (mono_ns - BEGIN_NS) / 1000,
        };
    }

    /// What comes at the very instant of a deadline comes before it.
    fn take_place(&mut self, event: &Event<'_>) {
        match *event {
            Event::Publish(key) => self.publish(key),
            Event::Stall(who) => self.clients[who].stalled = true,
            Event::Take(who) => {
                self.clients[who].stalled = false;
                let session = self.clients[who].session;
                self.engine.handle_writable(self.now, session);
            }
            Event::Say(who, command) => self.say(who, command),
            Event::End => {
                for who in 0..self.clients.len() {
                    self.say(who, &format!(r#"{{"op":"ledger","topic":"{TOPIC}"}}"#));
                }
            }
        }
        self.turn();
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono_ns)
        {
            self.engine.handle_timeout(self.now);
        }
    }

    fn say(&mut self, who: usize, command: &str) {
        let client = &self.clients[who];
        if client.open {
            self.engine.handle_text(self.now, client.session, command);
        }
    }

    fn publish(&mut self, key: &str) {
        let offset = self.log.len() as i64 + 1;
        self.log.push((offset, self.now.mono_ns, key.to_owned()));
        let data = offset.to_string();
        let entry = entry((offset, self.now.mono_ns, key), data.as_bytes());
        self.engine.handle_hub(self.now, HubEvent::Entry(entry));
    }

    /// Lets the engine run until it has nothing more to ask and nothing more to write.
    fn turn(&mut self) {
        loop {
            let served = self.serve();
            let mut wrote = false;
            while let Some(session) = self.engine.poll_visit(self.now) {
                self.visit(session);
                wrote = true;
            }
            while let Some(closed) = self.engine.poll_closed() {
                let ms = self.ms();
                let found = self
                    .clients
                    .iter_mut()
                    .find(|c| c.session == closed.session);
                if let Some(client) = found {
                    client.open = false;
                    client.record.came.push((ms, Came::Closed(closed.code)));
                }
            }
            if !served && !wrote {
                return;
            }
        }
    }

    fn ms(&self) -> u64 {
        (self.now.mono_ns - BEGIN_NS) / 1_000_000
    }

    fn visit(&mut self, session: SessionId) {
        let Some(who) = self.clients.iter().position(|c| c.session == session) else {
            return;
        };
        let takes = !self.clients[who].stalled;
        let bytes = self.write(session, takes);
        let ms = self.ms();
        for frame in frames(&bytes) {
            self.clients[who].note(ms, &frame);
        }
    }

    /// One write to a socket that takes all of it, or nothing.
    fn write(&mut self, session: SessionId, takes: bool) -> Vec<u8> {
        let pieces = self.engine.poll_write(self.now, session).iter();
        let mut bytes: Vec<u8> = pieces.flat_map(|p| p.bytes().to_vec()).collect();
        if bytes.is_empty() {
            return bytes;
        }
        if !takes {
            bytes.clear();
        }
        self.engine
            .handle_written(self.now, session, bytes.len(), !takes);
        bytes
    }

    /// Answers what the engine asks the hub for.
    fn serve(&mut self) -> bool {
        let mut served = false;
        while let Some(request) = self.engine.poll_hub() {
            served = true;
            let position = self.log.len() as i64;
            match request {
                HubRequest::Watch { view, .. } => {
                    let watched = HubEvent::Watched { view, position };
                    self.engine.handle_hub(self.now, watched);
                }
                HubRequest::Read { request, start, .. } => self.read(request, &start),
                HubRequest::Unwatch { .. }
                | HubRequest::Resume
                | HubRequest::Publish { .. }
                | HubRequest::Call { .. } => {}
            }
        }
        served
    }

    /// The log from a place on, all of it.
    fn read(&mut self, request: u32, start: &Start) {
        let after = match start {
            Start::Continue { offset, .. } | Start::After { offset, .. } => *offset,
            Start::Earliest | Start::Last | Start::Recent(_) => 0,
        };
        let log = self.log.clone();
        let data: Vec<String> = log.iter().map(|(offset, ..)| offset.to_string()).collect();
        let all = log
            .iter()
            .zip(&data)
            .filter(|((offset, ..), _)| *offset > after);
        let mut entries =
            all.map(|((offset, ns, key), data)| entry((*offset, *ns, key), data.as_bytes()));
        let head = SliceHead {
            request,
            start: after,
            gap: None,
            end: log.len() as i64,
            joined: true,
        };
        let slice = HubEvent::Slice {
            head,
            entries: &mut entries,
        };
        self.engine.handle_hub(self.now, slice);
    }
}

fn entry<'a>((offset, mono_ns, key): (i64, u64, &'a str), data: &'a [u8]) -> EntryRef<'a> {
    EntryRef {
        offset,
        ts_us: BEGIN_US + (mono_ns - BEGIN_NS) / 1000,
        mono_ns,
        topic: TOPIC,
        key: Some(key),
        data,
    }
}

impl Client<'_> {
    /// A frame has come.
    fn note(&mut self, ms: u64, frame: &Value) {
        let offsets = |items: &[Value]| items.iter().filter_map(|i| i["offset"].as_i64()).collect();
        let came = match frame["op"].as_str().unwrap_or_default() {
            "msg" => Came::Messages {
                offsets: offsets(std::slice::from_ref(frame)),
                batched: false,
            },
            "batch" => Came::Messages {
                offsets: offsets(frame["items"].as_array().map_or(&[], Vec::as_slice)),
                batched: true,
            },
            "gap" => Came::Gap {
                span: frame["from"].as_i64().zip(frame["to"].as_i64()),
                count: frame["count"].as_u64().unwrap_or(0),
                reason: frame["reason"].as_str().unwrap_or_default().to_owned(),
            },
            "mode" => Came::Mode(frame["mode"].as_str().unwrap_or_default().to_owned()),
            "ledger" => {
                self.record.ledger = Some(frame["ledger"].clone());
                return;
            }
            "error" => panic!("{:?} was refused: {frame}", self.script.settings),
            _ => return,
        };
        self.record.came.push((ms, came));
    }
}

/// The text frames among these bytes.
fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let mut all = Vec::new();
    while bytes.len() > 1 {
        let (header, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            n => (2, usize::from(n)),
        };
        let payload = &bytes[header..header + length];
        all.extend(serde_json::from_slice(payload).ok());
        bytes = &bytes[header + length..];
    }
    all
}
