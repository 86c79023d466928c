//! Moments as people and programs read them: RFC 3339, UTC, to the millisecond. Pure.

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// Microseconds since the Unix epoch as `2026-11-21T10:09:02.321Z`.
pub fn rfc3339(wall_us: u64) -> String {
    let (seconds, ms) = (wall_us / 1_000_000, wall_us / 1000 % 1000);
    let (year, month, day) = date(seconds / DAY_S);
    let second = seconds % DAY_S;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

/// Year, month and day of a day since 1970-01-01. Counted from 0000-03-01, so that a leap day is a year's last; the Gregorian
/// calendar repeats after 400 years of 146,097 days.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 {
        march_month + 3
    } else {
        march_month - 9
    };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_has_date_time_and_milliseconds() {
        for (wall_us, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000Z"),
            (1_790_000_000_123_456, "2026-09-21T14:13:20.123Z"),
            (4_107_542_399_999_999, "2100-02-28T23:59:59.999Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(wall_us), text);
        }
    }

    #[test]
    fn each_day_of_four_hundred_years_follows_the_one_before_it() {
        let mut before = date(0);
        for day in 1..=146_097 {
            let (year, month, of_month) = date(day);
            let next_day = (before.0, before.1, before.2 + 1);
            let next_month = (before.0, before.1 + 1, 1);
            let next_year = (before.0 + 1, 1, 1);
            assert!(
                [next_day, next_month, next_year].contains(&(year, month, of_month)),
                "{before:?}, then {:?}",
                (year, month, of_month)
            );
            assert!((1..=12).contains(&month) && (1..=31).contains(&of_month));
            before = (year, month, of_month);
        }
        assert_eq!(before, (2370, 1, 1));
    }
}
