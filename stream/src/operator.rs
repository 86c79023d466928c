//! What stands between a view's log and a derived one: a rate, then a batch.
//!
//! Owns what either holds and the counts from which a subscriber's `filtered_by_rate` and its held messages are differences:
//! `seen` source entries came, `filtered` of them were left out, `released` stand in the ring, the rest is held. Must not contain:
//! frames of sessions, cursors. Driven by the engine, which gives it every entry of the view and the time.
//!
//! Laws: seen = filtered + released + held; source numbers count from 1 and are the order of the log.

mod batch;
mod rate;
#[cfg(test)]
mod tests;

use std::rc::Rc;

use pubsub_wire::encode::{MsgView, Place};

pub(crate) use batch::{Closed, Open, write_item};
pub(crate) use rate::Rates;

use crate::config::Now;
use crate::terms::Acting;

/// One publication, kept once for all who hold it.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) offset: i64,
    pub(crate) ts_us: u64,
    pub(crate) mono_ns: u64,
    /// Topic and key: its identity.
    name: Box<str>,
    topic_len: usize,
    pub(crate) data: Box<[u8]>,
    pub(crate) hash: u64,
}

impl Publication {
    /// `hash` is that of [`Publication::name`], by the hasher of all who look it up.
    pub(crate) fn new(entry: &crate::hub::EntryRef<'_>, hash: impl FnOnce(&str) -> u64) -> Self {
        let mut name = String::with_capacity(entry.topic.len() + 1 + entry.key.map_or(0, str::len));
        name.push_str(entry.topic);
        if let Some(key) = entry.key {
            // A topic holds no control character, so this cannot be mistaken for another identity.
            name.push('\0');
            name.push_str(key);
        }
        Self {
            offset: entry.offset,
            ts_us: entry.ts_us,
            mono_ns: entry.mono_ns,
            hash: hash(&name),
            name: name.into(),
            topic_len: entry.topic.len(),
            data: entry.data.into(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn topic(&self) -> &str {
        &self.name[..self.topic_len]
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.name.get(self.topic_len + 1..)
    }

    /// About what it takes in memory.
    fn bytes(&self) -> u64 {
        (size_of::<Self>() + self.name.len() + self.data.len()) as u64
    }
}

/// A publication that a rate let pass.
#[derive(Debug, Clone)]
pub(crate) struct Released {
    pub(crate) source: u64,
    pub(crate) publication: Rc<Publication>,
    /// With a rate: everything up to this offset was released before it, or filtered.
    pub(crate) resume: Option<i64>,
}

impl Released {
    /// The position after it.
    pub(crate) fn position(&self) -> i64 {
        self.resume.unwrap_or(self.publication.offset)
    }

    /// It as it is written; `sub` is the pattern it is sent for.
    pub(crate) fn message<'a>(&'a self, sub: Option<&'a str>) -> (MsgView<'a>, Place) {
        let publication = &self.publication;
        let view = MsgView {
            sub,
            topic: publication.topic(),
            offset: publication.offset,
            ts: publication.ts_us,
            key: publication.key(),
            data: &publication.data,
        };
        let place = Place {
            part: None,
            resume: self.resume,
        };
        (view, place)
    }
}

/// Rate and batch of one cohort.
#[derive(Debug)]
pub(crate) struct Operator {
    rates: Option<Rates>,
    pub(crate) open: Option<Open>,
    pub(crate) seen: u64,
    pub(crate) filtered: u64,
    /// What was appended to the ring.
    pub(crate) released: u64,
}

impl Operator {
    pub(crate) fn new(acting: Acting) -> Self {
        Self {
            rates: acting.rate.map(Rates::new),
            open: acting.batch.map(Open::new),
            seen: 0,
            filtered: 0,
            released: 0,
        }
    }

    /// The next entry of the view; what passes the rate is put to `out`.
    pub(crate) fn handle(
        &mut self,
        now: Now,
        publication: &Rc<Publication>,
        out: &mut Vec<Released>,
    ) {
        self.seen += 1;
        let source = self.seen;
        match &mut self.rates {
            Some(rates) => self.filtered += rates.handle(now, source, publication, out),
            None => out.push(Released {
                source,
                publication: Rc::clone(publication),
                resume: None,
            }),
        }
    }

    /// What is due by now passes the rate.
    pub(crate) fn handle_timeout(&mut self, now: Now, out: &mut Vec<Released>) {
        if let Some(rates) = &mut self.rates {
            rates.handle_timeout(now, out);
        }
    }

    /// Everything that the rate holds passes it.
    pub(crate) fn flush_rate(&mut self, out: &mut Vec<Released>) {
        if let Some(rates) = &mut self.rates {
            rates.flush(out);
        }
    }

    /// Begins anew; what is held is nobody's.
    pub(crate) fn forget_held(&mut self, acting: Acting) {
        self.filtered += self.held();
        *self = Self {
            seen: self.seen,
            filtered: self.filtered,
            released: self.released,
            ..Self::new(acting)
        };
    }

    /// When something is due.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        let rate = self.rates.as_ref().and_then(Rates::due_ns);
        let batch = self.open.as_ref().and_then(Open::due_ns);
        [rate, batch].into_iter().flatten().min()
    }

    /// How many entries are held.
    pub(crate) fn held(&self) -> u64 {
        self.seen - self.filtered - self.released
    }

    /// How many of those were there before the source had come to `since`.
    pub(crate) fn held_before(&self, since: u64) -> u64 {
        let rate = self.rates.as_ref().map_or(0, |r| r.held_before(since));
        rate + self.open.as_ref().map_or(0, |o| o.held_before(since))
    }

    /// Whether all that was there before the source had come to `since` has passed or was left out.
    pub(crate) fn is_through(&self, since: u64) -> bool {
        self.rates.as_ref().is_none_or(|r| r.is_through(since))
            && self.open.as_ref().is_none_or(|o| o.held_before(since) == 0)
    }

    /// Copies of what is held since then, in the order in which it would be released if it all were now: first what waits in the
    /// batch, then what the rate holds.
    pub(crate) fn held_since(&self, since: u64, out: &mut Vec<Released>) {
        if let Some(open) = &self.open {
            let newer = open.waiting().iter().filter(|w| w.released.source >= since);
            out.extend(newer.map(|w| w.released.clone()));
        }
        if let Some(rates) = &self.rates {
            rates.held_since(since, out);
        }
    }

    /// Up to where everything has been released or left out, if the source has come to `position`.
    pub(crate) fn resume(&self, position: i64) -> i64 {
        let rate = self.rates.as_ref().and_then(Rates::first_held);
        let batch = self.open.as_ref().and_then(Open::first_held);
        let first = [rate, batch].into_iter().flatten().min();
        first.map_or(position, |offset| position.min(offset - 1))
    }

    /// Bytes of what is held.
    pub(crate) fn held_bytes(&self) -> u64 {
        self.rates.as_ref().map_or(0, Rates::held_bytes)
            + self.open.as_ref().map_or(0, Open::held_bytes)
    }
}
