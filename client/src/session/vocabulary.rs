//! The words the session and whoever drives it speak with.
use crate::error::{Refusal, RequestError};
use crate::event::{Event, Goaway};
use pubsub_wire::command::{Reconfigure, Subscribe};
use pubsub_wire::server;
use pubsub_wire::value::{Else, Ledger, Settings};
use serde_json::value::RawValue;
use std::time::Instant;
use thiserror::Error;

/// Names a request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestId(pub(super) u64);

/// Names a subscription as long as anything of it is left; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubscriptionId(pub(super) u64);

/// What the program wants.
#[derive(Debug)]
pub(crate) enum Ask {
    Subscribe(Box<Wanted>),
    /// The topic in it is filled in here.
    Reconfigure(SubscriptionId, Box<Reconfigure>),
    Credit(SubscriptionId, u64),
    Ledger(SubscriptionId, AnswerTo),
    Unsubscribe(SubscriptionId, Unsent, AnswerTo),
    Publish(Publication, Acknowledgement),
    /// Of use until then.
    Call(Box<Call>, Instant),
    Ping,
}

/// A subscription as it is wanted, now and after each reconnect.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) subscribe: Subscribe,
    /// Where it goes on when its position is gone.
    pub(crate) otherwise: Else,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerTo {
    /// To whoever asked.
    Caller,
    /// Into the subscription's stream, in its place.
    Stream,
}

/// What becomes of what the server has not sent yet when a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    Discard,
    Deliver,
}

/// Whether the server is to say that a publication is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    Wanted,
    Unwanted,
}

/// A publication on its way.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) data: String,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) params: String,
    pub(crate) repeat: Repeat,
}

/// Whether a call may be sent again when its answer was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    Never,
    Allowed,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Subscribed(SubscriptionId, server::Subscribed),
    Reconfigured(Settings),
    Ledger(Ledger),
    Unsubscribed(Ledger),
    Published(server::Published),
    Reply(Box<RawValue>),
    Pong,
    /// It went into the stream.
    InStream,
}

/// What the session hands on.
#[derive(Debug)]
pub(crate) enum Output {
    Answer(RequestId, Result<Answer, RequestError>),
    Event(SubscriptionId, Event),
    /// No event of it comes any more.
    Ended(SubscriptionId),
    Goaway(Goaway),
    /// An error that answers no request.
    Stray(Refusal),
}

/// The server sent what it must not send.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);
