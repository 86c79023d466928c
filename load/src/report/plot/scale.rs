//! From values to places, and which values are named at an axis. Pure.

/// Decades that a logarithmic axis spans at least.
const DECADES_MIN: f64 = 1.0;

/// Steps of a time axis, seconds: what a clock's dial has.
const TIME_STEPS_S: [f64; 17] = [
    0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    3600.0, 7200.0,
];

/// How values are spread over an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spread {
    /// Evenly, from 0 to a round value.
    Linear,
    /// Evenly, from 0 to where the values end.
    Exact,
    /// Evenly, from 0, named in steps of a clock; seconds.
    Time,
    /// By magnitude.
    Log,
}

/// An axis: the values that it spans and where it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    spread: Spread,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Spans these values with round ends, between these two places. What a spread cannot show (not finite; not positive on
    /// a logarithmic one) is left out; without any value it spans one unit.
    pub(crate) fn new(
        spread: Spread,
        values: impl IntoIterator<Item = f64>,
        (from, to): (f64, f64),
    ) -> Self {
        let shown = values.into_iter().filter(|value| shows(spread, *value));
        let (least, most) = shown.fold(
            (f64::INFINITY, f64::NEG_INFINITY),
            |(least, most), value| (least.min(value), most.max(value)),
        );
        let (low, high) = match spread {
            _ if least > most && spread == Spread::Log => (1.0, 10.0),
            _ if least > most => (0.0, 1.0),
            Spread::Log => magnitudes(least, most),
            Spread::Linear => (0.0, round_up(most)),
            Spread::Exact | Spread::Time => (0.0, if most > 0.0 { most } else { 1.0 }),
        };
        Self {
            spread,
            low,
            high,
            from,
            to,
        }
    }

    /// Where a value lies; `None`: this spread cannot show it.
    pub(crate) fn at(&self, value: f64) -> Option<f64> {
        let share = match self.spread {
            _ if !shows(self.spread, value) => return None,
            Spread::Log => (value / self.low).ln() / (self.high / self.low).ln(),
            Spread::Linear | Spread::Exact | Spread::Time => {
                (value - self.low) / (self.high - self.low)
            }
        };
        Some(self.from + share.clamp(0.0, 1.0) * (self.to - self.from))
    }

    /// Round values on it, about `wanted` of them, rising.
    pub(crate) fn ticks(&self, wanted: usize) -> Vec<f64> {
        match self.spread {
            Spread::Linear | Spread::Exact => {
                steps(self.high, step(self.high / wanted.max(1) as f64))
            }
            Spread::Time => steps(self.high, time_step(self.high / wanted.max(1) as f64)),
            Spread::Log => decades(self.low, self.high, wanted),
        }
    }
}

fn shows(spread: Spread, value: f64) -> bool {
    value.is_finite() && (value > 0.0 || (value == 0.0 && spread != Spread::Log))
}

/// The least of 1, 2 and 5 times a power of ten that is not less.
fn step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0];
    // Dividing by a power of ten is not exact: what is as good as equal is equal.
    let enough = |times: &f64| *times >= least / power * (1.0 - 1e-9);
    times.into_iter().find(enough).unwrap_or(10.0) * power
}

fn time_step(least: f64) -> f64 {
    let enough = |step: &f64| *step >= least * (1.0 - 1e-9);
    let hours = || step(least / 3600.0) * 3600.0;
    TIME_STEPS_S.into_iter().find(enough).unwrap_or_else(hours)
}

/// A little more than the value, so that a line does not run along the upper edge.
fn round_up(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let step = step(most / 5.0);
    (most / step * 1.02).ceil() * step
}

fn steps(high: f64, step: f64) -> Vec<f64> {
    let count = (high / step * (1.0 + 1e-9)).floor() as usize;
    (0..=count).map(|n| n as f64 * step).collect()
}

/// From the half or whole decade below to the one above, at least one decade.
fn magnitudes(least: f64, most: f64) -> (f64, f64) {
    let below = |value: f64| {
        let decade = 10f64.powf(value.log10().floor());
        if value >= decade * 5.0 {
            decade * 5.0
        } else if value >= decade * 2.0 {
            decade * 2.0
        } else {
            decade
        }
    };
    let low = below(least);
    let high = step(most * 1.05);
    if (high / low).log10() < DECADES_MIN {
        (low, low * 10f64.powf(DECADES_MIN))
    } else {
        (low, high)
    }
}

