//! Error codes of answers and close codes of connections.
//!
//! Owns the names and numbers and nothing else; they are fixed, since scripts and clients hang on them.
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The frame is no JSON object, or nests too deeply.
    BadJson,
    /// `op` names no command.
    UnknownOp,
    /// A field is unknown, missing, given twice, of a wrong type or out of range.
    BadField,
    /// This session has no subscription of that text.
    NotSubscribed,
    /// This session has a subscription of that text already.
    AlreadySubscribed,
    /// A key or an id is over its limit.
    TooLarge,
    /// A table is full: subscriptions of the session, topics of the node.
    Limit,
    /// More commands or publications than the session may send.
    RateLimited,
    /// The session, or anybody but the node, may not do this.
    Forbidden,
    /// Not done; worth trying again.
    Unavailable,
    /// It may have been done or not: the answer was lost.
    UnknownOutcome,
    /// Not done in time, and it will not be done.
    Deadline,
    /// `call` names no method.
    UnknownMethod,
    /// Understood and refused.
    Rejected,
}

impl ErrorCode {
    /// Every code, in the order of the protocol's list.
    pub const ALL: [Self; 14] = [
        Self::BadJson,
        Self::UnknownOp,
        Self::BadField,
        Self::NotSubscribed,
        Self::AlreadySubscribed,
        Self::TooLarge,
        Self::Limit,
        Self::RateLimited,
        Self::Forbidden,
        Self::Unavailable,
        Self::UnknownOutcome,
        Self::Deadline,
        Self::UnknownMethod,
        Self::Rejected,
    ];

    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::UnknownOp => "unknown_op",
            Self::BadField => "bad_field",
            Self::NotSubscribed => "not_subscribed",
            Self::AlreadySubscribed => "already_subscribed",
            Self::TooLarge => "too_large",
            Self::Limit => "limit",
            Self::RateLimited => "rate_limited",
            Self::Forbidden => "forbidden",
            Self::Unavailable => "unavailable",
            Self::UnknownOutcome => "unknown_outcome",
            Self::Deadline => "deadline",
            Self::UnknownMethod => "unknown_method",
            Self::Rejected => "rejected",
        }
    }

    /// The code of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// WebSocket close codes used by this protocol: RFC 6455 section 7.4.1, and its private range from 4000 on.
pub mod close {
    /// Done.
    pub const NORMAL: u16 = 1000;
    /// The node shuts down.
    pub const SHUTDOWN: u16 = 1001;
    /// The peer broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// A binary frame; this protocol is text.
    pub const UNSUPPORTED: u16 = 1003;
    /// A text frame that is not UTF-8.
    pub const INVALID_UTF8: u16 = 1007;
    /// Against the rules of this node: don't return.
    pub const POLICY: u16 = 1008;
    /// A frame or message over the limit.
    pub const TOO_BIG: u16 = 1009;
    /// A fault of the node's own.
    pub const INTERNAL: u16 = 1011;
    /// The worker restarts or sheds load: return after the time that `goaway` named.
    pub const RESTART: u16 = 1012;
    /// The node is full: return later.
    pub const OVERLOADED: u16 = 1013;
    /// A subscription with overflow `disconnect` passed its bound, or the socket took nothing: return and resume.
    pub const SLOW_CONSUMER: u16 = 4001;
    /// Nothing was received for three heartbeats.
    pub const HEARTBEAT: u16 = 4002;
    /// The answers the peer didn't read passed the control lane's bound.
    pub const CONTROL_OVERFLOW: u16 = 4003;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_travels_under_one_name_everywhere() {
        for code in ErrorCode::ALL {
            assert_eq!(
                serde_json::to_string(&code).unwrap(),
                format!("\"{}\"", code.as_str())
            );
            assert_eq!(ErrorCode::from_name(code.as_str()), Some(code));
        }
        assert_eq!(ErrorCode::from_name("nonsense"), None);
    }
}
