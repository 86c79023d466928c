//! A whole run as data: what was asked, on what, what each line measured, what each group got, and what it is worth.
//!
//! Pure: it is told everything, also the time. `--json` writes it as it is, the report is drawn from nothing else.
//!
//! - [`Run`]: the whole; `line`, `calls`, `group`, `outcome`, `surroundings`: its parts
//! - [`latency`]: a latency that may be for ever
//! - [`recorder`]: gathers the lines while a run goes on. [`roles`]: what groups of processes cost
//! - [`secret`], [`time`]: what is cut from a command line, and how a moment is written
//!
//! Laws: a field is added, never changed, within a schema; every name ends with its unit; what is not known is `null`, never 0;
//! nothing that grants access to a server is in it. docs/load-report.md names every field.
mod calls;
mod group;
pub mod latency;
mod line;
mod outcome;
pub mod recorder;
mod roles;
pub mod secret;
mod surroundings;
pub mod time;

pub use calls::Calls;
pub use group::{Group, Staleness};
pub use latency::Latency;
pub use line::{
    Beside, Connections, Line, Machine as MachineLoad, Messages, Own, Percentiles, Role, Server,
};
pub use outcome::{Books, Cause, Condition, End, Kind, PerConnection, Verdict, causes};
pub use recorder::Recorder;
pub use roles::roles;
pub use surroundings::{Asked, Limits, Machine, Subscription, Versions};

use serde::{Deserialize, Serialize};

/// Name and version of the shape of [`Run`].
pub const SCHEMA: &str = "pubsub-load.run/1";

/// A run from its command line to its verdict.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA`].
    pub schema: String,
    /// The command line, secrets cut.
    pub command: Vec<String>,
    /// When it began, RFC 3339, UTC.
    pub begun: String,
    /// How long it took until the last line ended.
    pub duration_s: f64,
    /// How it came to its end.
    pub end: End,
    /// What it was to do, as far as a reader needs it.
    pub asked: Asked,
    /// The machine of the generator.
    pub machine: Machine,
    /// What that machine allows.
    pub limits: Limits,
    /// Who took part.
    pub versions: Versions,
    /// One for every line of the report, in order.
    pub lines: Vec<Line>,
    /// What each group of connections got; the first is the healthy one.
    pub groups: Vec<Group>,
    /// Troubles, grouped by what caused them, the most frequent first within a kind.
    pub errors: Vec<Cause>,
    /// What it is worth.
    pub verdict: Verdict,
}
