//! Numbers as people read them: three digits that count, and a unit that fits. Pure.
use crate::record::Latency;

/// What is not known.
pub const UNKNOWN: &str = "–";

/// All digits, in groups of three: `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits and a unit of thousands: `82.6 k`, `1.2 M`.
pub fn short(number: f64) -> String {
    let units = [(1e9, " G"), (1e6, " M"), (1e3, " k")];
    // What rounds up to a thousand is one of the next unit.
    match units.into_iter().find(|(unit, _)| number >= unit * 0.9995) {
        Some((unit, name)) => format!("{}{name}", digits(number / unit)),
        None => digits(number),
    }
}

/// Milliseconds, in a unit that fits: `310 us`, `12.3 ms`, `1.4 s`, `2m05s`.
pub fn ms(ms: f64) -> String {
    if ms <= 0.0 {
        "0 ms".to_owned()
    } else if ms < 0.9995 {
        format!("{} us", digits(ms * 1000.0))
    } else if ms < 999.5 {
        format!("{} ms", digits(ms))
    } else if ms < 99_950.0 {
        format!("{} s", digits(ms / 1000.0))
    } else {
        seconds(ms / 1000.0)
    }
}

/// A latency that may be for ever, or not known.
pub fn latency(latency: Option<Latency>) -> String {
    match latency {
        None => UNKNOWN.to_owned(),
        Some(Latency(value)) if value.is_finite() => ms(value),
        Some(_) => "never".to_owned(),
    }
}

/// Bytes: `512 B`, `4.7 KiB`, `21.7 MiB`.
pub fn bytes(bytes: f64) -> String {
    let units = ["B", "KiB", "MiB", "GiB"];
    let mut value = bytes;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", digits(value), units[unit])
}

/// A time: `45s`, `1m30s`, `2h05m`.
pub fn seconds(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match (whole / 3600, whole / 60 % 60, whole % 60) {
        (0, 0, _) if seconds < 9.95 && seconds.fract() > 0.05 => format!("{seconds:.1}s"),
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// Three digits that count, but no whole digit is rounded away: `0.123`, `4.56`, `78.9`, `1234`. Zeros behind the point are left out.
pub fn digits(number: f64) -> String {
    let magnitude = number.abs();
    let decimals = match magnitude {
        _ if magnitude >= 99.95 => 0,
        _ if magnitude >= 9.995 => 1,
        _ if magnitude >= 0.9995 => 2,
        _ => 3,
    };
    let text = format!("{number:.decimals$}");
    match text.split_once('.') {
        Some(_) => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_are_grouped() {
        let counts = [0, 12, 123, 1234, 123_456, 1_234_567].map(count);
        assert_eq!(counts, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn what_rounds_up_to_the_next_unit_is_in_it() {
        let shorts = [
            0.0, 7.25, 999.0, 999.6, 1000.0, 82_592.0, 999_499.0, 999_501.0, 3.5e9,
        ]
        .map(short);
        assert_eq!(
            shorts,
            [
                "0", "7.25", "999", "1 k", "1 k", "82.6 k", "999 k", "1 M", "3.5 G"
            ]
        );
    }

    #[test]
    fn latencies_have_the_unit_that_fits() {
        let texts = [0.0, 0.31, 0.9996, 1.5, 57.62, 999.6, 12_345.0, 125_000.0].map(ms);
        assert_eq!(
            texts,
            [
                "0 ms", "310 us", "1 ms", "1.5 ms", "57.6 ms", "1 s", "12.3 s", "2m05s"
            ]
        );
        assert_eq!(latency(Some(Latency(f64::INFINITY))), "never");
        assert_eq!(latency(None), UNKNOWN);
    }

    #[test]
    fn bytes_and_times_have_theirs() {
        let texts = [0.0, 512.0, 1000.0, 4812.8, 22_769_664.0, 3e12].map(bytes);
        assert_eq!(
            texts,
            [
                "0 B",
                "512 B",
                "0.977 KiB",
                "4.7 KiB",
                "21.7 MiB",
                "2794 GiB"
            ]
        );
        let texts = [0.0, 0.5, 4.0, 45.2, 60.0, 90.0, 3600.0, 7500.0].map(seconds);
        assert_eq!(
            texts,
            ["0s", "0.5s", "4s", "45s", "1m", "1m30s", "1h", "2h05m"]
        );
    }
}
