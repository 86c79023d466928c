//! What a subscription's stream yields, and how a connection can end.
use crate::error::Refusal;
use pubsub_wire::close;
use pubsub_wire::value::{Lag, Ledger, Mode};
use std::fmt;

pub use pubsub_wire::server::{At as Position, Gap, Goaway, Msg as Message};

/// One thing that happened to a subscription, in its order.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A publication, whether it came alone or in a batch.
    Message(Message),
    /// Publications that were lost; the stream goes on after [`Gap::at`]. With a rate it counts what the rate had let through,
    /// and names no range.
    Gap(Gap),
    /// How the subscription keeps up from now on.
    Mode {
        /// Its mode.
        mode: Mode,
        /// How far behind it is.
        lag: Lag,
    },
    /// Nothing came for a while; this is a newer position to resume after.
    Position(Position),
    /// The counts asked for with [`Subscription::request_ledger`](crate::Subscription::request_ledger): all that came
    /// before it in this stream is delivered, nothing after it is.
    Ledger {
        /// The epoch the counts belong to.
        epoch: String,
        /// The counts.
        ledger: Ledger,
    },
    /// The connection was lost, and this subscription goes on over another. With a rate, newest values may come again.
    #[non_exhaustive]
    Resumed {
        /// The position after all that came before.
        from: Position,
        /// Whether the server could not go on exactly there; an [`Event::Gap`] that says so follows.
        lost: bool,
    },
    /// The last event of a subscription that the server didn't take again after a lost connection.
    NotResumed(Refusal),
    /// What was asked for in the stream's order was refused; the subscription goes on.
    Refused(Refusal),
    /// The last event of a subscription that was ended with [`Subscription::finish`](crate::Subscription::finish).
    Unsubscribed(Ledger),
    /// The last event of a subscription whose client has ended; or whose connection was lost while it was being
    /// [finished](crate::Subscription::finish).
    Closed(Closed),
}

/// How a connection or a client ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Closed {
    /// This side said goodbye.
    Local,
    /// The server closed it.
    Remote {
        /// Its close code; 1005 when it gave none.
        code: u16,
        /// Its reason.
        reason: String,
    },
    /// No connection could be made any more: see [`Reconnect`](crate::Reconnect).
    GaveUp {
        /// What the last attempt met with.
        why: String,
    },
    /// It was lost without a close frame.
    Lost {
        /// What was noticed.
        why: String,
    },
    /// The server sent what is no message of this protocol, and this side closed.
    Violation {
        /// What was wrong with it.
        why: String,
    },
}

/// Close codes that never travel, RFC 6455 section 7.4.1.
const NO_STATUS: u16 = 1005;
const ABNORMAL: u16 = 1006;

impl Closed {
    /// The close code, or the one that stands for none: 1005 for a close frame without, 1006 for no close frame.
    pub fn code(&self) -> u16 {
        match self {
            Self::Local => close::NORMAL,
            Self::Remote { code, .. } => *code,
            Self::Lost { .. } | Self::GaveUp { .. } => ABNORMAL,
            Self::Violation { .. } => close::PROTOCOL_ERROR,
        }
    }

    pub(crate) fn without_code() -> Self {
        Self::Remote {
            code: NO_STATUS,
            reason: String::new(),
        }
    }

    pub(crate) fn lost(why: impl fmt::Display) -> Self {
        Self::Lost {
            why: why.to_string(),
        }
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("closed by this client"),
            Self::Remote { code, reason } if reason.is_empty() => {
                write!(f, "closed by the server with {code}")
            }
            Self::Remote { code, reason } => {
                write!(f, "closed by the server with {code}: {reason}")
            }
            Self::GaveUp { why } => write!(f, "given up: {why}"),
            Self::Lost { why } => write!(f, "connection lost: {why}"),
            Self::Violation { why } => write!(f, "the server broke the protocol: {why}"),
        }
    }
}
