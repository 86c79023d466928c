//! `pubsub-load orders`: connections that call instead of subscribing.
use super::common::CommonArgs;
use super::{LINE, Ramp};
use crate::clock;
use crate::failure::Failure;
use crate::scenario;
use crate::swarm::{CallPlan, Method};
use crate::units::{Span, Spans};
use clap::{Args, ValueEnum};
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Executions that a request may have.
const ROWS: RangeInclusive<usize> = 1..=10;

/// Bytes of a symbol at most.
const SYMBOL_MAX: usize = 32;

pub(super) const EXAMPLES: &str = "\
Examples:
  pubsub-load orders --connections 1000 --every 50..300ms --rows 10
  pubsub-load orders --connections 100 --every 10ms --method order.submit --symbol AAPL --duration 5m
  pubsub-load orders --connections 1000 --deadline 100ms --threshold 'p99<20ms,errors==0,skipped==0'

Each connection's next call is planned beforehand, drawn evenly from --every and counted from when the last one was due; it waits for no
answer, and its latency counts from when it was due. In a line, count is answers, lost is calls refused or not made, overdue is calls
unanswered for more than 5 s: percentiles are over all calls that were due. A call beyond --in-flight is not made, counted, and makes the
run no measurement. Every answer is compared with its call; a wrong one ends in exit code 1. Errors are counted by their code.";

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Called {
    /// The 2012 prototype's request, which comes back without its executions
    #[value(name = "order.echo")]
    Echo,
    /// A market order, each with an id of its own
    #[value(name = "order.submit")]
    Submit,
}

#[derive(Debug, Clone, Args)]
pub(super) struct OrdersArgs {
    /// Connections
    #[arg(long, value_name = "N", default_value = "100")]
    connections: NonZeroUsize,
    /// Time from one call of a connection to its next: MIN..MAX, drawn anew each time, or always the same
    #[arg(long, value_name = "TIME", default_value = "50..300ms")]
    every: Spans,
    /// What is called
    #[arg(long, value_name = "METHOD", default_value = "order.echo")]
    method: Called,
    /// Executions in a request of order.echo, 1 to 10
    #[arg(long, value_name = "N", default_value = "10")]
    rows: usize,
    /// What orders of order.submit are for
    #[arg(long, default_value = "AAPL")]
    symbol: String,
    /// How long an answer is of use; the server answers `deadline` after that
    #[arg(long, value_name = "TIME")]
    deadline: Option<Span>,
    /// Calls of a connection that may be unanswered
    #[arg(long, value_name = "N", default_value = "64")]
    in_flight: NonZeroUsize,
    /// Time with all connections, from the moment when the last one is to have been begun
    #[arg(long, value_name = "TIME", default_value = "60s")]
    duration: Span,
    /// Time from line to line in the report
    #[arg(long, value_name = "TIME", default_value = "15s")]
    line: Span,
    #[command(flatten)]
    common: CommonArgs,
}

impl OrdersArgs {
    pub(super) fn meant(
        self,
        environment: &impl Fn(&str) -> Option<String>,
    ) -> Result<Ramp, Failure> {
        if self.line.0 < LINE {
            return Err(Failure::usage(format!(
                "--line {:?}: expected at least {LINE:?}",
                self.line.0
            )));
        }
        let calls = CallPlan {
            method: self.method()?,
            every_ns: ns(self.every.least)?..=ns(self.every.most)?,
            in_flight: self.in_flight,
            deadline_ms: self.deadline.map(deadline_ms).transpose()?,
        };
        let plan = scenario::Plan::soak(
            self.connections.get(),
            self.common.rate_of_connects,
            self.line.0,
            self.duration.0,
        );
        let mut ramp = self
            .common
            .meant(plan, Vec::new(), Vec::new(), environment)?;
        ramp.calls = Some(calls);
        Ok(ramp)
    }

    fn method(&self) -> Result<Method, Failure> {
        if !ROWS.contains(&self.rows) {
            return Err(Failure::usage(format!(
                "--rows {}: expected {} to {}",
                self.rows,
                ROWS.start(),
                ROWS.end()
            )));
        }
        if self.symbol.is_empty() || self.symbol.len() > SYMBOL_MAX {
            return Err(Failure::usage(format!(
                "--symbol {:?}: expected 1 to {SYMBOL_MAX} bytes",
                self.symbol
            )));
        }
        Ok(match self.method {
            Called::Echo => Method::Echo { rows: self.rows },
            Called::Submit => Method::Submit {
                symbol: self.symbol.clone(),
                // No two runs begin in the same microsecond.
                run: format!("{:x}", clock::wall_us()),
            },
        })
    }
}

fn ns(time: Duration) -> Result<u64, Failure> {
    match u64::try_from(time.as_nanos()) {
        Ok(ns) if ns > 0 => Ok(ns),
        _ => Err(Failure::usage(format!(
            "--every {time:?}: expected a time above 0"
        ))),
    }
}

fn deadline_ms(deadline: Span) -> Result<u64, Failure> {
    let ms = u64::try_from(deadline.0.as_millis())
        .ok()
        .and_then(NonZeroU64::new);
    ms.map(NonZeroU64::get).ok_or_else(|| {
        Failure::usage(format!(
            "--deadline {:?}: expected at least 1ms",
            deadline.0
        ))
    })
}
