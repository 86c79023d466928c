//! A subscription: rate, then batch, then the bounded queue, then credit; with its counts kept by hand.
use std::rc::Rc;

use pubsub_stream::Now;
use pubsub_wire::value::{Overflow, RateMode, Settings, When};
use serde_json::{Value, json};

use super::queue::{Item, Queue};
use super::rates::Rates;
use super::render;
use crate::drive::Entry;

pub struct Pipeline {
    pub text: String,
    pub settings: Settings,
    pub queue: Queue,
    pub behind: bool,
    /// `behind` was not told yet.
    pub announce: bool,
    /// The last position that was begun or told.
    pub last: i64,
    pub demand: Option<u64>,
    /// A write was refused since the last that was taken.
    pub parked: bool,
    pub blocked: bool,
    /// The bound is passed and the policy wants the connection ended.
    pub over: bool,
    /// What was held is in the queue, to go out with the end.
    pub flushed: bool,
    /// What waits was set aside when a drain began: it is live again once that is through.
    pub rests: bool,
    pub counts: Counts,
    rates: Option<Rates>,
    batch: Vec<Item>,
    batch_due_ns: u64,
    batches: u64,
    start: i64,
    arrived: i64,
    resume: i64,
}

#[derive(Debug, Default)]
pub struct Counts {
    pub published: u64,
    pub delivered: u64,
    pub filtered: u64,
    pub conflated: u64,
}

impl Pipeline {
    pub fn new(text: &str, settings: Settings, start: i64) -> Self {
        Self {
            text: text.to_owned(),
            queue: Queue::default(),
            behind: false,
            announce: false,
            last: start,
            demand: settings.credit,
            parked: false,
            blocked: false,
            over: false,
            flushed: false,
            rests: false,
            counts: Counts::default(),
            rates: settings
                .rate
                .filter(|r| r.mode != RateMode::All)
                .map(Rates::new),
            batch: Vec::new(),
            batch_due_ns: 0,
            batches: 0,
            start,
            arrived: start,
            resume: start,
            settings,
        }
    }

    /// What waits is bounded: the socket refuses, or no credit is left.
    fn is_held_up(&self) -> bool {
        self.blocked || self.demand == Some(0)
    }

    pub fn arrive(&mut self, now: Now, entry: &Rc<Entry>) {
        if entry.offset <= self.start {
            return;
        }
        self.counts.published += 1;
        self.arrived = entry.offset;
        let acts = self.settings.rate.is_some_and(|r| r.when == When::Always) || self.behind;
        let Some(rates) = self.rates.as_mut().filter(|_| acts) else {
            let item = Item::new(&self.text, Rc::clone(entry), None);
            self.resume = self.resume.max(entry.offset);
            self.release(now, item);
            return;
        };
        if let Some(released) = rates.arrive(now, entry, &mut self.counts.filtered) {
            self.release_rated(now, released);
        }
    }

    /// Everything before the oldest that is still held was released or left out.
    fn release_rated(&mut self, now: Now, entry: Rc<Entry>) {
        let held = self.rates.as_ref().and_then(Rates::oldest);
        self.resume = self
            .resume
            .max(held.map_or(self.arrived, |oldest| oldest - 1));
        self.release(now, Item::new(&self.text, entry, Some(self.resume)));
    }

    fn release(&mut self, now: Now, item: Item) {
        let Some(batch) = self.settings.batch else {
            self.push(now, item);
            return;
        };
        let bound = self.settings.bound;
        let least = |asked: Option<u64>, bound: Option<u64>| {
            asked.unwrap_or(u64::MAX).min(bound.unwrap_or(u64::MAX))
        };
        let bytes = least(batch.bytes, bound.bytes);
        self.batch.push(item);
        if self.batch.len() > 1 && self.batch_bytes("") > bytes {
            let item = self.batch.pop();
            self.close_batch(now);
            self.batch.extend(item);
        }
        if self.batch.len() == 1 {
            self.batch_due_ns = batch.ms.map_or(u64::MAX, |ms| now.mono_ns + ms * 1_000_000);
        }
        let full = self.batch.len() as u64 >= least(batch.messages, bound.messages);
        // Not even a comma has room.
        if full || self.batch_bytes(",") > bytes {
            self.close_batch(now);
        }
    }

    /// What its frame takes, with as much more in it.
    fn batch_bytes(&self, more: &str) -> u64 {
        let items = self.batch.iter().map(|i| (&*i.entry, i.resume));
        render::frame(&(render::batch(&self.text, items) + more)).len() as u64
    }

    fn close_batch(&mut self, now: Now) {
        self.batches += 1;
        for mut item in std::mem::take(&mut self.batch) {
            item.batch = Some(self.batches);
            self.push(now, item);
        }
    }

    fn push(&mut self, now: Now, item: Item) {
        if !self.is_held_up() {
            self.queue.places.push_back(super::queue::Place::Item(item));
            return;
        }
        self.queue
            .places
            .push_back(super::queue::Place::Item(item.clone()));
        self.look(now);
        self.queue.places.pop_back();
        let (overflow, bound) = (self.settings.overflow, self.settings.bound);
        self.over |= !self.queue.push_bounded(item, overflow, bound);
    }

    /// Whether it is behind. A frame under way alone has nothing behind it.
    fn look(&mut self, now: Now) {
        let waits = self.queue.items().next().is_some();
        if waits && !self.behind && self.queue.is_high(self.settings.bound, now.mono_ns) {
            self.behind = true;
            self.announce = true;
        }
    }

