//! What a server sends, as a client reads it.
//!
//! Lenient where the commands are strict: unknown ops are [`ServerMessage::Unknown`] and unknown fields are passed over,
//! since what a server sends may grow. A known op without what it must have is an error.
use crate::codes::ErrorCode;
use crate::command::{FieldError, Id};
use crate::value::{GapReason, Lag, PartPosition, Settings, Welcome};
use crate::value::{GoawayReason, Ledger as Counts, Mode as ModeName};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use thiserror::Error;

/// Why a frame is no message of this protocol.
#[derive(Debug, Error)]
#[error("not a message of pubsub.v1: {0}")]
pub struct ServerError(#[from] serde_json::Error);

/// One message of a server.
#[derive(Debug, Clone)]
pub enum ServerMessage {
    /// First of all.
    Welcome(Welcome),
    /// A publication.
    Msg(Msg),
    /// Several of one subscription.
    Batch(Batch),
    /// A hole.
    Gap(Gap),
    /// A change of how a subscription keeps up.
    Mode(Mode),
    /// Where a quiet subscription may resume.
    Position(Position),
    /// Answer to `subscribe`.
    Subscribed(Subscribed),
    /// Answer to `reconfigure`.
    Reconfigured(Reconfigured),
    /// Answer to `unsubscribe`, and the end of the subscription.
    Unsubscribed(Unsubscribed),
    /// Answer to `ledger`.
    Ledger(Ledger),
    /// Answer to `publish`.
    Published(Published),
    /// Answer to `call`.
    Reply(Reply),
    /// Answer to anything wrong.
    Error(ErrorMessage),
    /// Answer to `ping`.
    Pong(Pong),
    /// The connection will be closed.
    Goaway(Goaway),
    /// Of a later version.
    Unknown,
}

/// A publication.
#[derive(Debug, Clone, Deserialize)]
pub struct Msg {
    /// The pattern it was sent for, where that isn't the topic itself.
    pub sub: Option<Box<str>>,
    /// Its topic.
    pub topic: Box<str>,
    /// Its offset.
    pub offset: i64,
    /// Its partition, where a pattern spans several.
    pub part: Option<u32>,
    /// The offset to resume after, with a rate.
    pub resume: Option<i64>,
    /// When it was numbered, microseconds since the Unix epoch.
    pub ts: u64,
    /// Its key.
    pub key: Option<Box<str>>,
    /// The publisher's JSON, byte for byte.
    pub data: Box<RawValue>,
}

impl Msg {
    /// Its data as a value of the reader's.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.data.get())
    }
}

/// A publication, borrowed from the frame it came in.
#[derive(Debug, Clone, Deserialize)]
pub struct MsgRef<'a> {
    /// The pattern it was sent for, where that isn't the topic itself.
    #[serde(borrow, default, deserialize_with = "text_or_none")]
    pub sub: Option<Cow<'a, str>>,
    /// Its topic.
    #[serde(borrow)]
    pub topic: Cow<'a, str>,
    /// Its offset.
    pub offset: i64,
    /// Its partition, where a pattern spans several.
    pub part: Option<u32>,
    /// The offset to resume after, with a rate.
    pub resume: Option<i64>,
    /// When it was numbered, microseconds since the Unix epoch.
    pub ts: u64,
    /// Its key.
    #[serde(borrow, default, deserialize_with = "text_or_none")]
    pub key: Option<Cow<'a, str>>,
    /// The publisher's JSON, byte for byte.
    #[serde(borrow)]
    pub data: &'a RawValue,
}

/// A text that is borrowed where it can be; serde by itself borrows only what isn't optional.
fn text_or_none<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Ok(Option::<Text<'de>>::deserialize(deserializer)?.map(|text| text.0))
}

/// Several publications of one subscription, in order.
#[derive(Debug, Clone, Deserialize)]
pub struct Batch {
    /// The subscription.
    pub topic: Box<str>,
    /// The publications.
    pub items: Vec<Msg>,
}

/// A position after which messages follow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum At {
    /// In one log or partition.
    One {
        /// Its epoch.
        epoch: String,
        /// The offset.
        offset: i64,
    },
    /// In several partitions.
    Parts {
        /// One position per partition.
        positions: Vec<PartPosition>,
    },
}

/// A hole: everything of the subscription in `from..=to` was lost and nothing outside.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Gap {
    /// The subscription.
    pub topic: String,
    /// First offset of the hole, where known.
    pub from: Option<i64>,
    /// Last offset of the hole, where known.
    pub to: Option<i64>,
    /// How many entries, where known.
    pub count: Option<u64>,
    /// Why.
    pub reason: GapReason,
    /// The position after which messages follow.
    #[serde(flatten)]
    pub at: At,
}

