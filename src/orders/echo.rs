//! `order.echo`: the 2012 prototype's request, of which all but its executions comes back.
//!
//! Owns that shape. Must not contain: anything that remembers.
use super::fields::{Fields, Wrong, integer, quoted, text};
use serde_json::value::RawValue;

/// What it is called.
pub const METHOD: &str = "order.echo";

/// Executions in one request.
const ROWS: std::ops::RangeInclusive<usize> = 1..=10;
/// Bytes of an address.
const ADDRESS: std::ops::RangeInclusive<usize> = 0..=255;
/// Largest integer that every JSON reader keeps exactly.
const INTEGER_MAX: i64 = 1 << 53;

/// The result of `order.echo`, as JSON.
pub fn echo(params: &str) -> Result<String, Wrong> {
    let mut fields = Fields::of(params, &["request", "timestamp", "address", "execs"])?;
    let request = fields.needed("request", |raw| integer(raw, 0..=INTEGER_MAX));
    let timestamp = fields.needed("timestamp", |raw| integer(raw, 0..=INTEGER_MAX));
    let address = fields.needed("address", |raw| {
        text(raw, ADDRESS).map(|_| raw.get().to_owned())
    });
    let rows = fields.needed("execs", rows);
    let read = (|| {
        let (request, timestamp, address) = (request?, timestamp?, address?);
        rows?;
        Some(format!(
            r#"{{"request":{request},"timestamp":{timestamp},"address":{address}}}"#
        ))
    })();
    fields.done(read)
}

/// Checks how many rows there are, and that each is an object.
fn rows(raw: &RawValue) -> Result<(), String> {
    let rows: Option<Vec<&RawValue>> = serde_json::from_str(raw.get()).ok();
    let whole = |rows: &Vec<&RawValue>| {
        ROWS.contains(&rows.len()) && rows.iter().all(|row| row.get().starts_with('{'))
    };
    if rows.is_some_and(|rows| whole(&rows)) {
        return Ok(());
    }
    Err(format!(
        "must be an array of {} to {} objects, not {}",
        ROWS.start(),
        ROWS.end(),
        quoted(raw.get())
    ))
}
