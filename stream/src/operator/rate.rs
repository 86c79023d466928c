//! Rates: which entries of each key pass, and when.
//!
//! Owns the newest entry that waits of each key, and its deadline. Keys are known only while something of them waits or their
//! interval runs, so the table is no longer than what came within one interval. Driven by the operator.
//!
//! - `sample`: what came since the last tick of a grid over the Unix epoch, in the order of the log
//! - `throttle`: the first at once, then after each interval the newest that came meanwhile
//! - `throttle_first`: the first at once, nothing else of the interval
//! - `debounce`: the newest, once nothing came for the interval or the first has waited for the longest time
//!
//! Laws: of two entries of a key at most one waits; what comes at the very instant of a deadline comes before it; what is due
//! together passes in the order of the deadlines, then of the log.

#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;

use hashbrown::HashTable;
use pubsub_wire::value::{Rate, RateMode};
use slab::Slab;

use super::{Publication, Released};
use crate::config::Now;

#[derive(Debug)]
struct Key {
    /// The newest that came; its name is the key's.
    newest: Rc<Publication>,
    /// Where in the source the one that waits is.
    held: Option<u64>,
    due_ns: u64,
    /// When the first that waits came.
    first_ns: u64,
    /// Its deadline, or an earlier one, is in the queue.
    queued: bool,
}

/// A rate at work.
#[derive(Debug)]
pub(crate) struct Rates {
    mode: RateMode,
    interval_ns: u64,
    max_wait_ns: u64,
    keys: Slab<Key>,
    by_name: HashTable<u32>,
    /// What waits, in the order of the log.
    order: BTreeMap<u64, u32>,
    /// One entry a key; a deadline that moved since is looked up when its old one has come.
    due: BinaryHeap<Reverse<(u64, u32)>>,
    /// The next tick of `sample`, wall time, and when that will be.
    tick_us: u64,
    tick_ns: u64,
    /// Offset of the newest entry that came.
    latest: i64,
    held_bytes: u64,
}

