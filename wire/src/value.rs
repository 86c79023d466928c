//! Settings, ledgers, gaps: the values that travel in both directions.
use serde::{Deserialize, Serialize};

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// At the head.
    Live,
    /// At the oldest entry that the log still holds.
    Earliest,
    /// With the newest entry of every key, in log order, then live.
    Last,
    /// With the newest `n` entries, in order.
    Recent(u64),
    /// After a position that was received before.
    After {
        /// The epoch the position belongs to.
        epoch: String,
        /// The last offset that was received.
        offset: i64,
        /// Where to begin when that is gone.
        otherwise: Else,
    },
    /// After a vector of positions, for a pattern over several partitions.
    Positions {
        /// One position per partition; a partition not named starts live.
        positions: Vec<PartPosition>,
        /// Where to begin when one of them is gone.
        otherwise: Else,
    },
}

/// A position in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartPosition {
    /// Partition number.
    pub part: u32,
    /// The partition's epoch.
    pub epoch: String,
    /// Offset in the partition.
    pub offset: i64,
}

/// Where a subscription begins when the position it asked for is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Else {
    /// At the oldest entry held.
    #[default]
    Earliest,
    /// With the newest of every key.
    Last,
    /// At the head.
    Live,
}

/// What gives when a bound is reached; an overflow policy names what dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overflow {
    /// The oldest pending entries.
    DropOldest,
    /// The arrivals.
    DropNewest,
    /// Entries that a newer one of their key supersedes.
    Conflate,
    /// Nothing: the cursor falls behind in the log.
    Spill,
    /// The connection.
    Disconnect,
}
