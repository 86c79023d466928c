//! The naive model: one subscription per session, eager, with a queue that holds every message on its own.
//!
//! Written from the protocol and nothing else. It loses, skips and switches at the very moment at which it is said to, counts by
//! hand, and never subtracts. It is a [`Machine`], so that the same driver and the same laws take it in the engine's place.
mod pipeline;
mod queue;
mod rates;
mod render;
mod session;
mod settings;

use std::collections::VecDeque;
use std::rc::Rc;

use pubsub_stream::Now;

use crate::drive::{Entry, Machine};
use session::Session;

pub use settings::merged;

/// Sessions of one subscription each, none of which knows of the others.
#[derive(Default)]
pub struct Model {
    sessions: Vec<Session>,
    head: i64,
    ended: VecDeque<(usize, u16)>,
}

impl Model {
    pub fn new() -> Self {
        Self::default()
    }

    fn note_closed(&mut self) {
        for (who, session) in self.sessions.iter_mut().enumerate() {
            if let Some(code) = session.take_close() {
                self.ended.push_back((who, code));
            }
        }
    }
}

impl Machine for Model {
    fn open(&mut self, _: Now) -> usize {
        self.sessions.push(Session::new());
        self.sessions.len() - 1
    }

    fn text(&mut self, now: Now, who: usize, text: &str) {
        let command = serde_json::from_str(text).expect("commands are JSON");
        self.sessions[who].command(now, &command, self.head);
        self.note_closed();
    }

    fn entry(&mut self, now: Now, entry: &Entry) {
        self.head = entry.offset;
        let entry = Rc::new(entry.clone());
        for session in &mut self.sessions {
            session.arrive(now, &entry);
        }
        self.note_closed();
    }

    fn timeout(&mut self) -> Option<u64> {
        self.sessions.iter().filter_map(Session::timeout).min()
    }

    fn wake(&mut self, now: Now) {
        self.sessions.iter_mut().for_each(|s| s.wake(now));
        self.note_closed();
    }

    fn visit(&mut self, now: Now) -> Option<usize> {
        self.sessions.iter_mut().position(|s| s.has_work(now))
    }

    fn lend(&mut self, now: Now, who: usize) -> Vec<u8> {
        self.sessions[who].lend(now)
    }

    fn took(&mut self, now: Now, who: usize, bytes: usize, blocked: bool) {
        self.sessions[who].took(now, bytes, blocked);
        self.note_closed();
    }

    fn writable(&mut self, _: Now, who: usize) {
        self.sessions[who].writable();
    }

    fn closed(&mut self) -> Option<(usize, u16)> {
        self.ended.pop_front()
    }

    fn serve(&mut self, _: Now) -> bool {
        false
    }
}