impl Rates {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            mode: rate.mode,
            interval_ns: rate.ms.saturating_mul(1_000_000),
            max_wait_ns: rate
                .max_wait_ms
                .unwrap_or(rate.ms)
                .saturating_mul(1_000_000),
            keys: Slab::new(),
            by_name: HashTable::new(),
            order: BTreeMap::new(),
            due: BinaryHeap::new(),
            tick_us: 0,
            tick_ns: 0,
            latest: 0,
            held_bytes: 0,
        }
    }

    /// An entry comes. Returns how many were left out for it, itself included.
    pub(crate) fn handle(
        &mut self,
        now: Now,
        source: u64,
        publication: &Rc<Publication>,
        out: &mut Vec<Released>,
    ) -> u64 {
        self.release_before(now, out);
        self.latest = publication.offset;
        if self.mode == RateMode::Sample {
            if self.order.is_empty() {
                self.set_tick(now);
            }
            let key = self.key(publication);
            return self.hold(key, source, publication);
        }
        let found = self.find(publication);
        let runs = |rates: &Self, key: u32| rates.keys[key as usize].due_ns > now.mono_ns;
        match (self.mode, found) {
            (RateMode::ThrottleFirst, Some(key)) if runs(self, key) => 1,
            (RateMode::Throttle, Some(key))
                if runs(self, key) || self.keys[key as usize].held.is_some() =>
            {
                self.hold(key, source, publication)
            }
            (RateMode::Debounce, _) => {
                let key = found.unwrap_or_else(|| self.key(publication));
                self.debounce(now, key, source, publication)
            }
            _ => {
                let key = found.unwrap_or_else(|| self.key(publication));
                self.keys[key as usize].newest = Rc::clone(publication);
                self.set_due(key, now.mono_ns.saturating_add(self.interval_ns));
                out.push(self.released(source, publication));
                0
            }
        }
    }

    fn debounce(&mut self, now: Now, key: u32, source: u64, publication: &Rc<Publication>) -> u64 {
        let record = &mut self.keys[key as usize];
        if record.held.is_none() {
            record.first_ns = now.mono_ns;
        }
        let latest_ns = record.first_ns.saturating_add(self.max_wait_ns);
        let due_ns = now.mono_ns.saturating_add(self.interval_ns).min(latest_ns);
        self.set_due(key, due_ns);
        self.hold(key, source, publication)
    }

    fn set_due(&mut self, key: u32, due_ns: u64) {
        let record = &mut self.keys[key as usize];
        record.due_ns = due_ns;
        if !std::mem::replace(&mut record.queued, true) {
            self.due.push(Reverse((due_ns, key)));
        }
    }

    /// The entry waits; the one that waited is left out.
    fn hold(&mut self, key: u32, source: u64, publication: &Rc<Publication>) -> u64 {
        let record = &mut self.keys[key as usize];
        let before = std::mem::replace(&mut record.newest, Rc::clone(publication));
        let superseded = record.held.replace(source);
        self.held_bytes += publication.bytes();
        self.order.insert(source, key);
        let Some(superseded) = superseded else {
            return 0;
        };
        self.order.remove(&superseded);
        self.held_bytes -= before.bytes();
        1
    }

    fn find(&self, publication: &Publication) -> Option<u32> {
        let is_it = |k: &u32| self.keys[*k as usize].newest.name() == publication.name();
        self.by_name.find(publication.hash, is_it).copied()
    }

    /// The key of a publication, known from now on.
    fn key(&mut self, publication: &Rc<Publication>) -> u32 {
        if let Some(key) = self.find(publication) {
            return key;
        }
        let key = self.keys.insert(Key {
            newest: Rc::clone(publication),
            held: None,
            due_ns: 0,
            first_ns: 0,
            queued: false,
        }) as u32;
        let keys = &self.keys;
        let hash = |k: &u32| keys[*k as usize].newest.hash;
        self.by_name.insert_unique(publication.hash, key, hash);
        key
    }

    fn forget(&mut self, key: u32) {
        let record = self.keys.remove(key as usize);
        if let Ok(entry) = self.by_name.find_entry(record.newest.hash, |k| *k == key) {
            entry.remove();
        }
    }

    /// The first tick that is not past.
    fn set_tick(&mut self, now: Now) {
        let interval_us = (self.interval_ns / 1000).max(1);
        self.tick_us = now
            .wall_us
            .div_ceil(interval_us)
            .saturating_mul(interval_us);
        let left_us = self.tick_us.saturating_sub(now.wall_us);
        self.tick_ns = now.mono_ns.saturating_add(left_us.saturating_mul(1000));
    }

    /// What was due before this instant passes first.
    fn release_before(&mut self, now: Now, out: &mut Vec<Released>) {
        if self.mode != RateMode::Sample {
            self.release_due(now, now.mono_ns.saturating_sub(1), out);
        } else if !self.order.is_empty() && self.tick_us < now.wall_us {
            self.flush(out);
        }
    }

    /// What is due by now passes.
    pub(crate) fn handle_timeout(&mut self, now: Now, out: &mut Vec<Released>) {
        if self.mode != RateMode::Sample {
            self.release_due(now, now.mono_ns, out);
        } else if !self.order.is_empty() {
            if now.wall_us >= self.tick_us {
                self.flush(out);
            } else {
                // The wall clock was set back, or runs slower: no tick is further than an interval away.
                self.set_tick(now);
            }
        }
    }

    fn release_due(&mut self, now: Now, until_ns: u64, out: &mut Vec<Released>) {
        let mut ready = Vec::new();
        while let Some(Reverse((at, key))) = self.due.peek().copied() {
            if at > until_ns {
                break;
            }
            self.due.pop();
            let record = &mut self.keys[key as usize];
            if record.due_ns > until_ns {
                self.due.push(Reverse((record.due_ns, key)));
                continue;
            }
            record.queued = false;
            match record.held {
                Some(source) => ready.push((record.due_ns, source, key)),
                None => self.forget(key),
            }
        }
        ready.sort_unstable();
        for (_, source, key) in ready {
            self.release(source, key, out);
            if self.mode == RateMode::Throttle {
                self.set_due(key, now.mono_ns.saturating_add(self.interval_ns));
            } else {
                self.forget(key);
            }
        }
    }

    fn release(&mut self, source: u64, key: u32, out: &mut Vec<Released>) {
        self.order.remove(&source);
        let record = &mut self.keys[key as usize];
        record.held = None;
        let publication = Rc::clone(&record.newest);
        self.held_bytes -= publication.bytes();
        out.push(self.released(source, &publication));
    }

    fn released(&self, source: u64, publication: &Rc<Publication>) -> Released {
        let resume = self.first_held().map_or(self.latest, |offset| offset - 1);
        Released {
            source,
            publication: Rc::clone(publication),
            resume: Some(resume),
        }
    }

    /// All that waits passes, in the order of the log.
    pub(crate) fn flush(&mut self, out: &mut Vec<Released>) {
        while let Some((source, key)) = self.order.first_key_value().map(|(s, k)| (*s, *k)) {
            self.release(source, key, out);
            if self.mode == RateMode::Sample {
                self.forget(key);
            }
        }
    }

    /// The next deadline. One of a key of which nothing waits can pass unnoticed.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        if self.order.is_empty() {
            None
        } else if self.mode == RateMode::Sample {
            Some(self.tick_ns)
        } else {
            self.due.peek().map(|Reverse((at, _))| *at)
        }
    }

    /// How many wait that came before the source had come to `since`.
    pub(crate) fn held_before(&self, since: u64) -> u64 {
        self.order.range(..since).count() as u64
    }

    /// Whether nothing waits that came before the source had come to `since`.
    pub(crate) fn is_through(&self, since: u64) -> bool {
        self.order
            .first_key_value()
            .is_none_or(|(first, _)| *first >= since)
    }

    /// Copies of what waits since then, each with the position to resume after if all of it were released in this order.
    pub(crate) fn held_since(&self, since: u64, out: &mut Vec<Released>) {
        let mut held = self.order.range(since..).peekable();
        while let Some((source, key)) = held.next() {
            let after = held
                .peek()
                .map(|(_, k)| self.keys[**k as usize].newest.offset - 1);
            out.push(Released {
                source: *source,
                publication: Rc::clone(&self.keys[*key as usize].newest),
                resume: Some(after.unwrap_or(self.latest)),
            });
        }
    }

    /// Offset of the oldest that waits.
    pub(crate) fn first_held(&self) -> Option<i64> {
        let (_, key) = self.order.first_key_value()?;
        Some(self.keys[*key as usize].newest.offset)
    }

    pub(crate) fn held_bytes(&self) -> u64 {
        self.held_bytes
    }
}
