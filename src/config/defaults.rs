//! What a subscription has that names nothing, and what it may ask for at most: `[[defaults]]` and `[[most]]`, by topic pattern.
//!
//! Owns their built-in values and ranges, and the rules among them. Must not contain: what any of the settings does (the engine's).
//! Driven by `resolve`.
//!
//! Laws: of each setting the first entry counts that covers the subscription and names it, so an entry whose setting an earlier one
//! always takes is refused; a default is never more than its subscriptions may ask for; the last of the defaults is `>`, and it
//! names every bound.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use pubsub_wire::command::{BatchPatch, FieldError, Patch, RatePatch};
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::topic::covers;
use pubsub_wire::value::{Batch, Bound, Overflow, Rate, RateMode, When};

use super::file::{File, Table};
use super::given::{ConfigError, Origin};
use super::resolve::whole;
use super::resolved::{Defaults, Most};
use super::spec::{self, choice};
use super::tables::{bytes_in, millis_in, optional, pattern, required};
use super::units;

/// All topics.
const ALL: &str = ">";
/// What conflates when nobody says: of a quote only the newest counts.
const QUOTES: &str = "quotes.>";
/// How much a subscription may be behind when nobody says.
const USUAL: BoundLimits = BoundLimits {
    messages: 1024,
    bytes: 1 << 20,
    age_ms: 30_000,
};
/// Bounds by messages and batches of so many: more than any memory holds.
const MESSAGES: RangeInclusive<u64> = 1..=100_000_000;
/// Bounds by bytes and batches of so many.
const BYTES: RangeInclusive<u64> = 1..=1 << 40;
/// Bounds by age: a day, as in `limits.bound`.
const AGE_MS: RangeInclusive<u64> = 1..=86_400_000;
/// Times of rates and batches: as long as a command may name.
const TIME_MS: RangeInclusive<u64> = 1..=366 * 86_400_000;
/// What an entry of `[[defaults]]` can name.
const SETTINGS: [&str; 6] = ["messages", "bytes", "age_ms", "overflow", "rate", "batch"];

type Origins = BTreeMap<String, Origin>;

/// `[[most]]`; what an entry doesn't name is what all may ask for.
pub(super) fn most(
    file: &File,
    limits: BoundLimits,
    origins: &mut Origins,
) -> Result<Vec<Most>, ConfigError> {
    let mut list: Vec<Most> = Vec::new();
    for (i, (origin, table)) in file.most.iter().enumerate() {
        let name = format!("most.{}", i + 1);
        let pattern = pattern(&name, table, origin, false)?;
        if let Some(first) = list.iter().position(|most| covers(&most.pattern, &pattern)) {
            let (number, by) = (first + 1, &list[first].pattern);
            let expected = format!(
                "it before most.{number}: the first match counts, and \"{by}\" covers it, so it would never act"
            );
            let given = required(&name, "pattern", table, origin)?;
            return Err(given.wrong(&format!("{name}.pattern"), expected));
        }
        let bound = bound(&name, table)?;
        at_most(&name, table, bound, limits, |key| {
            format!("limits.bound.{key}")
        })?;
        note(origins, "most", &pattern, table);
        list.push(Most {
            pattern,
            bound: BoundLimits {
                messages: bound.messages.unwrap_or(limits.messages),
                bytes: bound.bytes.unwrap_or(limits.bytes),
                age_ms: bound.age_ms.unwrap_or(limits.age_ms),
            },
        });
    }
    Ok(list)
}

/// `[[defaults]]`, and behind them what is built in.
pub(super) fn defaults(
    file: &File,
    limits: BoundLimits,
    most: &[Most],
    origins: &mut Origins,
) -> Result<Vec<Defaults>, ConfigError> {
    let mut list: Vec<Defaults> = Vec::new();
    for (i, (origin, table)) in file.defaults.iter().enumerate() {
        let name = format!("defaults.{}", i + 1);
        let behind_all = list.last().is_some_and(|last| last.pattern == ALL);
        let entry = entry(&name, table, origin, behind_all)?;
        refuse_what_never_acts(file, &list, &name, &entry.pattern, table)?;
        refuse_more_than_allowed(&name, table, &entry, limits, most)?;
        note(origins, "defaults", &entry.pattern, table);
        list.push(entry);
    }
    Ok(with_built_in(list, limits, most))
}

fn with_built_in(mut list: Vec<Defaults>, limits: BoundLimits, most: &[Most]) -> Vec<Defaults> {
    let of = |pattern: &str| Defaults {
        pattern: pattern.to_owned(),
        ..Defaults::default()
    };
    let mut rest = list
        .pop_if(|entry| entry.pattern == ALL)
        .unwrap_or_else(|| of(ALL));
    let says = |entry: &Defaults| entry.overflow.is_some() && covers(&entry.pattern, QUOTES);
    if !list.iter().chain([&rest]).any(says) {
        list.push(Defaults {
            overflow: Some(Overflow::Conflate),
            ..of(QUOTES)
        });
    }
    // What nobody chose is cut, not refused.
    let allowed = most.iter().find(|most| covers(&most.pattern, ALL));
    let allowed = allowed.map_or(limits, |most| most.bound);
    let bound = &mut rest.bound;
    bound.messages = bound
        .messages
        .or(Some(USUAL.messages.min(allowed.messages)));
    bound.bytes = bound.bytes.or(Some(USUAL.bytes.min(allowed.bytes)));
    bound.age_ms = bound.age_ms.or(Some(USUAL.age_ms.min(allowed.age_ms)));
    list.push(rest);
    list
}

