//! The flags of a look at the machine.
//!
//! Owns their names and help, which are the same in both programs. Must not contain: what follows from them.

use crate::plan::Ends;
use crate::report::Form;
use std::num::NonZeroU32;

/// What is asked about when nobody says: the connections of the load generator's usual ramp.
const CONNECTIONS: u64 = 10_000;

/// How the machine is to be looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::Args)]
pub struct Asked {
    /// Connections that the machine is to have [default: 10000]
    #[arg(long, value_name = "N")]
    connections: Option<NonZeroU32>,
    /// Which ends of them are on this machine [default: both]
    #[arg(long, value_name = "ENDS", value_enum)]
    ends: Option<Ends>,
    /// As JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Asked {
    /// How many connections the machine is to have.
    pub fn connections(&self) -> u64 {
        self.connections
            .map_or(CONNECTIONS, |connections| connections.get().into())
    }

    /// Which ends of them are on it.
    pub fn ends(&self) -> Ends {
        self.ends.unwrap_or(Ends::Both)
    }

    /// How the answer is wanted.
    pub fn form(&self) -> Form {
        if self.json { Form::Json } else { Form::Table }
    }
}
