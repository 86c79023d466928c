//! The driver: virtual time, sockets that take any number of bytes, and the record of what each client saw.
//!
//! It drives whatever is a [`Machine`]: the engine, or the model in its place. Time goes from one deadline of the machine to the
//! next and is never skipped over. After every input the machine is let run until it has nothing more to write.
use std::rc::Rc;

use pubsub_stream::Now;
use serde_json::Value;

/// Wall time at monotonic 0: no multiple of a millisecond, so that the grid of `sample` is not that of the steps.
const WALL_US: u64 = 1_790_000_000_000_250;
/// Rounds of one turn after which a machine is taken to run in a circle.
const ROUNDS_MAX: u32 = 10_000;

pub fn at(mono_ns: u64) -> Now {
    Now {
        mono_ns,
        wall_us: WALL_US + mono_ns / 1000,
    }
}

/// One publication of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub offset: i64,
    pub ts_us: u64,
    pub mono_ns: u64,
    pub topic: String,
    pub key: Option<String>,
    pub data: String,
}

/// What the driver drives; sessions are numbered in the order they are opened.
pub trait Machine {
    fn open(&mut self, now: Now) -> usize;
    fn text(&mut self, now: Now, who: usize, text: &str);
    fn entry(&mut self, now: Now, entry: &Entry);
    fn timeout(&mut self) -> Option<u64>;
    fn wake(&mut self, now: Now);
    /// A session that wants to write.
    fn visit(&mut self, now: Now) -> Option<usize>;
    fn lend(&mut self, now: Now, who: usize) -> Vec<u8>;
    fn took(&mut self, now: Now, who: usize, bytes: usize, blocked: bool);
    fn writable(&mut self, now: Now, who: usize);
    /// A session that was ended, and by which code.
    fn closed(&mut self) -> Option<(usize, u16)>;
    /// Requests to the hub and their answers; whether anything was done.
    fn serve(&mut self, now: Now) -> bool;
    /// Entries in this range of the log have left it before this machine got them.
    fn lose(&mut self, _now: Now, _from: i64, _to: i64) {
        unreachable!("nothing is lost on the way to this machine");
    }
    /// The log begins anew; offsets go on.
    fn begin_epoch(&mut self, _now: Now, _epoch: &str) {
        unreachable!("the log of this machine never begins anew");
    }
}

/// A frame as its client received it.
#[derive(Debug, Clone)]
pub struct Frame {
    pub begun_ns: u64,
    pub whole_ns: u64,
    /// On the wire, with its header; 0: never whole.
    pub bytes: usize,
    pub value: Value,
}

/// What happened to one client, in order.
#[derive(Debug, Clone)]
pub enum What {
    Command(Value),
    /// Index into the log.
    Published(usize),
    /// The first byte of a frame was taken.
    Begun(usize),
    /// Its last.
    Whole(usize),
    /// The socket refused something.
    Blocked,
    /// It takes again.
    Writable,
    Closed(u16),
    /// From here on everything is taken, and nothing more is published.
    Quiet,
}

/// The record of one client.
#[derive(Debug, Clone, Default)]
pub struct Transcript {
    pub log: Rc<Vec<Entry>>,
    pub events: Vec<(u64, What)>,
    pub frames: Vec<Frame>,
}

impl Transcript {
    /// Whole frames, in order.
    pub fn received(&self) -> impl Iterator<Item = &Frame> {
        self.frames.iter().filter(|f| f.bytes > 0)
    }

    fn note(&mut self, now: Now, what: What) {
        self.events.push((now.mono_ns, what));
    }
}

/// How much a socket takes from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    All,
    Bytes(usize),
}

struct Socket {
    room: Room,
    blocked: bool,
    open: bool,
    /// Bytes of the frame under way, and which it is.
    input: Vec<u8>,
    frame: usize,
    seen: Transcript,
}

pub struct World<M> {
    pub machine: M,
    pub now: Now,
    log: Vec<Entry>,
    sockets: Vec<Socket>,
}

impl<M: Machine> World<M> {
    pub fn new(machine: M) -> Self {
        Self {
            machine,
            now: at(1_000_000_000),
            log: Vec::new(),
            sockets: Vec::new(),
        }
    }

    pub fn open(&mut self) -> usize {
        let who = self.machine.open(self.now);
        assert_eq!(who, self.sockets.len());
        self.sockets.push(Socket {
            room: Room::All,
            blocked: false,
            open: true,
            input: Vec::new(),
            frame: 0,
            seen: Transcript::default(),
        });
        self.turn();
        who
    }

    pub fn say(&mut self, who: usize, command: &Value) {
        if !self.sockets[who].open {
            return;
        }
        self.sockets[who]
            .seen
            .note(self.now, What::Command(command.clone()));
        self.machine.text(self.now, who, &command.to_string());
        self.turn();
    }

