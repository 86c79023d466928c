//! What every command that measures a server has in common: where to connect, from where, over how many processes, and where the
//! report goes.
use super::{Ramp, ServerPid, Slow, Told, from_environment, server_pid, target};
use crate::failure::Failure;
use crate::fleet::spread::Processes;
use crate::scenario;
use crate::swarm::{SOURCES_MAX, Subscription};
use crate::threshold::Threshold;
use crate::units::{Rate, Span};
use clap::Args;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Where to connect, unless told otherwise.
const URL: &str = "ws://127.0.0.1:8124/ws";

/// Servers at most.
const TARGETS_MAX: usize = 64;

/// Latencies of which the prototype's two columns are the mean.
const OUTLIERS: usize = 10;

#[derive(Debug, Clone, Args)]
pub(super) struct CommonArgs {
    /// Where to connect. With several, connections are dealt out to them in turn
    #[arg(long, default_value = URL)]
    url: Vec<String>,
    /// Pace at which connections are begun
    #[arg(long, value_name = "RATE", default_value = "2000/s")]
    pub(super) rate_of_connects: Rate,
    /// Loopback addresses to connect from, 127.0.0.1 and up [default: one for two fifths of the local ports, and no more than 20,000 connections]
    #[arg(long, alias = "sources", value_name = "N")]
    source_addresses: Option<NonZeroUsize>,
    /// Processes that share the connections, of one thread each: a number, or auto: as many as the limit of open files needs, and
    /// for more than 20,000 connections as there are cores
    #[arg(long, value_name = "N", default_value = "auto")]
    processes: Processes,
    /// File for the report; standard output without it
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// File for the latencies of each line and group, as a log of histograms (format 1.3 of `HdrHistogram`)
    #[arg(long, value_name = "FILE")]
    hdr: Option<PathBuf>,
    /// What the run must hold, as in 'p99<100ms,lost==0,rate>=10000/s'; exit code 99 where it does not. Names: p50, p90, p99, p99.9, max,
    /// mean, `loop_lag` (times); rate, connects (per second); connected, received, lost, overdue, failed, closed, errors, wrong, residual,
    /// unanswered, skipped, invalid (counts). May be given several times
    #[arg(long, value_name = "CONDITIONS")]
    threshold: Vec<Threshold>,
    /// Process of the server, to measure it and all its children: a number, auto (as its control socket says, or who listens on the URL's port) or none
    #[arg(long, value_name = "PID", default_value = "auto")]
    server_pid: String,
    /// Own loop lag (p99) above which a measurement is called invalid
    #[arg(long, value_name = "TIME", default_value = "50ms")]
    lag_limit: Span,
    #[command(flatten)]
    told: Told,
}

impl CommonArgs {
    pub(super) fn meant(
        self,
        plan: scenario::Plan,
        subscriptions: Vec<Subscription>,
        slow: Vec<Slow>,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<Ramp, Failure> {
        if self.url.len() > TARGETS_MAX {
            return Err(Failure::usage(format!(
                "--url: {} times, expected at most {TARGETS_MAX}",
                self.url.len()
            )));
        }
        let targets: Result<Vec<_>, _> = self.url.iter().map(|url| target(url)).collect();
        let sources = self.source_addresses.map(NonZeroUsize::get);
        if let Some(n) = sources.filter(|n| *n > SOURCES_MAX) {
            return Err(Failure::usage(format!(
                "--source-addresses {n}: expected 1 to {SOURCES_MAX}"
            )));
        }
        let server: ServerPid = server_pid(&self.server_pid)?;
        let outliers =
            from_environment(environment, "OUTLIER_SIZE")?.map_or(OUTLIERS, |size| size as usize);
        Ok(Ramp {
            targets: targets?,
            plan,
            subscriptions,
            calls: None,
            slow,
            connects_per_s: self.rate_of_connects.0,
            sources,
            processes: self.processes,
            csv: self.csv,
            hdr: self.hdr,
            thresholds: self.threshold,
            server,
            outliers,
            lag_max: self.lag_limit.0,
            told: self.told,
        })
    }
}
