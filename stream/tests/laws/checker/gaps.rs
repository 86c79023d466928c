//! Gaps: a loss is announced, in its place, exactly.
use std::collections::{BTreeMap, BTreeSet};

use pubsub_wire::value::Overflow;
use serde_json::Value;

use super::facts::count;
use super::{Facts, Found, items};

const REASONS: [(&str, &str); 3] = [
    ("drop_oldest", "/dropped/drop_oldest"),
    ("drop_newest", "/dropped/drop_newest"),
    ("expired", "/expired"),
];

/// Each gap names what was lost and nothing else; without a rate everything is delivered, superseded or named by a gap.
pub fn gaps(facts: &Facts<'_>) -> Found {
    let mut walk = Walk {
        facts,
        passed: facts.start,
        mode: "live",
        was_behind: false,
        lost: BTreeSet::new(),
    };
    for (number, frame) in facts.received() {
        for item in items(&frame.value) {
            let offset = item["offset"].as_i64().ok_or("no offset")?;
            walk.pass(offset - 1, facts.begun[number])?;
            walk.passed = walk.passed.max(offset);
            walk.was_behind = walk.mode == "behind";
        }
        match frame.value["op"].as_str() {
            Some("gap") => walk.gap(&frame.value, facts.begun[number])?,
            Some("mode") => {
                walk.mode = frame.value["mode"].as_str().unwrap_or("");
                walk.was_behind |= walk.mode == "behind";
            }
            _ => {}
        }
    }
    Ok(())
}

struct Walk<'a> {
    facts: &'a Facts<'a>,
    passed: i64,
    mode: &'a str,
    was_behind: bool,
    lost: BTreeSet<usize>,
}

impl Walk<'_> {
    fn between(&self, after: i64, to: i64) -> Vec<usize> {
        let inside = |i: &&usize| (after + 1..=to).contains(&self.facts.entry(**i).offset);
        self.facts.view.iter().filter(inside).copied().collect()
    }

    /// What lies before `to` and did not come was left out rightly.
    fn pass(&mut self, to: i64, now: usize) -> Found {
        let facts = self.facts;
        let asked = facts.until(now);
        if asked.ever_rated() {
            return Ok(());
        }
        for index in self.between(self.passed, to) {
            let offset = facts.entry(index).offset;
            if !asked.ever_had(Overflow::Conflate) {
                return Err(format!("{offset} neither came nor was announced as lost"));
            }
            if !facts.is_superseded(index, now) {
                return Err(format!("{offset} was skipped though nothing superseded it"));
            }
            // A change of policy may let it spill before it was told that it is behind.
            let spilled = self.mode == "replay" && asked.constant().is_none();
            if !self.was_behind && !spilled {
                return Err(format!("{offset} was skipped in mode {}", self.mode));
            }
        }
        Ok(())
    }

    fn gap(&mut self, gap: &Value, now: usize) -> Found {
        let facts = self.facts;
        let asked = facts.until(now);
        let reason = gap["reason"].as_str().unwrap_or("");
        let policies = match reason {
            "drop_oldest" => &[Overflow::DropOldest][..],
            "drop_newest" => &[Overflow::DropNewest],
            "expired" => &[Overflow::DropOldest, Overflow::DropNewest],
            _ => &[],
        };
        if !policies.iter().any(|p| asked.ever_had(*p)) {
            return Err(format!(
                "{gap}: no policy that was asked for loses by {reason}"
            ));
        }
        let counted = gap["count"]
            .as_u64()
            .ok_or(format!("{gap}: the count is exact"))?;
        if counted == 0 {
            return Err(format!("{gap}: nothing is lost"));
        }
        if gap["epoch"] != crate::subject::EPOCH {
            return Err(format!("{gap}: another epoch"));
        }
        let offset = gap["offset"].as_i64().ok_or("a gap without offset")?;
        let (Some(from), Some(to)) = (gap["from"].as_i64(), gap["to"].as_i64()) else {
            self.passed = self.passed.max(offset);
            let bare = gap["from"].is_null() && gap["to"].is_null() && asked.ever_rated();
            return bare
                .then_some(())
                .ok_or(format!("{gap}: it has a range without a rate"));
        };
        if asked.constant().is_some_and(|s| {
            s.rate
                .is_some_and(|r| r.when == pubsub_wire::value::When::Always)
        }) {
            return Err(format!("{gap}: it has no range with a rate"));
        }
        if from <= self.passed || to < from || to != offset {
            return Err(format!("{gap} after {}", self.passed));
        }
        self.pass(from - 1, now)?;
        let lost = self.between(from - 1, to);
        // What a rate of before had left out may lie in there too.
        let more = lost.len() as u64 > counted && asked.ever_rated();
        if lost.len() as u64 != counted && !more {
            return Err(format!("{gap}: {} entries are in there", lost.len()));
        }
        for index in lost {
            if facts.delivered.contains_key(&index) || !self.lost.insert(index) {
                return Err(format!(
                    "{gap}: {} came, or was lost before",
                    facts.entry(index).offset
                ));
            }
        }
        self.passed = to;
        Ok(())
    }
}

/// What was announced is what the ledger counts: never more, and exactly that once nothing is pending.
pub fn announced(facts: &Facts<'_>) -> Found {
    let mut announced = BTreeMap::new();
    for frame in facts.seen.received() {
        let value = &frame.value;
        if value["op"] == "gap" {
            let reason = value["reason"].as_str().unwrap_or("").to_owned();
            *announced.entry(reason).or_insert(0) += value["count"].as_u64().unwrap_or(0);
        }
        let ledger = &value["ledger"];
        if !ledger.is_object() {
            continue;
        }
        let settled = value["op"] == "unsubscribed" && count(ledger, "/pending/memory") == 0;
        for (reason, path) in REASONS {
            let (said, counted) = (
                announced.get(reason).copied().unwrap_or(0),
                count(ledger, path),
            );
            if said > counted || (settled && said < counted) {
                return Err(format!(
                    "{said} lost by {reason} were announced, {counted} counted: {value}"
                ));
            }
        }
    }
    Ok(())
}
