//! The world around one engine: time, sessions with sockets of any capacity, and a hub; every step drawn from one seed.
use std::collections::BTreeMap;

use fastrand::Rng;
use pubsub_stream::{Config, Defaults, Engine, Now, Peer, SessionId};
use pubsub_wire::Limits;
use pubsub_wire::value::Overflow;

use crate::client::{Client, Logs, Subscribed};
use crate::hub::{Greeting, Hub};
use crate::settings::Drawn;

const TOPICS: [&str; 5] = ["a.1", "a.2", "b.1", "b.2.x", "c"];
const TEXTS: [&str; 8] = ["a.1", "a.2", "b.1", "c", "a.*", "b.>", ">", "*.1"];
const SECOND: u64 = 1_000_000_000;

struct Socket {
    id: SessionId,
    client: Client,
    /// Bytes the kernel holds, and how many it would.
    queue: Vec<u8>,
    capacity: usize,
    refused: bool,
    /// It reads nothing for now.
    stalled: bool,
}

pub struct World {
    rng: Rng,
    now: Now,
    engine: Engine,
    hub: Hub,
    logs: Logs,
    sockets: BTreeMap<SessionId, Socket>,
    /// Only settings whose outcome the client can tell to the last message.
    plain: bool,
    ring_bytes: u64,
}

