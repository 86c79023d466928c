//! Connections in a closed loop.
//!
//! Owns the sockets and the loop: the connections are taken one after the other, each has its answer read and its next call sent, so
//! that all but one always have a call under way. Reads block: nothing but the server's answer is waited for. Must not contain: what is
//! said.

use crate::talk::Talk;
use pubsub_load::measure;
use pubsub_load::swarm::frames::{Opcode, Scan, scan};
use pubsub_load::swarm::outgoing;
use pubsub_load::swarm::upgrade::Upgrade;
use pubsub_load::target::Target;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// An answer takes no longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// One answer, and more.
const BUFFER: usize = 16 << 10;
/// Before the clock starts: caches and branch predictors have seen it all.
const WARM: Duration = Duration::from_millis(200);

/// What a call is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// A reply of the protocol.
    Reply,
    /// The text itself.
    Same,
}

/// What a window has cost.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    replies: u64,
    cpu_ns: u64,
    starved_ns: u64,
    took: Duration,
}

impl Cost {
    /// CPU time of the server for a reply, microseconds.
    pub fn cpu_us(&self) -> f64 {
        self.cpu_ns as f64 / 1000.0 / self.replies.max(1) as f64
    }

    /// Replies a second.
    pub fn per_s(&self) -> f64 {
        self.replies as f64 / self.took.as_secs_f64()
    }

    /// Cores that the server used.
    pub fn cores(&self) -> f64 {
        self.cpu_ns as f64 / self.took.as_nanos() as f64
    }

    /// Share of the time that the server was ready to run and had no core.
    pub fn starved(&self) -> f64 {
        self.starved_ns as f64 / self.took.as_nanos() as f64
    }
}

/// Connections to one server.
pub struct Lines {
    all: Vec<Line>,
    talk: Talk,
    answer: Answer,
    /// The root of the server's processes.
    pid: u32,
    calls: u64,
    text: String,
}

impl Lines {
    /// Connects so many.
    pub fn connect(
        url: &str,
        connections: usize,
        talk: Talk,
        answer: Answer,
        pid: u32,
    ) -> Result<Self, String> {
        let target = Target::parse(url).map_err(|error| error.to_string())?;
        let connect = |_| Line::connect(&target).map_err(|error| format!("{url}: {error}"));
        Ok(Self {
            all: (0..connections).map(connect).collect::<Result<_, _>>()?,
            talk,
            answer,
            pid,
            calls: 0,
            text: String::new(),
        })
    }

    /// Calls in a closed loop and says what the answers within the window cost. Nothing is under way before and after.
    pub fn run(&mut self, window: Duration) -> Result<Cost, String> {
        for at in 0..self.all.len() {
            self.say(at)?;
        }
        self.turn_for(WARM)?;
        let sample = |pid| measure::tree(pid).map_err(|error| error.to_string());
        let (before, begun) = (sample(self.pid)?, Instant::now());
        let replies = self.turn_for(window)?;
        let (took, after) = (begun.elapsed(), sample(self.pid)?);
        for line in &mut self.all {
            line.hear(self.answer)?;
        }
        Ok(Cost {
            replies,
            cpu_ns: after.cpu_ns_since(&before),
            starved_ns: after.starved_ns_since(&before),
            took,
        })
    }

    /// How many answers came in so long.
    fn turn_for(&mut self, window: Duration) -> Result<u64, String> {
        let begun = Instant::now();
        let mut replies = 0;
        while begun.elapsed() < window {
            for at in 0..self.all.len() {
                self.all[at].hear(self.answer)?;
                self.say(at)?;
            }
            replies += self.all.len() as u64;
        }
        Ok(replies)
    }

    fn say(&mut self, at: usize) -> Result<(), String> {
        self.calls += 1;
        self.talk.write(&mut self.text, at, self.calls);
        self.all[at].say(&self.text)
    }
}

/// One call over a connection of its own, answered by a text that begins like this.
pub fn one(url: &str, text: &str, answer: &str) -> Result<(), String> {
    let target = Target::parse(url).map_err(|error| error.to_string())?;
    let mut line = Line::connect(&target).map_err(|error| format!("{url}: {error}"))?;
    line.say(text)?;
    line.hear_text(answer.as_bytes())
}

struct Line {
    stream: TcpStream,
    buffer: Box<[u8]>,
    /// What has come and has not been looked at.
    held: Vec<u8>,
    frame: Vec<u8>,
}

impl Line {
    fn connect(target: &Target) -> io::Result<Self> {
        let mut stream = TcpStream::connect(target.addr)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let upgrade = Upgrade::new(target);
        stream.write_all(&upgrade.request)?;
        let mut line = Self {
            stream,
            buffer: vec![0; BUFFER].into(),
            held: Vec::new(),
            frame: Vec::new(),
        };
        loop {
            line.read()?;
            if let Some(head) = upgrade.check(&line.held).map_err(io::Error::other)? {
                line.held.drain(..head);
                return Ok(line);
            }
        }
    }

    fn say(&mut self, text: &str) -> Result<(), String> {
        self.frame.clear();
        outgoing::frame(&mut self.frame, Opcode::Text, text.as_bytes());
        self.stream
            .write_all(&self.frame)
            .map_err(|error| format!("a call cannot be sent: {error}"))
    }

    fn hear(&mut self, answer: Answer) -> Result<(), String> {
        self.hear_text(match answer {
            Answer::Reply => br#"{"op":"reply""#,
            Answer::Same => br#"{"op":"call""#,
        })
    }

    /// Reads the next text, which must begin like this; a welcome is passed by.
    fn hear_text(&mut self, begins: &[u8]) -> Result<(), String> {
        loop {
            let scanned = scan(&self.held).map_err(|error| error.to_string())?;
            if let Scan::Whole(frame, bytes) = scanned {
                let is_text = frame.opcode == Opcode::Text;
                let (right, welcome) = (
                    is_text && frame.payload.starts_with(begins),
                    is_text && frame.payload.starts_with(br#"{"op":"welcome""#),
                );
                if !right && !welcome && frame.opcode != Opcode::Ping {
                    let text = String::from_utf8_lossy(frame.payload).into_owned();
                    return Err(format!("answered {text:.200}"));
                }
                self.held.drain(..bytes);
                if right {
                    return Ok(());
                }
                continue;
            }
            self.read().map_err(|error| format!("no answer: {error}"))?;
        }
    }

    fn read(&mut self) -> io::Result<()> {
        match self.stream.read(&mut self.buffer)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            bytes => {
                self.held.extend_from_slice(&self.buffer[..bytes]);
                Ok(())
            }
        }
    }
}
