//! One publishing session: frames out, acknowledgements in.
use super::{Acks, Plan, Report, Topics, payload};
use crate::clock;
use crate::swarm::ConnectError;
use crate::swarm::frames::{Opcode, Scan, scan};
use crate::swarm::said::{self, Said};
use crate::swarm::upgrade::Upgrade;
use crate::swarm::{outgoing, socket};
use crate::target::Target;
use pubsub_wire::command::{Command, Id, Publish};
use pubsub_wire::encode;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Bytes a session may have waiting for its socket. Beyond, publications are not made, and counted as that.
const UNSENT_MAX: usize = 8 << 20;

/// Different refusals whose text is kept.
const REFUSALS_MAX: usize = 8;

/// One publication that is due.
#[derive(Clone, Copy)]
pub(super) struct Due {
    /// The how manieth of its plan.
    pub(super) number: u64,
    /// When, on the monotonic clock.
    pub(super) mono_ns: u64,
    /// When, on the wall clock.
    pub(super) wall_us: u64,
}

pub(super) struct Session {
    socket: OwnedFd,
    unsent: Vec<u8>,
    /// Bytes ever handed to the socket.
    taken: u64,
    /// For each publication not handed over whole, oldest first: when it was due, and how many bytes will have been taken then.
    unsent_due: VecDeque<(u64, u64)>,
    partial: Vec<u8>,
    /// When what is unanswered was due, by id; the first id is `first_id`. `None`: answered.
    unanswered: VecDeque<Option<u64>>,
    first_id: u64,
    ended: Option<String>,
    text: Vec<u8>,
    data: Vec<u8>,
}

