//! A swarm that is spread over processes: each has one thread with one event loop, and a coordinator merges what they count.
//!
//! Owns the processes and the sockets to them. Must not contain what should happen when (a scenario decides), or what is printed. It never
//! touches a subscriber's socket. All processes are of one machine and share its clocks.
//!
//! - [`spread`]: how many there are; pure
//! - [`message`], [`codec`]: what is said, and as which bytes; pure
//! - `process`: one of them, as its coordinator sees it
//! - [`member`], `closing`: one of them, as it sees itself
//! - [`merged`]: what all of them counted; pure
//!
//! Laws: what one of them said last counts though it dies; a process that dies, or is silent for too long, is named and never waited for;
//! none outlives its coordinator, since each ends with its socket.
mod closing;
pub mod codec;
pub mod member;
pub mod merged;
pub mod message;
mod process;
pub mod spread;

pub use merged::Taken;
pub use process::Loss;
pub use spread::PROCESSES_MAX;

use crate::failure::Failure;
use crate::swarm::Counters;
use closing::{ANSWERS, CATCH_UP};
use message::{Books, Order, Said, Setup};
use process::Process;
use rustix::event::{PollFd, PollFlags, poll};
use std::path::Path;
use std::time::Duration;

/// Time for a process to begin, and to say what was in a window: it may be kept off the cores, and has up to seconds of reads before it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ledgers asked for per second, by all processes: a thousandth of what a worker delivers.
const LEDGERS_PER_S: f64 = 5000.0;

/// Closes begun per second, by all processes.
const CLOSES_PER_S: f64 = 10_000.0;

/// Processes, and what they said.
#[derive(Debug)]
pub struct Fleet {
    processes: Vec<Process>,
}

impl Fleet {
    /// Starts this program so many times, each as what `setup` says for its seat.
    pub fn start(program: &Path, setups: impl IntoIterator<Item = Setup>) -> Result<Self, Failure> {
        let mut fleet = Self {
            processes: Vec::new(),
        };
        for setup in setups {
            let process = Process::start(program, setup)
                .map_err(|error| Failure::fault(format!("a process cannot be started: {error}")))?;
            fleet.processes.push(process);
        }
        fleet.wait(PATIENCE, |process| {
            matches!(process.answer(), Some(Said::Ready))
        });
        match fleet.losses().first() {
            Some(loss) => Err(Failure::unavailable(&loss.why)),
            None => Ok(fleet),
        }
    }

    /// How many there are, the lost ones included.
    pub fn len(&self) -> usize {
        self.processes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty()
    }

    /// Asks for so many more connections.
    pub fn connect(&mut self, more: usize) {
        self.order(&Order::Connect { more });
    }

    /// Hears what is said for so long.
    pub fn work(&mut self, wait: Duration) {
        let end = crate::clock::mono_ns().saturating_add(wait.as_nanos() as u64);
        loop {
            let left = end.saturating_sub(crate::clock::mono_ns());
            self.hear(left);
            if left == 0 {
                return;
            }
        }
    }

