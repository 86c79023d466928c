//! Error codes of answers and close codes of connections.

/// Why a command failed. The names are fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum ErrorCode {
    BadJson,
    UnknownOp,
    BadField,
    NotSubscribed,
    AlreadySubscribed,
    TooLarge,
    Limit,
    RateLimited,
    Forbidden,
    Unavailable,
    UnknownOutcome,
    Deadline,
    UnknownMethod,
    Rejected,
}

/// WebSocket close codes used by this protocol.
pub mod close {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// The node shuts down.
    pub const SHUTDOWN: u16 = 1001;
}
