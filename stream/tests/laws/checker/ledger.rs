//! The ledger: it closes at every instant, and its counts are what the client saw.
use pubsub_wire::value::Overflow;
use serde_json::Value;

use super::facts::count;
use super::{Asked, Facts, Found, items};

const LOSSES: [&str; 5] = [
    "/dropped/drop_oldest",
    "/dropped/drop_newest",
    "/dropped/memory",
    "/expired",
    "/retention",
];

/// Published = the sum of all others; each count is what the record says where the record can say it.
pub fn ledger(facts: &Facts<'_>) -> Found {
    let mut before: Option<&Value> = None;
    for (number, ledger) in facts.ledgers() {
        let asked = facts.until(facts.begun[number]);
        sum(ledger)?;
        published(facts, number, ledger)?;
        delivered(facts, number, ledger)?;
        pending(facts, number, ledger)?;
        asked_for(asked, ledger)?;
        let replays = ledger["pending"]["spilled"].is_null();
        for path in LOSSES
            .iter()
            .chain(&["/delivered", "/filtered_by_rate", "/conflated"])
        {
            // What fell into a hole that wasn't told yet can be read from the log after all.
            let found = *path == "/dropped/drop_newest" && asked.ever_had(Overflow::Spill);
            if !found && before.is_some_and(|b| count(b, path) > count(ledger, path)) {
                return Err(format!("{path} has fallen: {ledger}"));
            }
        }
        before = Some(ledger);
        if replays && !asked.ever_had(Overflow::Spill) {
            return Err(format!("nothing spills here: {ledger}"));
        }
    }
    Ok(())
}

fn sum(ledger: &Value) -> Found {
    let others = [
        "/delivered",
        "/filtered_by_rate",
        "/conflated",
        "/pending/memory",
        "/pending/spilled",
    ];
    let all = LOSSES.iter().chain(&others);
    let sum: u64 = all.map(|path| count(ledger, path)).sum();
    if count(ledger, "/published") == sum {
        return Ok(());
    }
    Err(format!("{sum} are accounted for: {ledger}"))
}

fn published(facts: &Facts<'_>, number: usize, ledger: &Value) -> Found {
    let until = |event: usize| {
        facts
            .view
            .iter()
            .filter(|i| facts.published[*i] < event)
            .count() as u64
    };
    let most = until(facts.begun[number]);
    // What comes after an `unsubscribe` may be counted or not, and replay counts what it has read.
    let least = match facts.left {
        _ if ledger["pending"]["spilled"].is_null() => 0,
        Some(left) if left < facts.begun[number] => until(left),
        _ => most,
    };
    let said = count(ledger, "/published");
    if (least..=most).contains(&said) || facts.until(facts.begun[number]).may_repeat() {
        return Ok(());
    }
    Err(format!("{least} to {most} were published: {ledger}"))
}

fn delivered(facts: &Facts<'_>, number: usize, ledger: &Value) -> Found {
    let frames = facts.seen.frames[..number].iter();
    let received: usize = frames.map(|f| items(&f.value).len()).sum();
    if received as u64 == count(ledger, "/delivered") {
        return Ok(());
    }
    Err(format!("{received} were received: {ledger}"))
}

/// What comes later was pending.
fn pending(facts: &Facts<'_>, number: usize, ledger: &Value) -> Found {
    let again = |frame: usize| facts.until(facts.begun[frame]).may_be_read_again();
    let comes_later = |index: &&usize| {
        let came = facts.delivered.get(*index);
        let later = came.is_some_and(|f| f[0] > number && !again(f[0]));
        later && facts.published[*index] < facts.begun[number]
    };
    let later = facts.view.iter().filter(comes_later).count() as u64;
    let replays = ledger["pending"]["spilled"].is_null();
    if later <= count(ledger, "/pending/memory") || replays {
        return Ok(());
    }
    Err(format!("{later} came later: {ledger}"))
}

/// Nothing is counted under what was never asked for.
fn asked_for(asked: Asked<'_>, ledger: &Value) -> Found {
    let drops = asked.ever_had(Overflow::DropOldest);
    let drops_newest = asked.ever_had(Overflow::DropNewest);
    let allowed = [
        ("/filtered_by_rate", asked.ever_rated()),
        ("/conflated", asked.ever_had(Overflow::Conflate)),
        ("/dropped/drop_oldest", drops),
        ("/dropped/drop_newest", drops_newest),
        ("/expired", drops || drops_newest),
        ("/dropped/memory", false),
        ("/retention", false),
        ("/pending/spilled", false),
    ];
    for (path, may) in allowed {
        if !may && count(ledger, path) > 0 {
            return Err(format!("{path} was not asked for: {ledger}"));
        }
    }
    Ok(())
}

/// After quiet nothing is pending but what an untimed batch holds, and that comes with the `unsubscribe`; without a rate each entry
/// has its place in one count.
pub fn rest(facts: &Facts<'_>) -> Found {
    let quiet = facts
        .seen
        .events
        .iter()
        .any(|(_, w)| matches!(w, crate::drive::What::Quiet));
    let Some((number, last)) = facts.last_ledger() else {
        let gone = facts.closed.is_some() || facts.left.is_none();
        return gone
            .then_some(())
            .ok_or("`unsubscribe` was never answered".into());
    };
    if let Some(frame) = facts.seen.frames[number + 1..]
        .iter()
        .find(|f| f.value["topic"] == facts.text)
    {
        return Err(format!(
            "something of it after `unsubscribed`: {}",
            frame.value
        ));
    }
    if !quiet {
        return Ok(());
    }
    let (_, settings) = facts.settings.last().ok_or("no settings")?;
    let untimed = settings.batch.is_some_and(|b| b.ms.is_none());
    for (number, ledger) in facts.ledgers() {
        let op = &facts.seen.frames[number].value;
        let at_rest = op["id"] == 2_000_001 && !untimed;
        if (at_rest || op["op"] == "unsubscribed") && count(ledger, "/pending/memory") > 0 {
            return Err(format!("something is pending after quiet: {op}"));
        }
        if at_rest && ledger["pending"]["spilled"].is_null() {
            return Err(format!("it replays after quiet: {op}"));
        }
    }
    let left_out = count(last, "/filtered_by_rate") + count(last, "/conflated");
    let losses: u64 = LOSSES.iter().map(|path| count(last, path)).sum();
    let missing = facts
        .view
        .iter()
        .filter(|i| facts.published[*i] < facts.begun[number] && !facts.delivered.contains_key(*i));
    let missing = missing.count() as u64;
    if missing != left_out + losses && !facts.until(facts.begun[number]).may_repeat() {
        return Err(format!("{missing} never came: {last}"));
    }
    Ok(())
}
