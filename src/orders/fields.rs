//! The fields of one JSON object, read strictly: every wrong one is named, with what is allowed.
//!
//! Owns the reading of texts, names, decimals and integers. Must not contain: which fields a method has.
use pubsub_wire::command::FieldError;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// How much of a wrong value an error repeats; an answer must not grow with what was sent.
const QUOTED_BYTES: usize = 48;
/// Fields looked at beyond those that are known: an answer names no more strays than this.
const STRAYS_MAX: usize = 8;
/// Fields of one object, as a rule: room for them is made at once.
const FIELDS: usize = 8;
/// A number of so many bytes without sign and exponent fits 64 bits.
const SHORT_BYTES: usize = 18;
/// Digits behind the point of prices and quantities.
pub const PLACES_MAX: u32 = 8;
/// Prices and quantities are below this.
pub const DECIMAL_MAX: u64 = 1_000_000_000_000;

/// What is wrong with parameters: one entry a field.
pub type Wrong = Vec<FieldError>;

/// The object, field by field.
#[derive(Debug)]
pub struct Fields<'a> {
    given: Vec<(Cow<'a, str>, &'a RawValue)>,
    allowed: &'static [&'static str],
    wrong: Wrong,
}

/// All fields of an object in the order given.
struct All<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for All<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Collect)
    }
}

struct Collect;

impl<'de> Visitor<'de> for Collect {
    type Value = All<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<All<'de>, A::Error> {
        let mut all = Vec::with_capacity(FIELDS);
        while let Some(Name(name)) = map.next_key()? {
            all.push((name, map.next_value()?));
        }
        Ok(All(all))
    }
}

/// A field's name, borrowed where nothing in it is escaped.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// The fields of `params`, of which these are allowed.
    pub fn of(params: &'a str, allowed: &'static [&'static str]) -> Result<Self, Wrong> {
        let Ok(All(given)) = serde_json::from_str(params) else {
            let message = format!(
                "must be an object of {}, not {}",
                allowed.join(", "),
                quoted(params)
            );
            return Err(vec![FieldError::new("params", message)]);
        };
        let mut fields = Self {
            given,
            allowed,
            wrong: Vec::new(),
        };
        fields.check_names();
        Ok(fields)
    }

    fn check_names(&mut self) {
        let mut wrong: Wrong = Vec::new();
        for (at, (name, _)) in self.given.iter().enumerate() {
            if wrong.len() == STRAYS_MAX {
                break;
            }
            let message = if !self.allowed.contains(&&**name) {
                format!("is no field here; allowed: {}", self.allowed.join(", "))
            } else if self.given[..at].iter().any(|(before, _)| before == name) {
                "is given twice".to_owned()
            } else {
                continue;
            };
            wrong.push(FieldError::new(quoted(name), message));
        }
        self.wrong = wrong;
    }

    /// The value of a field; `null` is as good as absent.
    pub fn value(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.given.iter().find(|(given, _)| given == name);
        found.map(|(_, raw)| *raw).filter(|raw| raw.get() != "null")
    }

    /// A field is wrong.
    pub fn refuse(&mut self, name: &str, message: impl Into<String>) {
        self.wrong.push(FieldError::new(name, message));
    }

    /// A field that must be there.
    pub fn needed<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<T> {
        let Some(raw) = self.value(name) else {
            self.refuse(name, "is needed");
            return None;
        };
        match read(raw) {
            Ok(value) => Some(value),
            Err(message) => {
                self.refuse(name, message);
                None
            }
        }
    }

    /// A field that may be there.
    pub fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'a RawValue) -> Result<T, String>,
    ) -> Option<T> {
        self.value(name)?;
        self.needed(name, read)
    }

    /// What was read, if nothing is wrong.
    pub fn done<T>(self, read: Option<T>) -> Result<T, Wrong> {
        match read {
            Some(value) if self.wrong.is_empty() => Ok(value),
            _ => Err(self.wrong),
        }
    }
}

/// A wrong name or value, short enough to be repeated in an answer.
pub fn quoted(text: &str) -> Cow<'_, str> {
    if text.len() <= QUOTED_BYTES {
        return Cow::Borrowed(text);
    }
    let mut end = QUOTED_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Cow::Owned(format!("{}…", &text[..end]))
}

