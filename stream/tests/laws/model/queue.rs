//! What waits for one subscriber, every message of it, and what of it was lost where.
use std::collections::VecDeque;
use std::rc::Rc;

use pubsub_wire::value::{Bound, Overflow};

use super::render;
use crate::drive::Entry;

#[derive(Debug, Clone)]
pub struct Item {
    pub entry: Rc<Entry>,
    pub resume: Option<i64>,
    /// Messages of one batch have the same number.
    pub batch: Option<u64>,
    pub bytes: u64,
}

impl Item {
    pub fn new(text: &str, entry: Rc<Entry>, resume: Option<i64>) -> Self {
        let bytes = render::frame(&render::msg(text, &entry, resume)).len() as u64;
        Self {
            entry,
            resume,
            batch: None,
            bytes,
        }
    }

    fn is_superseded_by(&self, newer: &Self) -> bool {
        self.entry.topic == newer.entry.topic && self.entry.key == newer.entry.key
    }

    pub fn position(&self) -> i64 {
        self.resume.unwrap_or(self.entry.offset)
    }
}

#[derive(Debug, Clone)]
pub struct Loss {
    pub reason: &'static str,
    pub to: i64,
    pub count: u64,
    /// Nothing of it went through a rate.
    pub ranged: bool,
    /// More may be added: the hole of `drop_newest`.
    pub open: bool,
}

#[derive(Debug, Clone)]
pub enum Place {
    Item(Item),
    Lost(Loss),
}

/// Counts of what was lost.
#[derive(Debug, Default, Clone, Copy)]
pub struct Lost {
    pub drop_oldest: u64,
    pub drop_newest: u64,
    pub expired: u64,
}

#[derive(Debug, Default)]
pub struct Queue {
    pub places: VecDeque<Place>,
    pub lost: Lost,
    /// Messages and bytes of the frame that is partly written.
    pub under_way: (u64, u64),
}

impl Queue {
    pub fn items(&self) -> impl Iterator<Item = &Item> {
        self.places.iter().filter_map(|p| match p {
            Place::Item(item) => Some(item),
            Place::Lost(_) => None,
        })
    }

    pub fn messages(&self) -> u64 {
        self.items().count() as u64 + self.under_way.0
    }

    pub fn bytes(&self) -> u64 {
        self.items().map(|i| i.bytes).sum::<u64>() + self.under_way.1
    }

    fn is_over(&self, bound: Bound) -> bool {
        let messages = self.messages();
        messages > bound.messages.unwrap_or(u64::MAX)
            || (messages > 1 && self.bytes() > bound.bytes.unwrap_or(u64::MAX))
    }

    /// Half of any bound.
    pub fn is_high(&self, bound: Bound, now_ns: u64) -> bool {
        let age_ms = bound.age_ms.unwrap_or(u64::MAX >> 24);
        self.messages() * 2 >= bound.messages.unwrap_or(u64::MAX)
            || self.bytes() * 2 >= bound.bytes.unwrap_or(u64::MAX)
            || self.age_ns(now_ns) * 2 >= age_ms * 1_000_000
    }

    /// Below a quarter of every bound.
    pub fn is_low(&self, bound: Bound, now_ns: u64) -> bool {
        let age_ms = bound.age_ms.unwrap_or(u64::MAX >> 24);
        self.messages() * 4 < bound.messages.unwrap_or(u64::MAX)
            && self.bytes() * 4 < bound.bytes.unwrap_or(u64::MAX)
            && self.age_ns(now_ns) * 4 < age_ms * 1_000_000
    }

    pub fn age_ns(&self, now_ns: u64) -> u64 {
        self.items()
            .map(|i| now_ns - i.entry.mono_ns)
            .max()
            .unwrap_or(0)
    }

    /// Another message, while the policy acts. `false`: the bound is passed and nothing may be lost.
    pub fn push_bounded(&mut self, item: Item, overflow: Overflow, bound: Bound) -> bool {
        let before = self.items().next().is_some() || self.under_way.0 > 0;
        let hole_open = matches!(self.places.back(), Some(Place::Lost(loss)) if loss.open);
        let at = self.places.len();
        self.places.push_back(Place::Item(item));
        if overflow == Overflow::DropNewest && before && (hole_open || self.is_over(bound)) {
            self.lose(at, "drop_newest");
            return true;
        }
        self.give(overflow, bound)
    }