    /// Publishes without letting the machine write in between.
    pub fn publish_all<'a>(
        &mut self,
        entries: impl IntoIterator<Item = (&'a str, Option<&'a str>, String)>,
    ) {
        for (topic, key, data) in entries {
            let entry = Entry {
                offset: self.log.len() as i64 + 1,
                ts_us: self.now.wall_us,
                mono_ns: self.now.mono_ns,
                topic: topic.to_owned(),
                key: key.map(str::to_owned),
                data,
            };
            for socket in self.sockets.iter_mut().filter(|s| s.open) {
                socket.seen.note(self.now, What::Published(self.log.len()));
            }
            self.machine.entry(self.now, &entry);
            self.log.push(entry);
        }
        self.turn();
    }

    /// This many of `t.a` are published, and lost on their way to the machine.
    pub fn lose(&mut self, n: usize) {
        let from = self.log.len() as i64 + 1;
        for offset in (from..).take(n) {
            self.log.push(Entry {
                offset,
                ts_us: self.now.wall_us,
                mono_ns: self.now.mono_ns,
                topic: "t.a".to_owned(),
                key: None,
                data: "1".to_owned(),
            });
        }
        self.machine.lose(self.now, from, self.log.len() as i64);
        self.turn();
    }

    /// The log begins anew; offsets go on.
    pub fn begin_epoch(&mut self, epoch: &str) {
        self.machine.begin_epoch(self.now, epoch);
        self.turn();
    }

    /// Time passes, from deadline to deadline.
    pub fn wait_us(&mut self, us: u64) {
        let end_ns = self.now.mono_ns + us * 1000;
        let mut rounds = 0;
        while let Some(due) = self.machine.timeout().filter(|t| *t <= end_ns) {
            rounds = if due > self.now.mono_ns {
                0
            } else {
                rounds + 1
            };
            assert!(rounds < ROUNDS_MAX, "the deadline doesn't move");
            self.now = at(due.max(self.now.mono_ns));
            self.machine.wake(self.now);
            self.turn();
        }
        self.now = at(end_ns);
        self.turn();
    }

    /// The socket takes so much from now on; one that had refused is told so.
    pub fn set_room(&mut self, who: usize, room: Room) {
        let socket = &mut self.sockets[who];
        socket.room = match (socket.room, room) {
            (Room::Bytes(left), Room::Bytes(more)) if more > 0 => Room::Bytes(left + more),
            (_, room) => room,
        };
        if socket.open && socket.blocked && socket.room != Room::Bytes(0) {
            socket.blocked = false;
            socket.seen.note(self.now, What::Writable);
            self.machine.writable(self.now, who);
        }
        self.turn();
    }

    pub fn note_quiet(&mut self, who: usize) {
        self.sockets[who].seen.note(self.now, What::Quiet);
    }

    /// What `who` saw until now.
    pub fn transcript(&self, who: usize) -> Transcript {
        Transcript {
            log: Rc::new(self.log.clone()),
            ..self.sockets[who].seen.clone()
        }
    }

    pub fn log_len(&self) -> usize {
        self.log.len()
    }

    /// Lets the machine run until nothing moves.
    fn turn(&mut self) {
        let mut visits = 0;
        for _ in 0..ROUNDS_MAX {
            let mut moved = self.machine.serve(self.now);
            while let Some(who) = self.machine.visit(self.now) {
                visits += 1;
                assert!(visits < ROUNDS_MAX, "visits come to nothing");
                moved |= self.write(who);
            }
            while let Some((who, code)) = self.machine.closed() {
                self.sockets[who].seen.note(self.now, What::Closed(code));
                self.sockets[who].open = false;
                moved = true;
            }
            if self
                .machine
                .timeout()
                .is_some_and(|t| t <= self.now.mono_ns)
            {
                self.machine.wake(self.now);
                moved = true;
            }
            if !moved {
                return;
            }
        }
        panic!("the machine doesn't come to rest");
    }

    fn write(&mut self, who: usize) -> bool {
        let offered = self.machine.lend(self.now, who);
        let socket = &mut self.sockets[who];
        if offered.is_empty() {
            return false;
        }
        assert!(
            socket.open && !socket.blocked,
            "a visit to a socket that refuses"
        );
        let taken = match socket.room {
            Room::All => offered.len(),
            Room::Bytes(left) => left.min(offered.len()),
        };
        if let Room::Bytes(left) = &mut socket.room {
            *left -= taken;
        }
        socket.take(self.now, &offered[..taken]);
        let blocked = taken < offered.len();
        if blocked {
            socket.blocked = true;
            socket.seen.note(self.now, What::Blocked);
        }
        self.machine.took(self.now, who, taken, blocked);
        true
    }
}

impl Socket {
    fn take(&mut self, now: Now, bytes: &[u8]) {
        for byte in bytes {
            if self.input.is_empty() {
                self.frame = self.seen.frames.len();
                self.seen.note(now, What::Begun(self.frame));
                self.seen.frames.push(Frame {
                    begun_ns: now.mono_ns,
                    whole_ns: 0,
                    bytes: 0,
                    value: Value::Null,
                });
            }
            self.input.push(*byte);
            let Some((opcode, payload)) = split(&self.input) else {
                continue;
            };
            let value = match opcode {
                1 => serde_json::from_slice(payload).expect("valid JSON"),
                other => serde_json::json!({"op": format!("opcode {other}")}),
            };
            let frame = &mut self.seen.frames[self.frame];
            (frame.whole_ns, frame.bytes, frame.value) = (now.mono_ns, self.input.len(), value);
            self.input.clear();
            self.seen.note(now, What::Whole(self.frame));
        }
    }
}

/// Opcode and payload, once the frame is all there.
fn split(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(first & 0xF0, 0x80, "final, nothing reserved");
    let (header, length) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().unwrap())),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize,
        ),
        n => (2, usize::from(n)),
    };
    (bytes.len() == header + length).then(|| (first & 0x0F, &bytes[header..]))
}
