//! One retention class: the entries of the topics that share a rule, oldest first.
//!
//! Owns the rule and the accounting. Must not contain: topics' floors or anybody's position. Driven by the memory log.
use super::{Held, place_after};
use crate::config::Retain;
use std::collections::VecDeque;

/// What keeping one entry costs besides its bytes: its place in the deque (32), the counts before its bytes (16), its posting
/// (8) and what the allocator rounds up (8 on average).
pub const KEEPING_BYTES: u64 = 64;

/// The entries of the topics that match one pattern of the configuration (and none before it).
#[derive(Debug)]
pub(super) struct Class {
    pattern: String,
    bytes_max: u64,
    age_ns_max: Option<u64>,
    count_max: Option<u64>,
    entries: VecDeque<Held>,
    bytes: u64,
}

impl Class {
    pub(super) fn new(rule: &Retain) -> Self {
        Self {
            pattern: rule.pattern.clone(),
            bytes_max: rule.bytes,
            age_ns_max: rule.age_ms.map(|ms| ms.saturating_mul(1_000_000)),
            count_max: rule.count,
            entries: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether a topic of this name belongs here.
    pub(super) fn takes(&self, topic: &str) -> bool {
        pubsub_wire::topic::matches(&self.pattern, topic)
    }

    pub(super) fn push(&mut self, held: Held) {
        debug_assert!(
            self.entries
                .back()
                .is_none_or(|last| last.offset < held.offset)
        );
        self.bytes += cost(&held);
        self.entries.push_back(held);
    }

    /// Takes the oldest if there is more than the rule allows.
    pub(super) fn pop_excess(&mut self, mono_ns: u64) -> Option<Held> {
        let oldest = self.entries.front()?;
        let over = self.bytes > self.bytes_max
            || self
                .count_max
                .is_some_and(|max| self.entries.len() as u64 > max)
            || self.expiry(oldest).is_some_and(|at| at <= mono_ns);
        if !over {
            return None;
        }
        let gone = self.entries.pop_front()?;
        self.bytes -= cost(&gone);
        Some(gone)
    }

    fn expiry(&self, held: &Held) -> Option<u64> {
        self.age_ns_max
            .map(|age| held.entry.mono_ns().saturating_add(age))
    }

    /// Place of the first entry after `position`.
    pub(super) fn after(&self, position: i64) -> usize {
        place_after(&self.entries, position)
    }

    pub(super) fn at(&self, index: usize) -> Option<&Held> {
        self.entries.get(index)
    }

    /// The entry with this offset.
    pub(super) fn find(&self, offset: i64) -> Option<&Held> {
        self.at(self.after(offset - 1))
            .filter(|held| held.offset == offset)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }
}

fn cost(held: &Held) -> u64 {
    held.entry.bytes().len() as u64 + KEEPING_BYTES
}
