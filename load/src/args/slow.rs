//! `--slow SHARE:WHAT`: which share of the connections reads slowly, and how. Pure.
use crate::failure::Failure;
use crate::swarm::Pace;
use crate::units::{ByteRate, Share, Span};
use std::str::FromStr;

/// Slow groups at most: each is a column of the summary.
const SLOW_MAX: usize = 8;

/// A share of the connections that reads slowly.
#[derive(Debug, Clone, PartialEq)]
pub struct Slow {
    /// As typed: the group's name in the summary.
    pub name: String,
    /// Of the connections of each step.
    pub share: Share,
    /// How they read.
    pub pace: Pace,
}

impl FromStr for Slow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (share, what) = text
            .split_once(':')
            .ok_or("expected SHARE:WHAT, as in 5%:stall, 1%:read=2KB/s or 1%:pause=5s")?;
        let share: Share = share.parse()?;
        if share.ppm() == 0 {
            return Err("expected a share of at least 0.0001%".to_owned());
        }
        Ok(Self {
            name: text.to_owned(),
            share,
            pace: pace(what)?,
        })
    }
}

fn pace(what: &str) -> Result<Pace, String> {
    match what.split_once('=') {
        None if what == "stall" => Ok(Pace::Stall),
        Some(("read", rate)) => Ok(Pace::Read(rate.parse::<ByteRate>()?.0)),
        Some(("pause", time)) => match time.parse::<Span>()?.0 {
            time if time.is_zero() => Err(format!("{time:?}: expected a pause above 0")),
            time => Ok(Pace::Pause(time)),
        },
        _ => Err(format!(
            "{what:?}: expected stall, read=RATE such as read=2KB/s, or pause=TIME such as pause=5s"
        )),
    }
}

/// All that are asked for, if there is room for them among the connections.
pub(super) fn checked(slow: Vec<Slow>) -> Result<Vec<Slow>, Failure> {
    if slow.len() > SLOW_MAX {
        return Err(Failure::usage(format!(
            "--slow: {} groups, expected at most {SLOW_MAX}",
            slow.len()
        )));
    }
    let ppm: u64 = slow.iter().map(|slow| slow.share.ppm()).sum();
    if ppm > Share::WHOLE_PPM {
        return Err(Failure::usage(format!(
            "--slow: the shares add up to {}%, expected at most 100%",
            ppm as f64 / 10_000.0
        )));
    }
    Ok(slow)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU64;
    use std::time::Duration;

    fn slow(text: &str) -> Result<(u64, Pace), String> {
        text.parse::<Slow>()
            .map(|slow| (slow.share.ppm(), slow.pace))
    }

    #[test]
    fn a_share_stalls_reads_slowly_or_pauses() {
        let rate = Pace::Read(NonZeroU64::new(2000).unwrap());
        let pause = Pace::Pause(Duration::from_secs(5));
        assert_eq!(slow("5%:stall"), Ok((50_000, Pace::Stall)));
        assert_eq!(slow("0.5%:read=2KB/s"), Ok((5000, rate)));
        assert_eq!(slow("100%:pause=5s"), Ok((1_000_000, pause)));
    }

    #[test]
    fn what_cannot_be_meant_says_what_would_be_right() {
        for (text, part) in [
            ("stall", "expected SHARE:WHAT"),
            ("5:stall", "expected a share"),
            ("0%:stall", "at least 0.0001%"),
            ("5%:", "expected stall, read=RATE"),
            ("5%:stall=1", "expected stall, read=RATE"),
            ("5%:read", "expected stall, read=RATE"),
            ("5%:read=2", "expected bytes per second"),
            ("5%:pause=5", "expected a time"),
            ("5%:pause=0s", "above 0"),
        ] {
            let error = slow(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn shares_fit_into_the_whole() {
        let all = |texts: &[&str]| {
            let slow = texts.iter().map(|text| text.parse().unwrap()).collect();
            checked(slow).map(|slow| slow.len())
        };
        assert_eq!(all(&["50%:stall", "50%:pause=1s"]), Ok(2));
        let error = all(&["60%:stall", "50.5%:pause=1s"])
            .unwrap_err()
            .to_string();
        assert!(error.contains("110.5%"), "{error}");
        let many = vec!["1%:stall"; SLOW_MAX + 1];
        assert!(all(&many).is_err());
    }
}
