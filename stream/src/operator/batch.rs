//! The open batch of a cohort: items that wait for company.
//!
//! Owns the items as they will be written and what makes them due: how many, how large, how old the first. Driven by the
//! operator's owner, who makes a frame of what is closed.
//!
//! Laws: never closed empty; no frame is larger than `bytes` unless one item alone is.

#[cfg(test)]
mod tests;

use std::rc::Rc;

use pubsub_wire::encode::{self, BATCH_END};
use pubsub_wire::frame::{FrameBuf, frame_len};
use pubsub_wire::value::Batch;

use super::Released;
use crate::config::Now;
use crate::ring::{NewEntry, Seat};

/// An item that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) released: Released,
    /// Its bytes in the body.
    from: u32,
    to: u32,
}

/// A batch that is open.
#[derive(Debug)]
pub(crate) struct Open {
    limits: Batch,
    waiting: Vec<Waiting>,
    body: Vec<u8>,
    due_ns: u64,
}

/// A batch that was closed: each item with the entry it becomes.
pub(crate) type Closed = Vec<(Released, NewEntry)>;

impl Open {
    pub(crate) fn new(limits: Batch) -> Self {
        Self {
            limits,
            waiting: Vec::new(),
            body: Vec::new(),
            due_ns: u64::MAX,
        }
    }

    /// Whether an item of `length` bytes as written would make the frame too large.
    pub(crate) fn is_full_for(&self, topic: &str, length: usize) -> bool {
        let most = self.limits.bytes.unwrap_or(u64::MAX);
        !self.waiting.is_empty()
            && frame_len(encode::batch_len(topic) + self.body.len() + 1 + length) as u64 > most
    }

    /// Takes an item, whose JSON `item` is; whether the batch is due now.
    pub(crate) fn push(&mut self, now: Now, topic: &str, released: Released, item: &[u8]) -> bool {
        if self.waiting.is_empty() {
            let ms = self.limits.ms;
            self.due_ns = ms.map_or(u64::MAX, |ms| now.mono_ns.saturating_add(ms * 1_000_000));
        } else {
            self.body.push(b',');
        }
        let from = self.body.len() as u32;
        self.body.extend_from_slice(item);
        let to = self.body.len() as u32;
        self.waiting.push(Waiting { released, from, to });
        let full = self
            .limits
            .messages
            .is_some_and(|n| self.waiting.len() as u64 >= n);
        full || self.is_full_for(topic, 0)
    }

    /// Whether its time has come.
    pub(crate) fn is_due(&self, now: Now) -> bool {
        !self.waiting.is_empty() && self.due_ns <= now.mono_ns
    }

    /// Closes it; nothing comes of an empty one.
    pub(crate) fn close(&mut self, topic: &str, frames: &mut FrameBuf) -> Closed {
        if self.waiting.is_empty() {
            return Closed::new();
        }
        let body = std::mem::take(&mut self.body);
        let frame: Rc<[u8]> = Rc::from(frames.text(|out| {
            encode::batch_begin(out, topic);
            out.extend_from_slice(&body);
            out.extend_from_slice(BATCH_END.as_bytes());
        }));
        self.due_ns = u64::MAX;
        let shift = (frame.len() - BATCH_END.len() - body.len()) as u32;
        let of = self.waiting.len() as u32;
        let mut left = frame.len() as u32;
        let mut closed = Closed::with_capacity(of as usize);
        for (index, waiting) in self.waiting.drain(..).enumerate() {
            let index = index as u32;
            // What surrounds the items counts with the last, which is the last to go.
            let bytes = if index + 1 == of {
                left
            } else {
                waiting.to - waiting.from + 1
            };
            left -= bytes;
            let entry = NewEntry {
                offset: waiting.released.position(),
                mono_ns: waiting.released.publication.mono_ns,
                frame: Rc::clone(&frame),
                seat: Seat {
                    from: waiting.from + shift,
                    to: waiting.to + shift,
                    index,
                    of,
                },
                source: waiting.released.source,
                bytes,
            };
            closed.push((waiting.released, entry));
        }
        self.waiting.shrink_to(64);
        closed
    }

    pub(crate) fn due_ns(&self) -> Option<u64> {
        Some(self.due_ns).filter(|at| *at != u64::MAX)
    }

    pub(crate) fn waiting(&self) -> &[Waiting] {
        &self.waiting
    }

    pub(crate) fn held_before(&self, since: u64) -> u64 {
        let older = self.waiting.iter().filter(|w| w.released.source < since);
        older.count() as u64
    }

    /// The least offset that waits.
    pub(crate) fn first_held(&self) -> Option<i64> {
        self.waiting
            .iter()
            .map(|w| w.released.publication.offset)
            .min()
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        (self.body.len() + self.waiting.len() * size_of::<Waiting>()) as u64
    }
}

/// An item as it stands in a batch.
pub(crate) fn write_item(out: &mut Vec<u8>, released: &Released) {
    let (view, place) = released.message(None);
    encode::batch_item(out, &view, place);
}
