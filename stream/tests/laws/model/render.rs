//! Frames as the protocol spells them, written for the model alone: their lengths count against bounds.
use serde_json::{Value, json};

use crate::drive::Entry;
use crate::subject::EPOCH;

fn fields(entry: &Entry, resume: Option<i64>) -> String {
    let resume = resume.map_or(String::new(), |n| format!(r#","resume":{n}"#));
    let key = entry
        .key
        .as_ref()
        .map_or(String::new(), |k| format!(r#","key":"{k}""#));
    format!(
        r#""topic":"{}","offset":{}{resume},"ts":{}{key},"data":{}"#,
        entry.topic, entry.offset, entry.ts_us, entry.data
    )
}

pub fn msg(text: &str, entry: &Entry, resume: Option<i64>) -> String {
    let sub = if text == entry.topic {
        String::new()
    } else {
        format!(r#""sub":"{text}","#)
    };
    format!(r#"{{"op":"msg",{sub}{}}}"#, fields(entry, resume))
}

pub fn batch<'a>(text: &str, items: impl Iterator<Item = (&'a Entry, Option<i64>)>) -> String {
    let items: Vec<String> = items
        .map(|(e, resume)| format!("{{{}}}", fields(e, resume)))
        .collect();
    format!(
        r#"{{"op":"batch","topic":"{text}","items":[{}]}}"#,
        items.join(",")
    )
}

pub fn gap(text: &str, range: Option<(i64, i64)>, count: u64, reason: &str, offset: i64) -> String {
    let (from, to) = range.unzip();
    json!({
        "op": "gap", "topic": text, "from": from, "to": to, "count": count, "reason": reason,
        "epoch": EPOCH, "offset": offset
    })
    .to_string()
}

pub fn mode(text: &str, mode: &str, messages: u64, bytes: u64, age_ms: u64) -> String {
    let lag = json!({"messages": messages, "bytes": bytes, "age_ms": age_ms});
    json!({"op": "mode", "topic": text, "mode": mode, "lag": lag}).to_string()
}

pub fn answer(op: &str, id: &Value, text: &str, more: Value) -> String {
    let mut answer = more;
    answer["op"] = op.into();
    answer["id"] = id.clone();
    answer["topic"] = text.into();
    answer.to_string()
}

/// Its words are the engine's where sockets are to refuse at the same place.
pub fn error(id: &Value, code: &str, field: &str) -> String {
    let message = match field {
        "credit" => "this subscription has no credit setting: its demand is unlimited",
        _ => "no",
    };
    json!({"op": "error", "id": id, "code": code, "message": message, "field": field}).to_string()
}

/// A text frame, unmasked and whole.
pub fn frame(payload: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match payload.len() {
        n @ ..126 => frame.push(n as u8),
        n @ 126..65536 => {
            frame.push(126);
            frame.extend_from_slice(&(n as u16).to_be_bytes());
        }
        n => {
            frame.push(127);
            frame.extend_from_slice(&(n as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload.as_bytes());
    frame
}
