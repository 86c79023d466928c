//! One process of the fleet, as its coordinator sees it: what it said last, and how it ended.
use super::codec::{self, Reader};
use super::message::{Order, Said, Setup};
use crate::args::MEMBER;
use crate::swarm::Counters;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// Bytes heard at once.
const PIECE: usize = 16 * 1024;

/// Time for a process to take an order: they are small, and only one that stands still lets them pile up.
const SEND: Duration = Duration::from_secs(5);

/// A process that ended before it was told to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// Its process id.
    pub pid: u32,
    /// How it ended, in words.
    pub why: String,
    /// Connections that it had when it was last heard.
    pub connections: u64,
}

#[derive(Debug)]
enum State {
    Alive,
    /// It has done what it was told.
    Gone,
    Lost(String),
}

#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    socket: UnixStream,
    reader: Reader,
    state: State,
    counters: Counters,
    waiting: Option<(String, usize)>,
    answer: Option<Said>,
}

impl Process {
    pub(super) fn start(program: &Path, setup: Setup) -> io::Result<Self> {
        let (ours, its) = UnixStream::pair()?;
        ours.set_write_timeout(Some(SEND))?;
        let child = Command::new(program)
            .arg(MEMBER)
            .stdin(OwnedFd::from(its))
            .stdout(Stdio::null())
            .spawn()?;
        let mut process = Self {
            child,
            socket: ours,
            reader: Reader::default(),
            state: State::Alive,
            counters: Counters::default(),
            waiting: None,
            answer: None,
        };
        process.order(&Order::Begin(Box::new(setup)));
        Ok(process)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn socket(&self) -> &UnixStream {
        &self.socket
    }

    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state, State::Alive)
    }

    /// What happened to it as far as it has been said.
    pub(super) fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What it waits for at the end.
    pub(super) fn waiting(&self) -> Option<(&str, usize)> {
        let waiting = self.waiting.as_ref().filter(|_| self.is_alive());
        waiting.map(|(what, missing)| (what.as_str(), *missing))
    }

    /// Its answer to the last order.
    pub(super) fn answer(&self) -> Option<&Said> {
        self.answer.as_ref()
    }

    pub(super) fn take_answer(&mut self) -> Option<Said> {
        self.answer.take()
    }

    pub(super) fn loss(&self) -> Option<Loss> {
        let State::Lost(why) = &self.state else {
            return None;
        };
        Some(Loss {
            pid: self.pid(),
            why: why.clone(),
            connections: self
                .counters
                .upgraded
                .saturating_sub(self.counters.closed_total()),
        })
    }

    /// Tells it what to do next.
    pub(super) fn order(&mut self, order: &Order) {
        self.answer = None;
        if self.is_alive()
            && let Err(error) = codec::write(&mut &self.socket, order)
        {
            self.end(|status| died(status).unwrap_or_else(|| format!("takes no orders: {error}")));
        }
    }

    /// It has been silent for so long that nobody waits for it any more.
    pub(super) fn give_up(&mut self, patience: Duration) {
        self.end(|_| format!("did not answer for {patience:?} and was ended"));
    }

    /// Takes what it has said.
    pub(super) fn hear(&mut self) {
        let mut piece = [0; PIECE];
        while self.is_alive() {
            match recv(&self.socket, &mut piece, RecvFlags::DONTWAIT) {
                Ok((0, _)) | Err(Errno::CONNRESET) => self.on_end(),
                Ok((n, _)) => {
                    self.reader.push(&piece[..n]);
                    self.take();
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                Err(error) => self.end(|_| io::Error::from(error).to_string()),
            }
        }
    }

    fn take(&mut self) {
        loop {
            match self.reader.poll() {
                Ok(Some(said)) => self.on_said(said),
                Ok(None) => return,
                Err(error) => return self.end(|_| format!("is not understood: {error}")),
            }
        }
    }

    fn on_said(&mut self, said: Said) {
        match &said {
            Said::Sign(sign) => {
                self.counters.clone_from(&sign.counters);
                self.waiting.clone_from(&sign.waiting);
                return;
            }
            Said::Window(window) => self.counters.clone_from(&window.counters),
            Said::Books(books) => self.counters.clone_from(&books.counters),
            Said::Failed { why } => {
                let why = why.clone();
                return self.end(|_| why);
            }
            Said::Ready | Said::Gone => {}
        }
        self.answer = Some(said);
    }

    fn on_end(&mut self) {
        if matches!(self.answer, Some(Said::Gone)) {
            self.state = State::Gone;
        } else {
            self.end(|status| died(status).unwrap_or_else(|| "closed its socket".to_owned()));
        }
    }

    /// Makes sure that it has ended, and keeps why.
    fn end(&mut self, why: impl FnOnce(Option<ExitStatus>) -> String) {
        // One that has closed its socket is about to end: its status says more than that it was killed here.
        let status = self.child.try_wait().ok().flatten().or_else(|| {
            let _ = self.child.kill();
            self.child.wait().ok()
        });
        self.state = State::Lost(why(status));
    }
}

/// How it died, unless the coordinator did it.
fn died(status: Option<ExitStatus>) -> Option<String> {
    let status = status?;
    match (status.signal(), status.code()) {
        (Some(signal), _) => Some(format!("was killed by signal {signal}")),
        (None, Some(code)) => Some(format!("ended with exit code {code}")),
        (None, None) => None,
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.state, State::Lost(_)) {
            return;
        }
        // Whoever is done ends by itself; whoever is not is not waited for.
        if !matches!(self.answer, Some(Said::Gone)) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}