/// The text that a JSON string holds, borrowed where nothing in it is escaped.
fn string(raw: &RawValue) -> Option<Cow<'_, str>> {
    let token = raw.get();
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str(token).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// A string of so many bytes, none of them a control character.
pub fn text(raw: &RawValue, bytes: RangeInclusive<usize>) -> Result<Box<str>, String> {
    let Some(text) = string(raw) else {
        return Err(format!("must be a string, not {}", quoted(raw.get())));
    };
    if !bytes.contains(&text.len()) {
        let (min, max) = bytes.into_inner();
        return Err(format!("has {min} to {max} bytes, this has {}", text.len()));
    }
    if text.chars().any(char::is_control) {
        return Err("has no control characters".to_owned());
    }
    Ok(text.into())
}

/// A string that is one token of a topic.
pub fn token(raw: &RawValue, bytes: RangeInclusive<usize>) -> Result<Box<str>, String> {
    let text = text(raw, bytes)?;
    let foreign = |c: char| c.is_whitespace() || ['.', '*', '>', '"', '\\'].contains(&c);
    match text.chars().find(|c| foreign(*c)) {
        None => Ok(text),
        Some(c) => Err(format!(
            "is one token of a topic, without white space, '.', '*', '>', '\"' and '\\'; this has {c:?}"
        )),
    }
}

/// One of a few names.
pub fn name<T: Copy>(raw: &RawValue, all: &[(&str, T)]) -> Result<T, String> {
    let given = string(raw);
    let found = all.iter().find(|(name, _)| given.as_deref() == Some(*name));
    found.map(|(_, value)| *value).ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        format!(
            "must be one of {}, not {}",
            names.join(", "),
            quoted(raw.get())
        )
    })
}

/// A price or a quantity: a JSON number or a string that holds a decimal; more than nothing.
pub fn amount(raw: &RawValue) -> Result<Decimal, String> {
    let amount = decimal(raw.get()).filter(|d| {
        *d > Decimal::ZERO && *d < Decimal::from(DECIMAL_MAX) && d.scale() <= PLACES_MAX
    });
    amount.ok_or_else(|| {
        format!(
            "must be a number or a decimal in a string, above 0, below {DECIMAL_MAX}, with at most {PLACES_MAX} places, not {}",
            quoted(raw.get())
        )
    })
}

/// The decimal that a JSON number or string holds, digit by digit; trailing zeros are nothing to be kept.
pub fn decimal(token: &str) -> Option<Decimal> {
    let inner = token.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let digits = inner.unwrap_or(token);
    short(digits).or_else(|| long(digits))
}

/// A number of few digits, without sign and exponent, as almost all are. `None`: it is none of these.
fn short(text: &str) -> Option<Decimal> {
    let (whole, part) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let is_padded = whole.len() > 1 && whole.starts_with('0');
    if whole.is_empty() || is_padded || text.len() > SHORT_BYTES {
        return None;
    }
    let (mut digits, mut places) = (0, part.len() as u32);
    for byte in whole.bytes().chain(part.bytes()) {
        if !byte.is_ascii_digit() {
            return None;
        }
        digits = digits * 10 + i64::from(byte - b'0');
    }
    while places > 0 && digits % 10 == 0 {
        (digits, places) = (digits / 10, places - 1);
    }
    Some(Decimal::new(digits, places))
}

/// Any number.
fn long(digits: &str) -> Option<Decimal> {
    // What stands in a string is written as a number would be, and nothing around it.
    let ends = (digits.bytes().next()?, digits.bytes().last()?);
    let is_bare = (ends.0.is_ascii_digit() || ends.0 == b'-') && ends.1.is_ascii_digit();
    if !is_bare || serde_json::from_str::<IgnoredAny>(digits).is_err() {
        return None;
    }
    let plain = |b: u8| b.is_ascii_digit() || b == b'-' || b == b'.';
    let read = if digits.bytes().all(plain) {
        Decimal::from_str_exact(digits)
    } else {
        Decimal::from_scientific(digits)
    };
    read.ok().map(|d| d.normalize())
}

/// An integer of that range.
pub fn integer(raw: &RawValue, range: RangeInclusive<i64>) -> Result<i64, String> {
    let number = raw.get().parse().ok().filter(|n| range.contains(n));
    number.ok_or_else(|| {
        let (min, max) = range.into_inner();
        format!(
            "must be an integer from {min} to {max}, not {}",
            quoted(raw.get())
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_short_number_is_read_as_any_other(text in "[0-9]{0,10}(\\.[0-9]{0,10})?[-e. ]?") {
            let parts = |d: Decimal| (d.mantissa(), d.scale());
            if let Some(read) = short(&text) {
                prop_assert_eq!(long(&text).map(parts), Some(parts(read)), "{}", text);
            }
        }
    }
}
