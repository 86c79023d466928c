//! What a subscriber got to see, held against what was published and what the ledger says.
use crate::harness::offset;
use crate::stage::Entry;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Whether a subscription names a topic or a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Topic,
    Pattern,
}

impl View {
    pub(crate) const BOTH: [View; 2] = [View::Topic, View::Pattern];

    /// The subscription's text.
    pub(crate) fn text(self) -> &'static str {
        match self {
            View::Topic => "flood",
            View::Pattern => "flood.*",
        }
    }

    /// A topic that it wants.
    pub(crate) fn topic(self, number: u64) -> String {
        match self {
            View::Topic => "flood".to_owned(),
            View::Pattern => format!("flood.{number}"),
        }
    }

    pub(crate) fn wants(self, topic: &str) -> bool {
        match self {
            View::Topic => topic == "flood",
            View::Pattern => topic.starts_with("flood."),
        }
    }
}

/// A message as it came, alone or in a batch.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) offset: i64,
    pub(crate) resume: Option<i64>,
}

/// A hole as it was announced.
#[derive(Debug, Clone)]
pub(crate) struct Gap {
    /// Messages that came before it.
    pub(crate) after: usize,
    pub(crate) range: Option<RangeInclusive<i64>>,
    pub(crate) count: u64,
    pub(crate) reason: String,
}

/// All that a subscription was sent, checked as it came.
pub(crate) struct Seen {
    pub(crate) view: View,
    pub(crate) messages: Vec<Message>,
    pub(crate) gaps: Vec<Gap>,
    /// Where all is gone, and how much that was is not known; the ledger leaves it out.
    pub(crate) gone: Vec<RangeInclusive<i64>>,
    pub(crate) modes: Vec<String>,
    /// Items of each batch.
    pub(crate) batches: Vec<usize>,
    offsets: BTreeSet<i64>,
    /// Newest offset of each topic and key.
    newest: BTreeMap<(String, Option<String>), i64>,
    start: i64,
    /// Where it could be resumed: never falls.
    pub(crate) position: i64,
}

impl Seen {
    /// Nothing yet of a subscription that began after `start`.
    pub(crate) fn of(view: View, start: i64) -> Seen {
        Seen {
            view,
            messages: Vec::new(),
            gaps: Vec::new(),
            gone: Vec::new(),
            modes: Vec::new(),
            batches: Vec::new(),
            offsets: BTreeSet::new(),
            newest: BTreeMap::new(),
            start,
            position: start,
        }
    }

    /// Takes a frame of the subscription.
    pub(crate) fn take(&mut self, frame: &Value) {
        match frame["op"].as_str() {
            Some("msg") => self.take_message(frame),
            Some("batch") => {
                let items = frame["items"].as_array().expect("items");
                assert!(!items.is_empty(), "{frame}");
                self.batches.push(items.len());
                for item in items {
                    self.take_message(item);
                }
            }
            Some("gap") => self.take_gap(frame),
            Some("mode") => self
                .modes
                .push(frame["mode"].as_str().expect("a mode").to_owned()),
            Some("position") => self.position = self.position.max(offset(frame)),
            _ => panic!("unexpected: {frame}"),
        }
    }

    /// Takes several, to the last.
    pub(crate) fn take_all(&mut self, frames: &[Value]) {
        for frame in frames {
            self.take(frame);
        }
    }

    fn take_message(&mut self, message: &Value) {
        let text = |name: &str| message[name].as_str().map(str::to_owned);
        let offset = offset(message);
        assert_eq!(
            message["data"]["offset"], offset,
            "the data it was sent with"
        );
        let resume = message
            .get("resume")
            .map(|resume| resume.as_i64().expect("an offset"));
        let shown = || {
            let last = self.messages.last();
            format!(
                "{offset}, resume {resume:?}, after {} {last:?} {:?}",
                self.position,
                self.gaps.last()
            )
        };
        assert!(self.offsets.insert(offset), "came twice: {}", shown());
        // What a rate released stands in the order of its release.
        assert!(
            resume.is_some() || offset > self.position,
            "out of order: {}",
            shown()
        );
        let next = resume.unwrap_or(offset);
        assert!(next >= self.position, "it falls: {}", shown());
        let key = (text("topic").expect("a topic"), text("key"));
        if let Some(older) = self.newest.insert(key, offset) {
            assert!(offset > older, "offsets rise per key: {older}, {}", shown());
        }
        self.position = next;
        self.messages.push(Message { offset, resume });
    }

