//! What close codes and HTTP statuses say about returning.
use crate::error::ConnectError;
use crate::event::Closed;
use pubsub_wire::close;
use std::time::Duration;

/// What the end of a connection, or of an attempt, says about the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// Don't return, to no server.
    Never,
    /// Not to this server.
    Elsewhere,
    /// When the server said, and otherwise soon.
    Again,
    /// Not before.
    After(Duration),
    /// Not soon.
    Later,
}

pub(super) fn after_close(closed: &Closed) -> Advice {
    match closed {
        Closed::Local | Closed::GaveUp { .. } | Closed::Violation { .. } => Advice::Never,
        Closed::Lost { .. } => Advice::Again,
        Closed::Remote { code, .. } => match *code {
            close::NORMAL
            | close::POLICY
            | close::PROTOCOL_ERROR
            | close::UNSUPPORTED
            | close::INVALID_UTF8 => Advice::Never,
            close::OVERLOADED => Advice::Later,
            _ => Advice::Again,
        },
    }
}

pub(super) fn after_refusal(error: &ConnectError) -> Advice {
    match error {
        ConnectError::Refused {
            status,
            retry_after,
        } => match (status, retry_after) {
            (400 | 401 | 403 | 404, _) => Advice::Elsewhere,
            (_, Some(wait)) => Advice::After(*wait),
            (503, None) => Advice::Later,
            _ => Advice::Again,
        },
        ConnectError::Closed(closed) => after_close(closed),
        ConnectError::Url { .. } | ConnectError::Tls(_) => Advice::Elsewhere,
        ConnectError::Io { .. } | ConnectError::Handshake(_) | ConnectError::Timeout { .. } => {
            Advice::Again
        }
    }
}
