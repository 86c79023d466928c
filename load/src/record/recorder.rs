//! Gathers the lines of a run while it goes on, and makes the whole of them at its end. Pure: it is told the time.
use super::line::{Beside, Line};
use super::outcome::{self, Condition, End, PerConnection};
use super::{Asked, Calls, Group, Limits, Machine, Run, SCHEMA, Verdict, Versions, secret, time};
use crate::ramp::groups::Report;
use crate::ramp::memory;
use crate::ramp::row::Row;
use crate::ramp::verdict;
use crate::swarm::{Counters, Tally};

/// What is known of a run before its first line.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Beginning {
    /// The command line, as typed.
    pub command: Vec<String>,
    /// When it began, microseconds since the Unix epoch.
    pub wall_us: u64,
    /// What it is to do.
    pub asked: Asked,
    /// The machine.
    pub machine: Machine,
    /// What it allows.
    pub limits: Limits,
    /// Who takes part.
    pub versions: Versions,
}

/// What a run comes to.
#[derive(Debug, Clone, Copy)]
pub struct Ending<'a> {
    /// How it came to its end.
    pub end: End,
    /// What happened.
    pub counters: &'a Counters,
    /// All lines' latencies.
    pub whole: &'a Tally,
    /// What each group got.
    pub groups: &'a [Report],
    /// What each connection costs in memory, where that is known.
    pub memory: Option<memory::PerConnection>,
    /// What is said of it.
    pub verdict: &'a verdict::Verdict,
}

/// A run under way.
#[derive(Debug, Clone)]
pub struct Recorder {
    beginning: Beginning,
    lines: Vec<Line>,
}

impl Recorder {
    /// Of a run that begins.
    pub fn new(beginning: Beginning) -> Self {
        Self {
            beginning,
            lines: Vec::new(),
        }
    }

    /// A line has ended.
    pub fn line(&mut self, row: &Row, beside: Beside) -> &Line {
        self.lines.push(Line::new(row, beside));
        &self.lines[self.lines.len() - 1]
    }

    /// The whole.
    pub fn end(self, ending: &Ending<'_>) -> Run {
        let Beginning {
            command,
            wall_us,
            mut asked,
            machine,
            limits,
            versions,
        } = self.beginning;
        asked
            .urls
            .iter_mut()
            .for_each(|url| *url = secret::cut(url));
        Run {
            schema: SCHEMA.to_owned(),
            command: command.iter().map(|word| secret::cut(word)).collect(),
            begun: time::rfc3339(wall_us),
            duration_s: self.lines.last().map_or(0.0, |line| line.at_s),
            end: ending.end,
            asked,
            machine,
            limits,
            versions,
            groups: ending.groups.iter().map(Group::new).collect(),
            errors: outcome::causes(ending.counters),
            verdict: verdict_of(ending, &self.lines),
            lines: self.lines,
        }
    }
}

fn verdict_of(ending: &Ending<'_>, lines: &[Line]) -> Verdict {
    let verdict = ending.verdict;
    let calls = &ending.counters.calls;
    Verdict {
        code: verdict.code,
        valid: verdict.reasons().is_empty(),
        reasons: verdict.reasons().to_vec(),
        lines_invalid: lines.iter().filter(|line| !line.valid).count() as u64,
        latency_ms: outcome::percentiles(ending.whole),
        received: ending.counters.received,
        books: outcome::Books::new(&ending.counters.books),
        calls: (calls.due() > 0).then(|| Calls::new(calls)),
        per_connection: ending.memory.map(PerConnection::new),
        thresholds: verdict.held().iter().map(Condition::new).collect(),
        summary: verdict.lines().to_vec(),
    }
}
