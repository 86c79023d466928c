//! What a client's record says, put into tables that the laws look things up in.
use std::collections::{BTreeMap, BTreeSet, HashMap};

use pubsub_wire::value::{Overflow, RateMode, Settings};
use serde_json::Value;

use crate::drive::{Entry, Frame, Transcript, What};
use crate::subject::covers;

pub struct Facts<'a> {
    pub seen: &'a Transcript,
    pub text: &'a str,
    /// The position after which messages follow.
    pub start: i64,
    /// Entries of this subscription from its start on, by index into the log.
    pub view: Vec<usize>,
    /// When each entry was published, as an index into the events.
    pub published: HashMap<usize, usize>,
    /// When each frame began and was whole, likewise.
    pub begun: Vec<usize>,
    pub whole: Vec<usize>,
    /// Frames that delivered an entry.
    pub delivered: BTreeMap<usize, Vec<usize>>,
    /// Settings in force from an event on.
    pub settings: Vec<(usize, Settings)>,
    /// Frames that answer a request.
    pub answers: HashMap<u64, Vec<usize>>,
    /// The `unsubscribe`.
    pub left: Option<usize>,
    pub closed: Option<(usize, u16)>,
}

/// The messages of a frame.
pub fn items(frame: &Value) -> Vec<&Value> {
    match frame["op"].as_str() {
        Some("msg") => vec![frame],
        Some("batch") => frame["items"]
            .as_array()
            .map(|a| a.iter().collect())
            .unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Settings in the order in which they were asked for, up to a moment: what acts on a message was asked for before it began.
#[derive(Clone, Copy)]
pub struct Asked<'a>(&'a [(usize, Settings)]);

impl<'a> Asked<'a> {
    fn ever(self, is: impl Fn(&Settings) -> bool) -> bool {
        self.0.iter().any(|(_, s)| is(s))
    }

    pub fn ever_rated(self) -> bool {
        self.ever(|s| s.rate.is_some_and(|r| r.mode != RateMode::All))
    }

    pub fn ever_throttled_first(self) -> bool {
        self.ever(|s| s.rate.is_some_and(|r| r.mode == RateMode::ThrottleFirst))
    }

    pub fn ever_batched(self) -> bool {
        self.ever(|s| s.batch.is_some())
    }

    pub fn ever_had(self, overflow: Overflow) -> bool {
        self.ever(|s| s.overflow == overflow)
    }

    /// Settings were the same all the time.
    pub fn constant(self) -> Option<&'a Settings> {
        match self.0 {
            [(_, settings)] => Some(settings),
            _ => None,
        }
    }

    /// Those that held at an event or after it.
    pub fn since(self, event: usize) -> impl Iterator<Item = &'a Settings> {
        let later = self.0.partition_point(|(at, _)| *at <= event);
        self.0[later.saturating_sub(1)..].iter().map(|(_, s)| s)
    }

    /// What was counted as lost or left out may come after all: it was not told, or a rate held it, when it was read from the log.
    pub fn may_be_read_again(self) -> bool {
        let untold = self.ever_rated() || self.ever_had(Overflow::DropNewest);
        untold && self.ever_had(Overflow::Spill)
    }

    /// Values may come twice: what a rate held when it fell behind in the log.
    pub fn may_repeat(self) -> bool {
        self.ever_rated() && self.ever_had(Overflow::Spill)
    }
}

impl<'a> Facts<'a> {
    pub fn of(seen: &'a Transcript, text: &'a str) -> Result<Self, String> {
        let mut facts = Self {
            seen,
            text,
            start: 0,
            view: Vec::new(),
            published: HashMap::new(),
            begun: vec![usize::MAX; seen.frames.len()],
            whole: vec![usize::MAX; seen.frames.len()],
            delivered: BTreeMap::new(),
            settings: Vec::new(),
            answers: HashMap::new(),
            left: None,
            closed: None,
        };
        facts.read_events();
        facts.read_frames()?;
        facts.read_settings()?;
        let of_view = |(_, e): &(usize, &Entry)| e.offset > facts.start && covers(text, &e.topic);
        facts.view = seen
            .log
            .iter()
            .enumerate()
            .filter(of_view)
            .map(|(i, _)| i)
            .collect();
        facts
            .view
            .retain(|index| facts.published.contains_key(index));
        Ok(facts)
    }

    fn read_events(&mut self) {
        for (at, (_, what)) in self.seen.events.iter().enumerate() {
            match what {
                What::Published(index) => {
                    self.published.insert(*index, at);
                }
                What::Begun(frame) => self.begun[*frame] = at,
                What::Whole(frame) => self.whole[*frame] = at,
                What::Closed(code) => self.closed = Some((at, *code)),
                What::Command(command) if command["op"] == "unsubscribe" => self.left = Some(at),
                _ => {}
            }
        }
    }

