//! What can go wrong: connecting, asking, and being told no.
use crate::event::Closed;
use pubsub_wire::ErrorCode;
use pubsub_wire::command::FieldError;
use pubsub_wire::server::ErrorMessage;
use std::io;
use std::time::Duration;
use thiserror::Error;

/// Why there is no connection.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The URL is none that can be connected to.
    #[error("{url}: {why}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// A step took too long.
    #[error("{what} took longer than {limit:?}")]
    Timeout {
        /// Which step: the connection (TCP and TLS), or the handshake (upgrade and welcome).
        what: &'static str,
        /// Its limit.
        limit: Duration,
    },
    /// TLS cannot be used as it is set up.
    #[error("TLS: {0}")]
    Tls(String),
    /// No TCP connection, or no TLS over it.
    #[error("cannot connect to {address}: {source}")]
    Io {
        /// Host and port.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The server answered the handshake with something else than an upgrade.
    #[error("the server answered HTTP {status} instead of upgrading to WebSocket")]
    Refused {
        /// HTTP status.
        status: u16,
        /// When it suggests to try again.
        retry_after: Option<Duration>,
    },
    /// What answered is no WebSocket server of this protocol.
    #[error("handshake failed: {0}")]
    Handshake(String),
    /// The connection ended before the server's welcome.
    #[error("no welcome: {0}")]
    Closed(Closed),
}

/// Why a request was not fulfilled.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The server said no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was sent, and the connection was lost before the answer: a publication may be in the log or not. It is not
    /// repeated.
    #[error("the answer was lost: {0}")]
    UnknownOutcome(Closed),
    /// The client has ended before it was sent; or it was a question about what has ended with it.
    #[error("no answer: {0}")]
    Closed(Closed),
    /// There was no connection, or no room on it, in all this time: it was not sent and will not be.
    #[error("not sent within {0:?}")]
    NotSent(Duration),
    /// No answer in time; whether a publication arrived is unknown. Also when a stream of this client isn't read, since
    /// answers come over the same connection.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The data is no JSON that can be sent.
    #[error("data cannot be sent: {0}")]
    Data(String),
}

/// The server's no.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{code}: {}{message}", field.as_deref().map(|field| format!("{field}: ")).unwrap_or_default())]
#[non_exhaustive]
pub struct Refusal {
    /// What kind of error.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub message: String,
    /// The field, with its path.
    pub field: Option<String>,
    /// Several wrong fields at once.
    pub fields: Vec<FieldError>,
    /// When to try again.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn local(code: ErrorCode, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            field: None,
            fields: Vec::new(),
            retry_after: None,
        }
    }
}

impl From<ErrorMessage> for Refusal {
    fn from(error: ErrorMessage) -> Self {
        Self {
            code: error.code,
            message: error.message,
            field: error.field,
            fields: error.fields,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
        }
    }
}
