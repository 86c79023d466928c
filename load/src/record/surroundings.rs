//! What a run took place in: what was asked of it, the machine, its limits, the versions. Pure data.
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a run was to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Where to, secrets cut.
    pub urls: Vec<String>,
    /// What its connections subscribed to, in turn.
    pub subscriptions: Vec<Subscription>,
    /// What its connections called, where they called.
    #[serde(default)]
    pub method: Option<String>,
    /// Connections that it was to reach.
    pub clients: u64,
    /// How long it was to take.
    pub duration_s: f64,
}

/// What a connection subscribed to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Subscription {
    /// Topic or pattern.
    pub topic: String,
    /// Further fields of the `subscribe` command.
    pub settings: Map<String, Value>,
}

/// A machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// Cores that the generator may use.
    pub cores: u64,
    /// As the processor names itself.
    pub cpu: Option<String>,
    /// Memory in all.
    pub memory_bytes: Option<u64>,
    /// Operating system and release of its kernel.
    pub kernel: String,
}

/// What a machine allows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open files of the generator's process; `null`: no limit.
    pub files_soft: Option<u64>,
    /// As far as it may raise that by itself; `null`: no limit.
    pub files_hard: Option<u64>,
    /// Connections that may wait for an `accept`.
    pub somaxconn: Option<u64>,
    /// Memory of all TCP sockets: low, pressure, most.
    pub tcp_mem_bytes: Option<[u64; 3]>,
    /// First and last port that outgoing connections are given.
    pub port_range: Option<[u64; 2]>,
}

/// Who took part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// This program's.
    pub tool: String,
    /// The server's, where its status could be read.
    pub server: Option<String>,
    /// The node's name, where its status could be read.
    pub node: Option<String>,
}
