//! Bounds: what a socket that refuses, or a demand that is used up, may keep waiting.
use pubsub_wire::value::{Overflow, RateMode, Settings};

use super::{Asked, Facts, Found, items};
use crate::drive::What;

/// At each moment at which the socket refuses, or no credit is left, what was published before and comes later is within the bound.
/// What a rate or an open batch holds doesn't count, so those get room for that.
pub fn window(facts: &Facts<'_>) -> Found {
    let (mut blocked, mut demand) = (false, None);
    let mut gone = usize::MAX;
    for (at, (_, what)) in facts.seen.events.iter().enumerate() {
        match what {
            What::Blocked => blocked = true,
            What::Writable => {
                within(facts, at)?;
                blocked = false;
            }
            What::Command(command) if command["op"] == "unsubscribe" => gone = gone.min(at),
            What::Command(command) => {
                if blocked {
                    within(facts, at)?;
                }
                if command["op"] == "subscribe" {
                    demand = command["credit"].as_u64();
                }
                if command["op"] == "credit" && demand == Some(0) {
                    within(facts, at)?;
                }
                // Only those whose demand was never changed otherwise are watched.
                demand = demand.filter(|_| command["op"] != "reconfigure");
                if command["op"] == "credit" {
                    demand = demand.map(|d| d.saturating_add(command["n"].as_u64().unwrap_or(0)));
                }
            }
            What::Begun(frame) => {
                let wanted = items(&facts.seen.frames[*frame].value).len() as u64;
                demand = demand.map(|d| d.saturating_sub(wanted));
            }
            _ => {}
        }
        if gone < usize::MAX {
            return Ok(());
        }
    }
    Ok(())
}

fn rated(settings: &Settings) -> bool {
    settings.rate.is_some_and(|r| r.mode != RateMode::All)
}

/// Whether what was asked for until it came tells that the bound had acted on it.
fn is_bound(asked: Asked<'_>) -> bool {
    // In `replay` bounds don't apply, and a client cannot tell when that began; what was lost and not told may be read there.
    let spilled = asked.ever_had(Overflow::Spill);
    // With a larger bound it is live again, and skips no more; by another policy what waited goes out as it would have.
    let conflated = asked.ever_had(Overflow::Conflate) && asked.constant().is_none();
    !spilled && !conflated
}

fn within(facts: &Facts<'_>, at: usize) -> Found {
    let (settings, asked) = (facts.settings_at(at), facts.until(at));
    let waits = |i: &&usize| {
        let comes = facts.delivered.get(*i);
        let bound = comes.is_some_and(|f| is_bound(facts.until(facts.begun[f[0]])));
        bound && facts.published[*i] < at && facts.whole_at(**i) > at
    };
    let waiting: Vec<usize> = facts.view.iter().filter(waits).copied().collect();
    if waiting
        .iter()
        .all(|i| facts.begun[facts.delivered[i][0]] < at)
    {
        // A frame that has begun goes out whole, however small the bound became.
        return Ok(());
    }
    let messages = settings.bound.messages.unwrap_or(u64::MAX);
    let mut most = messages;
    // One of each key may be held, and one of each may survive conflation, beside the frame under way.
    let keys = facts.keys() as u64;
    if settings.overflow == Overflow::Conflate {
        most = most.saturating_add(keys + 1);
    }
    if rated(settings) {
        most = most.saturating_add(keys);
    }
    if let Some(batch) = settings.batch {
        most = most.saturating_add(batch.messages.unwrap_or(messages).min(messages));
    }
    if waiting.len() as u64 > most.max(1) {
        return Err(format!(
            "{} wait at event {at}, {:?}",
            waiting.len(),
            settings.bound
        ));
    }
    let plain =
        !rated(settings) && !asked.ever_batched() && settings.overflow != Overflow::Conflate;
    let bytes: usize = waiting
        .iter()
        .map(|i| facts.seen.frames[facts.delivered[i][0]].bytes)
        .sum();
    if plain && waiting.len() > 1 && bytes as u64 > settings.bound.bytes.unwrap_or(u64::MAX) {
        return Err(format!(
            "{bytes} bytes wait at event {at}, {:?}",
            settings.bound
        ));
    }
    Ok(())
}

/// Nothing that has waited longer than its bound of age is begun, where the policy loses by age.
pub fn age(facts: &Facts<'_>) -> Found {
    for (index, frames) in &facts.delivered {
        let (frame, begun) = (&facts.seen.frames[frames[0]], facts.begun[frames[0]]);
        let (settings, asked) = (facts.settings_at(begun), facts.until(begun));
        if asked.ever_rated() || asked.ever_batched() || !is_bound(asked) {
            continue;
        }
        let loses = matches!(
            settings.overflow,
            Overflow::DropOldest | Overflow::DropNewest
        );
        let age_ns = frame.begun_ns - facts.entry(*index).mono_ns;
        let draining = facts.left.is_some_and(|left| left < begun);
        if loses
            && !draining
            && settings
                .bound
                .age_ms
                .is_some_and(|most| age_ns > most * 1_000_000)
        {
            return Err(format!(
                "{} was {age_ns} ns old, {:?}",
                facts.entry(*index).offset,
                settings.bound
            ));
        }
    }
    Ok(())
}
