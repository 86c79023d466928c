//! What a client sends: one JSON object per text frame, named by `op`.
//!
//! Owns the commands and their strict reading. Strict means that a typo is never silent: an unknown field, one given
//! twice, a wrong type or a number out of range is an error that names the field and says what is allowed. Whether a
//! command is possible now (subscribed or not, allowed or not) is the engine's matter, and so is clamping bounds to the
//! node's limits.
//!
//! `data` and `params` stay the very bytes that were sent; the id is found even when the rest is wrong.
mod field;
mod id;
mod parse;
mod patch;
mod subscribe;

pub use id::Id;
pub use parse::{DEPTH_MAX, parse};
pub use patch::{BatchPatch, BoundPatch, FieldError, Patch, RatePatch, Reconfigure};

use crate::codes::ErrorCode;
use crate::value::{Batch, Bound, From, Overflow, Rate};
use std::borrow::Cow;
use std::fmt;

/// One command and the id its answer will repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request<'a> {
    /// The client's name for this request, if it wants an answer to carry one.
    pub id: Option<Id>,
    /// What it wants.
    pub command: Command<'a>,
}

/// What a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// Entries of a topic or pattern.
    Subscribe(Subscribe),
    /// Other settings for a subscription.
    Reconfigure(Reconfigure),
    /// Demand for `n` more messages.
    Credit {
        /// The subscription.
        topic: String,
        /// How many more, at least 1.
        n: u64,
    },
    /// The subscription's counts.
    Ledger {
        /// The subscription.
        topic: String,
    },
    /// No more of it.
    Unsubscribe {
        /// The subscription.
        topic: String,
        /// Deliver first what is pending.
        drain: bool,
    },
    /// One publication.
    Publish(Publish<'a>),
    /// A question to a service of the node.
    Call(Call<'a>),
    /// A sign of life.
    Ping,
}

/// A subscription as asked for; `None` is what the client did not name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscribe {
    /// Topic or pattern; also the subscription's name.
    pub topic: String,
    /// Where to begin.
    pub from: Option<From>,
    /// Rate per key.
    pub rate: Option<Rate>,
    /// Batches.
    pub batch: Option<Batch>,
    /// How much may be pending; not yet clamped to the node's limits.
    pub bound: Bound,
    /// What gives when the bound is reached.
    pub overflow: Option<Overflow>,
    /// How many messages are wanted until more credit comes.
    pub credit: Option<u64>,
}

/// A publication, borrowed from the frame it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish<'a> {
    /// A topic, no pattern.
    pub topic: Cow<'a, str>,
    /// Its key; `""` is one.
    pub key: Option<Cow<'a, str>>,
    /// JSON, the very bytes that were sent.
    pub data: &'a str,
}

/// A call, borrowed from the frame it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call<'a> {
    /// Name of the method.
    pub method: Cow<'a, str>,
    /// JSON, the very bytes that were sent; `null` when there were none.
    pub params: &'a str,
    /// How long the answer is of use, counted from receipt.
    pub deadline_ms: Option<u64>,
}

/// Why a frame is no command, in the words of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandError {
    /// The id to answer with, where one could be made out.
    pub id: Option<Id>,
    /// What kind of mistake it is.
    pub code: ErrorCode,
    /// What is wrong and what would be right; short, whatever was sent.
    pub message: String,
    /// The field, with its path: `bound.messages`.
    pub field: Option<String>,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "{}: {field}: {}", self.code, self.message),
            None => write!(f, "{}: {}", self.code, self.message),
        }
    }
}

impl std::error::Error for CommandError {}