    /// What happened so far, as far as it has been said.
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        for process in &self.processes {
            counters.merge(process.counters());
        }
        counters
    }

    /// What is waited for at the end, and how many of it.
    pub fn waiting(&self) -> Option<(String, usize)> {
        let mut waiting = self.processes.iter().filter_map(Process::waiting);
        let (what, first) = waiting.next()?;
        let same = waiting.filter(|(other, _)| *other == what);
        Some((what.to_owned(), first + same.map(|(_, n)| n).sum::<usize>()))
    }

    /// Processes that ended before they were told to.
    pub fn losses(&self) -> Vec<Loss> {
        self.processes.iter().filter_map(Process::loss).collect()
    }

    /// The processes that live.
    pub fn pids(&self) -> Vec<u32> {
        let alive = self.processes.iter().filter(|process| process.is_alive());
        alive.map(Process::pid).collect()
    }

    /// Ends the window of each process, and merges what was in them.
    pub fn take(&mut self, overdue: Duration) -> Taken {
        self.order(&Order::Take {
            overdue_us: overdue.as_micros() as u64,
        });
        self.wait(PATIENCE, |process| {
            matches!(process.answer(), Some(Said::Window(_)))
        });
        let mut taken = Taken::default();
        for process in &mut self.processes {
            if let Some(Said::Window(window)) = process.take_answer() {
                taken.add(&window);
            }
        }
        taken.counters = self.counters();
        taken
    }

    /// Has each process close its books; what they came to. `waiting` is told what is waited for, now and then.
    pub fn close(&mut self, mut waiting: impl FnMut(&str, usize)) -> Books {
        let share = self.pids().len().max(1) as f64;
        let connections = self.counters().subscribed as f64;
        self.order(&Order::Close {
            ledgers_per_s: LEDGERS_PER_S / share,
        });
        // Each of them has limits of its own and says what it has when they are over.
        let patience = ANSWERS * 2 + CATCH_UP * 2 + PATIENCE;
        let patience = patience + Duration::from_secs_f64(connections / LEDGERS_PER_S);
        self.wait_and(
            patience,
            |process| matches!(process.answer(), Some(Said::Books(_))),
            |fleet| {
                if let Some((what, missing)) = fleet.waiting() {
                    waiting(&what, missing);
                }
            },
        );
        let mut books = Books::default();
        for process in &mut self.processes {
            if let Some(Said::Books(own)) = process.take_answer() {
                merged::add_books(&mut books, &own);
            }
        }
        books.counters = self.counters();
        books
    }

    /// Has all connections closed, and the processes end.
    pub fn leave(mut self) {
        let share = self.pids().len().max(1) as f64;
        self.order(&Order::Leave {
            closes_per_s: CLOSES_PER_S / share,
        });
        let connections = self.counters().subscribed as f64;
        let patience = ANSWERS + PATIENCE + Duration::from_secs_f64(connections / CLOSES_PER_S);
        self.wait(patience, |process| {
            matches!(process.answer(), Some(Said::Gone))
        });
    }

    fn order(&mut self, order: &Order) {
        for process in &mut self.processes {
            process.order(order);
        }
    }

    /// Waits until each living process has answered; one that does not in time is ended and lost.
    fn wait(&mut self, patience: Duration, answered: impl Fn(&Process) -> bool) {
        self.wait_and(patience, answered, |_| ());
    }

    fn wait_and(
        &mut self,
        patience: Duration,
        answered: impl Fn(&Process) -> bool,
        mut meanwhile: impl FnMut(&Self),
    ) {
        let end = crate::clock::mono_ns().saturating_add(patience.as_nanos() as u64);
        let missing = |fleet: &Self| {
            let mut alive = fleet.processes.iter().filter(|process| process.is_alive());
            alive.any(|process| !answered(process))
        };
        while missing(self) {
            let left = end.saturating_sub(crate::clock::mono_ns());
            if left == 0 {
                let silent = self
                    .processes
                    .iter_mut()
                    .filter(|process| process.is_alive());
                silent
                    .filter(|process| !answered(process))
                    .for_each(|process| process.give_up(patience));
                return;
            }
            self.hear(left.min(100_000_000));
            meanwhile(self);
        }
    }

    /// Hears what there is, and waits for it for so long at most.
    fn hear(&mut self, wait_ns: u64) {
        let alive: Vec<usize> = (0..self.processes.len())
            .filter(|at| self.processes[*at].is_alive())
            .collect();
        let mut files: Vec<PollFd<'_>> = alive
            .iter()
            .map(|at| PollFd::new(self.processes[*at].socket(), PollFlags::IN))
            .collect();
        let timeout = crate::clock::timespec(wait_ns);
        // A signal ends the wait as well as the time does.
        let _ = poll(&mut files, Some(&timeout));
        let speaking: Vec<usize> = alive
            .iter()
            .zip(&files)
            .filter(|(_, file)| !file.revents().is_empty())
            .map(|(at, _)| *at)
            .collect();
        for at in speaking {
            self.processes[at].hear();
        }
    }
}