    fn take_gap(&mut self, gap: &Value) {
        let Some(count) = gap["count"].as_u64() else {
            assert!(
                gap["count"].is_null() && gap["reason"] == "retention",
                "{gap}"
            );
            self.gone.push(self.position + 1..=offset(gap));
            self.position = offset(gap);
            return;
        };
        assert!(count > 0, "{gap}");
        let range = gap["from"].as_i64().map(|from| {
            let to = gap["to"].as_i64().expect("from and to go together");
            assert!(
                from > self.position,
                "begins behind what came: {} {gap}",
                self.position
            );
            assert!(from <= to, "holds something: {gap}");
            assert_eq!(to, offset(gap), "goes on after its end: {gap}");
            from..=to
        });
        assert!(offset(gap) >= self.position, "it falls: {gap}");
        self.position = offset(gap);
        self.gaps.push(Gap {
            after: self.messages.len(),
            range,
            count,
            reason: gap["reason"].as_str().expect("a reason").to_owned(),
        });
    }

    pub(crate) fn received(&self) -> u64 {
        self.messages.len() as u64
    }

    /// Lost and said so.
    pub(crate) fn announced(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.count).sum()
    }

    /// Lost and said so, for this reason.
    pub(crate) fn announced_as(&self, reason: &str) -> u64 {
        let of = self.gaps.iter().filter(|gap| gap.reason == reason);
        of.map(|gap| gap.count).sum()
    }

    /// The ledger says at any place of the stream what came before it: all of that is delivered, and nothing else.
    pub(crate) fn agrees(&self, ledger: &Value) {
        assert_eq!(ledger["delivered"], self.received(), "{ledger}");
        assert!(self.announced() <= lost(ledger), "{ledger}");
    }

    /// Nothing is pending, and every loss is announced for its reason.
    pub(crate) fn is_all(&self, ledger: &Value) -> bool {
        let all = ledger["pending"]["memory"] == 0
            && ledger["pending"]["spilled"] == 0
            && self.announced() == lost(ledger);
        if all {
            for reason in ["drop_oldest", "drop_newest", "memory"] {
                assert_eq!(
                    ledger["dropped"][reason],
                    self.announced_as(reason),
                    "{ledger}"
                );
            }
            for reason in ["expired", "retention"] {
                assert_eq!(ledger[reason], self.announced_as(reason), "{ledger}");
            }
        }
        all
    }

    /// The offsets of `log` that the subscription wants.
    pub(crate) fn wanted(&self, log: &[Entry]) -> Vec<i64> {
        let numbered = (1..).zip(log).filter(|(offset, _)| *offset > self.start);
        numbered
            .filter(|(_, entry)| self.view.wants(&entry.topic))
            .map(|(offset, _)| offset)
            .collect()
    }

    /// How much of what was published neither came nor is in a gap.
    pub(crate) fn left_out(&self, log: &[Entry]) -> u64 {
        let wanted: BTreeSet<i64> = self.wanted(log).into_iter().collect();
        for message in &self.messages {
            assert!(wanted.contains(&message.offset), "{message:?}");
        }
        for gap in &self.gaps {
            let Some(range) = gap.range.clone() else {
                continue;
            };
            let came = self.offsets.range(range.clone()).next();
            assert_eq!(came, None, "all in it is lost: {gap:?}");
            let inside = wanted.range(range).count() as u64;
            assert!(inside >= gap.count, "{inside} in {gap:?}");
        }
        let missing = wanted.len() as u64 - self.received();
        missing - self.announced()
    }

    /// Everything published came or was announced, and a gap counts all that stands in it.
    pub(crate) fn accounts_for(&self, log: &[Entry]) {
        assert_eq!(self.left_out(log), 0, "received + announced = published");
        let wanted = self.wanted(log);
        for gap in &self.gaps {
            let range = gap.range.as_ref().expect("known, without a rate");
            let inside = wanted.iter().filter(|offset| range.contains(offset));
            assert_eq!(inside.count() as u64, gap.count, "{gap:?}");
        }
    }

    /// The newest offset of each key that came is the newest there is.
    pub(crate) fn holds_the_newest(&self, log: &[Entry]) {
        let numbered = (1..)
            .zip(log)
            .filter(|(_, entry)| self.view.wants(&entry.topic));
        let newest: BTreeMap<(String, Option<String>), i64> = numbered
            .map(|(offset, entry)| ((entry.topic.clone(), entry.key.clone()), offset))
            .collect();
        assert_eq!(self.newest, newest);
    }
}

/// What a ledger counts as lost.
pub(crate) fn lost(ledger: &Value) -> u64 {
    let places = [
        "/dropped/drop_oldest",
        "/dropped/drop_newest",
        "/dropped/memory",
        "/expired",
        "/retention",
    ];
    let count = |place: &&str| ledger.pointer(place).and_then(Value::as_u64);
    places.iter().filter_map(count).sum()
}
