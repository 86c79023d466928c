//! Why a call has no result.
use crate::error::{Refusal, RequestError};
use crate::event::Closed;
use pubsub_wire::ErrorCode;
use pubsub_wire::command::FieldError;
use std::time::Duration;
use thiserror::Error;

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CallError {
    /// Its time was over before it was begun: it was not carried out and will not be.
    #[error("not begun in time: {message}")]
    Deadline {
        /// Who noticed.
        message: String,
    },
    /// The server knows no such method.
    #[error("{message}")]
    UnknownMethod {
        /// What the server says.
        message: String,
    },
    /// Understood and refused.
    #[error("rejected: {message}")]
    Rejected {
        /// Why.
        message: String,
    },
    /// Parameters are wrong.
    #[error("{message}{}", list(fields))]
    BadField {
        /// What the server says.
        message: String,
        /// All wrong fields at once.
        fields: Vec<FieldError>,
    },
    /// Too much at once: calls under way, commands in a second, orders of the node. Not carried out.
    #[error("too much at once: {message}")]
    Limit {
        /// What there is too much of.
        message: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// Not carried out, since who would is away.
    #[error("unavailable: {message}")]
    Unavailable {
        /// Who is away.
        message: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// The circuit [`Breaker`](crate::Breaker) is open: nothing was sent.
    #[error("not tried, since calls before it were not answered; again in {retry_after:?}")]
    Open {
        /// When one is tried again.
        retry_after: Duration,
    },
    /// It may have been carried out or not: the answer was lost. Not repeated, unless it was
    /// [`idempotent`](crate::CallRequest::idempotent).
    #[error("carried out or not, that is not known: {message}")]
    UnknownOutcome {
        /// Where the answer was lost.
        message: String,
    },
    /// This client may not call.
    #[error("forbidden: {message}")]
    Forbidden {
        /// What the server says.
        message: String,
    },
    /// Any other no of the server.
    #[error(transparent)]
    Refused(Refusal),
    /// It was sent, and no answer came within its deadline and the grace after it; whether it was carried out is unknown.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The client has ended; it was not sent.
    #[error("not sent: {0}")]
    Closed(Closed),
    /// The parameters are no JSON that can be sent.
    #[error("parameters cannot be sent: {0}")]
    Data(String),
}

impl CallError {
    /// Whether nobody has answered: limit, unavailable, breaker open, deadline, timeout, outcome unknown, closed. These and only these
    /// count for the [`Breaker`](crate::Breaker) (but for [`Open`](Self::Open) itself) and lead to a [`fallback`](crate::CallRequest::fallback).
    #[must_use]
    pub fn is_unanswered(&self) -> bool {
        match self {
            Self::Deadline { .. }
            | Self::Limit { .. }
            | Self::Unavailable { .. }
            | Self::Open { .. }
            | Self::UnknownOutcome { .. }
            | Self::Timeout(_)
            | Self::Closed(_) => true,
            Self::UnknownMethod { .. }
            | Self::Rejected { .. }
            | Self::BadField { .. }
            | Self::Forbidden { .. }
            | Self::Refused(_)
            | Self::Data(_) => false,
        }
    }

    /// When it is worth trying again, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Limit { retry_after, .. } | Self::Unavailable { retry_after, .. } => *retry_after,
            Self::Open { retry_after } => Some(*retry_after),
            Self::Refused(refusal) => refusal.retry_after,
            _ => None,
        }
    }
}

fn list(fields: &[FieldError]) -> String {
    let fields: Vec<String> = fields.iter().map(ToString::to_string).collect();
    if fields.is_empty() {
        String::new()
    } else {
        format!(" ({})", fields.join("; "))
    }
}

impl From<Refusal> for CallError {
    fn from(refusal: Refusal) -> Self {
        let Refusal {
            code,
            message,
            retry_after,
            ..
        } = refusal.clone();
        match code {
            ErrorCode::Deadline => Self::Deadline { message },
            ErrorCode::UnknownMethod => Self::UnknownMethod { message },
            ErrorCode::Rejected => Self::Rejected { message },
            ErrorCode::BadField => bad_field(refusal),
            ErrorCode::Limit | ErrorCode::RateLimited => Self::Limit {
                message,
                retry_after,
            },
            ErrorCode::Unavailable => Self::Unavailable {
                message,
                retry_after,
            },
            ErrorCode::UnknownOutcome => Self::UnknownOutcome { message },
            ErrorCode::Forbidden => Self::Forbidden { message },
            _ => Self::Refused(refusal),
        }
    }
}

/// A server that names one field puts it beside the message instead of into the list.
fn bad_field(refusal: Refusal) -> CallError {
    let mut fields = refusal.fields;
    if let (Some(field), true) = (refusal.field, fields.is_empty()) {
        fields.push(FieldError::new(field, refusal.message.clone()));
    }
    CallError::BadField {
        message: refusal.message,
        fields,
    }
}

impl From<RequestError> for CallError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Refused(refusal) => refusal.into(),
            RequestError::UnknownOutcome(closed) => Self::UnknownOutcome {
                message: closed.to_string(),
            },
            RequestError::NotSent(limit) => Self::Deadline {
                message: format!("not sent within {limit:?}"),
            },
            RequestError::Timeout(limit) => Self::Timeout(limit),
            RequestError::Closed(closed) => Self::Closed(closed),
            RequestError::Data(why) => Self::Data(why),
        }
    }
}
