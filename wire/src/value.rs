//! The values that travel in both directions: settings, positions, ledgers, gaps.
//!
//! Owns their shapes, their JSON as the server writes it (serde; none of it is on the hot path but what `encode` writes
//! by hand) and the arithmetic that belongs to a value alone. Strict reading of commands is `command`'s.
mod account;
mod from;

pub use account::{Dropped, Gap, GapReason, GoawayReason, Lag, Ledger, Mode, Pending};
pub use from::{Else, From, PartPosition};

use crate::limits::Limits;
use serde::{Deserialize, Serialize};

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

impl Overflow {
    /// Every policy.
    pub const ALL: [Self; 5] = [
        Self::DropOldest,
        Self::DropNewest,
        Self::Conflate,
        Self::Spill,
        Self::Disconnect,
    ];

    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DropOldest => "drop_oldest",
            Self::DropNewest => "drop_newest",
            Self::Conflate => "conflate",
            Self::Spill => "spill",
            Self::Disconnect => "disconnect",
        }
    }
}

/// Which entries of a key a rate lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateMode {
    /// Every one.
    All,
    /// On a fixed grid, the newest since the last tick.
    Sample,
    /// The first at once, then at each interval the newest; the last is always sent.
    Throttle,
    /// The first of each interval.
    ThrottleFirst,
    /// The newest once nothing came for the interval.
    Debounce,
}

impl RateMode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::All,
        Self::Sample,
        Self::Throttle,
        Self::ThrottleFirst,
        Self::Debounce,
    ];

    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Sample => "sample",
            Self::Throttle => "throttle",
            Self::ThrottleFirst => "throttle_first",
            Self::Debounce => "debounce",
        }
    }
}

/// When a rate acts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At all times but in `replay`.
    #[default]
    Always,
    /// Only while the subscription is behind.
    Behind,
}

impl When {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Always, Self::Behind];

    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Behind => "behind",
        }
    }
}

/// A rate, per key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rate {
    /// Which entries pass.
    pub mode: RateMode,
    /// The interval; 0 with mode `all`, which has none, and at least 1 otherwise.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ms: u64,
    /// For `debounce`, which needs it: an entry waits no longer than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_wait_ms: Option<u64>,
    /// When it acts.
    #[serde(default)]
    pub when: When,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // the shape serde asks for
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What makes a batch due; at least one is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Batch {
    /// Time since its first item.
    pub ms: Option<u64>,
    /// Items.
    pub messages: Option<u64>,
    /// Bytes of frames.
    pub bytes: Option<u64>,
}

/// How much may be pending. In a command `None` is "not named", in settings "off".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Bound {
    /// Messages.
    pub messages: Option<u64>,
    /// Bytes of frames as sent.
    pub bytes: Option<u64>,
    /// Age since this node had it.
    pub age_ms: Option<u64>,
}

impl Bound {
    /// This bound, with `default` where nothing is named, and no more than `limits` allow.
    #[must_use]
    pub fn resolve(self, default: Self, limits: &Limits) -> Self {
        let pick = |named: Option<u64>, default: Option<u64>, max: u64| {
            named.or(default).map(|value| value.min(max))
        };
        Self {
            messages: pick(self.messages, default.messages, limits.bound.messages),
            bytes: pick(self.bytes, default.bytes, limits.bound.bytes),
            age_ms: pick(self.age_ms, default.age_ms, limits.bound.age_ms),
        }
    }
}

/// A subscription's settings as they act; `None` is off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where it began.
    pub from: From,
    /// Its rate.
    pub rate: Option<Rate>,
    /// Its batches.
    pub batch: Option<Batch>,
    /// Its bound.
    pub bound: Bound,
    /// What gives when the bound is reached.
    pub overflow: Overflow,
    /// What it may still be sent; `None` is unlimited.
    pub credit: Option<u64>,
}

/// The first message of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// Name of the session, in the node's logs and lists.
    pub session: String,
    /// Name of the node.
    pub node: String,
    /// Slot of the worker.
    pub worker: u32,
    /// Nothing received for this long: the server sends a ping frame.
    pub heartbeat_ms: u64,
    /// What this connection may ask for.
    pub limits: Limits,
}
