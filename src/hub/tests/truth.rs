//! What a hub should hold, found out the slow way: every publication ever, in one list.
use crate::config::Retain;
use crate::hub::entry::{Entry, Publication};
use crate::hub::log::class::KEEPING_BYTES;
use pubsub_stream::Now;
use pubsub_stream::hub::EntryRef;
use pubsub_wire::topic::matches;
use std::collections::BTreeMap;

/// One publication and what became of it.
#[derive(Debug, Clone)]
pub(super) struct Fact {
    pub(super) offset: i64,
    pub(super) topic: String,
    pub(super) key: Option<String>,
    pub(super) data: Vec<u8>,
    pub(super) held: bool,
    mono_ns: u64,
    cost: u64,
}

impl Fact {
    fn identity(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.topic)
    }
}

/// The whole past.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) facts: Vec<Fact>,
    rules: Vec<Retain>,
    keys_max: usize,
    /// Offset of the newest value by topic and identity.
    pub(super) newest: BTreeMap<(String, String), i64>,
    /// What left them for want of room: topic and offset.
    newest_gone: Vec<(String, i64)>,
}

impl Truth {
    pub(super) fn new(rules: Vec<Retain>, keys_max: usize) -> Self {
        Self {
            facts: Vec::new(),
            rules,
            keys_max,
            newest: BTreeMap::new(),
            newest_gone: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> i64 {
        self.facts.len() as i64
    }

    pub(super) fn publish(&mut self, now: Now, publication: &Publication<'_>) -> i64 {
        let Publication { topic, key, data } = *publication;
        let offset = self.head() + 1;
        let fields = EntryRef {
            offset,
            ts_us: 0,
            mono_ns: now.mono_ns,
            topic,
            key,
            data,
        };
        let bytes = Entry::encode(&mut Vec::new(), &fields).bytes().len() as u64;
        self.facts.push(Fact {
            offset,
            topic: topic.to_owned(),
            key: key.map(str::to_owned),
            data: data.to_vec(),
            held: true,
            mono_ns: now.mono_ns,
            cost: bytes + KEEPING_BYTES,
        });
        self.newest
            .insert((topic.to_owned(), key.unwrap_or(topic).to_owned()), offset);
        if self.newest.len() > self.keys_max {
            let oldest = self
                .newest
                .iter()
                .min_by_key(|(_, offset)| **offset)
                .map(|(key, _)| key.clone());
            let oldest = oldest.expect("not empty");
            let offset = self.newest.remove(&oldest).expect("it is there");
            self.newest_gone.push((oldest.0, offset));
        }
        offset
    }

    fn rule_of(&self, topic: &str) -> usize {
        self.rules
            .iter()
            .position(|rule| matches(&rule.pattern, topic))
            .expect("the last rule matches all")
    }

    pub(super) fn retain(&mut self, now: Now) {
        for (number, rule) in self.rules.clone().iter().enumerate() {
            loop {
                let class: Vec<usize> = (0..self.facts.len())
                    .filter(|&i| self.facts[i].held && self.rule_of(&self.facts[i].topic) == number)
                    .collect();
                let bytes: u64 = class.iter().map(|&i| self.facts[i].cost).sum();
                let Some(&oldest) = class.first() else { break };
                let age = rule
                    .age_ms
                    .map(|ms| self.facts[oldest].mono_ns + ms * 1_000_000);
                let over = bytes > rule.bytes
                    || rule.count.is_some_and(|count| class.len() as u64 > count)
                    || age.is_some_and(|at| at <= now.mono_ns);
                if !over {
                    break;
                }
                self.facts[oldest].held = false;
            }
        }
    }

    /// The entries of a view in `after+1..=upto`.
    pub(super) fn of_view<'a>(
        &'a self,
        text: &'a str,
        after: i64,
        upto: i64,
    ) -> impl Iterator<Item = &'a Fact> {
        let inside = move |fact: &&Fact| fact.offset > after && fact.offset <= upto;
        self.facts
            .iter()
            .filter(inside)
            .filter(move |fact| matches(text, &fact.topic))
    }

    pub(super) fn offsets_of(&self, text: &str, after: i64, upto: i64) -> Vec<i64> {
        self.of_view(text, after, upto)
            .map(|fact| fact.offset)
            .collect()
    }

    /// Whether a newest value of a view above `after` has left for want of room.
    pub(super) fn newest_left(&self, text: &str, after: i64) -> bool {
        let mut gone = self.newest_gone.iter();
        gone.any(|(topic, offset)| *offset > after && matches(text, topic))
    }

    /// The newest values of a view.
    pub(super) fn newest_of(&self, text: &str) -> Vec<(String, String, i64)> {
        let of_view = self
            .newest
            .iter()
            .filter(|((topic, _), _)| matches(text, topic));
        of_view
            .map(|((topic, key), offset)| (topic.clone(), key.clone(), *offset))
            .collect()
    }

    /// An entry is the publication with its offset, to the byte.
    pub(super) fn check_entry(&self, entry: &EntryRef<'_>) {
        let fact = &self.facts[entry.offset as usize - 1];
        assert_eq!(entry.topic, fact.topic);
        assert_eq!(entry.key, fact.key.as_deref());
        assert_eq!(entry.data, fact.data);
        assert_eq!(entry.mono_ns, fact.mono_ns);
    }

    pub(super) fn identity_of(&self, offset: i64) -> (String, String) {
        let fact = &self.facts[offset as usize - 1];
        (fact.topic.clone(), fact.identity().to_owned())
    }

    pub(super) fn held(&self) -> usize {
        self.facts.iter().filter(|fact| fact.held).count()
    }
}
