//! `--threshold 'p99<100ms,lost==0'`: what a run must hold, for scripts that go by exit codes. Pure.
use crate::units::{Rate, Span};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a run came to, in the units of its names.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[allow(missing_docs)] // the names say it
pub struct Facts {
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub p999_ms: Option<f64>,
    pub max_ms: Option<f64>,
    pub mean_ms: Option<f64>,
    pub loop_lag_ms: Option<f64>,
    pub rate_per_s: Option<f64>,
    pub connects_per_s: Option<f64>,
    pub connected: u64,
    pub received: u64,
    pub lost: u64,
    pub overdue: u64,
    pub failed: u64,
    pub closed: u64,
    pub errors: u64,
    pub wrong: u64,
    pub residual: u64,
    pub unanswered: u64,
    pub skipped: u64,
    pub invalid: u64,
}

/// What a value is counted in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Milliseconds.
    #[serde(rename = "ms")]
    Time,
    /// So many a second.
    #[serde(rename = "per_s")]
    PerSecond,
    /// A number.
    #[serde(rename = "count")]
    Count,
}

/// What may be asked for.
struct Name {
    text: &'static str,
    unit: Unit,
    of: fn(&Facts) -> Option<f64>,
}

const fn time(text: &'static str, of: fn(&Facts) -> Option<f64>) -> Name {
    let unit = Unit::Time;
    Name { text, unit, of }
}

const fn per_s(text: &'static str, of: fn(&Facts) -> Option<f64>) -> Name {
    let unit = Unit::PerSecond;
    Name { text, unit, of }
}

const fn count(text: &'static str, of: fn(&Facts) -> Option<f64>) -> Name {
    let unit = Unit::Count;
    Name { text, unit, of }
}

const NAMES: [Name; 21] = [
    time("p50", |facts| facts.p50_ms),
    time("p90", |facts| facts.p90_ms),
    time("p99", |facts| facts.p99_ms),
    time("p99.9", |facts| facts.p999_ms),
    time("max", |facts| facts.max_ms),
    time("mean", |facts| facts.mean_ms),
    time("loop_lag", |facts| facts.loop_lag_ms),
    per_s("rate", |facts| facts.rate_per_s),
    per_s("connects", |facts| facts.connects_per_s),
    count("connected", |facts| Some(facts.connected as f64)),
    count("received", |facts| Some(facts.received as f64)),
    count("lost", |facts| Some(facts.lost as f64)),
    count("overdue", |facts| Some(facts.overdue as f64)),
    count("failed", |facts| Some(facts.failed as f64)),
    count("closed", |facts| Some(facts.closed as f64)),
    count("errors", |facts| Some(facts.errors as f64)),
    count("wrong", |facts| Some(facts.wrong as f64)),
    count("residual", |facts| Some(facts.residual as f64)),
    count("unanswered", |facts| Some(facts.unanswered as f64)),
    count("skipped", |facts| Some(facts.skipped as f64)),
    count("invalid", |facts| Some(facts.invalid as f64)),
];

/// The longer ones first, since each may begin with a shorter.
const COMPARISONS: [(&str, Comparison); 6] = [
    ("<=", |got, bound| got <= bound),
    (">=", |got, bound| got >= bound),
    ("==", |got, bound| (got - bound).abs() < f64::EPSILON),
    ("!=", |got, bound| (got - bound).abs() >= f64::EPSILON),
    ("<", |got, bound| got < bound),
    (">", |got, bound| got > bound),
];

type Comparison = fn(f64, f64) -> bool;

/// One condition.
#[derive(Debug, Clone, Copy)]
struct Condition {
    name: usize,
    comparison: usize,
    bound: f64,
}

/// Conditions that a run must hold, all of them.
#[derive(Debug, Clone)]
pub struct Threshold {
    conditions: Vec<(String, Condition)>,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let conditions = text.split(',').map(str::trim);
        let conditions: Result<Vec<_>, String> = conditions
            .map(|text| Ok((text.to_owned(), condition(text)?)))
            .collect();
        Ok(Self {
            conditions: conditions?,
        })
    }
}

fn condition(text: &str) -> Result<Condition, String> {
    let at = text.find(['<', '>', '=', '!']).ok_or_else(|| {
        format!("{text:?}: expected a name, a comparison and a value, as in p99<100ms or lost==0")
    })?;
    let (name, rest) = (text[..at].trim(), &text[at..]);
    let (comparison, value) = COMPARISONS
        .iter()
        .enumerate()
        .find_map(|(index, (sign, _))| Some((index, rest.strip_prefix(sign)?.trim())))
        .ok_or_else(|| format!("{text:?}: expected one of < <= > >= == !="))?;
    let index = NAMES
        .iter()
        .position(|known| known.text == name)
        .ok_or_else(|| {
            let known: Vec<&str> = NAMES.iter().map(|known| known.text).collect();
            format!(
                "{name:?} is not known; expected one of {}",
                known.join(", ")
            )
        })?;
    Ok(Condition {
        name: index,
        comparison,
        bound: bound(name, NAMES[index].unit, value)?,
    })
}

