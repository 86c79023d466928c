//! Sizes, times and ranges: how they are written and read.
//!
//! Owns the spelling of units, in both directions. Must not contain: which setting takes what. Driven by `resolve` (reading) and
//! `print` (writing).
//!
//! Law: what is written here is read back as the same number.

/// Units of size, largest first, so that writing finds the one that divides.
const SIZES: [(&str, u64); 8] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
];

/// Units of time in milliseconds, largest first.
const TIMES: [(&str, u64); 6] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("min", 60_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads `65536`, `64KiB`, `1GiB`, `10MB`; `None` when it is no size. Upper and lower case are the same.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() || unit.eq_ignore_ascii_case("B") {
        return Some(number);
    }
    let (_, factor) = SIZES
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    number.checked_mul(*factor)
}

/// Reads `100ms`, `25s`, `5m`, `1h`, `7d` as milliseconds; `None` when it is no time. Only zero may go without a unit.
pub fn millis(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return (number == 0).then_some(0);
    }
    let (_, factor) = TIMES.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Reads a whole number; `None` when it is none. `1_000` is one, `+1` and ` 1` are not.
pub fn count(text: &str) -> Option<u64> {
    match split(text)? {
        (number, "") => Some(number),
        _ => None,
    }
}

/// Reads `10..100`, both ends included, or a single number for both; `None` when it is neither or runs backwards.
pub fn range(text: &str) -> Option<(u64, u64)> {
    let (low, high) = match text.split_once("..") {
        Some((low, high)) => (count(low)?, count(high)?),
        None => (count(text)?, count(text)?),
    };
    (low <= high).then_some((low, high))
}

/// Reads a switch.
pub fn switch(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// Writes a size with the largest unit of 1024 that divides it.
pub fn bytes_text(bytes: u64) -> String {
    let binary = SIZES.iter().filter(|(name, _)| name.contains('i'));
    written(bytes, binary).unwrap_or_else(|| bytes.to_string())
}

/// Writes a time with the largest unit that divides it.
pub fn millis_text(millis: u64) -> String {
    let short = TIMES.iter().filter(|(name, _)| *name != "min");
    written(millis, short).unwrap_or_else(|| format!("{millis}ms"))
}

fn written<'a>(
    number: u64,
    units: impl Iterator<Item = &'a (&'static str, u64)>,
) -> Option<String> {
    let mut dividing = units.filter(|(_, factor)| number > 0 && number.is_multiple_of(*factor));
    dividing
        .next()
        .map(|(unit, factor)| format!("{}{unit}", number / factor))
}

/// The digits at the beginning and what follows them.
fn split(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '_')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    Some((digits.replace('_', "").parse().ok()?, unit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_with_units_of_1024_and_of_1000() {
        assert_eq!(bytes("65536"), Some(65536));
        assert_eq!(bytes("64KiB"), Some(65536));
        assert_eq!(bytes("64kib"), Some(65536));
        assert_eq!(bytes("1GiB"), Some(1 << 30));
        assert_eq!(bytes("10MB"), Some(10_000_000));
        assert_eq!(bytes("7B"), Some(7));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "MiB",
            "1.5MiB",
            "-1",
            "1 MiB",
            "64M",
            "99999999999999999999",
            "20000000000TiB",
            "_1",
        ] {
            assert_eq!(bytes(text), None, "{text:?}");
        }
    }

    #[test]
    fn times_need_a_unit_unless_they_are_zero() {
        assert_eq!(millis("100ms"), Some(100));
        assert_eq!(millis("25s"), Some(25_000));
        assert_eq!(millis("5m"), millis("5min"));
        assert_eq!(millis("2h"), Some(7_200_000));
        assert_eq!(millis("0"), Some(0));
        for text in ["25", "s", "1.5s", "1S", "1 s", "", "1us"] {
            assert_eq!(millis(text), None, "{text:?}");
        }
    }

    #[test]
    fn ranges_include_both_ends_and_never_run_backwards() {
        assert_eq!(range("10..100"), Some((10, 100)));
        assert_eq!(range("0..0"), Some((0, 0)));
        assert_eq!(range("50"), Some((50, 50)));
        for text in ["100..10", "..", "1..", "..1", "1...2", "a..b", ""] {
            assert_eq!(range(text), None, "{text:?}");
        }
    }

    #[test]
    fn sizes_and_times_are_written_shortly() {
        assert_eq!(bytes_text(64 << 20), "64MiB");
        assert_eq!(bytes_text(65537), "65537");
        assert_eq!(bytes_text(0), "0");
        assert_eq!(millis_text(25_000), "25s");
        assert_eq!(millis_text(60_000), "1m");
        assert_eq!(millis_text(1_500), "1500ms");
        assert_eq!(millis_text(0), "0ms");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(number: u64) {
            prop_assert_eq!(bytes(&bytes_text(number)), Some(number));
            prop_assert_eq!(millis(&millis_text(number)), Some(number));
        }

        #[test]
        fn no_text_is_read_with_a_panic(text: String) {
            let _ = (bytes(&text), millis(&text), range(&text), count(&text));
        }
    }
}
