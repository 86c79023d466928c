//! The naive client: takes bytes off its socket, and checks every frame against the whole log.
use std::collections::HashMap;

use serde_json::Value;

use crate::hub::{Entry, covers};

/// All logs there ever were, by epoch.
pub type Logs = HashMap<String, Vec<Entry>>;

#[allow(
    clippy::struct_excessive_bools,
    reason = "facts of a naive client, each told by another frame"
)]
pub struct Subscribed {
    pub text: String,
    pub conflates: bool,
    /// A rate has acted at some time: messages come in the order of release, and what is left out is known from the ledger alone.
    pub rated: bool,
    /// Each message must come in a batch.
    pub batched: bool,
    /// Something was asked for that may leave out the newest of a key.
    pub loses_newest: bool,
    /// It has read on from the log: with a rate newest values may come again, and count again.
    pub spills: bool,
    /// Its settings may change, and its mode with them before it is told.
    pub changes: bool,
    /// How much was ever asked for; nothing: no limit.
    pub demand: Option<u64>,
    pub demanded: u64,
    resume: i64,
    /// `from: last` (or `else: last`): superseded entries of the past are left out.
    newest_only: bool,
    /// It began with a snapshot, of which only the engine knows where it ended.
    snapshot: bool,
    /// The snapshot is through: from the next message on everything comes.
    snapshot_ends: bool,
    pub began: bool,
    pub epoch: String,
    pub position: i64,
    /// Start of the count: of the subscription, or of the epoch it is in.
    pub counted_from: Option<i64>,
    pub received: u64,
    pub conflated: u64,
    pub lost: HashMap<String, u64>,
    mode: String,
    /// It was behind at some time since the last message.
    was_behind: bool,
    pub newest: HashMap<(String, Option<String>), i64>,
    /// Entries up to here may be gone for good: they were announced as lost.
    pub lost_until: i64,
    pub ended: bool,
    /// Nothing came since `subscribed`.
    fresh: bool,
    /// What came, for whoever has to find out why it was wrong.
    heard: Vec<String>,
}

impl Subscribed {
    pub fn new(text: &str, conflates: bool, newest_only: bool) -> Self {
        Self {
            text: text.to_owned(),
            conflates,
            rated: false,
            batched: false,
            loses_newest: false,
            spills: false,
            changes: false,
            demand: None,
            demanded: 0,
            resume: -1,
            newest_only,
            snapshot: newest_only,
            snapshot_ends: false,
            began: false,
            epoch: String::new(),
            position: 0,
            counted_from: None,
            received: 0,
            conflated: 0,
            lost: HashMap::new(),
            mode: "live".into(),
            was_behind: false,
            newest: HashMap::new(),
            lost_until: 0,
            ended: false,
            fresh: false,
            heard: Vec::new(),
        }
    }