    fn read_frames(&mut self) -> Result<(), String> {
        for (number, frame) in self.seen.frames.iter().enumerate() {
            if let Some(id) = frame.value["id"].as_u64() {
                self.answers.entry(id).or_default().push(number);
            }
            for item in items(&frame.value) {
                let offset = item["offset"].as_i64().ok_or("a message without offset")?;
                let index = usize::try_from(offset - 1).map_err(|_| format!("offset {offset}"))?;
                if index >= self.seen.log.len() {
                    return Err(format!("offset {offset} is not in the log"));
                }
                self.delivered.entry(index).or_default().push(number);
            }
        }
        Ok(())
    }

    fn read_settings(&mut self) -> Result<(), String> {
        for (at, (_, what)) in self.seen.events.iter().enumerate() {
            let What::Command(command) = what else {
                continue;
            };
            let Some(answer) = self.answer(command) else {
                self.assume(at, command);
                continue;
            };
            let settings = match answer["op"].as_str() {
                Some("subscribed") => {
                    self.start = answer["offset"]
                        .as_i64()
                        .ok_or("`subscribed` without offset")?;
                    &answer["settings"]
                }
                Some("reconfigured") => &answer["settings"],
                _ => continue,
            };
            let settings: Settings = serde_json::from_value(settings.clone())
                .map_err(|e| format!("settings {settings}: {e}"))?;
            self.settings.push((at, settings));
        }
        if self.settings.is_empty() {
            return Err(format!("never subscribed\n{}", super::render(self.seen)));
        }
        Ok(())
    }

    /// A connection that ended before it told the answer: what was asked for holds, if it made sense.
    fn assume(&mut self, at: usize, command: &Value) {
        let Some((_, last)) = self
            .settings
            .last()
            .filter(|_| command["op"] == "reconfigure")
        else {
            return;
        };
        if let Ok(settings) = crate::model::merged(last, command) {
            self.settings.push((at, settings));
        }
    }

    /// The answer to a command.
    pub fn answer(&self, command: &Value) -> Option<&'a Value> {
        let frames = self.answers.get(&command["id"].as_u64()?)?;
        Some(&self.seen.frames[*frames.first()?].value)
    }

    /// Whole frames in order, by number.
    pub fn received(&self) -> impl Iterator<Item = (usize, &'a Frame)> {
        let frames = self.seen.frames.iter().enumerate();
        frames.filter(|(_, f)| f.bytes > 0)
    }

    /// Settings in force at an event.
    pub fn settings_at(&self, event: usize) -> &Settings {
        let (_, settings) = self
            .settings
            .iter()
            .rev()
            .find(|(at, _)| *at < event)
            .unwrap_or(&self.settings[0]);
        settings
    }

    pub fn entry(&self, index: usize) -> &'a Entry {
        &self.seen.log[index]
    }

    /// What was asked for until an event.
    pub fn until(&self, event: usize) -> Asked<'_> {
        Asked(&self.settings[..self.settings.partition_point(|(at, _)| *at < event)])
    }

    /// When an entry was whole with the kernel, or never.
    pub fn whole_at(&self, index: usize) -> usize {
        self.delivered
            .get(&index)
            .map_or(usize::MAX, |f| self.whole[f[0]])
    }

    /// A newer entry of its key is in the view, published before an event.
    pub fn is_superseded(&self, index: usize, before: usize) -> bool {
        let (topic, key) = (&self.entry(index).topic, &self.entry(index).key);
        let newer = self
            .view
            .iter()
            .filter(|i| **i > index && self.published[*i] < before);
        newer
            .into_iter()
            .any(|i| self.entry(*i).topic == *topic && self.entry(*i).key == *key)
    }

    /// How many keys there are in the view.
    pub fn keys(&self) -> usize {
        let keys: BTreeSet<_> = self
            .view
            .iter()
            .map(|i| (&self.entry(*i).topic, &self.entry(*i).key))
            .collect();
        keys.len()
    }

    /// Ledgers in order: the frame, and the ledger in it.
    pub fn ledgers(&self) -> impl Iterator<Item = (usize, &'a Value)> {
        let frames = self.seen.frames.iter().enumerate();
        frames
            .filter(|(_, f)| f.value["ledger"].is_object())
            .map(|(number, f)| (number, &f.value["ledger"]))
    }

    /// The answer to `unsubscribe`, if there was one.
    pub fn last_ledger(&self) -> Option<(usize, &'a Value)> {
        self.ledgers()
            .find(|(n, _)| self.seen.frames[*n].value["op"] == "unsubscribed")
    }
}

/// A number of a ledger; null is 0.
pub fn count(ledger: &Value, path: &str) -> u64 {
    ledger.pointer(path).and_then(Value::as_u64).unwrap_or(0)
}
