//! Phases of several kinds in turns, so that a machine that drifts takes all kinds along.
//!
//! Law: kinds are compared round by round, and the median of the rounds counts. Who goes first moves on with every round.
use crate::phase::{Phase, doubts};
use crate::report::{Findings, median, ms};

/// What was measured of each kind, round by round.
pub struct Turns<T> {
    kinds: Vec<Vec<T>>,
}

impl<T> Turns<T> {
    /// Takes so many rounds of all kinds; `phase` measures one of the kind it is told.
    pub fn take(
        rounds: usize,
        kinds: usize,
        mut phase: impl FnMut(usize) -> Result<T, String>,
    ) -> Result<Self, String> {
        let mut taken = Self {
            kinds: (0..kinds).map(|_| Vec::new()).collect(),
        };
        for round in 0..rounds {
            eprintln!("fanout: round {} of {rounds}", round + 1);
            for turn in 0..kinds {
                let kind = (round + turn) % kinds;
                let phase = phase(kind)?;
                taken.kinds[kind].push(phase);
            }
        }
        Ok(taken)
    }

    /// The phases of a kind.
    pub fn of(&self, kind: usize) -> &[T] {
        &self.kinds[kind]
    }

    /// The middle of a figure over a kind's phases.
    pub fn median(&self, kind: usize, value: impl Fn(&T) -> f64) -> f64 {
        median(self.kinds[kind].iter().map(value).collect())
    }

    /// A figure of one kind over that of another: the middle of the rounds.
    pub fn ratio(&self, kind: usize, to: usize, value: impl Fn(&T) -> f64) -> f64 {
        let rounds = self.kinds[kind].iter().zip(&self.kinds[to]);
        median(
            rounds
                .map(|(one, other)| value(one) / value(other))
                .collect(),
        )
    }
}

impl Turns<Phase> {
    /// What a kind cost, how fast it was, and what of it is missing.
    pub fn describe(&self, findings: &mut Findings, kind: usize, name: &str) {
        findings.say(
            format!("{name}: delivered, CPU per message, cores"),
            format!(
                "{:.0}/s, {:.2} us, {:.2}",
                self.median(kind, |p| p.delivered_per_s),
                self.median(kind, |p| p.cpu_us),
                self.median(kind, |p| p.cores)
            ),
        );
        let latency = |value: fn(&Phase) -> Option<f64>| {
            ms(Some(
                self.median(kind, |p| value(p).unwrap_or(f64::INFINITY)),
            ))
        };
        let sum = |value: fn(&Phase) -> u64| self.of(kind).iter().map(value).sum::<u64>();
        findings.say(
            format!("{name}: p50, p99; missing, lost, closed, wrong"),
            format!(
                "{}, {}; {}, {}, {}, {}",
                latency(|p| p.p50_ms),
                latency(|p| p.p99_ms),
                sum(|p| p.missing),
                sum(|p| p.lost),
                sum(|p| p.closed),
                sum(|p| p.wrong)
            ),
        );
    }

    /// Why the figures don't count, if they don't.
    pub fn doubts(&self) -> Vec<String> {
        let all = || self.kinds.iter().flatten();
        let of = |value: fn(&Phase) -> f64| median(all().map(value).collect());
        doubts(
            of(|phase| phase.starved),
            of(|phase| phase.own_busy),
            of(|phase| phase.own_starved),
        )
    }
}