    /// Entries of this subscription in `after..=to`. Offsets count from 1 without a hole.
    fn between<'a>(&self, logs: &'a Logs, after: i64, to: i64) -> Vec<&'a Entry> {
        let log = logs.get(&self.epoch).map_or(&[][..], Vec::as_slice);
        let end = to.clamp(0, log.len() as i64) as usize;
        let begin = (after.max(0) as usize).min(end);
        log[begin..end]
            .iter()
            .filter(|e| covers(&self.text, &e.topic))
            .collect()
    }

    fn is_superseded(&self, logs: &Logs, entry: &Entry) -> bool {
        let newer = &logs[&self.epoch][entry.offset as usize..];
        let same = |e: &Entry| e.topic == entry.topic && e.key == entry.key;
        // A log that began anew goes on superseding what is left of the one before.
        let number = |epoch: &str| epoch[1..].parse::<u32>().unwrap();
        let later = |epoch: &str| number(epoch) > number(&self.epoch);
        newer.iter().any(same)
            || logs
                .iter()
                .any(|(epoch, log)| later(epoch) && log.iter().any(same))
    }

    /// Keeps the newest of what came, for the message of a failure.
    fn hear(&mut self, message: &Value) -> &mut Self {
        if self.heard.len() > 20 {
            self.heard.remove(0);
        }
        let mut heard = message.clone();
        heard["data"] = Value::Null;
        self.heard.push(heard.to_string());
        self
    }

    /// Everything before the next thing received was left out rightly, or this is a hole.
    fn pass(&mut self, logs: &Logs, to: i64) {
        if self.rated {
            return;
        }
        for entry in self.between(logs, self.position, to) {
            let superseded = self.is_superseded(logs, entry);
            if self.newest_only && superseded {
                continue;
            }
            // A switch that another overtook before it could be told is not told.
            let may_skip = self.conflates && (self.was_behind || self.changes);
            assert!(
                may_skip && superseded,
                "{}: {} was neither delivered nor announced (mode {}) {:#?}",
                self.text,
                entry.offset,
                self.mode,
                self.heard
            );
            self.conflated += 1;
        }
    }

    fn on_message(&mut self, logs: &Logs, message: &Value) {
        assert!(
            self.began && !self.ended,
            "a message before `subscribed` or after `unsubscribed`"
        );
        let offset = message["offset"].as_i64().unwrap();
        self.demanded += 1;
        assert!(
            self.demand.is_none_or(|n| self.demanded <= n),
            "{}: {} came, {:?} was asked for",
            self.text,
            self.demanded,
            self.demand
        );
        if let Some(resume) = message["resume"].as_i64() {
            assert!(self.rated, "{}: resume without a rate", self.text);
            assert!(
                resume >= self.resume,
                "{}: resume {resume} after {}",
                self.text,
                self.resume
            );
            self.resume = resume;
        }
        let entry = &logs[&self.epoch][offset as usize - 1];
        if self.rated {
            let before = self.newest.get(&entry.identity()).copied().unwrap_or(-1);
            assert!(
                offset > before || self.spills,
                "{}: {offset} of {:?} after {before} {:#?}",
                self.text,
                entry.identity(),
                self.heard
            );
            self.position = self.position.max(offset);
        } else {
            assert!(
                offset > self.position,
                "{}: {offset} after {} {:#?}",
                self.text,
                self.position,
                self.heard
            );
            self.pass(logs, offset - 1);
            self.position = offset;
        }
        assert!(
            covers(&self.text, &entry.topic),
            "{} is none of {}",
            entry.topic,
            self.text
        );
        assert_eq!(message["topic"], entry.topic.as_str());
        assert_eq!(message["key"].as_str(), entry.key.as_deref());
        assert_eq!(message["data"].to_string(), entry.data);
        let newest = self.newest.entry(entry.identity()).or_default();
        *newest = offset.max(*newest);
        self.newest_only &= !self.snapshot_ends;
        self.was_behind = self.mode == "behind";
        self.received += 1;
    }

    fn on_gap(&mut self, logs: &Logs, gap: &Value) {
        let (reason, after) = (
            gap["reason"].as_str().unwrap(),
            gap["offset"].as_i64().unwrap(),
        );
        let (Some(from), Some(to)) = (gap["from"].as_i64(), gap["to"].as_i64()) else {
            if let Some(count) = gap["count"].as_u64() {
                assert!(self.rated, "{}: a gap without a range {gap}", self.text);
                *self.lost.entry(reason.to_owned()).or_default() += count;
                self.lost_until = i64::MAX;
                return;
            }
            assert!(
                matches!(reason, "epoch" | "retention"),
                "{reason} needs a range"
            );
            assert!(gap["count"].is_null());
            let new_epoch = gap["epoch"].as_str().unwrap() != self.epoch;
            self.epoch = gap["epoch"].as_str().unwrap().to_owned();
            if reason == "epoch" {
                (self.received, self.conflated, self.resume) = (0, 0, -1);
                self.lost.clear();
                if new_epoch {
                    self.newest.clear();
                }
                self.counted_from = Some(after);
            } else {
                self.counted_from = None;
            }
            self.lost_until = after;
            self.position = after;
            return;
        };
        assert_eq!(gap["epoch"], self.epoch.as_str(), "{:#?}", self.heard);
        if self.fresh && after == self.position {
            // The wanted start is gone: `subscribed` told where messages follow, after the gap.
            self.position = from - 1;
            self.counted_from = Some(from - 1);
        }
        let count = gap["count"].as_u64().unwrap();
        if self.rated {
            // A rate that acted before may have left some of the range out.
            let most = self.between(logs, from - 1, to).len() as u64;
            assert!(
                most >= count,
                "{}: {gap}, {most} at most {:#?}",
                self.text,
                self.heard
            );
            *self.lost.entry(reason.to_owned()).or_default() += count;
            self.lost_until = i64::MAX;
            return;
        }
        // What conflation left out before the hole is no part of it.
        assert!(
            from > self.position,
            "a gap from {from} after {} {:#?}",
            self.position,
            self.heard
        );
        self.pass(logs, from - 1);
        assert_eq!(
            self.between(logs, from - 1, to).len() as u64,
            count,
            "{}: {gap} {:#?}",
            self.text,
            self.heard
        );
        *self.lost.entry(reason.to_owned()).or_default() += count;
        self.lost_until = to;
        self.position = after.max(to);
    }

    fn on_ledger(&mut self, logs: &Logs, ledger: &Value, last: bool) {
        let n = |path: &str| ledger.pointer(path).and_then(Value::as_u64).unwrap_or(0);
        let losses = n("/dropped/drop_oldest")
            + n("/dropped/drop_newest")
            + n("/dropped/memory")
            + n("/expired")
            + n("/retention");
        let sum = n("/delivered")
            + n("/filtered_by_rate")
            + n("/conflated")
            + losses
            + n("/pending/memory")
            + n("/pending/spilled");
        assert_eq!(
            n("/published"),
            sum,
            "{}: the law of the ledger: {ledger}",
            self.text
        );
        assert_eq!(
            n("/delivered"),
            self.received,
            "{}: {ledger} {:#?}",
            self.text,
            self.heard
        );
        let announced: u64 = self.lost.values().sum();
        assert!(
            losses >= announced,
            "{}: more announced than lost: {ledger}",
            self.text
        );
        assert!(
            n("/conflated") >= self.conflated,
            "{}: {ledger}, but {} {:#?}",
            self.text,
            self.conflated,
            self.heard
        );
        if last {
            assert_eq!(
                n("/pending/memory"),
                0,
                "{}: {ledger} {:#?}",
                self.text,
                self.heard
            );
        }
        if last && self.rated {
            assert_eq!(
                losses, announced,
                "{}: {ledger}, announced {:?}",
                self.text, self.lost
            );
        } else if last && !self.snapshot {
            let tail: Vec<&Entry> = self.between(logs, self.position, i64::MAX);
            assert_eq!(
                losses, announced,
                "{}: {ledger}, announced {:?}",
                self.text, self.lost
            );
            // What was conflated before a loss that could not be counted is not known from what came.
            let conflated = self.conflated + tail.len() as u64;
            assert!(
                n("/conflated") == conflated
                    || (self.counted_from.is_none() && n("/conflated") > conflated),
                "{}: {ledger}, {conflated} left out",
                self.text
            );
        }
        let recounted = self.rated && self.spills;
        if let (Some(from), false, true) = (self.counted_from, self.snapshot || recounted, last) {
            let all = self.between(logs, from, i64::MAX).len() as u64;
            assert_eq!(
                n("/published"),
                all,
                "{}: {ledger} {:#?}",
                self.text,
                self.heard
            );
        }
    }

    /// After quiet, the newest of every key has arrived, or was announced as lost.
    fn check_newest(&self, logs: &Logs) {
        let Some(from) = self.counted_from.filter(|_| !self.loses_newest) else {
            return;
        };
        let mut newest = HashMap::new();
        for entry in self.between(logs, from, i64::MAX) {
            newest.insert(entry.identity(), entry.offset);
        }
        for (identity, offset) in newest {
            if offset > self.lost_until {
                assert_eq!(
                    self.newest.get(&identity),
                    Some(&offset),
                    "{}: newest of {identity:?}",
                    self.text
                );
            }
        }
    }
}

