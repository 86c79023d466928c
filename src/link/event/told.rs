//! Events that own what they hold, for tests of both ends of the link.
use super::encode_event;
use pubsub_stream::hub::{EntryRef, HubEvent, Refusal, SliceHead};
use pubsub_wire::ErrorCode;

/// An entry that owns what it holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    pub(crate) offset: i64,
    pub(crate) ts_us: u64,
    pub(crate) mono_ns: u64,
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) data: Vec<u8>,
}

impl Held {
    pub(crate) fn lend(&self) -> EntryRef<'_> {
        let Self {
            offset,
            ts_us,
            mono_ns,
            ref topic,
            ref key,
            ref data,
        } = *self;
        EntryRef {
            offset,
            ts_us,
            mono_ns,
            topic,
            key: key.as_deref(),
            data,
        }
    }

    pub(crate) fn of(entry: EntryRef<'_>) -> Self {
        let EntryRef {
            offset,
            ts_us,
            mono_ns,
            topic,
            key,
            data,
        } = entry;
        Self {
            offset,
            ts_us,
            mono_ns,
            topic: topic.into(),
            key: key.map(Into::into),
            data: data.into(),
        }
    }
}

/// An event that owns what it holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Hello(String, i64),
    Entry(Held),
    Position(i64),
    Watched(u32, i64),
    Lost(u32, i64, i64, Option<u64>),
    Slice(SliceHead, Vec<Held>),
    ReadFailed(u32, ErrorCode, String, Option<u64>),
    Published(u64, i64),
    PublishFailed(u64, ErrorCode, String, Option<u64>),
    Replied(u64, String),
    CallFailed(u64, ErrorCode, String, Option<u64>),
}

impl Told {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let refusal = |code, message, retry_after_ms| Refusal {
            code,
            message,
            retry_after_ms,
        };
        let event = match self {
            Self::Hello(epoch, position) => HubEvent::Hello {
                epoch,
                position: *position,
            },
            Self::Entry(entry) => HubEvent::Entry(entry.lend()),
            Self::Position(position) => HubEvent::Position {
                position: *position,
            },
            Self::Watched(view, position) => HubEvent::Watched {
                view: *view,
                position: *position,
            },
            Self::Lost(view, from, to, count) => HubEvent::Lost {
                view: *view,
                from: *from,
                to: *to,
                count: *count,
            },
            Self::Slice(head, entries) => {
                let mut entries = entries.iter().map(Held::lend);
                return encode_event(
                    out,
                    HubEvent::Slice {
                        head: *head,
                        entries: &mut entries,
                    },
                );
            }
            Self::ReadFailed(request, code, message, retry) => HubEvent::ReadFailed {
                request: *request,
                why: refusal(*code, message, *retry),
            },
            Self::Published(request, offset) => HubEvent::Published {
                request: *request,
                offset: *offset,
            },
            Self::PublishFailed(request, code, message, retry) => HubEvent::PublishFailed {
                request: *request,
                why: refusal(*code, message, *retry),
            },
            Self::Replied(request, result) => HubEvent::Replied {
                request: *request,
                result,
            },
            Self::CallFailed(request, code, message, retry) => HubEvent::CallFailed {
                request: *request,
                why: refusal(*code, message, *retry),
            },
        };
        encode_event(out, event);
    }

    pub(crate) fn of(event: HubEvent<'_>) -> Self {
        match event {
            HubEvent::Hello { epoch, position } => Self::Hello(epoch.into(), position),
            HubEvent::Entry(entry) => Self::Entry(Held::of(entry)),
            HubEvent::Position { position } => Self::Position(position),
            HubEvent::Watched { view, position } => Self::Watched(view, position),
            HubEvent::Lost {
                view,
                from,
                to,
                count,
            } => Self::Lost(view, from, to, count),
            HubEvent::Slice { head, entries } => Self::Slice(head, entries.map(Held::of).collect()),
            HubEvent::ReadFailed { request, why } => {
                Self::ReadFailed(request, why.code, why.message.into(), why.retry_after_ms)
            }
            HubEvent::Published { request, offset } => Self::Published(request, offset),
            HubEvent::PublishFailed { request, why } => {
                Self::PublishFailed(request, why.code, why.message.into(), why.retry_after_ms)
            }
            HubEvent::Replied { request, result } => Self::Replied(request, result.into()),
            HubEvent::CallFailed { request, why } => {
                Self::CallFailed(request, why.code, why.message.into(), why.retry_after_ms)
            }
        }
    }
}
