//! The sizes a node allows, told in `welcome`.
use serde::{Deserialize, Serialize};

/// Limits of one connection. Units are in the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest inbound frame or reassembled message, bytes.
    pub frame_bytes: usize,
    /// Longest topic, bytes.
    pub topic_bytes: usize,
    /// Most tokens in a topic.
    pub tokens: usize,
    /// Longest key, bytes.
    pub key_bytes: usize,
    /// Longest `id`, bytes.
    pub id_bytes: usize,
    /// Most subscriptions of one session.
    pub subscriptions: usize,
    /// Largest bounds a subscription may ask for.
    pub bound: BoundLimits,
}

/// The largest bound a subscription may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundLimits {
    /// Messages.
    pub messages: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Age, milliseconds.
    pub age_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_bytes: 256 * 1024,
            topic_bytes: 255,
            tokens: 16,
            key_bytes: 255,
            id_bytes: 64,
            subscriptions: 1000,
            bound: BoundLimits {
                messages: 100_000,
                bytes: 64 << 20,
                age_ms: 600_000,
            },
        }
    }
}