#[derive(Default)]
pub struct Client {
    input: Vec<u8>,
    pub subscriptions: HashMap<String, Subscribed>,
    /// Unsubscribed and not yet told, oldest first.
    pub leaving: Vec<Subscribed>,
    pub answers: HashMap<u64, Value>,
    pub closed: Option<u16>,
    /// Quiet has come: what is outstanding must be nothing.
    pub last: bool,
    pub messages: u64,
}

impl Client {
    pub fn take(&mut self, logs: &Logs, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some((opcode, payload, length)) = frame(&self.input) {
            let payload = payload.to_vec();
            self.input.drain(..length);
            match opcode {
                1 => self.on_text(logs, &serde_json::from_slice(&payload).expect("valid JSON")),
                8 => self.closed = Some(u16::from_be_bytes([payload[0], payload[1]])),
                9 | 10 => {}
                other => panic!("opcode {other}"),
            }
        }
    }

    pub fn is_between_frames(&self) -> bool {
        self.input.is_empty()
    }

    fn on_text(&mut self, logs: &Logs, message: &Value) {
        assert!(self.closed.is_none(), "something after the close frame");
        let op = message["op"].as_str().unwrap();
        let text = message["sub"]
            .as_str()
            .or(message["topic"].as_str())
            .unwrap_or("")
            .to_owned();
        if let Some(id) = message["id"].as_u64() {
            assert!(
                self.answers.insert(id, message.clone()).is_none(),
                "two answers to {id}"
            );
        }
        match op {
            "msg" => {
                self.messages += 1;
                let subscription = self.find(&text).hear(message);
                assert!(!subscription.batched, "{text}: a message on its own");
                subscription.on_message(logs, message);
            }
            "batch" => {
                self.on_batch(logs, &text, message);
            }
            "gap" => {
                let subscription = self.find(&text).hear(message);
                subscription.on_gap(logs, message);
                subscription.fresh = false;
            }
            "mode" => {
                let subscription = self.find(&text).hear(message);
                let mode = message["mode"].as_str().unwrap();
                assert_ne!(subscription.mode, mode, "{text}: the mode it had already");
                subscription.snapshot_ends = mode == "live";
                subscription.was_behind |= mode == "behind";
                subscription.mode = mode.to_owned();
            }
            "position" => {
                let subscription = self.find(&text);
                let offset = message["offset"].as_i64().unwrap();
                assert_eq!(
                    message["epoch"],
                    subscription.epoch.as_str(),
                    "{text}: {:#?}",
                    subscription.heard
                );
                subscription.pass(logs, offset);
                assert!(offset >= subscription.position || subscription.rated);
                subscription.position = subscription.position.max(offset);
            }
            "subscribed" => {
                let subscription = self.leaving.iter_mut().find(|s| s.text == text && !s.began);
                let subscription = subscription
                    .or(self.subscriptions.get_mut(&text))
                    .expect("a subscription");
                assert!(
                    !std::mem::replace(&mut subscription.began, true),
                    "{text}: `subscribed` twice"
                );
                subscription.epoch = message["epoch"].as_str().unwrap().to_owned();
                subscription.position = message["offset"].as_i64().unwrap();
                subscription.counted_from = Some(subscription.position);
                subscription.fresh = true;
                subscription.heard.push(message.to_string());
            }
            "ledger" => {
                let last = self.last;
                let subscription = self.find(&text);
                // Answers overtake: the gap that tells of a new epoch may be still to come.
                if message["epoch"] == subscription.epoch.as_str() {
                    subscription.on_ledger(logs, &message["ledger"], last);
                    if last {
                        subscription.check_newest(logs);
                    }
                } else {
                    assert!(
                        !last,
                        "{text}: the new epoch was never announced {message} {:#?}",
                        subscription.heard
                    );
                }
            }
            "unsubscribed" => {
                let index = self
                    .leaving
                    .iter()
                    .position(|s| s.text == text)
                    .expect("one that leaves");
                let mut subscription = self.leaving.remove(index);
                assert!(subscription.began, "`unsubscribed` before `subscribed`");
                subscription.on_ledger(logs, &message["ledger"], false);
            }
            // Of many changes at once the last ones are refused, and nothing of them is expected.
            "error" if message["code"] == "limit" && message["field"] == "topic" => {}
            "error" if message["code"] != "unavailable" && message["code"] != "unknown_outcome" => {
                panic!("{message}")
            }
            "welcome" | "published" | "error" | "pong" | "goaway" | "reconfigured" => {}
            other => panic!("unexpected {other}"),
        }
    }