/// How a subscription keeps up from now on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Mode {
    /// The subscription.
    pub topic: String,
    /// Its mode.
    pub mode: ModeName,
    /// How far behind it is.
    pub lag: Lag,
}

/// Where a quiet subscription may resume.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Position {
    /// The subscription.
    pub topic: String,
    /// The position.
    #[serde(flatten)]
    pub at: At,
}

/// A subscription began.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Subscribed {
    /// The request.
    pub id: Option<Id>,
    /// The subscription.
    pub topic: String,
    /// The position after which messages follow.
    #[serde(flatten)]
    pub at: At,
    /// The settings as they act.
    pub settings: Settings,
}

/// A subscription has other settings.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Reconfigured {
    /// The request.
    pub id: Option<Id>,
    /// The subscription.
    pub topic: String,
    /// The settings as they act.
    pub settings: Settings,
}

/// A subscription ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Unsubscribed {
    /// The request.
    pub id: Option<Id>,
    /// The subscription.
    pub topic: String,
    /// Its final counts.
    pub ledger: Counts,
}

/// A subscription's counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Ledger {
    /// The request.
    pub id: Option<Id>,
    /// The subscription.
    pub topic: String,
    /// The epoch they were counted in.
    pub epoch: String,
    /// The counts.
    pub ledger: Counts,
}

/// A publication is in the log.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Published {
    /// The request.
    pub id: Option<Id>,
    /// Its topic.
    pub topic: String,
    /// Its epoch.
    pub epoch: String,
    /// Its offset.
    pub offset: i64,
}

/// A method's result.
#[derive(Debug, Clone, Deserialize)]
pub struct Reply {
    /// The request.
    pub id: Option<Id>,
    /// The result.
    pub result: Box<RawValue>,
}

/// Something was wrong.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ErrorMessage {
    /// The request, where it had an id.
    pub id: Option<Id>,
    /// What kind of error.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub message: String,
    /// The field, with its path.
    pub field: Option<String>,
    /// Several wrong fields at once.
    #[serde(default)]
    pub fields: Vec<FieldError>,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

/// A sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Pong {
    /// The request.
    pub id: Option<Id>,
    /// The server's time, microseconds since the Unix epoch.
    pub ts: u64,
}

/// The connection will be closed; delivery goes on until then.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Goaway {
    /// Why.
    pub reason: GoawayReason,
    /// When to return.
    pub retry_after_ms: u64,
    /// Where else to go.
    #[serde(default)]
    pub endpoints: Vec<String>,
}

/// Reads one message.
pub fn parse_server(text: &str) -> Result<ServerMessage, ServerError> {
    let op = op(text)?;
    Ok(match op.as_ref() {
        "msg" => ServerMessage::Msg(body(text)?),
        "batch" => ServerMessage::Batch(body(text)?),
        "welcome" => ServerMessage::Welcome(body(text)?),
        "gap" => ServerMessage::Gap(body(text)?),
        "mode" => ServerMessage::Mode(body(text)?),
        "position" => ServerMessage::Position(body(text)?),
        "subscribed" => ServerMessage::Subscribed(body(text)?),
        "reconfigured" => ServerMessage::Reconfigured(body(text)?),
        "unsubscribed" => ServerMessage::Unsubscribed(body(text)?),
        "ledger" => ServerMessage::Ledger(body(text)?),
        "published" => ServerMessage::Published(body(text)?),
        "reply" => ServerMessage::Reply(body(text)?),
        "error" => ServerMessage::Error(body(text)?),
        "pong" => ServerMessage::Pong(body(text)?),
        "goaway" => ServerMessage::Goaway(body(text)?),
        _ => ServerMessage::Unknown,
    })
}

/// Reads a `msg` without copying; `None` if it is another message.
pub fn parse_msg(text: &str) -> Result<Option<MsgRef<'_>>, ServerError> {
    match op(text)?.as_ref() {
        "msg" => Ok(Some(serde_json::from_str(text)?)),
        _ => Ok(None),
    }
}

fn body<T: DeserializeOwned>(text: &str) -> Result<T, ServerError> {
    Ok(serde_json::from_str(text)?)
}

/// The message's op. A server writes it first, and then nothing else needs to be read for it.
fn op(text: &str) -> Result<Cow<'_, str>, ServerError> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        op: Cow<'a, str>,
    }
    let first = text.strip_prefix(r#"{"op":""#);
    if let Some((op, _)) = first.and_then(|rest| rest.split_once('"'))
        && !op.contains('\\')
    {
        return Ok(Cow::Borrowed(op));
    }
    Ok(serde_json::from_str::<Head<'_>>(text)?.op)
}
