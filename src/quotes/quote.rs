//! The shape of a quote, and how its parts are written.
//!
//! Owns the JSON of `quotes.SYMBOL`, numbers counted in cents, and times. Must not contain: where prices come from. Used by all
//! sources of quotes.
use std::io::Write;

/// Topic of a symbol's quotes is this and the symbol.
pub const TOPIC_PREFIX: &str = "quotes.";

/// One quote; prices are JSON number texts.
#[derive(Debug, Clone, Copy)]
pub struct Quote<'a> {
    /// Symbol, one token of a topic (so it needs no escaping in JSON).
    pub symbol: &'a str,
    /// Best bid.
    pub bid: &'a str,
    /// Best ask.
    pub ask: &'a str,
    /// Last trade.
    pub last: &'a str,
    /// Shares traded so far.
    pub volume: u64,
    /// When, already escaped for JSON.
    pub time: &'a str,
}

impl Quote<'_> {
    /// Overwrites `out` with the JSON.
    pub fn write(&self, out: &mut Vec<u8>) {
        let Self {
            symbol,
            bid,
            ask,
            last,
            volume,
            time,
        } = self;
        let mut volume_text = itoa::Buffer::new();
        out.clear();
        let parts = [
            r#"{"symbol":""#,
            symbol,
            r#"","bid":"#,
            bid,
            r#","ask":"#,
            ask,
            r#","last":"#,
            last,
            r#","volume":"#,
            volume_text.format(*volume),
            r#","time":""#,
            time,
            r#""}"#,
        ];
        for part in parts {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// Appends an amount of cents as a decimal with two places.
pub fn write_cents(out: &mut Vec<u8>, cents: i64) {
    let (whole, part) = (cents.unsigned_abs() / 100, cents.unsigned_abs() % 100);
    if cents < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    out.extend_from_slice(&[b'.', b'0' + (part / 10) as u8, b'0' + (part % 10) as u8]);
}

/// Overwrites `out` with a time as ISO 8601 in UTC, to the millisecond.
pub fn write_time(out: &mut Vec<u8>, wall_us: u64) {
    let (seconds, ms) = (wall_us / 1_000_000, wall_us / 1000 % 1000);
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    out.clear();
    // Writing into a Vec cannot fail.
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z"
    );
}

/// Year, month and day of a day counted from 1970-01-01 in the Gregorian calendar.
///
/// Years are counted from March, so that the leap day comes last and a month's first day is a straight line over its number.
pub fn civil(days: u64) -> (u64, u64, u64) {
    // Days from 0000-03-01 to 1970-01-01.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_quote_has_the_fields_in_order_and_the_texts_as_given() {
        let quote = Quote {
            symbol: "A",
            bid: "1.50",
            ask: "1.52",
            last: "-1e3",
            volume: 7,
            time: "t",
        };
        assert_eq!(
            text(|out| quote.write(out)),
            r#"{"symbol":"A","bid":1.50,"ask":1.52,"last":-1e3,"volume":7,"time":"t"}"#
        );
    }

    #[test]
    fn cents_are_decimals() {
        let cents = |n| text(|out| write_cents(out, n));
        assert_eq!(
            [cents(0), cents(5), cents(-120), cents(123_456)],
            ["0.00", "0.05", "-1.20", "1234.56"]
        );
    }

    #[test]
    fn days_have_their_dates() {
        let date = |days| civil(days);
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(11_016), (2000, 2, 29));
        assert_eq!(date(11_017), (2000, 3, 1));
        assert_eq!(date(19_722), (2023, 12, 31));
        assert_eq!(date(47_540), (2100, 2, 28));
        assert_eq!(date(47_541), (2100, 3, 1));
    }

    #[test]
    fn every_day_of_a_century_follows_the_one_before() {
        let lengths = |year: u64| {
            let leap =
                year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            [
                31,
                if leap { 29 } else { 28 },
                31,
                30,
                31,
                30,
                31,
                31,
                30,
                31,
                30,
                31,
            ]
        };
        let mut expected = (1970, 1, 1);
        for days in 0..36_525 {
            assert_eq!(civil(days), expected);
            let (year, month, day) = expected;
            expected = match (day < lengths(year)[month as usize - 1], month < 12) {
                (true, _) => (year, month, day + 1),
                (false, true) => (year, month + 1, 1),
                (false, false) => (year + 1, 1, 1),
            };
        }
    }

    #[test]
    fn a_time_is_iso_8601() {
        assert_eq!(
            text(|out| write_time(out, 1_790_000_000_123_456)),
            "2026-09-21T14:13:20.123Z"
        );
    }
}
