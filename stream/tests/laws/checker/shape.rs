//! What frames look like: answers, messages against the log, batches, modes, closes.
use pubsub_wire::close;
use pubsub_wire::value::{Overflow, Settings};

use super::{Facts, Found, items};
use crate::drive::What;

/// Each command is answered once, in the only ways there are; `subscribed` comes before everything else of it.
pub fn answers(facts: &Facts<'_>) -> Found {
    for (at, (_, what)) in facts.seen.events.iter().enumerate() {
        let What::Command(command) = what else {
            continue;
        };
        let id = command["id"].as_u64().ok_or("a command without id")?;
        let answers = facts.answers.get(&id).map_or(0, Vec::len);
        if answers > 1 {
            return Err(format!("{command} was answered {answers} times"));
        }
        let Some(answer) = facts.answer(command) else {
            if command["op"] != "credit" && facts.closed.is_none_or(|(closed, _)| closed < at) {
                return Err(format!("{command} was never answered"));
            }
            continue;
        };
        let expected = match command["op"].as_str() {
            Some("subscribe") => "subscribed",
            Some("reconfigure") => "reconfigured",
            Some("unsubscribe") => "unsubscribed",
            Some(other) => other,
            None => "",
        };
        let error =
            answer["op"] == "error" && answer["code"] == "bad_field" && answer["field"].is_string();
        if answer["op"] != expected && !error {
            return Err(format!("{command} was answered by {answer}"));
        }
        let wrong_topic = answer["op"] != "error" && answer["topic"] != facts.text;
        if wrong_topic || (answer["op"] == "ledger" && answer["epoch"] != crate::subject::EPOCH) {
            return Err(format!("{command} was answered by {answer}"));
        }
        if error && matches!(expected, "subscribed" | "ledger" | "unsubscribed") {
            return Err(format!("{command} was refused by {answer}"));
        }
        if error && expected == "credit" && facts.settings_at(at).credit.is_some() {
            return Err(format!("{command} was refused by {answer}"));
        }
    }
    let mut frames = facts
        .seen
        .received()
        .filter(|f| f.value["topic"].is_string());
    let first = frames.next().map(|f| &f.value["op"]);
    let right = first.is_none_or(|op| op == "subscribed");
    right
        .then_some(())
        .ok_or(format!("{first:?} came before `subscribed`"))
}

/// Every message is an entry of the log, whole and unchanged, and of this subscription.
pub fn contents(facts: &Facts<'_>) -> Found {
    let is_pattern = facts.text.contains(['*', '>']);
    for (number, frame) in facts.received() {
        let value = &frame.value;
        match value["op"].as_str() {
            Some("msg") if is_pattern != (value["sub"] == facts.text) => {
                return Err(format!("`sub` is wrong: {value}"));
            }
            Some("batch" | "gap" | "mode" | "position") if value["topic"] != facts.text => {
                return Err(format!("not of {}: {value}", facts.text));
            }
            _ => {}
        }
        for item in items(value) {
            let index = item["offset"].as_i64().unwrap_or(0) as usize - 1;
            let entry = facts.entry(index);
            if !facts.view.contains(&index) || facts.published[&index] > facts.begun[number] {
                return Err(format!("{} is none of {} then", entry.offset, facts.text));
            }
            let data = item["data"].to_string();
            let same = item["topic"] == *entry.topic
                && item["key"].as_str() == entry.key.as_deref()
                && item["ts"].as_u64() == Some(entry.ts_us)
                && entry.data == data;
            if !same {
                return Err(format!("{item} is not {entry:?}"));
            }
            resume(facts, number, item)?;
        }
    }
    Ok(())
}

/// With a rate each message says where to resume, without one none does.
fn resume(facts: &Facts<'_>, number: usize, item: &serde_json::Value) -> Found {
    let has = item.get("resume").is_some();
    let asked = facts.until(facts.begun[number]);
    let always = |s: &Settings| {
        s.overflow != Overflow::Spill
            && s.rate
                .is_some_and(|r| r.when == pubsub_wire::value::When::Always)
    };
    if (has && !asked.ever_rated()) || (!has && asked.constant().is_some_and(always)) {
        return Err(format!("`resume`: {item}"));
    }
    Ok(())
}

/// With batches every message comes in one, and none is larger than was asked for.
pub fn batches(facts: &Facts<'_>) -> Found {
    for (number, frame) in facts.received() {
        let asked = facts.until(facts.begun[number]);
        let mixed = asked.ever_had(Overflow::Spill) && asked.constant().is_none();
        let all = items(&frame.value);
        let era = |item: &&serde_json::Value| {
            let index = item["offset"].as_u64().unwrap_or(1) as usize - 1;
            facts.settings_at(facts.published[&index])
        };
        let eras: Vec<&Settings> = all.iter().map(era).collect();
        let is_batch = frame.value["op"] == "batch";
        if is_batch && all.is_empty() {
            return Err("an empty batch".into());
        }
        if let Some(wrong) = eras
            .iter()
            .find(|s| s.batch.is_some() != is_batch)
            .filter(|_| !mixed)
        {
            return Err(format!("{} with {:?}", frame.value, wrong.batch));
        }
        if mixed || !is_batch || all.len() == 1 {
            continue;
        }
        let cut = asked.constant().is_some();
        let most = |of: fn(&Settings) -> (Option<u64>, Option<u64>)| {
            let limits = eras.iter().map(|s| {
                let (asked, bound) = of(s);
                asked
                    .unwrap_or(u64::MAX)
                    .min(bound.filter(|_| cut).unwrap_or(u64::MAX))
            });
            limits.max().unwrap_or(u64::MAX)
        };
        let messages = most(|s| (s.batch.and_then(|b| b.messages), s.bound.messages));
        let bytes = most(|s| (s.batch.and_then(|b| b.bytes), s.bound.bytes));
        if all.len() as u64 > messages || frame.bytes as u64 > bytes {
            return Err(format!(
                "more than {messages} messages, {bytes} bytes: {} bytes",
                frame.bytes
            ));
        }
    }
    Ok(())
}

