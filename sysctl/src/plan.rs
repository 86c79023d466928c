//! What a machine is to carry.
//!
//! Owns the division of connections among processes. Must not contain: what the machine has.

use crate::cost;
use serde::Serialize;

/// Which ends of the connections are on the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Ends {
    /// A node alone.
    Server,
    /// A load generator alone.
    Load,
    /// A node and a load generator beside it.
    Both,
}

impl Ends {
    /// The node is here.
    pub fn has_server(self) -> bool {
        self != Self::Load
    }

    /// The load generator is here.
    pub fn has_load(self) -> bool {
        self != Self::Server
    }

    /// How many ends of one connection are here.
    pub fn count(self) -> u64 {
        u64::from(self.has_server()) + u64::from(self.has_load())
    }
}

/// What a machine is to carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Connections.
    pub connections: u64,
    /// Which ends of them.
    pub ends: Ends,
    /// Workers of the node.
    pub workers: u64,
    /// What the node's log and its workers' rings may take, bytes.
    pub budgets: u64,
    /// Connections that the node's configuration allows; `None`: as many as the machine does.
    pub allowed: Option<u64>,
}

impl Plan {
    /// A node as it is without any configuration, of so many workers.
    pub fn usual(connections: u64, ends: Ends, workers: u64) -> Self {
        Self {
            connections,
            ends,
            workers,
            budgets: cost::LOG_BYTES.saturating_add(workers.saturating_mul(cost::RING_BYTES)),
            allowed: None,
        }
    }

    /// Connections of one worker: the accept gate spreads them evenly.
    pub(crate) fn per_worker(&self) -> u64 {
        self.connections.div_ceil(self.workers.max(1))
    }
}
