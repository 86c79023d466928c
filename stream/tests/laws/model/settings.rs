//! Settings by the letter: a `reconfigure` merged field by field over what is in force.
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::value::{Batch, Bound, From, Overflow, Rate, RateMode, Settings, When};
use serde_json::Value;

const DEFAULT: Bound = Bound {
    messages: Some(1024),
    bytes: Some(1 << 20),
    age_ms: Some(30_000),
};

/// As `subscribe` says them, or the path of a field that is wrong.
pub fn subscribed(command: &Value) -> Result<Settings, &'static str> {
    let none = Settings {
        from: From::Live,
        rate: None,
        batch: None,
        bound: DEFAULT,
        overflow: Overflow::DropOldest,
        credit: command["credit"].as_u64(),
    };
    merged(&none, command)
}

/// As they are after a `reconfigure`; what is `credit` is not decided here.
pub fn merged(old: &Settings, patch: &Value) -> Result<Settings, &'static str> {
    let mut new = old.clone();
    if let Some(rate) = patch.get("rate") {
        new.rate = if rate.is_null() {
            None
        } else {
            Some(rate_of(old.rate, rate)?)
        };
    }
    if let Some(batch) = patch.get("batch") {
        new.batch = batch_of(
            old.batch.filter(|_| !batch.is_null()).unwrap_or_default(),
            batch,
        );
    }
    if let Some(bound) = patch.get("bound") {
        new.bound = bound_of(if bound.is_null() { DEFAULT } else { old.bound }, bound);
    }
    if let Some(overflow) = patch.get("overflow") {
        new.overflow = serde_json::from_value(overflow.clone()).unwrap_or(Overflow::DropOldest);
    }
    Ok(new)
}

/// A field that is named, null or a number; else as it was.
fn field(patch: &Value, name: &str, old: Option<u64>, default: Option<u64>) -> Option<u64> {
    match patch.get(name) {
        None => old,
        Some(Value::Null) => default,
        Some(n) => n.as_u64(),
    }
}

fn rate_of(old: Option<Rate>, patch: &Value) -> Result<Rate, &'static str> {
    let mode = match patch.get("mode") {
        Some(mode) => serde_json::from_value(mode.clone()).map_err(|_| "rate.mode")?,
        None => old.map(|r| r.mode).ok_or("rate.mode")?,
    };
    let ms = field(patch, "ms", old.map(|r| r.ms).filter(|ms| *ms > 0), None);
    let ms = if mode == RateMode::All {
        0
    } else {
        ms.ok_or("rate.ms")?
    };
    let max_wait_ms = field(patch, "max_wait_ms", old.and_then(|r| r.max_wait_ms), None);
    let max_wait_ms = match mode {
        RateMode::Debounce => Some(max_wait_ms.ok_or("rate.max_wait_ms")?),
        _ if patch.get("max_wait_ms").is_some_and(|n| !n.is_null()) => {
            return Err("rate.max_wait_ms");
        }
        _ => None,
    };
    let when = match patch.get("when") {
        None => old.map_or(When::Always, |r| r.when),
        Some(Value::Null) => When::Always,
        Some(when) => serde_json::from_value(when.clone()).map_err(|_| "rate.when")?,
    };
    Ok(Rate {
        mode,
        ms,
        max_wait_ms,
        when,
    })
}

fn batch_of(old: Batch, patch: &Value) -> Option<Batch> {
    let batch = Batch {
        ms: field(patch, "ms", old.ms, None),
        messages: field(patch, "messages", old.messages, None),
        bytes: field(patch, "bytes", old.bytes, None),
    };
    (batch != Batch::default()).then_some(batch)
}

fn bound_of(old: Bound, patch: &Value) -> Bound {
    let BoundLimits {
        messages,
        bytes,
        age_ms,
    } = pubsub_wire::Limits::default().bound;
    Bound {
        messages: field(patch, "messages", old.messages, DEFAULT.messages).map(|n| n.min(messages)),
        bytes: field(patch, "bytes", old.bytes, DEFAULT.bytes).map(|n| n.min(bytes)),
        age_ms: field(patch, "age_ms", old.age_ms, DEFAULT.age_ms).map(|n| n.min(age_ms)),
    }
}
