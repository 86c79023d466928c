//! What was found, as a table for people and as JSON for scripts.
use crate::child::Pin;
use serde_json::{Value, json};
use std::fmt;

/// What one scenario found.
#[derive(Default)]
pub struct Findings {
    rows: Vec<(String, String)>,
    raw: Vec<Value>,
}

/// What a figure is to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reach {
    /// No more than this.
    Most(f64),
    /// No less than this.
    Least(f64),
}

impl Reach {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::Most(most) => value <= most,
            Self::Least(least) => value >= least,
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Most(most) => write!(f, "<= {most}"),
            Self::Least(least) => write!(f, ">= {least}"),
        }
    }
}

impl Findings {
    /// One line of the table.
    pub fn say(&mut self, what: impl Into<String>, value: impl Into<String>) {
        self.rows.push((what.into(), value.into()));
    }

    /// A line of a figure that is to reach something; `more` stands behind it.
    pub fn judge(&mut self, what: impl Into<String>, value: f64, reach: Reach, more: &str) {
        let what = what.into();
        let (verdict, colon) = (
            if reach.is_met(value) { "met" } else { "MISSED" },
            if more.is_empty() { "" } else { ": " },
        );
        self.keep(
            json!({"what": what, "value": value, "reach": reach.to_string(), "verdict": verdict}),
        );
        self.say(
            what,
            format!("{} (reach {reach}, {verdict}){colon}{more}", short(value)),
        );
    }

    /// The figures don't count, for these reasons; none: they do.
    pub fn doubt(&mut self, doubts: &[String]) {
        for doubt in doubts {
            self.say("INVALID", doubt.as_str());
        }
    }

    /// Something for the JSON only.
    pub fn keep(&mut self, value: Value) {
        self.raw.push(value);
    }
}

/// All findings of a run.
pub struct Table {
    pin: Pin,
    machine: String,
    scenes: Vec<(String, String, Result<Findings, String>)>,
}

impl Table {
    /// Empty.
    pub fn new(pin: Pin) -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            pin,
            machine: format!("{cores} cores, Linux {}", kernel.trim()),
            scenes: Vec::new(),
        }
    }

    /// Adds what a scenario found, or why it found nothing.
    pub fn add(&mut self, name: &str, what: &str, findings: Result<Findings, String>) {
        self.scenes
            .push((name.to_owned(), what.to_owned(), findings));
    }

    /// As JSON.
    pub fn json(&self) -> String {
        let scene = |(name, what, findings): &(String, String, Result<Findings, String>)| {
            match findings {
                Ok(findings) => {
                    json!({"scenario": name, "what": what, "findings": findings.rows, "raw": findings.raw})
                }
                Err(why) => json!({"scenario": name, "what": what, "failed": why}),
            }
        };
        let scenes: Vec<Value> = self.scenes.iter().map(scene).collect();
        let pinned = self.pin == Pin::Apart;
        format!(
            "{:#}\n",
            json!({"machine": self.machine, "pinned": pinned, "scenarios": scenes})
        )
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pinned = match self.pin {
            Pin::Nowhere => "nothing pinned",
            Pin::Apart => "server on core 0, subscribers and publishers on core 1",
        };
        writeln!(f, "\n{}; {pinned}", self.machine)?;
        for (name, what, findings) in &self.scenes {
            writeln!(f, "\n{name}: {what}")?;
            match findings {
                Ok(findings) => {
                    for (what, value) in &findings.rows {
                        writeln!(f, "  {what:48} {value}")?;
                    }
                }
                Err(why) => writeln!(f, "  failed: {why}")?,
            }
        }
        Ok(())
    }
}

/// The middle of several numbers.
pub fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    match numbers.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => numbers[n / 2],
        n => f64::midpoint(numbers[n / 2 - 1], numbers[n / 2]),
    }
}

/// A figure with as many digits as say something.
fn short(value: f64) -> String {
    match value.abs() {
        v if v < 10.0 => format!("{value:.3}"),
        v if v < 1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Milliseconds as a person reads them; what never came is infinite.
pub fn ms(value: Option<f64>) -> String {
    value.map_or("infinite".to_owned(), |ms| format!("{ms:.1} ms"))
}
