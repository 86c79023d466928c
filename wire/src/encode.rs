//! What a server sends, written straight into the payload of a frame.
//!
//! Everything that is written per message, or per subscriber, is put together by hand from strings and numbers; serde
//! writes only what is sent once a connection or once a subscription. Topics need no escaping: [`crate::topic`] lets
//! nothing through that would. `data` goes out as the bytes that came in. What a client sends is in [`command`].
pub mod command;
pub mod json;
#[cfg(test)]
mod tests;

use crate::codes::ErrorCode;
use crate::command::{FieldError, Id};
use crate::value::{Gap, GoawayReason, Lag, Ledger, Mode, PartPosition, Settings, Welcome};
use json::{integer, string};
use serde::Serialize;

/// One message as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsgView<'a> {
    /// The pattern it is sent for; `None` where that is the topic itself.
    pub sub: Option<&'a str>,
    /// Its topic.
    pub topic: &'a str,
    /// Its offset.
    pub offset: i64,
    /// When it was numbered, microseconds since the Unix epoch.
    pub ts: u64,
    /// Its key.
    pub key: Option<&'a str>,
    /// Its JSON.
    pub data: &'a [u8],
}

/// Where a message stands, where its offset doesn't say all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The partition, where a pattern spans several.
    pub part: Option<u32>,
    /// The offset to resume after, with a rate.
    pub resume: Option<i64>,
}

/// An error as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorFrame<'a> {
    /// The request it answers.
    pub id: Option<&'a Id>,
    /// What kind of error.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub message: &'a str,
    /// The field, with its path.
    pub field: Option<&'a str>,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

/// `msg`.
pub fn msg(out: &mut Vec<u8>, view: &MsgView<'_>) {
    msg_at(out, view, Place::default());
}

