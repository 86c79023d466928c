//! What so many connections need of a machine, what it has, and how to change that: `pubsub-server check --system` and
//! `pubsub-load doctor`.
//!
//! In reading order:
//! - [`asked`]: the flags that both programs have for it
//! - [`plan`]: how many connections, in how many processes, at which ends
//! - [`machine`], with [`memory`] and `group`: what there is, read from files under any root
//! - [`cost`]: what a connection was measured to cost
//! - [`need`]: what is needed, why, and how to get it; one item for each limit
//! - [`profile`]: the files of settings beside this crate
//! - [`report`]: the answer, for people and as JSON
//!
//! Laws: what cannot be read is said to be unknown and is never held against a machine; nothing is changed by looking.
pub mod asked;
pub mod cost;
mod group;
pub mod machine;
pub mod memory;
pub mod need;
pub mod plan;
pub mod profile;
pub mod report;

pub use asked::Asked;
pub use machine::Machine;
pub use plan::{Ends, Plan};
pub use report::{Form, Report};

/// Holds what a machine has against what a plan needs.
pub fn check(machine: &Machine, plan: &Plan) -> Report {
    Report::new(plan, need::items(machine, plan))
}