impl Session {
    pub(super) fn connect(target: &Target, patience: Duration) -> Result<Self, ConnectError> {
        let addr = target.addr;
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                ConnectError::Timeout {
                    addr,
                    after: patience,
                }
            }
            std::io::ErrorKind::ConnectionRefused => ConnectError::Refused {
                addr,
                why: Errno::CONNREFUSED,
            },
            _ => Errno::from_io_error(&error).map_or(ConnectError::Closed { addr }, |why| {
                ConnectError::Refused { addr, why }
            }),
        };
        let mut stream = TcpStream::connect_timeout(&addr, patience).map_err(io)?;
        stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(patience)))
            .map_err(io)?;
        let upgrade = Upgrade::new(target);
        stream.write_all(&upgrade.request).map_err(io)?;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        let head = loop {
            match stream.read(&mut piece).map_err(io)? {
                0 => return Err(ConnectError::Closed { addr }),
                n => answer.extend_from_slice(&piece[..n]),
            }
            if let Some(head) = upgrade
                .check(&answer)
                .map_err(|why| ConnectError::Upgrade { addr, why })?
            {
                break head;
            }
        };
        stream.set_nonblocking(true).map_err(io)?;
        Ok(Self::new(stream.into(), answer.split_off(head)))
    }

    fn new(socket: OwnedFd, partial: Vec<u8>) -> Self {
        Self {
            socket,
            unsent: Vec::new(),
            taken: 0,
            unsent_due: VecDeque::new(),
            partial,
            unanswered: VecDeque::new(),
            first_id: 0,
            ended: None,
            text: Vec::new(),
            data: Vec::new(),
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(super) fn ended(&self) -> Option<&str> {
        self.ended.as_deref()
    }

    /// What an earlier plan left unanswered is no concern of the next.
    pub(super) fn begin(&mut self) {
        self.first_id += self.unanswered.len() as u64;
        self.unanswered.clear();
    }

    pub(super) fn has_work(&self) -> bool {
        self.ended.is_none() && (!self.unsent.is_empty() || !self.unanswered.is_empty())
    }

    /// Makes one publication; false: its turn is lost, since the socket is far behind.
    pub(super) fn publish(&mut self, plan: &Plan, due: Due) -> bool {
        if self.ended.is_some() || self.unsent.len() > UNSENT_MAX {
            return false;
        }
        self.data.clear();
        let number = due.number;
        payload::write(&mut self.data, plan.size, number, due.wall_us);
        let topic = match &plan.topics {
            Topics::One(topic) => Cow::Borrowed(topic.as_str()),
            Topics::Many { prefix, count } => Cow::Owned(format!("{prefix}.{}", number % count)),
        };
        let key = (plan.keys > 0).then(|| Cow::Owned(format!("k{}", number % plan.keys)));
        let data = str::from_utf8(&self.data).unwrap_or("null");
        let id = (plan.acks == Acks::Wanted)
            .then(|| Id::number(self.first_id + self.unanswered.len() as u64));
        self.text.clear();
        encode::command::command(
            &mut self.text,
            id.as_ref(),
            &Command::Publish(Publish { topic, key, data }),
        );
        outgoing::frame(&mut self.unsent, Opcode::Text, &self.text);
        self.unsent_due
            .push_back((due.mono_ns, self.taken + self.unsent.len() as u64));
        if id.is_some() {
            self.unanswered.push_back(Some(due.mono_ns));
        }
        true
    }

    /// Hands over what the socket takes.
    pub(super) fn flush(&mut self, report: &mut Report) {
        if self.unsent.is_empty() || self.ended.is_some() {
            return;
        }
        match socket::write(&self.socket, &self.unsent) {
            Ok(taken) => {
                self.unsent.drain(..taken);
                self.taken += taken as u64;
                self.count_sent(report);
            }
            Err(why) => self.end(report, std::io::Error::from(why).to_string()),
        }
    }

    fn count_sent(&mut self, report: &mut Report) {
        let now = clock::mono_ns();
        while let Some((due, _)) = self
            .unsent_due
            .front()
            .copied()
            .filter(|(_, end)| *end <= self.taken)
        {
            self.unsent_due.pop_front();
            report.sent += 1;
            report
                .late_us
                .saturating_record(now.saturating_sub(due) / 1000);
        }
    }

    /// Reads what there is.
    pub(super) fn read(&mut self, buffer: &mut [u8], report: &mut Report) {
        while self.ended.is_none() {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => self.end(report, "ended the stream".to_owned()),
                Ok((read, _)) => {
                    let now = clock::mono_ns();
                    self.partial.extend_from_slice(&buffer[..read]);
                    self.take(now, report);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(why) => self.end(report, std::io::Error::from(why).to_string()),
            }
        }
    }

    fn take(&mut self, now: u64, report: &mut Report) {
        let held = std::mem::take(&mut self.partial);
        let mut at = 0;
        loop {
            match scan(&held[at..]) {
                Ok(Scan::Whole(frame, len)) => {
                    at += len;
                    self.frame(frame.opcode, frame.payload, now, report);
                }
                Ok(Scan::Needs(_)) => break,
                Err(why) => return self.end(report, why.to_string()),
            }
        }
        self.partial = held;
        self.partial.drain(..at);
    }

    fn frame(&mut self, opcode: Opcode, payload: &[u8], now: u64, report: &mut Report) {
        match opcode {
            Opcode::Text => match said::published_id(payload) {
                Some(id) => self.acknowledged(id, now, report),
                None => self.other(payload, now, report),
            },
            Opcode::Ping => outgoing::frame(&mut self.unsent, Opcode::Pong, payload),
            Opcode::Close => {
                let code = payload
                    .first_chunk()
                    .map_or(1005, |code| u16::from_be_bytes(*code));
                let reason = String::from_utf8_lossy(payload.get(2..).unwrap_or_default());
                self.end(report, format!("with {code} {reason}"));
            }
            _ => {}
        }
    }

    fn other(&mut self, payload: &[u8], now: u64, report: &mut Report) {
        match said::parse(payload) {
            Some(Said::Published { id }) => self.acknowledged(id, now, report),
            Some(Said::Error { id, text }) => {
                let ours = id.is_none_or(|id| self.answered(id).is_some());
                report.refused += u64::from(ours);
                if report.refusals.len() < REFUSALS_MAX || report.refusals.contains_key(&text) {
                    *report.refusals.entry(text).or_default() += 1;
                }
            }
            _ => {}
        }
    }

    fn acknowledged(&mut self, id: u64, now: u64, report: &mut Report) {
        if let Some(due) = self.answered(id) {
            report.acknowledged += 1;
            report
                .ack_us
                .saturating_record(now.saturating_sub(due) / 1000);
        }
    }

    /// Takes the publication of this id off the unanswered ones: when it was due.
    fn answered(&mut self, id: u64) -> Option<u64> {
        let index = usize::try_from(id.checked_sub(self.first_id)?).ok()?;
        let due = self.unanswered.get_mut(index)?.take();
        while self.unanswered.front() == Some(&None) {
            self.unanswered.pop_front();
            self.first_id += 1;
        }
        due
    }

    fn end(&mut self, report: &mut Report, why: String) {
        report.sessions_lost += 1;
        report.unsent += self.unsent_due.len() as u64;
        self.ended = Some(why);
        self.unsent.clear();
        self.unsent_due.clear();
    }

    pub(super) fn close(mut self) {
        if self.ended.is_none() {
            outgoing::close(&mut self.unsent, 1000);
            // Whoever does not take the goodbye sees the end of the stream.
            let _ = socket::write(&self.socket, &self.unsent);
        }
    }
}