fn entry(
    name: &str,
    table: &Table,
    origin: &Origin,
    behind_all: bool,
) -> Result<Defaults, ConfigError> {
    let pattern = pattern(name, table, origin, behind_all)?;
    if !SETTINGS.iter().any(|key| table.contains_key(key)) {
        let expected = format!("beside it at least one of {}", SETTINGS.join(", "));
        let given = required(name, "pattern", table, origin)?;
        return Err(given.wrong(&format!("{name}.pattern"), expected));
    }
    Ok(Defaults {
        pattern,
        bound: bound(name, table)?,
        overflow: optional(name, "overflow", table, spec::overflow)?,
        rate: rate(name, table)?,
        batch: batch(name, table)?,
    })
}

fn bound(name: &str, table: &Table) -> Result<Bound, ConfigError> {
    Ok(Bound {
        messages: optional(name, "messages", table, |text| whole(text, MESSAGES))?,
        bytes: optional(name, "bytes", table, |text| bytes_in(text, BYTES))?,
        age_ms: optional(name, "age_ms", table, |text| millis_in(text, AGE_MS))?,
    })
}

/// A rate, by the rules of a command.
fn rate(name: &str, table: &Table) -> Result<Option<Rate>, ConfigError> {
    let Some(given) = table.get("rate") else {
        return Ok(None);
    };
    let time = |text: &str| millis_in(text, TIME_MS);
    let patch = RatePatch {
        mode: named(optional(name, "rate.mode", table, |text| {
            choice(text, &RateMode::ALL, RateMode::as_str)
        })?),
        ms: named(optional(name, "rate.ms", table, time)?),
        max_wait_ms: named(optional(name, "rate.max_wait_ms", table, time)?),
        when: named(optional(name, "rate.when", table, |text| {
            choice(text, &When::ALL, When::as_str)
        })?),
    };
    let misfit = |error: FieldError| {
        let field = format!("{name}.{}", error.field);
        match table.get(error.field.as_str()) {
            Some(wrong) => wrong.wrong(&field, format!("nothing here: it {}", error.message)),
            None => given.wrong(&field, format!("a value: it {}", error.message)),
        }
    };
    patch.merge(None).map(Some).map_err(misfit)
}

fn batch(name: &str, table: &Table) -> Result<Option<Batch>, ConfigError> {
    let Some(given) = table.get("batch") else {
        return Ok(None);
    };
    let patch = BatchPatch {
        ms: named(optional(name, "batch.ms", table, |text| {
            millis_in(text, TIME_MS)
        })?),
        messages: named(optional(name, "batch.messages", table, |text| {
            whole(text, MESSAGES)
        })?),
        bytes: named(optional(name, "batch.bytes", table, |text| {
            bytes_in(text, BYTES)
        })?),
    };
    match patch.merge(None) {
        None => Err(given.wrong(
            &format!("{name}.batch"),
            "at least one of ms, messages, bytes in it",
        )),
        some => Ok(some),
    }
}

fn named<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Keep, Patch::Set)
}

/// Refuses a setting that an earlier entry takes wherever this one would act.
fn refuse_what_never_acts(
    file: &File,
    earlier: &[Defaults],
    name: &str,
    pattern: &str,
    table: &Table,
) -> Result<(), ConfigError> {
    for key in SETTINGS {
        let Some(given) = table.get(key) else {
            continue;
        };
        let mut both = earlier.iter().zip(&file.defaults);
        let takes = both.position(|(entry, (_, earlier))| {
            earlier.contains_key(key) && covers(&entry.pattern, pattern)
        });
        if let Some(first) = takes {
            let (number, by) = (first + 1, &earlier[first].pattern);
            let expected = format!(
                "it before defaults.{number}.{key}: the first match counts, and \"{by}\" covers \"{pattern}\", so it would never act"
            );
            return Err(given.wrong(&format!("{name}.{key}"), expected));
        }
    }
    Ok(())
}

/// Refuses a default that is more than every subscription of its pattern may ask for.
fn refuse_more_than_allowed(
    name: &str,
    table: &Table,
    entry: &Defaults,
    limits: BoundLimits,
    most: &[Most],
) -> Result<(), ConfigError> {
    at_most(name, table, entry.bound, limits, |key| {
        format!("limits.bound.{key}")
    })?;
    let mut all = most.iter().enumerate();
    let found = all.find(|(_, most)| covers(&most.pattern, &entry.pattern));
    found.map_or(Ok(()), |(i, most)| {
        at_most(name, table, entry.bound, most.bound, |key| {
            format!("most.{}.{key} of \"{}\"", i + 1, most.pattern)
        })
    })
}

fn at_most(
    name: &str,
    table: &Table,
    bound: Bound,
    most: BoundLimits,
    limit: impl Fn(&str) -> String,
) -> Result<(), ConfigError> {
    let values = [
        (
            "messages",
            bound.messages,
            most.messages,
            most.messages.to_string(),
        ),
        (
            "bytes",
            bound.bytes,
            most.bytes,
            units::bytes_text(most.bytes),
        ),
        (
            "age_ms",
            bound.age_ms,
            most.age_ms,
            units::millis_text(most.age_ms),
        ),
    ];
    for (key, value, most, text) in values {
        if let Some(given) = table.get(key).filter(|_| value > Some(most)) {
            let expected = format!("at most {}, which is {text}", limit(key));
            return Err(given.wrong(&format!("{name}.{key}"), expected));
        }
    }
    Ok(())
}

/// Remembers where each value came from.
fn note(origins: &mut Origins, list: &str, pattern: &str, table: &Table) {
    for (key, given) in table {
        origins.insert(format!("{list} {pattern} {key}"), given.origin.clone());
    }
}

#[cfg(test)]
#[path = "defaults_tests.rs"]
mod tests;