/// Modes begin live and alternate; what they say of the lag is what makes them so, by a bound that held since the mode before.
pub fn modes(facts: &Facts<'_>) -> Found {
    let (mut mode, mut since) = ("live", 0);
    let mut under_way = Lag::default();
    for (number, frame) in facts.received() {
        if frame.value["op"] != "mode" {
            if !items(&frame.value).is_empty() {
                under_way = Lag::under_way(facts, number);
            }
            continue;
        }
        let asked = facts.until(facts.begun[number]);
        let next = frame.value["mode"].as_str().unwrap_or("");
        let may = match next {
            "live" | "behind" => mode != next && (mode, next) != ("replay", "behind"),
            "replay" => mode != next && asked.ever_had(Overflow::Spill),
            _ => false,
        };
        if !may {
            return Err(format!("after {mode}: {}", frame.value));
        }
        let lag = Lag::of(&frame.value["lag"]);
        let right = match next {
            // Who reaches the head of the log is live, however much came meanwhile.
            "live" => mode == "replay" || is_live(facts.settings_at(facts.begun[number]), &lag),
            "behind" => {
                let lag = lag.with(&under_way, frame.begun_ns);
                let mut held = asked.since(since);
                held.any(|s| is_behind(s, &lag))
            }
            _ => true,
        };
        if !right {
            return Err(format!("by no bound: {}", frame.value));
        }
        (mode, since) = (next, facts.begun[number]);
    }
    let quiet = facts
        .seen
        .events
        .iter()
        .any(|(_, w)| matches!(w, What::Quiet));
    if quiet && facts.closed.is_none() && mode != "live" {
        return Err(format!("{mode} after quiet"));
    }
    Ok(())
}

/// What waits: as a mode tells it, or in a frame that was under way when it was left waiting, and is whole when the mode is told.
#[derive(Default)]
struct Lag {
    messages: u64,
    bytes: u64,
    age_ms: u64,
    /// When the oldest of the frame under way was numbered.
    oldest_ns: Option<u64>,
}

impl Lag {
    fn of(told: &serde_json::Value) -> Self {
        let told = |name: &str| told[name].as_u64().unwrap_or(u64::MAX);
        Self {
            messages: told("messages"),
            bytes: told("bytes"),
            age_ms: told("age_ms"),
            oldest_ns: None,
        }
    }

    /// Of a frame that was not written at once.
    fn under_way(facts: &Facts<'_>, number: usize) -> Self {
        if facts.whole[number] == facts.begun[number] + 1 {
            return Self::default();
        }
        let frame = &facts.seen.frames[number];
        let all = items(&frame.value);
        let offsets = all.iter().filter_map(|i| i["offset"].as_u64());
        Self {
            messages: all.len() as u64,
            bytes: frame.bytes as u64,
            age_ms: 0,
            oldest_ns: offsets.map(|o| facts.entry(o as usize - 1).mono_ns).min(),
        }
    }

    fn with(self, under_way: &Self, now_ns: u64) -> Self {
        let age_ms = under_way
            .oldest_ns
            .map_or(0, |at| (now_ns - at) / 1_000_000);
        Self {
            messages: self.messages + under_way.messages,
            bytes: self.bytes + under_way.bytes,
            age_ms: self.age_ms.max(age_ms),
            oldest_ns: None,
        }
    }
}

fn is_behind(settings: &Settings, lag: &Lag) -> bool {
    let bound = settings.bound;
    let high = |n: u64, most: Option<u64>| most.is_some_and(|m| n * 2 >= m);
    // What was lost or skipped since it fell behind is no part of the lag any more.
    let loses = matches!(
        settings.overflow,
        Overflow::DropOldest | Overflow::DropNewest | Overflow::Conflate
    );
    loses
        || high(lag.messages, bound.messages)
        || high(lag.bytes, bound.bytes)
        || high(lag.age_ms + 1, bound.age_ms)
}

fn is_live(settings: &Settings, lag: &Lag) -> bool {
    let bound = settings.bound;
    let low = |n: u64, most: Option<u64>| most.is_none_or(|m| n * 4 < m);
    low(lag.messages, bound.messages)
        && low(lag.bytes, bound.bytes)
        && low(lag.age_ms, bound.age_ms)
}

/// Only `disconnect` ends a connection, as a slow consumer's.
pub fn closes(facts: &Facts<'_>) -> Found {
    match facts.closed {
        Some((at, code))
            if code != close::SLOW_CONSUMER || !facts.until(at).ever_had(Overflow::Disconnect) =>
        {
            Err(format!("closed with {code}"))
        }
        _ => Ok(()),
    }
}