fn config(rng: &mut Rng) -> Config {
    Config {
        limits: Limits {
            subscriptions: 6,
            ..Limits::default()
        },
        ring_bytes: if rng.u8(..4) == 0 { 6000 } else { 1 << 20 },
        commands_per_s: 1_000_000,
        commands_burst: 1_000_000,
        publishes_per_s: 1_000_000,
        publish_bytes_per_s: 1 << 30,
        pending_publishes: 1000,
        defaults: vec![Defaults {
            pattern: "b.>".into(),
            overflow: Some(Overflow::Conflate),
            ..Defaults::default()
        }],
        mode_hold_ns: 0,
        read_bytes: 1 << 16,
        reads_in_flight: 2,
        seed: rng.u64(..),
        ..Config::default()
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let config = config(&mut rng);
        let ring_bytes = config.ring_bytes as u64;
        let engine = Engine::new(config);
        let now = Now {
            mono_ns: SECOND,
            wall_us: 1,
        };
        Self {
            rng,
            now,
            engine,
            hub: Hub::new(),
            logs: Logs::new(),
            sockets: BTreeMap::new(),
            ring_bytes,
            plain: seed.is_multiple_of(3),
        }
    }

    pub fn run(mut self) {
        let steps = 300 + self.rng.usize(..1500);
        for _ in 0..steps {
            self.step();
            self.turn();
            assert!(
                self.engine.stats().ring_bytes <= self.ring_bytes,
                "memory is over its budget"
            );
        }
        self.settle();
    }

    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..4 if self.sockets.len() < 12 => self.connect(),
            0..14 => self.subscribe(),
            14..17 => self.unsubscribe(),
            17 => self.reconfigure(),
            18..22 => self.ask_ledger(),
            22..60 => self.publish(),
            60..72 => self.read_some(),
            72..76 => self.stall_or_go_on(),
            76..78 => self.hub.forget(self.rng.usize(3..60)),
            78..82 => self.pass_time(),
            82..84 if self.rng.u8(..4) == 0 => self.disconnect(),
            82..84 => self.grant(),
            84 => self.hub_event(),
            85 => self.set_wall_clock(),
            _ => {
                let most = self.rng.usize(1..20);
                self.hub.send(self.now, &mut self.engine, most);
            }
        }
    }

    /// The driver's loop: requests out, visits, closes.
    fn turn(&mut self) {
        if self.hub.up {
            self.hub.take_requests(self.now, &mut self.engine);
        }
        let known = self.logs.entry(self.hub.epoch.clone()).or_default();
        known.extend_from_slice(&self.hub.log[known.len()..]);
        let most = if self.rng.u8(..5) == 0 { 2 } else { 1000 };
        for _ in 0..most {
            let Some(id) = self.engine.poll_visit(self.now) else {
                break;
            };
            self.visit(id);
        }
        while let Some(closed) = self.engine.poll_closed() {
            self.sockets.remove(&closed.session);
        }
    }

    fn visit(&mut self, id: SessionId) {
        let pieces = self.engine.poll_write(self.now, id);
        if pieces.is_empty() {
            return;
        }
        let offered: Vec<u8> = pieces.iter().flat_map(|p| p.bytes().to_vec()).collect();
        let socket = self.sockets.get_mut(&id).expect("a session that is there");
        let room = socket.capacity - socket.queue.len();
        let taken = offered.len().min(room);
        socket.queue.extend_from_slice(&offered[..taken]);
        let blocked = taken < offered.len();
        socket.refused |= blocked;
        self.engine.handle_written(self.now, id, taken, blocked);
    }

    fn pick(&mut self) -> Option<SessionId> {
        let n = self.sockets.len();
        if n == 0 {
            return None;
        }
        let index = self.rng.usize(..n);
        self.sockets.keys().nth(index).copied()
    }

    fn connect(&mut self) {
        let id = self
            .engine
            .handle_open(self.now, Peer { may_publish: true });
        let capacity = [700, 2000, 10_000, 1 << 20][self.rng.usize(..4)];
        let (client, queue) = (Client::default(), Vec::new());
        self.sockets.insert(
            id,
            Socket {
                id,
                client,
                queue,
                capacity,
                refused: false,
                stalled: false,
            },
        );
    }

    fn subscribe(&mut self) {
        let Some(id) = self.pick() else { return };
        let text = TEXTS[self.rng.usize(..TEXTS.len())];
        let from = self.draw_from();
        let settings = Drawn::new(&mut self.rng, self.plain);
        let socket = self.sockets.get_mut(&id).unwrap();
        let taken = socket.client.subscriptions.contains_key(text)
            || socket.client.subscriptions.len() + socket.client.leaving.len() >= 6;
        let waiting =
            socket.client.leaving.iter().any(|s| s.text == text) || socket.client.leaving.len() > 3;
        if taken || waiting || socket.client.closed.is_some() {
            return;
        }
        let newest_only = from.contains("last");
        let mut subscribed = Subscribed::new(text, false, newest_only);
        settings.note(&mut subscribed);
        subscribed.changes = !self.plain;
        socket
            .client
            .subscriptions
            .insert(text.to_owned(), subscribed);
        let command = format!(
            r#"{{"op":"subscribe","id":{},"topic":"{text}","from":{from}{}}}"#,
            1_000_000_u64 + u64::from(self.rng.u32(..)),
            settings.json()
        );
        self.engine.handle_text(self.now, id, &command);
    }

    fn reconfigure(&mut self) {
        let Some(id) = self.pick() else { return };
        let settings = Drawn::new(&mut self.rng, self.plain);
        let part = self.rng.u8(..6);
        let socket = self.sockets.get_mut(&id).unwrap();
        let mut texts: Vec<&String> = socket.client.subscriptions.keys().collect();
        texts.sort();
        if texts.is_empty() || socket.client.closed.is_some() {
            return;
        }
        let text = texts[self.rng.usize(..texts.len())].clone();
        let subscribed = socket.client.subscriptions.get_mut(&text).unwrap();
        let change = settings.change(part, subscribed);
        let command = format!(r#"{{"op":"reconfigure","topic":"{text}"{change}}}"#);
        self.engine.handle_text(self.now, id, &command);
    }

    fn grant(&mut self) {
        let Some(id) = self.pick() else { return };
        let n = self.rng.u64(1..20);
        let client = &mut self.sockets.get_mut(&id).unwrap().client;
        let mut texts: Vec<String> = Vec::new();
        for subscribed in client
            .subscriptions
            .values_mut()
            .filter(|s| s.demand.is_some())
        {
            subscribed.demand = subscribed.demand.map(|d| d + n);
            texts.push(subscribed.text.clone());
        }
        texts.sort();
        for text in texts {
            let command = format!(r#"{{"op":"credit","topic":"{text}","n":{n}}}"#);
            self.engine.handle_text(self.now, id, &command);
        }
    }

    fn draw_from(&mut self) -> String {
        let otherwise = ["earliest", "last", "live"][self.rng.usize(..3)];
        let offset = self.rng.i64(0..self.hub.head() + 3);
        match self.rng.u8(..8) {
            0..3 => r#""live""#.into(),
            3 => r#""earliest""#.into(),
            4 => r#""last""#.into(),
            5 => format!(r#"{{"recent":{}}}"#, self.rng.u8(1..12)),
            6 => format!(
                r#"{{"epoch":"{}","offset":{offset},"else":"{otherwise}"}}"#,
                self.hub.epoch
            ),
            _ => format!(r#"{{"epoch":"e1","offset":{offset},"else":"{otherwise}"}}"#),
        }
    }

    fn unsubscribe(&mut self) {
        let Some(id) = self.pick() else { return };
        let drain = self.rng.u8(..3) == 0;
        let socket = self.sockets.get_mut(&id).unwrap();
        let mut texts: Vec<&String> = socket.client.subscriptions.keys().collect();
        texts.sort();
        if texts.is_empty() {
            return;
        }
        let text = texts[self.rng.usize(..texts.len())].clone();
        let subscription = socket.client.subscriptions.remove(&text).unwrap();
        socket.client.leaving.push(subscription);
        let command = format!(r#"{{"op":"unsubscribe","topic":"{text}","drain":{drain}}}"#);
        self.engine.handle_text(self.now, id, &command);
    }

    fn ask_ledger(&mut self) {
        let Some(id) = self.pick() else { return };
        self.ask_ledgers(id);
    }

    fn ask_ledgers(&mut self, id: SessionId) {
        let client = &mut self.sockets.get_mut(&id).unwrap().client;
        let mut texts: Vec<String> = client
            .subscriptions
            .values()
            .filter(|s| s.began)
            .map(|s| s.text.clone())
            .collect();
        texts.sort();
        for text in texts {
            self.engine.handle_text(
                self.now,
                id,
                &format!(r#"{{"op":"ledger","topic":"{text}"}}"#),
            );
        }
    }

    fn publish(&mut self) {
        for _ in 0..[1, 1, 3, 30][self.rng.usize(..4)] {
            let topic = TOPICS[self.rng.usize(..TOPICS.len())];
            let key = [None, Some("k1"), Some("k2"), Some("")][self.rng.usize(..4)];
            let data = format!(r#"{{"pad":"{}"}}"#, "x".repeat(self.rng.usize(..120)));
            if self.rng.u8(..8) > 0 {
                self.hub.append(self.now, topic, key, &data);
            } else if let Some(id) = self.pick() {
                let number = 2_000_000_000_u64 + u64::from(self.rng.u32(..));
                let key = key.map_or("null".into(), |k| format!("\"{k}\""));
                let command = format!(
                    r#"{{"op":"publish","id":{number},"topic":"{topic}","key":{key},"data":{data}}}"#
                );
                self.engine.handle_text(self.now, id, &command);
            }
        }
    }

    fn read_some(&mut self) {
        let Some(id) = self.pick() else { return };
        if !self.sockets[&id].stalled {
            let most = [1, 50, 700, 100_000][self.rng.usize(..4)];
            self.read(id, most);
        }
    }

    fn read(&mut self, id: SessionId, most: usize) {
        let socket = self.sockets.get_mut(&id).unwrap();
        let taken: Vec<u8> = socket.queue.drain(..most.min(socket.queue.len())).collect();
        socket.client.take(&self.logs, &taken);
        if !taken.is_empty() && std::mem::take(&mut socket.refused) {
            self.engine.handle_writable(self.now, id);
        }
        self.engine.handle_received(self.now, id);
    }

    fn stall_or_go_on(&mut self) {
        let Some(id) = self.pick() else { return };
        let socket = self.sockets.get_mut(&id).unwrap();
        socket.stalled = !socket.stalled;
    }

    fn pass_time(&mut self) {
        let most = [SECOND / 100, SECOND, 15 * SECOND][self.rng.usize(..3)];
        let ns = self.rng.u64(..most);
        self.wait(ns);
    }

    fn wait(&mut self, ns: u64) {
        self.now = Now {
            mono_ns: self.now.mono_ns + ns,
            wall_us: self.now.wall_us + ns / 1000,
        };
        // Everybody is heard of: heartbeats are another test's.
        let all: Vec<SessionId> = self.sockets.keys().copied().collect();
        for id in all {
            self.engine.handle_received(self.now, id);
        }
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono_ns)
        {
            self.engine.handle_timeout(self.now);
        }
    }

    /// Forward or back, by up to two hours.
    fn set_wall_clock(&mut self) {
        self.now.wall_us = self.rng.u64(..7200 * SECOND / 1000);
    }

    fn disconnect(&mut self) {
        let Some(id) = self.pick() else { return };
        self.sockets.remove(&id);
        self.engine.handle_disconnect(self.now, id);
    }

    fn hub_event(&mut self) {
        if self.hub.up {
            match self.rng.u8(..6) {
                0 => self.hub.restart(self.now, &mut self.engine),
                1 => self.hub.lose_link(self.now, &mut self.engine),
                _ => {}
            }
        } else {
            let greeting = if self.rng.bool() {
                Greeting::Resumes
            } else {
                Greeting::FromHead
            };
            self.hub.connect(self.now, &mut self.engine, greeting);
        }
    }

    /// Quiet: everybody reads on until nothing moves any more; then each ledger must close with nothing pending.
    fn settle(&mut self) {
        if !self.hub.up {
            self.hub
                .connect(self.now, &mut self.engine, Greeting::FromHead);
        }
        self.lift_credit();
        // What rates and batches hold is released by and by, and modes that were held switch.
        for _ in 0..30 {
            self.drain_world();
            self.wait(SECOND);
        }
        self.close_batches();
        self.drain_world();
        let all: Vec<SessionId> = self.sockets.keys().copied().collect();
        for id in &all {
            self.sockets.get_mut(id).unwrap().client.last = true;
            self.ask_ledgers(*id);
        }
        self.drain_world();
        for socket in self.sockets.values() {
            assert!(
                socket.queue.is_empty() && socket.client.is_between_frames(),
                "{:?} holds bytes",
                socket.id
            );
            assert!(
                socket.client.leaving.is_empty(),
                "every unsubscribe was answered"
            );
            for subscription in socket.client.subscriptions.values() {
                assert!(subscription.began, "{} never began", subscription.text);
            }
        }
        assert_eq!(self.engine.stats().sessions as usize, self.sockets.len());
        assert_eq!(
            self.engine.stats().ring_bytes,
            0,
            "after quiet no ring holds anything"
        );
        for id in all {
            self.engine.handle_disconnect(self.now, id);
        }
        let stats = self.engine.stats();
        assert_eq!(
            (stats.sessions, stats.subscriptions, stats.views),
            (0, 0, 0)
        );
        assert_eq!((stats.behind, stats.replaying), (0, 0));
    }

    fn lift_credit(&mut self) {
        self.tell_all(|s| s.demand.take().is_some(), r#""credit":null"#);
    }

    /// Those that no time closes would wait for more.
    fn close_batches(&mut self) {
        self.tell_all(|_| true, r#""batch":null"#);
    }

    /// Reconfigures all subscriptions of which `which` is true.
    fn tell_all(&mut self, which: impl Fn(&mut Subscribed) -> bool, change: &str) {
        let mut commands = Vec::new();
        for (id, socket) in &mut self.sockets {
            let mut texts: Vec<String> = (socket.client.subscriptions.values_mut())
                .filter_map(|s| which(s).then(|| s.text.clone()))
                .collect();
            texts.sort();
            commands.extend(texts.into_iter().map(|text| (*id, text)));
        }
        for (id, text) in commands {
            let command = format!(r#"{{"op":"reconfigure","topic":"{text}",{change}}}"#);
            self.engine.handle_text(self.now, id, &command);
        }
    }

    fn drain_world(&mut self) {
        /// Turns without a byte received, after which nothing is under way any more.
        const QUIET_TURNS: u32 = 20;
        let mut quiet = 0;
        while quiet < QUIET_TURNS {
            self.hub.send(self.now, &mut self.engine, 1000);
            self.turn();
            let all: Vec<SessionId> = self.sockets.keys().copied().collect();
            quiet += 1;
            for id in all {
                if !self.sockets[&id].queue.is_empty() {
                    quiet = 0;
                }
                self.read(id, 1 << 20);
            }
            while let Some(id) = self.engine.poll_visit(self.now) {
                self.visit(id);
            }
        }
    }
}
