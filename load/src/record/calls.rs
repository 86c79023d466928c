//! What became of calls, in a line or in a whole run. Pure.
use crate::swarm::CallCounts;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Calls. Those of a line are counted when they are made, and when something becomes of them: that may be in the next line.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calls {
    /// Were to be made.
    pub due: u64,
    /// Answered with what was asked for.
    pub answered: u64,
    /// The sum of what follows.
    pub failed: u64,
    /// Answered with an error, by its code.
    pub refused: BTreeMap<String, u64>,
    /// Answered with something else than what was asked for.
    pub wrong: u64,
    /// Not made: too many were unanswered.
    pub skipped: u64,
    /// Unanswered when their connection ended, or when the run did.
    pub unanswered: u64,
}

impl Calls {
    /// As they were counted.
    pub fn new(counts: &CallCounts) -> Self {
        Self {
            due: counts.due(),
            answered: counts.answered,
            failed: counts.failed(),
            refused: counts.refused.clone(),
            wrong: counts.wrong,
            skipped: counts.skipped,
            unanswered: counts.unanswered,
        }
    }
}
