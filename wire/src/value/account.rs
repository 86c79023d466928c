//! What a subscription got, lost and still waits for.
use serde::{Deserialize, Serialize};

/// Counts of publications since a subscription's start position, in its epoch.
///
/// Law: `published` is the sum of all the others, at any instant; [`Ledger::residual`] is 0.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ledger {
    /// What the topic or pattern got.
    pub published: u64,
    /// Handed to the kernel whole.
    pub delivered: u64,
    /// Left out by the rate that was asked for.
    pub filtered_by_rate: u64,
    /// Skipped because a newer one of the key superseded it.
    pub conflated: u64,
    /// Lost to a bound.
    pub dropped: Dropped,
    /// Lost to the bound of age.
    pub expired: u64,
    /// Left the log before it was read.
    pub retention: u64,
    /// Still to come.
    pub pending: Pending,
}

/// Losses by what took them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dropped {
    /// By `drop_oldest`.
    pub drop_oldest: u64,
    /// By `drop_newest`.
    pub drop_newest: u64,
    /// By a worker's memory budget.
    pub memory: u64,
}

/// What is still to come, by where it waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pending {
    /// In the worker.
    pub memory: u64,
    /// In the log below; `None` where it isn't known, in `replay`, and then it stands as 0 in the law.
    pub spilled: Option<u64>,
}

impl Ledger {
    /// `published` less all the others; 0 unless something was miscounted.
    pub fn residual(&self) -> i64 {
        let accounted = self.delivered
            + self.filtered_by_rate
            + self.conflated
            + self.dropped.drop_oldest
            + self.dropped.drop_newest
            + self.dropped.memory
            + self.expired
            + self.retention
            + self.pending.memory
            + self.pending.spilled.unwrap_or(0);
        self.published.wrapping_sub(accounted) as i64
    }
}

/// Why entries are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The bound was reached and the oldest went.
    DropOldest,
    /// The bound was reached and the arrivals went.
    DropNewest,
    /// They grew older than the bound of age.
    Expired,
    /// The worker's memory budget was short.
    Memory,
    /// They left the log before they were read.
    Retention,
    /// The position asked for never was in this log.
    Epoch,
}

impl GapReason {
    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Expired => "expired",
            Self::Memory => "memory",
            Self::Retention => "retention",
            Self::Epoch => "epoch",
        }
    }
}

/// A hole in a subscription's stream: everything of it in `from..=to` was lost and nothing outside.
///
/// `E` is however the epoch is held: borrowed or shared by an engine, owned by a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Gap<E = String> {
    /// First offset of the hole, where known.
    pub from: Option<i64>,
    /// Last offset of the hole, where known.
    pub to: Option<i64>,
    /// How many entries were lost, where known.
    pub count: Option<u64>,
    /// Why.
    pub reason: GapReason,
    /// Epoch of the position after which messages follow.
    pub epoch: E,
    /// Offset of the position after which messages follow.
    pub offset: i64,
}

/// How a subscription keeps up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It gets every message as it comes.
    Live,
    /// It has passed half of a bound and not come below a quarter since.
    Behind,
    /// It reads history and has not reached the head.
    Replay,
}

impl Mode {
    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Behind => "behind",
            Self::Replay => "replay",
        }
    }
}

/// How far behind a subscription is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lag {
    /// Messages pending.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Age of the oldest.
    pub age_ms: u64,
}

/// Why a server asks its clients to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GoawayReason {
    /// The node stops.
    Shutdown,
    /// The worker is replaced.
    Restart,
    /// The worker has more than its share.
    Rebalance,
}

impl GoawayReason {
    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "shutdown",
            Self::Restart => "restart",
            Self::Rebalance => "rebalance",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_closes_only_when_everything_is_accounted_for() {
        let mut ledger = Ledger {
            published: 55,
            delivered: 1,
            filtered_by_rate: 2,
            conflated: 3,
            dropped: Dropped {
                drop_oldest: 4,
                drop_newest: 5,
                memory: 6,
            },
            expired: 7,
            retention: 8,
            pending: Pending {
                memory: 9,
                spilled: Some(10),
            },
        };
        assert_eq!(ledger.residual(), 0);
        ledger.delivered += 3;
        assert_eq!(ledger.residual(), -3);
        ledger.pending.spilled = None;
        assert_eq!(ledger.residual(), 7);
    }
}