/// `msg` with its partition or its point to resume after.
pub fn msg_at(out: &mut Vec<u8>, view: &MsgView<'_>, place: Place) {
    out.reserve(view.data.len() + view.topic.len() + 128);
    put(out, r#"{"op":"msg","#);
    if let Some(sub) = view.sub {
        put(out, r#""sub":""#);
        put(out, sub);
        put(out, r#"","#);
    }
    item(out, view, place);
    out.push(b'}');
}

/// `batch`: messages of one subscription, in order.
pub fn batch<'a>(
    out: &mut Vec<u8>,
    topic: &str,
    items: impl IntoIterator<Item = (MsgView<'a>, Place)>,
) {
    batch_begin(out, topic);
    for (index, (view, place)) in items.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        batch_item(out, &view, place);
    }
    put(out, BATCH_END);
}

/// What stands before the items of a `batch`.
pub fn batch_begin(out: &mut Vec<u8>, topic: &str) {
    put(out, r#"{"op":"batch","topic":""#);
    put(out, topic);
    put(out, r#"","items":["#);
}

/// One item of a `batch`; commas stand between them.
pub fn batch_item(out: &mut Vec<u8>, view: &MsgView<'_>, place: Place) {
    out.push(b'{');
    item(out, view, place);
    out.push(b'}');
}

/// Bytes of a `batch` around its items.
pub const fn batch_len(topic: &str) -> usize {
    r#"{"op":"batch","topic":"","items":["#.len() + topic.len() + BATCH_END.len()
}

/// What stands after the items of a `batch`.
pub const BATCH_END: &str = "]}";

/// The fields of the message in a whole `msg` frame, from `"topic"` on: what an item of a `batch` has between its braces.
/// `sub` is the pattern the frame was written for.
pub fn msg_fields<'a>(frame: &'a [u8], sub: Option<&str>) -> &'a [u8] {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    let sub = sub.map_or(0, |s| r#""sub":"","#.len() + s.len());
    let begin = header + r#"{"op":"msg","#.len() + sub;
    frame
        .get(begin..frame.len().saturating_sub(1))
        .unwrap_or_default()
}

/// The fields of a message from `topic` on.
fn item(out: &mut Vec<u8>, view: &MsgView<'_>, place: Place) {
    put(out, r#""topic":""#);
    put(out, view.topic);
    put(out, r#"","offset":"#);
    integer(out, view.offset);
    if let Some(part) = place.part {
        put(out, r#","part":"#);
        integer(out, part);
    }
    if let Some(resume) = place.resume {
        put(out, r#","resume":"#);
        integer(out, resume);
    }
    put(out, r#","ts":"#);
    integer(out, view.ts);
    if let Some(key) = view.key {
        put(out, r#","key":"#);
        string(out, key);
    }
    put(out, r#","data":"#);
    out.extend_from_slice(view.data);
}

/// `welcome`.
pub fn welcome(out: &mut Vec<u8>, welcome: &Welcome) {
    #[derive(Serialize)]
    struct Frame<'a> {
        op: &'static str,
        #[serde(flatten)]
        welcome: &'a Welcome,
    }
    serde(
        out,
        &Frame {
            op: "welcome",
            welcome,
        },
    );
}

/// `subscribed`, with the position after which messages follow.
pub fn subscribed(
    out: &mut Vec<u8>,
    id: Option<&Id>,
    topic: &str,
    epoch: &str,
    offset: i64,
    settings: &Settings,
) {
    begin(out, "subscribed", id, topic);
    position_fields(out, epoch, offset);
    put(out, r#","settings":"#);
    serde(out, settings);
    out.push(b'}');
}

/// `subscribed` where a pattern spans several partitions.
pub fn subscribed_parts(
    out: &mut Vec<u8>,
    id: Option<&Id>,
    topic: &str,
    positions: &[PartPosition],
    settings: &Settings,
) {
    begin(out, "subscribed", id, topic);
    parts_field(out, positions);
    put(out, r#","settings":"#);
    serde(out, settings);
    out.push(b'}');
}

/// `reconfigured`.
pub fn reconfigured(out: &mut Vec<u8>, id: Option<&Id>, topic: &str, settings: &Settings) {
    begin(out, "reconfigured", id, topic);
    put(out, r#","settings":"#);
    serde(out, settings);
    out.push(b'}');
}

/// `unsubscribed` with the final ledger.
pub fn unsubscribed(out: &mut Vec<u8>, id: Option<&Id>, topic: &str, ledger: &Ledger) {
    begin(out, "unsubscribed", id, topic);
    ledger_field(out, ledger);
    out.push(b'}');
}

/// `ledger`.
pub fn ledger(out: &mut Vec<u8>, id: Option<&Id>, topic: &str, epoch: &str, ledger: &Ledger) {
    begin(out, "ledger", id, topic);
    put(out, r#","epoch":"#);
    string(out, epoch);
    ledger_field(out, ledger);
    out.push(b'}');
}

/// `gap`.
pub fn gap<E: AsRef<str>>(out: &mut Vec<u8>, topic: &str, gap: &Gap<E>) {
    begin(out, "gap", None, topic);
    gap_fields(out, gap);
    position_fields(out, gap.epoch.as_ref(), gap.offset);
    out.push(b'}');
}

/// `gap` where a pattern spans several partitions: `positions` stand for its epoch and offset.
pub fn gap_parts<E>(out: &mut Vec<u8>, topic: &str, gap: &Gap<E>, positions: &[PartPosition]) {
    begin(out, "gap", None, topic);
    gap_fields(out, gap);
    parts_field(out, positions);
    out.push(b'}');
}

fn gap_fields<E>(out: &mut Vec<u8>, gap: &Gap<E>) {
    put(out, r#","from":"#);
    optional(out, gap.from);
    put(out, r#","to":"#);
    optional(out, gap.to);
    put(out, r#","count":"#);
    optional(out, gap.count);
    put(out, r#","reason":""#);
    put(out, gap.reason.as_str());
    out.push(b'"');
}

/// `mode`.
pub fn mode(out: &mut Vec<u8>, topic: &str, mode: Mode, lag: &Lag) {
    begin(out, "mode", None, topic);
    put(out, r#","mode":""#);
    put(out, mode.as_str());
    put(out, r#"","lag":{"messages":"#);
    integer(out, lag.messages);
    put(out, r#","bytes":"#);
    integer(out, lag.bytes);
    put(out, r#","age_ms":"#);
    integer(out, lag.age_ms);
    put(out, "}}");
}

/// `position`: a quiet subscription may resume after this.
pub fn position(out: &mut Vec<u8>, topic: &str, epoch: &str, offset: i64) {
    begin(out, "position", None, topic);
    position_fields(out, epoch, offset);
    out.push(b'}');
}

/// `position` where a pattern spans several partitions.
pub fn position_parts(out: &mut Vec<u8>, topic: &str, positions: &[PartPosition]) {
    begin(out, "position", None, topic);
    parts_field(out, positions);
    out.push(b'}');
}

/// `published`.
pub fn published(out: &mut Vec<u8>, id: Option<&Id>, topic: &str, epoch: &str, offset: i64) {
    begin(out, "published", id, topic);
    position_fields(out, epoch, offset);
    out.push(b'}');
}

/// `reply` with a method's result.
pub fn reply(out: &mut Vec<u8>, id: Option<&Id>, result_json: &str) {
    begin_untopical(out, "reply", id);
    put(out, r#","result":"#);
    put(out, result_json);
    out.push(b'}');
}

/// `error`.
pub fn error(out: &mut Vec<u8>, frame: &ErrorFrame<'_>) {
    error_fields(out, frame, &[]);
}

/// `error` that names several wrong fields at once.
pub fn error_fields(out: &mut Vec<u8>, frame: &ErrorFrame<'_>, fields: &[FieldError]) {
    begin_untopical(out, "error", frame.id);
    put(out, r#","code":""#);
    put(out, frame.code.as_str());
    put(out, r#"","message":"#);
    string(out, frame.message);
    if let Some(field) = frame.field {
        put(out, r#","field":"#);
        string(out, field);
    }
    if !fields.is_empty() {
        put(out, r#","fields":"#);
        serde(out, fields);
    }
    if let Some(ms) = frame.retry_after_ms {
        put(out, r#","retry_after_ms":"#);
        integer(out, ms);
    }
    out.push(b'}');
}

/// `pong`; `ts` is microseconds since the Unix epoch.
pub fn pong(out: &mut Vec<u8>, id: Option<&Id>, ts: u64) {
    begin_untopical(out, "pong", id);
    put(out, r#","ts":"#);
    integer(out, ts);
    out.push(b'}');
}

/// `goaway`.
pub fn goaway(out: &mut Vec<u8>, reason: GoawayReason, retry_after_ms: u64) {
    goaway_to(out, reason, retry_after_ms, &[]);
}

/// `goaway` that names where else to go.
pub fn goaway_to(
    out: &mut Vec<u8>,
    reason: GoawayReason,
    retry_after_ms: u64,
    endpoints: &[String],
) {
    put(out, r#"{"op":"goaway","reason":""#);
    put(out, reason.as_str());
    put(out, r#"","retry_after_ms":"#);
    integer(out, retry_after_ms);
    if !endpoints.is_empty() {
        put(out, r#","endpoints":"#);
        serde(out, endpoints);
    }
    out.push(b'}');
}

fn begin_untopical(out: &mut Vec<u8>, op: &str, id: Option<&Id>) {
    put(out, r#"{"op":""#);
    put(out, op);
    out.push(b'"');
    if let Some(id) = id {
        put(out, r#","id":"#);
        put(out, id.as_json());
    }
}

fn begin(out: &mut Vec<u8>, op: &str, id: Option<&Id>, topic: &str) {
    begin_untopical(out, op, id);
    put(out, r#","topic":""#);
    put(out, topic);
    out.push(b'"');
}

fn position_fields(out: &mut Vec<u8>, epoch: &str, offset: i64) {
    put(out, r#","epoch":"#);
    string(out, epoch);
    put(out, r#","offset":"#);
    integer(out, offset);
}

fn parts_field(out: &mut Vec<u8>, positions: &[PartPosition]) {
    put(out, r#","positions":"#);
    serde(out, positions);
}

fn ledger_field(out: &mut Vec<u8>, ledger: &Ledger) {
    put(out, r#","ledger":"#);
    serde(out, ledger);
}

fn optional(out: &mut Vec<u8>, number: Option<impl itoa::Integer>) {
    match number {
        Some(number) => integer(out, number),
        None => put(out, "null"),
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writing plain values into memory cannot fail: no map here has keys that aren't strings.
fn serde<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) {
    let written = serde_json::to_writer(out, value);
    debug_assert!(written.is_ok(), "a plain value is always JSON");
}