fn bound(name: &str, unit: Unit, value: &str) -> Result<f64, String> {
    match unit {
        Unit::Time => value
            .parse::<Span>()
            .map(|span| span.0.as_secs_f64() * 1000.0)
            .map_err(|error| format!("{name}: {error}")),
        Unit::PerSecond => value
            .parse::<Rate>()
            .map(|rate| rate.0)
            .map_err(|error| format!("{name}: {error}")),
        Unit::Count => value
            .parse::<u64>()
            .map(|count| count as f64)
            .map_err(|_| format!("{name}: {value:?}: expected a whole number")),
    }
}

/// A condition, and whether a run met it.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// As typed.
    pub condition: String,
    /// What `got` is counted in.
    pub unit: Unit,
    /// What the run had; `None`: it was not measured, and so not met.
    pub got: Option<f64>,
    /// Whether that is what was asked for.
    pub met: bool,
}

impl Threshold {
    /// What the run had of each of its conditions, in order.
    pub fn held(&self, facts: &Facts) -> impl Iterator<Item = Held> {
        self.conditions.iter().map(|(text, condition)| {
            let name = &NAMES[condition.name];
            let got = (name.of)(facts);
            Held {
                condition: text.clone(),
                unit: name.unit,
                got,
                met: got
                    .is_some_and(|got| COMPARISONS[condition.comparison].1(got, condition.bound)),
            }
        })
    }
}

/// What is said of one that was not met.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            condition,
            unit,
            got,
            met: _,
        } = self;
        match (got, unit) {
            (None, _) => write!(f, "MISSED: {condition}: there was nothing to measure it by"),
            (Some(got), Unit::Time) if got.is_infinite() => {
                write!(f, "MISSED: {condition}: so large a share never came")
            }
            (Some(got), Unit::Time) => write!(f, "MISSED: {condition}: it was {got:.3} ms"),
            (Some(got), Unit::PerSecond) => write!(f, "MISSED: {condition}: it was {got:.1}/s"),
            (Some(got), Unit::Count) => write!(f, "MISSED: {condition}: it was {got}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missed(text: &str, facts: &Facts) -> Vec<String> {
        let threshold: Threshold = text.parse().unwrap();
        let missed = threshold.held(facts).filter(|held| !held.met);
        missed.map(|held| held.to_string()).collect()
    }

    #[test]
    fn what_is_held_is_not_missed_and_what_is_missed_says_by_how_much() {
        let facts = Facts {
            p99_ms: Some(143.25),
            p999_ms: Some(f64::INFINITY),
            rate_per_s: Some(999.5),
            lost: 3,
            ..Facts::default()
        };
        let none: [String; 0] = [];
        assert_eq!(
            missed(
                "p99<=150ms, lost==3,lost!=4,rate>900/s,failed<1,residual>=0",
                &facts
            ),
            none
        );
        assert_eq!(
            missed("p99<100ms,lost==0,rate>=1000/s,p99.9<1h", &facts),
            [
                "MISSED: p99<100ms: it was 143.250 ms",
                "MISSED: lost==0: it was 3",
                "MISSED: rate>=1000/s: it was 999.5/s",
                "MISSED: p99.9<1h: so large a share never came"
            ]
        );
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        assert_eq!(
            missed("p50<1h", &Facts::default()),
            ["MISSED: p50<1h: there was nothing to measure it by"]
        );
    }

    #[test]
    fn every_name_can_be_asked_for() {
        for name in NAMES {
            let value = match name.unit {
                Unit::Time => "1ms",
                Unit::PerSecond => "1/s",
                Unit::Count => "1",
            };
            format!("{}<{value}", name.text)
                .parse::<Threshold>()
                .unwrap();
        }
    }

    #[test]
    fn what_cannot_be_meant_says_what_would_be_right() {
        for (text, part) in [
            ("p98<1ms", "expected one of p50, p90, p99, p99.9, max"),
            ("p99", "as in p99<100ms"),
            ("", "as in p99<100ms"),
            ("p99<1ms,", "as in p99<100ms"),
            ("p99=<1ms", "expected one of < <="),
            ("p99<100", "p99: \"100\": expected a time"),
            ("p99<", "expected a time"),
            ("lost==0ms", "lost: \"0ms\": expected a whole number"),
            ("lost<-1", "expected a whole number"),
            ("rate>x", "rate: \"x\": expected a rate"),
        ] {
            let error = text.parse::<Threshold>().unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains('\n'));
        }
    }
}
