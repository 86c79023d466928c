//! Rates by the letter: a table of keys, each with what it holds and when that is due.
use std::collections::BTreeMap;
use std::rc::Rc;

use pubsub_stream::Now;
use pubsub_wire::value::{Rate, RateMode};

use crate::drive::Entry;

type Key = (String, Option<String>);

/// What one key waits with, and since when it is quiet.
#[derive(Debug, Default, Clone)]
struct Slot {
    held: Option<Rc<Entry>>,
    /// When the held one is released.
    due_ns: u64,
    /// When the first that waits came.
    first_ns: u64,
    /// Up to here a release has the key closed.
    closed_until_ns: Option<u64>,
}

#[derive(Debug)]
pub struct Rates {
    rate: Rate,
    slots: BTreeMap<Key, Slot>,
}

impl Rates {
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            slots: BTreeMap::new(),
        }
    }

    /// An entry comes. Returns what is released at once; `filtered` counts what is left out for good.
    pub fn arrive(&mut self, now: Now, entry: &Rc<Entry>, filtered: &mut u64) -> Option<Rc<Entry>> {
        let ms = self.rate.ms * 1_000_000;
        let slot = self
            .slots
            .entry((entry.topic.clone(), entry.key.clone()))
            .or_default();
        let open = slot
            .closed_until_ns
            .is_none_or(|until| until <= now.mono_ns);
        match self.rate.mode {
            RateMode::All => return Some(Rc::clone(entry)),
            RateMode::Throttle | RateMode::ThrottleFirst if open && slot.held.is_none() => {
                slot.closed_until_ns = Some(now.mono_ns + ms);
                return Some(Rc::clone(entry));
            }
            RateMode::ThrottleFirst => {
                *filtered += 1;
                return None;
            }
            RateMode::Throttle => slot.due_ns = slot.closed_until_ns.unwrap_or(now.mono_ns),
            RateMode::Sample => {
                let grid_us = self.rate.ms * 1000;
                let tick_us = now.wall_us.div_ceil(grid_us) * grid_us;
                slot.due_ns = now.mono_ns + (tick_us - now.wall_us) * 1000;
            }
            RateMode::Debounce => {
                if slot.held.is_none() {
                    slot.first_ns = now.mono_ns;
                }
                let most_ns = self.rate.max_wait_ms.unwrap_or(u64::MAX >> 24) * 1_000_000;
                slot.due_ns = (now.mono_ns + ms).min(slot.first_ns + most_ns);
            }
        }
        if slot.held.replace(Rc::clone(entry)).is_some() {
            *filtered += 1;
        }
        None
    }

    pub fn due(&self) -> Option<u64> {
        self.slots
            .values()
            .filter(|s| s.held.is_some())
            .map(|s| s.due_ns)
            .min()
    }

    /// The next that is due, by time and then by the log.
    pub fn pop_due(&mut self, now: Now) -> Option<Rc<Entry>> {
        let due = |s: &&mut Slot| s.held.is_some() && s.due_ns <= now.mono_ns;
        let first = self
            .slots
            .values_mut()
            .filter(due)
            .min_by_key(|s| (s.due_ns, offset(s)))?;
        first.closed_until_ns = Some(first.due_ns + self.rate.ms * 1_000_000);
        first.held.take()
    }

    /// The next in the order of the log, due or not.
    pub fn pop(&mut self) -> Option<Rc<Entry>> {
        self.slots
            .values_mut()
            .filter(|s| s.held.is_some())
            .min_by_key(|s| offset(s))?
            .held
            .take()
    }

    /// The oldest that is held.
    pub fn oldest(&self) -> Option<i64> {
        self.slots
            .values()
            .filter_map(|s| s.held.as_ref())
            .map(|e| e.offset)
            .min()
    }

    pub fn held(&self) -> u64 {
        self.slots.values().filter(|s| s.held.is_some()).count() as u64
    }
}

fn offset(slot: &Slot) -> i64 {
    slot.held.as_ref().map_or(0, |e| e.offset)
}
