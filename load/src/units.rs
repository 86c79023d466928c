//! Values as people type them: times, rates, shares. Pure.
use serde::{Deserialize, Serialize};
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

/// A length of time: `15s`, `500ms`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

/// From one length of time to another: `50..300ms`, `50ms..1s`, or `100ms` for always the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// The least.
    pub least: Duration,
    /// The most.
    pub most: Duration,
}

/// Events per second: `50/s`, `100000/s`, `10/m`, or a bare number per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate(pub f64);

/// A share: `1%`, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Share(pub f64);

/// Bytes per second: `500B/s`, `2KB/s`, `1.5MB/s`, `64KiB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate(pub NonZeroU64);

impl Share {
    /// The whole in millionths.
    pub const WHOLE_PPM: u64 = 1_000_000;

    /// In millionths.
    pub fn ppm(self) -> u64 {
        (self.0 * Self::WHOLE_PPM as f64).round() as u64
    }
}

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected a time such as 15s, 500ms, 2m or 1h");
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let seconds = match unit {
            "us" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        Duration::try_from_secs_f64(number * seconds)
            .map(Self)
            .map_err(|_| wrong())
    }
}

impl FromStr for Spans {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected a time such as 100ms, or two as in 50..300ms");
        let (least, most) = text.split_once("..").unwrap_or((text, text));
        let (_, unit) = split(most).ok_or_else(wrong)?;
        let least = match split(least).ok_or_else(wrong)? {
            (_, "") => format!("{least}{unit}"),
            _ => least.to_owned(),
        };
        let read = |text: &str| text.parse::<Span>().map(|span| span.0).map_err(|_| wrong());
        let (least, most) = (read(&least)?, read(most)?);
        if least > most {
            return Err(format!("{text:?}: expected the shorter time first"));
        }
        Ok(Self { least, most })
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?}: expected a rate above 0 such as 50/s or 100000/s");
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let per_s = match unit {
            "" | "/s" => number,
            "/m" | "/min" => number / 60.0,
            _ => return Err(wrong()),
        };
        if per_s > 0.0 && per_s.is_finite() {
            Ok(Self(per_s))
        } else {
            Err(wrong())
        }
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match split(text) {
            Some((number, "%")) if number <= 100.0 => Ok(Self(number / 100.0)),
            _ => Err(format!("{text:?}: expected a share such as 1% or 0.5%")),
        }
    }
}

impl FromStr for ByteRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?}: expected bytes per second such as 500B/s, 2KB/s or 1MB/s");
        let (number, unit) = split(text).ok_or_else(wrong)?;
        let bytes = match unit.strip_suffix("/s").ok_or_else(wrong)? {
            "B" => 1.0,
            "KB" | "kB" => 1e3,
            "MB" => 1e6,
            "KiB" => 1024.0,
            "MiB" => 1024.0 * 1024.0,
            _ => return Err(wrong()),
        };
        NonZeroU64::new((number * bytes) as u64)
            .map(Self)
            .ok_or_else(wrong)
    }
}

/// The number at the beginning, not negative, and what follows it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    Some((number.parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let ms = |text: &str| text.parse::<Span>().map(|span| span.0.as_millis());
        assert_eq!(
            [ms("15s"), ms("500ms"), ms("2m"), ms("1.5h")],
            [Ok(15_000), Ok(500), Ok(120_000), Ok(5_400_000)]
        );
        for wrong in [
            "15",
            "-1s",
            "s",
            "",
            "1d",
            "1e99s",
            "1..2s",
            "99999999999999999999999h",
        ] {
            assert!(
                ms(wrong).unwrap_err().contains("expected a time"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_range_of_times_may_say_its_unit_once() {
        let ms = |text: &str| {
            let spans = text.parse::<Spans>()?;
            Ok((spans.least.as_millis(), spans.most.as_millis()))
        };
        assert_eq!(
            [ms("50..300ms"), ms("50ms..1s"), ms("100ms")],
            [Ok((50, 300)), Ok((50, 1000)), Ok((100, 100))]
        );
        for wrong in ["50..300", "..", "50ms..", "..5ms", "x", "", "50..20ms"] {
            let error: String = ms(wrong).unwrap_err();
            assert!(error.contains("expected"), "{wrong}");
        }
    }

    #[test]
    fn rates_are_per_second_unless_they_say_otherwise() {
        assert_eq!("50/s".parse(), Ok(Rate(50.0)));
        assert_eq!("100000".parse(), Ok(Rate(100_000.0)));
        assert_eq!("30/m".parse(), Ok(Rate(0.5)));
        for wrong in ["0", "-5", "x", "5/h", ""] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_per_second_have_units_and_are_at_least_one() {
        let per_s = |text: &str| text.parse::<ByteRate>().map(|rate| rate.0.get());
        assert_eq!(
            [
                per_s("500B/s"),
                per_s("2KB/s"),
                per_s("1.5MB/s"),
                per_s("4KiB/s")
            ],
            [Ok(500), Ok(2000), Ok(1_500_000), Ok(4096)]
        );
        for wrong in [
            "2", "2KB", "2/s", "0B/s", "0.5B/s", "-1B/s", "2Kb/s", "KB/s",
        ] {
            assert!(
                per_s(wrong)
                    .unwrap_err()
                    .contains("expected bytes per second"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn shares_are_percentages() {
        assert_eq!("1%".parse(), Ok(Share(0.01)));
        assert!("0.01".parse::<Share>().is_err() && "101%".parse::<Share>().is_err());
    }
}
