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
    for (number, frame) in facts
        .seen
        .frames
        .iter()
        .enumerate()
        .filter(|(_, f)| f.bytes > 0)
    {
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
            resume(facts, index, item)?;
        }
    }
    Ok(())
}

/// With a rate each message says where to resume, without one none does.
fn resume(facts: &Facts<'_>, index: usize, item: &serde_json::Value) -> Found {
    let has = item.get("resume").is_some();
    let always = |s: &Settings| {
        s.overflow != Overflow::Spill
            && s.rate
                .is_some_and(|r| r.when == pubsub_wire::value::When::Always)
    };
    if (has && !facts.ever_rated()) || (!has && facts.constant().is_some_and(always)) {
        return Err(format!("`resume` of {}: {item}", facts.entry(index).offset));
    }
    Ok(())
}

/// With batches every message comes in one, and none is larger than was asked for.
pub fn batches(facts: &Facts<'_>) -> Found {
    let mixed = facts.ever_had(Overflow::Spill) && facts.constant().is_none();
    for frame in facts.seen.received() {
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
        let cut = facts.constant().is_some();
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

/// Modes begin live and alternate; what they say of the lag is what makes them so.
pub fn modes(facts: &Facts<'_>) -> Found {
    let mut mode = "live";
    // A frame that was under way when it fell behind is whole by now.
    let (mut messages, mut bytes, mut begun_ns) = (0, 0, u64::MAX);
    for frame in facts.seen.received() {
        if frame.value["op"] != "mode" {
            let all = items(&frame.value).len() as u64;
            if all > 0 {
                (messages, bytes, begun_ns) = (all, frame.bytes as u64, frame.begun_ns);
            }
            continue;
        }
        let next = frame.value["mode"].as_str().unwrap_or("");
        let may = match next {
            "live" | "behind" => mode != next && (mode, next) != ("replay", "behind"),
            "replay" => mode != next && facts.ever_had(Overflow::Spill),
            _ => false,
        };
        if !may {
            return Err(format!("after {mode}: {}", frame.value));
        }
        mode = next;
        let Some(settings) = facts.constant().filter(|_| next != "replay") else {
            continue;
        };
        let lag = |name: &str| frame.value["lag"][name].as_u64().unwrap_or(u64::MAX);
        let bound = settings.bound;
        let high = |n: u64, most: Option<u64>| most.is_some_and(|m| n * 2 >= m);
        let low = |n: u64, most: Option<u64>| most.is_none_or(|m| n * 4 < m);
        let age_ms = frame.begun_ns.saturating_sub(begun_ns) / 1_000_000;
        let high = high(lag("messages") + messages, bound.messages)
            || high(lag("bytes") + bytes, bound.bytes)
            || high(lag("age_ms").max(age_ms) + 1, bound.age_ms);
        let low = low(lag("messages"), bound.messages) && low(lag("bytes"), bound.bytes);
        // What was lost or skipped since it fell behind is no part of the lag any more.
        let loses = matches!(
            settings.overflow,
            Overflow::DropOldest | Overflow::DropNewest | Overflow::Conflate
        );
        let right = if next == "live" {
            low || settings.overflow == Overflow::Spill
        } else {
            high || loses
        };
        if !right {
            return Err(format!("{} with {bound:?}", frame.value));
        }
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

/// Only `disconnect` ends a connection, as a slow consumer's.
pub fn closes(facts: &Facts<'_>) -> Found {
    match facts.closed {
        Some((_, code))
            if code != close::SLOW_CONSUMER || !facts.ever_had(Overflow::Disconnect) =>
        {
            Err(format!("closed with {code}"))
        }
        _ => Ok(()),
    }
}