    fn on_batch(&mut self, logs: &Logs, text: &str, batch: &Value) {
        let items = batch["items"].as_array().unwrap();
        assert!(!items.is_empty(), "{text}: an empty batch");
        self.messages += items.len() as u64;
        let subscription = self.find(text);
        for item in items {
            subscription.hear(item).on_message(logs, item);
        }
    }

    /// The subscription that a frame belongs to: one that leaves gets its frames before a new one of the same text begins.
    fn find(&mut self, text: &str) -> &mut Subscribed {
        let leaving = self.leaving.iter().position(|s| s.text == text && s.began);
        match leaving {
            Some(index) => &mut self.leaving[index],
            None => self
                .subscriptions
                .get_mut(text)
                .unwrap_or_else(|| panic!("{text} is not subscribed")),
        }
    }
}

/// Opcode, payload and whole length of the first frame, if it is all there.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], usize)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    assert_eq!(first & 0xF0, 0x80, "final, nothing reserved");
    assert_eq!(second & 0x80, 0, "unmasked");
    let (header, length) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?])),
        ),
        127 => (
            10,
            u64::from_be_bytes(bytes.get(2..10)?.try_into().unwrap()) as usize,
        ),
        n => (2, usize::from(n)),
    };
    Some((
        first & 0x0F,
        bytes.get(header..header + length)?,
        header + length,
    ))
}
