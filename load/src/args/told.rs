//! How a run is told to people and programs: the flags that all commands share which have lines.
use clap::Args;
use std::path::PathBuf;

/// What a run leaves and shows besides its lines.
#[derive(Debug, Clone, Default, Args)]
pub struct Told {
    /// File for the whole run as one JSON object: command, machine, limits, versions, every line, groups, verdict
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// File for a report to look at and to hand on: one HTML page with plots, which opens without network
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Signs of life in lines, also on a terminal
    #[arg(long)]
    pub no_tui: bool,
    /// The command line, as typed.
    #[arg(skip)]
    pub command: Vec<String>,
}
