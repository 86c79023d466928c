//! Whatever happens, every command that has an id is answered once, unless its session was closed: sockets refuse, the hub answers
//! late, fails or restarts, time passes, and everybody is told to go.
use std::collections::BTreeMap;

use fastrand::Rng;
use pubsub_stream::hub::{HubEvent, HubRequest, Refusal, SliceHead, Start};
use pubsub_stream::{Config, GoawayReason, Peer, SessionId};
use pubsub_wire::ErrorCode;

use crate::bench::{Bench, SECOND, config, frames, piece};

const TOPICS: [&str; 2] = ["a", "b"];
/// Visits, or rounds of them, after which an engine is taken to run in a circle.
const ROUNDS_MAX: u32 = 10_000;

#[derive(Default)]
struct Client {
    /// By their ids.
    said: BTreeMap<u64, String>,
    bytes: Vec<u8>,
    refuses: bool,
    closed: bool,
}

struct World {
    bench: Bench,
    rng: Rng,
    clients: BTreeMap<SessionId, Client>,
    log: Vec<(i64, &'static str)>,
    epoch: u32,
    up: bool,
    views: BTreeMap<u32, String>,
    reads: Vec<(u32, u32, Start)>,
    publications: Vec<u64>,
    ids: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            bench: Bench::with(Config {
                // In some, memory is short.
                ring_bytes: [1 << 20, 3000, 600][seed as usize % 3],
                heartbeat_ns: 5 * SECOND,
                ..config()
            }),
            rng: Rng::with_seed(seed),
            clients: BTreeMap::new(),
            log: Vec::new(),
            epoch: 0,
            up: true,
            views: BTreeMap::new(),
            reads: Vec::new(),
            publications: Vec::new(),
            ids: 0,
        }
    }

    fn run(mut self, seed: u64) {
        for _ in 0..300 {
            self.step();
            self.turn();
        }
        if !self.up {
            self.connect();
        }
        for _ in 0..10 {
            let all: Vec<SessionId> = self.clients.keys().copied().collect();
            for id in all {
                self.set_refuses(id, false);
            }
            while !self.reads.is_empty() || !self.publications.is_empty() {
                self.answer();
                self.turn();
            }
            self.wait(SECOND);
            self.turn();
        }
        for client in self.clients.values().filter(|c| !c.closed) {
            let all = frames(&client.bytes);
            let mut told: Vec<u64> = all.iter().filter_map(|f| f["id"].as_u64()).collect();
            told.sort_unstable();
            let said: Vec<u64> = client.said.keys().copied().collect();
            assert_eq!(told, said, "seed {seed}: {:#?} {all:#?}", client.said);
        }
        for id in self.clients.keys() {
            self.bench.engine.handle_disconnect(self.bench.now, *id);
        }
        let stats = self.bench.engine.stats();
        assert_eq!(
            [
                stats.sessions,
                stats.subscriptions,
                stats.views,
                stats.behind,
                stats.replaying,
                stats.ring_bytes
            ],
            [0; 6],
            "seed {seed}"
        );
    }

    fn step(&mut self) {
        match self.rng.u32(..100) {
            0..3 => {
                let peer = Peer { may_publish: true };
                let id = self.bench.engine.handle_open(self.bench.now, peer);
                self.clients.insert(id, Client::default());
            }
            3..40 => self.say(),
            40..55 => self.publish(),
            55..75 => self.answer(),
            75..85 => {
                let refuses = self.rng.bool();
                if let Some(id) = self.pick() {
                    self.set_refuses(id, refuses);
                }
            }
            85..95 => {
                let most = [SECOND / 100, SECOND, 8 * SECOND][self.rng.usize(..3)];
                let ns = self.rng.u64(..most);
                self.wait(ns);
            }
            95..98 if self.up => {
                self.bench.engine.handle_hub_down(self.bench.now);
                self.up = false;
                self.reads.clear();
                self.publications.clear();
            }
            95..98 => self.connect(),
            98 => self.close_one(),
            _ if self.rng.u8(..4) == 0 => {
                let window_ms = self.rng.u64(..3000);
                let now = self.bench.now;
                let reason = GoawayReason::Restart;
                self.bench.engine.handle_goaway(now, reason, window_ms);
            }
            _ => {}
        }
    }

    fn pick(&mut self) -> Option<SessionId> {
        let open: Vec<SessionId> = (self.clients.iter())
            .filter(|(_, c)| !c.closed)
            .map(|(id, _)| *id)
            .collect();
        (!open.is_empty()).then(|| open[self.rng.usize(..open.len())])
    }

    fn say(&mut self) {
        let Some(id) = self.pick() else { return };
        let topic = TOPICS[self.rng.usize(..2)];
        let from = [
            r#""live""#,
            r#""earliest""#,
            r#""last""#,
            r#"{"recent":2}"#,
            r#"{"epoch":"0","offset":1}"#,
        ][self.rng.usize(..5)];
        let settings = [
            "",
            r#","credit":1"#,
            r#","overflow":"spill","bound":{"messages":2}"#,
            r#","overflow":"conflate","batch":{"ms":30}"#,
            r#","rate":{"mode":"sample","ms":40}"#,
            r#","overflow":"disconnect","bound":{"messages":5}"#,
            r#","overflow":"drop_newest","bound":{"messages":1}"#,
        ][self.rng.usize(..7)];
        let rest = match self.rng.u32(..16) {
            0..6 => format!(r#""op":"subscribe","topic":"{topic}","from":{from}{settings}"#),
            6..8 => format!(r#""op":"unsubscribe","topic":"{topic}""#),
            8 => format!(r#""op":"unsubscribe","topic":"{topic}","drain":true"#),
            9..11 => format!(r#""op":"ledger","topic":"{topic}""#),
            11..13 => format!(r#""op":"reconfigure","topic":"{topic}"{settings}"#),
            13 => format!(r#""op":"publish","topic":"{topic}","data":1"#),
            14 => r#""op":"ping""#.into(),
            _ => {
                let credit = format!(r#"{{"op":"credit","topic":"{topic}","n":3}}"#);
                self.bench.engine.handle_text(self.bench.now, id, &credit);
                return;
            }
        };
        self.ids += 1;
        let client = self.clients.get_mut(&id).unwrap();
        let command = format!(r#"{{"id":{},{rest}}}"#, self.ids);
        self.bench.engine.handle_text(self.bench.now, id, &command);
        client.said.insert(self.ids, command);
    }

    fn publish(&mut self) {
        if self.up {
            let topic = TOPICS[self.rng.usize(..2)];
            self.bench.publish(topic);
            self.log.push((self.bench.offset, topic));
        }
    }

    /// The hub answers something, now and then that it can't.
    fn answer(&mut self) {
        let why = Refusal {
            code: ErrorCode::Unavailable,
            message: "later",
            retry_after_ms: None,
        };
        let fails = self.rng.u8(..6) == 0;
        let now = self.bench.now;
        if let Some(request) = self.publications.pop() {
            let event = if fails {
                HubEvent::PublishFailed { request, why }
            } else {
                HubEvent::Published { request, offset: 1 }
            };
            self.bench.engine.handle_hub(now, event);
        }
        if self.reads.is_empty() {
            return;
        }
        let (request, view, start) = self.reads.remove(0);
        if fails {
            let failed = HubEvent::ReadFailed { request, why };
            self.bench.engine.handle_hub(now, failed);
            return;
        }
        let topic = &self.views[&view];
        let held = self.log.iter().filter(|(_, t)| t == topic).map(|e| e.0);
        let held: Vec<i64> = held.collect();
        let newest = |n: usize| held.iter().rev().nth(n).copied().unwrap_or(0);
        let after = match start {
            Start::Last => newest(1),
            Start::Recent(n) => newest(n as usize),
            Start::Continue { offset, .. } => offset,
            Start::Earliest | Start::After { .. } => 0,
        };
        let left: Vec<i64> = held.into_iter().filter(|o| *o > after).collect();
        let some = &left[..left.len().min(3)];
        let joined = some.len() == left.len();
        let end = if joined {
            self.bench.offset
        } else {
            some[some.len() - 1]
        };
        let piece = SliceHead {
            joined,
            ..piece(request, after, end)
        };
        let topic = topic.clone();
        self.bench.slice(piece, &topic, some);
    }

    fn set_refuses(&mut self, id: SessionId, refuses: bool) {
        let client = self.clients.get_mut(&id).unwrap();
        if std::mem::replace(&mut client.refuses, refuses) && !refuses {
            self.bench.engine.handle_writable(self.bench.now, id);
        }
    }

    fn wait(&mut self, ns: u64) {
        self.bench.wait(ns);
        // Now and then nobody is heard of for long.
        if self.rng.bool() {
            for id in self.clients.keys() {
                self.bench.engine.handle_received(self.bench.now, *id);
            }
        }
    }

    fn close_one(&mut self) {
        if let Some(id) = self.pick() {
            let now = self.bench.now;
            self.bench.engine.handle_peer_close(now, id, Some(1000));
            self.clients.get_mut(&id).unwrap().closed = true;
        }
    }

    fn connect(&mut self) {
        self.up = true;
        if self.rng.bool() {
            self.epoch += 1;
            self.log.clear();
            self.bench.offset = 0;
        }
        let hello = HubEvent::Hello {
            epoch: &self.epoch.to_string(),
            position: self.bench.offset,
        };
        self.bench.engine.handle_hub(self.bench.now, hello);
    }

    /// Lets the engine run until nothing moves.
    fn turn(&mut self) {
        for round in 0.. {
            assert!(round < ROUNDS_MAX, "it doesn't come to rest");
            let mut moved = false;
            while let Some(request) = self.bench.engine.poll_hub() {
                moved = true;
                self.serve(request);
            }
            while let Some(visited) = self.bench.engine.poll_visit(self.bench.now) {
                moved |= self.write(visited);
            }
            while let Some(closed) = self.bench.engine.poll_closed() {
                self.clients.get_mut(&closed.session).unwrap().closed = true;
            }
            if !moved {
                return;
            }
        }
    }

    fn serve(&mut self, request: HubRequest) {
        match request {
            HubRequest::Watch { view, text } => {
                self.views.insert(view, text);
                let position = self.bench.offset;
                let watched = HubEvent::Watched { view, position };
                self.bench.engine.handle_hub(self.bench.now, watched);
            }
            // What was asked before is answered all the same.
            HubRequest::Unwatch { .. } | HubRequest::Resume => {}
            HubRequest::Read {
                request,
                view,
                start,
                ..
            } => self.reads.push((request, view, start)),
            HubRequest::Call { .. } => unreachable!("nobody calls"),
            HubRequest::Publish { request, .. } => {
                self.publications.extend((request > 0).then_some(request));
            }
        }
    }

    fn write(&mut self, visited: SessionId) -> bool {
        let client = self.clients.entry(visited).or_default();
        let most = match (client.refuses, self.rng.u8(..4)) {
            (true, 0) => self.rng.usize(..300),
            (true, _) => 0,
            (false, _) => usize::MAX,
        };
        let written = self.bench.write(visited, most);
        client.bytes.extend(&written);
        !written.is_empty()
    }
}

#[test]
fn every_command_is_answered_once_unless_its_session_is_closed() {
    for seed in 0..100 {
        World::new(seed).run(seed);
    }
}