    /// What is held up gives, if it has to.
    pub fn give(&mut self, now: Now) {
        if self.flushed || !(self.is_held_up() || self.parked) {
            return;
        }
        self.look(now);
        let (overflow, bound) = (self.settings.overflow, self.settings.bound);
        if matches!(overflow, Overflow::DropOldest | Overflow::DropNewest)
            && let Some(age_ms) = bound.age_ms
        {
            self.queue.expire(age_ms, now.mono_ns);
        }
        let old = bound
            .age_ms
            .is_some_and(|ms| self.queue.age_ns(now.mono_ns) > ms * 1_000_000);
        let within = self.queue.give(overflow, bound);
        self.over |= !within || (overflow == Overflow::Disconnect && old);
    }

    pub fn due(&self) -> Option<u64> {
        let batch = self
            .batch
            .first()
            .map(|_| self.batch_due_ns)
            .filter(|due| *due < u64::MAX);
        let age_ms = self.settings.bound.age_ms;
        let ages =
            self.settings.overflow == Overflow::Disconnect && self.is_held_up() && !self.flushed;
        let oldest = self
            .queue
            .items()
            .map(|i| i.entry.mono_ns)
            .min()
            .filter(|_| ages);
        let age = oldest
            .zip(age_ms)
            .map(|(ns, ms)| ns + ms * 1_000_000 + 1000);
        [self.rates.as_ref().and_then(Rates::due), batch, age]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn wake(&mut self, now: Now) {
        while let Some(entry) = self.rates.as_mut().and_then(|r| r.pop_due(now)) {
            self.release_rated(now, entry);
        }
        if !self.batch.is_empty() && self.batch_due_ns <= now.mono_ns {
            self.close_batch(now);
        }
        if self.settings.overflow == Overflow::Disconnect {
            self.give(now);
        }
    }

    fn flush_rates(&mut self, now: Now) {
        while let Some(entry) = self.rates.as_mut().and_then(Rates::pop) {
            self.release_rated(now, entry);
        }
    }

    /// What is held is released; an open batch is closed.
    pub fn flush(&mut self, now: Now) {
        self.flush_rates(now);
        self.close_batch(now);
    }

    /// A rate or a batch acts on its messages.
    pub fn is_derived(&self) -> bool {
        self.rates.is_some() || self.settings.batch.is_some()
    }

    /// It ends now: what is held goes out with it, if it is live and nothing stands before.
    pub fn flush_at_end(&mut self, now: Now) {
        let quiet = !self.behind && self.queue.items().next().is_none();
        if quiet && !self.is_held_up() && !self.flushed {
            self.flushed = true;
            self.flush(now);
        }
    }

    /// What was flushed and is covered by credit, frame by frame.
    pub fn flushed_frames(&self) -> Vec<Vec<Item>> {
        let credit = self.demand.unwrap_or(u64::MAX);
        let covered = self
            .queue
            .items()
            .take(usize::try_from(credit).unwrap_or(usize::MAX));
        let all: Vec<Item> = covered.cloned().collect();
        let together = |a: &Item, b: &Item| a.batch.is_some() && a.batch == b.batch;
        all.chunk_by(together).map(<[Item]>::to_vec).collect()
    }

    /// It is live again, which its client has been told.
    pub fn on_live(&mut self, now: Now) {
        (self.behind, self.announce) = (false, false);
        if self.settings.rate.is_some_and(|r| r.when == When::Behind) {
            self.flush_rates(now);
        }
    }

    pub fn held(&self) -> u64 {
        self.rates.as_ref().map_or(0, Rates::held) + self.batch.len() as u64
    }

    pub fn reconfigure(&mut self, now: Now, patch: &Value) -> Result<(), &'static str> {
        let new = super::settings::merged(&self.settings, patch)?;
        let old = std::mem::replace(&mut self.settings.bound, new.bound);
        self.give(now);
        if new.overflow != self.settings.overflow {
            self.queue.close_hole();
            self.settings.overflow = new.overflow;
            self.give(now);
        }
        // What is released now may go out before anything gives.
        match patch.get("credit") {
            Some(Value::Null) => self.demand = None,
            Some(n) => self.demand = Some(self.demand.unwrap_or(0).max(n.as_u64().unwrap_or(0))),
            None => {}
        }
        let same = (new.rate, new.batch) == (self.settings.rate, self.settings.batch);
        if !same || (new.batch.is_some() && old != new.bound) {
            self.flush(now);
            self.rates = new.rate.filter(|r| r.mode != RateMode::All).map(Rates::new);
        }
        self.settings = Settings {
            credit: self.demand,
            ..new
        };
        Ok(())
    }

    /// `flushed`: how many go out just before it.
    pub fn ledger(&self, flushed: u64) -> Value {
        let (counts, lost) = (&self.counts, self.queue.lost);
        let pending = self.queue.items().count() as u64 + self.held() - flushed;
        let delivered = counts.delivered + flushed;
        json!({
            "published": counts.published, "delivered": delivered, "filtered_by_rate": counts.filtered,
            "conflated": counts.conflated, "expired": lost.expired, "retention": 0,
            "dropped": {"drop_oldest": lost.drop_oldest, "drop_newest": lost.drop_newest, "memory": 0},
            "pending": {"memory": pending, "spilled": 0}
        })
    }
}