/// Whole decades, with 2 and 5 between them where there is room, thinned out where there is none.
fn decades(low: f64, high: f64, wanted: usize) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let within = |value: &f64| *value >= low * (1.0 - 1e-9) && *value <= high * (1.0 + 1e-9);
    let of = |times: &'static [f64]| -> Vec<f64> {
        (first..=last)
            .flat_map(|power| times.iter().map(move |times| times * 10f64.powi(power)))
            .filter(within)
            .collect()
    };
    let choices = [of(&[1.0, 2.0, 5.0]), of(&[1.0, 3.0]), of(&[1.0])];
    let fits = |ticks: &&Vec<f64>| ticks.len() <= wanted.max(2) + 1;
    let fitting = choices.iter().find(fits).cloned();
    fitting.unwrap_or_else(|| {
        let every = choices[2].len().div_ceil(wanted.max(2));
        choices[2].iter().copied().step_by(every).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scale(spread: Spread, values: &[f64]) -> Scale {
        Scale::new(spread, values.iter().copied(), (0.0, 100.0))
    }

    fn near(one: &[f64], other: &[f64]) -> bool {
        let same = |(one, other): (&f64, &f64)| (one - other).abs() <= other.abs() * 1e-9;
        one.len() == other.len() && one.iter().zip(other).all(same)
    }

    #[test]
    fn an_even_axis_is_named_in_steps_of_one_two_or_five() {
        let ticks = scale(Spread::Linear, &[82_592.0]).ticks(5);
        assert!(
            near(
                &ticks,
                &[0.0, 20_000.0, 40_000.0, 60_000.0, 80_000.0, 100_000.0]
            ),
            "{ticks:?}"
        );
        let ticks = scale(Spread::Linear, &[0.38]).ticks(4);
        assert!(near(&ticks, &[0.0, 0.1, 0.2, 0.3, 0.4]), "{ticks:?}");
    }

    #[test]
    fn time_is_named_in_steps_of_a_dial_and_ends_where_it_ends() {
        let scale = scale(Spread::Time, &[90.2]);
        assert!(
            near(&scale.ticks(6), &[0.0, 30.0, 60.0, 90.0]),
            "{:?}",
            scale.ticks(6)
        );
        assert_eq!(scale.at(90.2), Some(100.0));
        let day = Scale::new(Spread::Time, [86_400.0], (0.0, 1.0)).ticks(6);
        assert!(
            near(&day, &[0.0, 18_000.0, 36_000.0, 54_000.0, 72_000.0]),
            "{day:?}"
        );
    }

    #[test]
    fn magnitudes_are_named_by_decades_and_by_halves_where_there_is_room() {
        let ticks = scale(Spread::Log, &[2.0, 40.0]).ticks(6);
        assert!(near(&ticks, &[2.0, 5.0, 10.0, 20.0, 50.0]), "{ticks:?}");
        let ticks = scale(Spread::Log, &[0.1, 90_000.0]).ticks(4);
        assert!(ticks.len() <= 5 && ticks.len() >= 2, "{ticks:?}");
    }

    #[test]
    fn what_a_spread_cannot_show_has_no_place() {
        let log = scale(Spread::Log, &[1.0, f64::INFINITY, 0.0, 100.0]);
        assert_eq!(
            [0.0, -1.0, f64::NAN, f64::INFINITY].map(|value| log.at(value)),
            [None; 4]
        );
        assert!(log.at(1.0).is_some());
        assert_eq!(scale(Spread::Linear, &[5.0]).at(f64::INFINITY), None);
    }

    #[test]
    fn without_any_value_it_is_an_axis_all_the_same() {
        for spread in [Spread::Linear, Spread::Exact, Spread::Time, Spread::Log] {
            for values in [&[][..], &[f64::NAN], &[0.0]] {
                let ticks = scale(spread, values).ticks(4);
                assert!(ticks.len() >= 2, "{spread:?} {values:?}: {ticks:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn larger_values_lie_further_and_all_lie_on_the_axis(
            values in proptest::collection::vec(1e-6f64..1e9, 1..30), wanted in 2usize..9,
            spread in prop_oneof![Just(Spread::Linear), Just(Spread::Exact), Just(Spread::Time), Just(Spread::Log)],
        ) {
            let mut values = values;
            values.sort_by(f64::total_cmp);
            let scale = scale(spread, &values);
            let places: Vec<f64> = values.iter().map(|value| scale.at(*value).unwrap()).collect();
            prop_assert!(places.is_sorted() && places.iter().all(|place| (0.0..=100.0).contains(place)));
            let ticks = scale.ticks(wanted);
            prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", ticks);
            prop_assert!(!ticks.is_empty() && ticks.len() <= 2 * wanted + 2, "{:?}", ticks);
            let on_it = |tick: &f64| scale.at(*tick).is_some_and(|at| (0.0..=100.0).contains(&at));
            prop_assert!(ticks.iter().all(on_it));
        }
    }
}
