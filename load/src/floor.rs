//! The floor: what a delivered message costs when nothing is done but `write(2)`.
//!
//! One thread, blocking sockets, one system call per subscriber and message, no event loop, no state. It answers the handshake
//! and then only writes: a WebSocket frame as long as a real one, stamped like a real one, to every socket in turn. A server
//! that costs as much as this has nothing left to save; what it delivers more than this at full load, it owes to batching.
use crate::clock;
use crate::schedule::Schedule;
use pubsub_wire::Limits;
use pubsub_wire::command::Id;
use pubsub_wire::encode::{self, MsgView};
use pubsub_wire::frame::FrameBuf;
use pubsub_wire::value::{Bound, From, Overflow, Settings, Welcome};
use rustix::thread::{ClockId, clock_nanosleep_absolute};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;
use tungstenite::handshake::derive_accept_key;

/// The topic that the floor's messages are on.
pub const TOPIC: &str = "bench";

/// Bytes of a request head that are looked at.
const HEAD_MAX: u64 = 4096;

/// Subscribers that have all been accepted.
pub struct Floor {
    listener: TcpListener,
    sockets: Vec<TcpStream>,
    offset: i64,
}

/// What the floor does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// Publications per second.
    pub per_s: f64,
    /// Bytes of a frame.
    pub frame_bytes: usize,
    /// Publications in one write: 1 is the floor; more shows what the subscribers' side can take.
    pub per_write: usize,
    /// How long.
    pub duration: Duration,
}

/// What became of one run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Publications.
    pub publications: u64,
    /// Frames written.
    pub frames: u64,
    /// The furthest the loop fell behind its schedule, nanoseconds.
    pub late_ns: u64,
}

impl Floor {
    /// Listens on a port of the kernel's choice.
    pub fn bind() -> io::Result<Self> {
        Ok(Self {
            listener: TcpListener::bind(("127.0.0.1", 0))?,
            sockets: Vec::new(),
            offset: 0,
        })
    }

    /// Where.
    pub fn addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Accepts `n` more subscribers and greets them as a server would.
    pub fn accept(&mut self, n: usize) -> io::Result<()> {
        for _ in 0..n {
            let (mut socket, _) = self.listener.accept()?;
            socket.set_nodelay(true)?;
            let key = request_key(&mut socket)?;
            socket.write_all(&greeting(&key, self.offset))?;
            self.sockets.push(socket);
        }
        Ok(())
    }

    /// Writes as planned to every socket in turn. Open loop: what is late is sent at once, and the schedule does not move.
    pub fn run(&mut self, plan: Plan) -> io::Result<Sent> {
        let start = clock::mono_ns();
        let end = start + plan.duration.as_nanos() as u64;
        let per_write = plan.per_write.max(1);
        let mut schedule = Schedule::new(start, plan.per_s / per_write as f64);
        let mut sent = Sent::default();
        loop {
            let (_, at) = schedule.next();
            if at.max(clock::mono_ns()) >= end {
                return Ok(sent);
            }
            clock_nanosleep_absolute(ClockId::Monotonic, &clock::timespec(at))?;
            schedule.poll(u64::MAX);
            sent.late_ns = sent.late_ns.max(clock::mono_ns().saturating_sub(at));
            let frames = self.messages(per_write, plan.frame_bytes);
            sent.publications += per_write as u64;
            sent.frames += write_to_all(&mut self.sockets, &frames) * per_write as u64;
        }
    }

    fn messages(&mut self, n: usize, frame_bytes: usize) -> Vec<u8> {
        let ts_us = clock::wall_us();
        let mut frames = Vec::with_capacity(n * frame_bytes);
        for _ in 0..n {
            self.offset += 1;
            frames.extend_from_slice(&message(self.offset, ts_us, frame_bytes));
        }
        frames
    }

    /// Closes all connections.
    pub fn close(&mut self) {
        self.sockets.clear();
    }
}

/// A socket that takes nothing any more is left out from then on.
fn write_to_all(sockets: &mut Vec<TcpStream>, frame: &[u8]) -> u64 {
    let before = sockets.len();
    sockets.retain_mut(|socket| socket.write_all(frame).is_ok());
    debug_assert!(sockets.len() <= before);
    sockets.len() as u64
}

fn request_key(socket: &mut TcpStream) -> io::Result<String> {
    let mut lines = BufReader::new(socket.take(HEAD_MAX));
    let mut key = None;
    let mut line = String::new();
    while lines.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':') {
            key = key.or_else(|| {
                name.eq_ignore_ascii_case("sec-websocket-key")
                    .then(|| value.trim().to_owned())
            });
        }
        line.clear();
    }
    key.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no WebSocket request"))
}

fn greeting(key: &str, offset: i64) -> Vec<u8> {
    let accept = derive_accept_key(key.as_bytes());
    let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let mut bytes = format!("{head}Sec-WebSocket-Accept: {accept}\r\n\r\n").into_bytes();
    let mut frame = FrameBuf::new();
    bytes.extend_from_slice(frame.text(|out| encode::welcome(out, &welcome())));
    let id = Id::number(1);
    bytes.extend_from_slice(
        frame.text(|out| encode::subscribed(out, Some(&id), TOPIC, "floor", offset, &settings())),
    );
    bytes
}

fn welcome() -> Welcome {
    let (session, node) = ("floor".to_owned(), "floor".to_owned());
    Welcome {
        session,
        node,
        worker: 0,
        heartbeat_ms: 25_000,
        limits: Limits::default(),
    }
}

fn settings() -> Settings {
    let bound = Bound::default();
    Settings {
        from: From::Live,
        rate: None,
        batch: None,
        bound,
        overflow: Overflow::DropOldest,
        credit: None,
    }
}

/// One `msg` frame of exactly this many bytes, if there is room for its fields in them.
fn message(offset: i64, ts_us: u64, frame_bytes: usize) -> Vec<u8> {
    let written = |data: &[u8]| {
        let view = MsgView {
            sub: None,
            topic: TOPIC,
            offset,
            ts: ts_us,
            key: None,
            data,
        };
        FrameBuf::new().text(|out| encode::msg(out, &view)).to_vec()
    };
    let header = if frame_bytes > 2 + 125 { 4 } else { 2 };
    let bare = written(br#""""#).len() - 2 + header;
    let filler = frame_bytes.saturating_sub(bare);
    written(format!(r#""{}""#, "x".repeat(filler)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::frames::{Scan, scan};
    use crate::swarm::head::{Head, after_prefix, prefix};

    #[test]
    fn a_frame_is_as_long_as_asked_and_reads_like_a_real_one() {
        for bytes in [120, 127, 450, 4096] {
            let frame = message(7, 1_790_000_000_123_456, bytes);
            assert_eq!(frame.len(), bytes);
            let Ok(Scan::Whole(whole, len)) = scan(&frame) else {
                panic!("not whole")
            };
            assert_eq!(len, bytes);
            assert!(serde_json::from_slice::<serde_json::Value>(whole.payload).is_ok());
            let head = after_prefix(&prefix(TOPIC), whole.payload).map(|found| found.head);
            assert_eq!(head, Some(Head::plain(7, 1_790_000_000_123_456)));
        }
    }
}