    /// What is over the bound goes.
    pub fn give(&mut self, overflow: Overflow, bound: Bound) -> bool {
        match overflow {
            Overflow::DropOldest => {
                while self.is_over(bound) {
                    let Some(at) = self.first_item() else { break };
                    self.lose(at, "drop_oldest");
                }
            }
            Overflow::DropNewest if self.is_over(bound) => self.cut(bound),
            Overflow::Disconnect => return !self.is_over(bound),
            _ => {}
        }
        true
    }

    /// As if everything arrived anew, one after the other.
    fn cut(&mut self, bound: Bound) {
        for place in std::mem::take(&mut self.places) {
            match place {
                Place::Item(item) => {
                    self.push_bounded(item, Overflow::DropNewest, bound);
                }
                Place::Lost(loss) => self.places.push_back(Place::Lost(loss)),
            }
        }
    }

    pub fn expire(&mut self, age_ms: u64, now_ns: u64) {
        while let Some(at) = self.first_item() {
            let Place::Item(item) = &self.places[at] else {
                return;
            };
            if now_ns - item.entry.mono_ns <= age_ms * 1_000_000 {
                return;
            }
            self.lose(at, "expired");
        }
    }

    fn first_item(&self) -> Option<usize> {
        self.places.iter().position(|p| matches!(p, Place::Item(_)))
    }

    /// The item at `at` becomes a loss, joined to the one before it if that is of the same kind.
    fn lose(&mut self, at: usize, reason: &'static str) {
        let Some(Place::Item(item)) = self.places.get(at).cloned() else {
            return;
        };
        match reason {
            "drop_oldest" => self.lost.drop_oldest += 1,
            "drop_newest" => self.lost.drop_newest += 1,
            _ => self.lost.expired += 1,
        }
        let (to, ranged) = (item.position(), item.resume.is_none());
        let open = reason == "drop_newest";
        if let Some(Place::Lost(loss)) = at
            .checked_sub(1)
            .and_then(|before| self.places.get_mut(before))
            && loss.reason == reason
            && (loss.open || !open || loss.ranged == ranged)
        {
            loss.open |= open;
            loss.to = to;
            loss.count += 1;
            loss.ranged &= ranged;
            self.places.remove(at);
            return;
        }
        self.places[at] = Place::Lost(Loss {
            reason,
            to,
            count: 1,
            ranged,
            open,
        });
    }

    /// What arrives is lost: it is behind as long as that lasts.
    pub fn has_hole(&self) -> bool {
        self.places
            .iter()
            .any(|p| matches!(p, Place::Lost(loss) if loss.open))
    }

    /// Something before a hole is not handed over whole: where all of it is, the hole ends.
    pub fn is_before_hole(&self) -> bool {
        let mut waits = self.under_way.0 > 0;
        self.places.iter().any(|p| match p {
            Place::Lost(loss) => waits && loss.open,
            Place::Item(_) => {
                waits = true;
                false
            }
        })
    }

    /// The hole grows no more.
    pub fn close_hole(&mut self) {
        for place in &mut self.places {
            if let Place::Lost(loss) = place {
                loss.open = false;
            }
        }
    }

    /// A newer message of its key waits, too.
    fn is_superseded(&self, at: usize, item: &Item) -> bool {
        self.places.iter().skip(at + 1).any(|p| match p {
            Place::Item(newer) => item.is_superseded_by(newer),
            Place::Lost(_) => false,
        })
    }

    /// How many messages at the front are superseded, and the position of the last of them.
    pub fn superseded(&self, skips: bool) -> (usize, Option<i64>) {
        let mut passed = None;
        for (at, place) in self.places.iter().enumerate() {
            match place {
                Place::Item(item) if skips && self.is_superseded(at, item) => {
                    passed = Some(item.position());
                }
                _ => return (at, passed),
            }
        }
        (self.places.len(), passed)
    }

    /// Places of the next frame of messages, from the front: how many to leave out before each, and the items.
    pub fn next_frame(&self, skips: bool, credit: u64) -> Vec<(usize, Item)> {
        let (mut frame, mut skipped) = (Vec::<(usize, Item)>::new(), 0);
        for (at, place) in self.places.iter().enumerate() {
            let Place::Item(item) = place else { break };
            if skips && self.is_superseded(at, item) {
                skipped += 1;
                continue;
            }
            let joins = frame
                .first()
                .is_none_or(|(_, f)| f.batch.is_some() && f.batch == item.batch);
            if !joins || frame.len() as u64 == credit {
                break;
            }
            frame.push((skipped, item.clone()));
            skipped = 0;
        }
        frame
    }
}
