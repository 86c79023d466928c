//! A real engine with a scripted hub and sockets: what the hub says, what the kernel takes and what time it is, a test decides.
use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest, SliceHead, Start};
use pubsub_stream::{Config, Engine, Now, Peer, SessionId};
use serde_json::Value;

pub const SECOND: u64 = 1_000_000_000;

pub fn config() -> Config {
    Config {
        worker: 3,
        control_bytes: 4096,
        ring_bytes: 1 << 20,
        commands_per_s: 10,
        commands_burst: 20,
        publishes_per_s: 10,
        publish_bytes_per_s: 1 << 20,
        pending_publishes: 2,
        mode_hold_ns: 0,
        cohorts: 2,
        publish_denied: vec!["execs".into()],
        read_bytes: 1 << 16,
        reads_in_flight: 2,
        ..Config::default()
    }
}

pub struct Bench {
    pub engine: Engine,
    pub now: Now,
    pub offset: i64,
    /// The last that the hub was asked to watch.
    pub view: u32,
    /// Of every publication.
    pub data: &'static [u8],
}

impl Bench {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let mut engine = Engine::new(config);
        let now = Now {
            mono_ns: SECOND,
            wall_us: 5,
        };
        engine.handle_hub(
            now,
            HubEvent::Hello {
                epoch: "e",
                position: 0,
            },
        );
        assert_eq!(engine.poll_hub(), Some(HubRequest::Resume));
        Self {
            engine,
            now,
            offset: 0,
            view: 0,
            data: b"1",
        }
    }

    /// A session that has taken its welcome.
    pub fn open(&mut self) -> SessionId {
        self.open_as(Peer { may_publish: true })
    }

    pub fn open_as(&mut self, peer: Peer) -> SessionId {
        let id = self.engine.handle_open(self.now, peer);
        assert_eq!(self.take(id)[0]["op"], "welcome");
        id
    }

    pub fn say(&mut self, id: SessionId, command: &str) {
        self.engine.handle_text(self.now, id, command);
        self.serve_hub();
    }

    pub fn subscribe(&mut self, id: SessionId, rest: &str) {
        self.say(id, &format!(r#"{{"op":"subscribe",{rest}}}"#));
        assert_eq!(self.take(id).last().unwrap()["op"], "subscribed");
    }

    /// Confirms what is watched; everything else is left alone.
    pub fn serve_hub(&mut self) -> Vec<HubRequest> {
        let mut rest = Vec::new();
        while let Some(request) = self.engine.poll_hub() {
            if let HubRequest::Watch { view, .. } = request {
                self.view = view;
                self.engine.handle_hub(
                    self.now,
                    HubEvent::Watched {
                        view,
                        position: self.offset,
                    },
                );
            } else if request != HubRequest::Resume {
                rest.push(request);
            }
        }
        rest
    }

    /// What is asked of the log, beside what else there is to ask.
    pub fn reads(&mut self) -> Vec<(u32, Start)> {
        let read = |r| match r {
            HubRequest::Read { request, start, .. } => Some((request, start)),
            _ => None,
        };
        let mut all = Vec::new();
        loop {
            let some = self.serve_hub();
            if some.is_empty() {
                return all;
            }
            all.extend(some.into_iter().filter_map(read));
        }
    }

    /// The link to the hub is lost and there is one again.
    pub fn restart_hub(&mut self, epoch: &str) {
        self.engine.handle_hub_down(self.now);
        let position = self.offset;
        self.engine
            .handle_hub(self.now, HubEvent::Hello { epoch, position });
    }

    pub fn publish(&mut self, topic: &str) {
        self.offset += 1;
        let entry = self.entry(topic, self.offset);
        self.engine.handle_hub(self.now, HubEvent::Entry(entry));
    }

    fn entry<'a>(&self, topic: &'a str, offset: i64) -> EntryRef<'a> {
        EntryRef {
            offset,
            ts_us: 1,
            mono_ns: self.now.mono_ns,
            topic,
            key: None,
            data: self.data,
        }
    }

    /// A piece of the log: entries of `topic` with these offsets.
    pub fn slice(&mut self, head: SliceHead, topic: &str, offsets: &[i64]) {
        let past: Vec<EntryRef<'_>> = offsets.iter().map(|o| self.entry(topic, *o)).collect();
        let entries = &mut past.into_iter();
        self.engine
            .handle_hub(self.now, HubEvent::Slice { head, entries });
    }

    pub fn wait(&mut self, ns: u64) {
        self.now.mono_ns += ns;
        if self
            .engine
            .poll_timeout()
            .is_some_and(|at| at <= self.now.mono_ns)
        {
            self.engine.handle_timeout(self.now);
        }
    }

    /// The bytes of one write, of which the kernel takes `most`.
    pub fn write(&mut self, id: SessionId, most: usize) -> Vec<u8> {
        let offered: Vec<u8> = self
            .engine
            .poll_write(self.now, id)
            .iter()
            .flat_map(|p| p.bytes().to_vec())
            .collect();
        let taken = offered.len().min(most);
        if !offered.is_empty() {
            self.engine
                .handle_written(self.now, id, taken, taken < offered.len());
        }
        offered[..taken].to_vec()
    }

    /// Takes all there is; text frames as JSON, others as `{"opcode":…}`.
    pub fn take(&mut self, id: SessionId) -> Vec<Value> {
        let mut bytes = Vec::new();
        while let Some(visited) = self.engine.poll_visit(self.now) {
            let written = self.write(visited, usize::MAX);
            if visited == id {
                bytes.extend(written);
            }
        }
        frames(&bytes)
    }

    /// The kernel refuses whatever this session is offered.
    pub fn refuse(&mut self, id: SessionId) {
        self.refuse_all(&[id]);
    }

    /// The kernel refuses whatever these sessions are offered.
    pub fn refuse_all(&mut self, ids: &[SessionId]) {
        while let Some(visited) = self.engine.poll_visit(self.now) {
            let refuses = ids.contains(&visited);
            self.write(visited, if refuses { 0 } else { usize::MAX });
        }
    }
}

pub fn frames(mut bytes: &[u8]) -> Vec<Value> {
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let (header, length) = match bytes[1] {
            126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
            n => (2, usize::from(n)),
        };
        let payload = &bytes[header..header + length];
        all.push(match bytes[0] & 0xF {
            1 => serde_json::from_slice(payload).unwrap(),
            8 => serde_json::json!({"close": u16::from_be_bytes([payload[0], payload[1]])}),
            opcode => serde_json::json!({ "opcode": opcode }),
        });
        bytes = &bytes[header + length..];
    }
    all
}

/// Of the messages among these, in the order in which they came.
pub fn offsets(all: &[Value]) -> Vec<i64> {
    let messages = all.iter().filter(|f| f["op"] == "msg");
    messages.filter_map(|m| m["offset"].as_i64()).collect()
}

/// A piece that begins at `start` and was read up to `end`, where the log goes on.
pub fn piece(request: u32, start: i64, end: i64) -> SliceHead {
    SliceHead {
        request,
        start,
        gap: None,
        end,
        joined: false,
    }
}

/// Messages among these by their offsets, and of gaps the reason, the range and the count.
pub fn told(all: &[Value]) -> Value {
    let fields = ["reason", "from", "to", "count"];
    let told = all.iter().filter_map(|f| match f["op"].as_str()? {
        "msg" => Some(f["offset"].clone()),
        "gap" => Some(fields.iter().map(|name| f[*name].clone()).collect()),
        _ => None,
    });
    told.collect()
}
