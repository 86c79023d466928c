//! Reading one JSON object into known fields, and one field into a value.
//!
//! An object is read in one pass that allocates nothing: each known field keeps its raw token, the first stray one is
//! remembered, and reading goes on, so that the id is found wherever it stands. Values are read afterwards.
use super::id::is_integer;
use super::patch::FieldError;
use crate::text::clip;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

/// Largest integer that every JSON reader keeps exactly: 2^53.
pub(super) const INTEGER_MAX: i64 = 1 << 53;
/// A year: longer times are mistakes, and in nanoseconds they still fit 64 bits.
pub(super) const MS_MAX: i64 = 366 * 24 * 3600 * 1000;
/// How much of a wrong name or value an error repeats; an answer must not grow with what was sent.
const QUOTED_BYTES: usize = 48;

/// The fields of one object, each with its raw token.
pub(super) struct Object<'a, const N: usize> {
    names: &'static [&'static str; N],
    values: [Option<&'a RawValue>; N],
    stray: Option<Stray>,
}

/// The first field that doesn't belong.
pub(super) enum Stray {
    Unknown(String),
    Twice(&'static str),
}

impl<'a, const N: usize> Object<'a, N> {
    pub(super) fn new(names: &'static [&'static str; N]) -> Self {
        Self {
            names,
            values: [None; N],
            stray: None,
        }
    }

    /// Reads all of `text`. After an error the fields before it are there.
    pub(super) fn read(&mut self, text: &'a str) -> serde_json::Result<()> {
        let mut source = serde_json::Deserializer::from_str(text);
        source.deserialize_map(Collect(self))?;
        source.end()
    }

    /// The field of that number; `null` is as good as absent.
    pub(super) fn value(&self, index: usize) -> Option<&'a RawValue> {
        self.values[index].filter(|raw| raw.get() != "null")
    }

    /// The field of that number, `null` included.
    pub(super) fn raw(&self, index: usize) -> Option<&'a RawValue> {
        self.values[index]
    }

    pub(super) fn stray(&self) -> Option<&Stray> {
        self.stray.as_ref()
    }

    /// The names of the fields that are there.
    pub(super) fn present(&self) -> impl Iterator<Item = &'static str> {
        let pairs = self.names.iter().zip(&self.values);
        pairs
            .filter(|(_, value)| value.is_some())
            .map(|(name, _)| *name)
    }

    fn insert(&mut self, index: usize, raw: &'a RawValue) {
        if self.values[index].replace(raw).is_some() {
            let stray = Stray::Twice(self.names[index]);
            self.stray.get_or_insert(stray);
        }
    }

    fn set_unknown(&mut self, name: String) {
        self.stray.get_or_insert(Stray::Unknown(name));
    }
}

struct Collect<'o, 'a, const N: usize>(&'o mut Object<'a, N>);

impl<'de, const N: usize> Visitor<'de> for Collect<'_, 'de, N> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let names = self.0.names;
        while let Some(name) = map.next_key_seed(Name(names))? {
            match name {
                Ok(index) => self.0.insert(index, map.next_value()?),
                Err(unknown) => {
                    self.0.set_unknown(unknown);
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a field's name to its number, or to the unknown name, cut.
struct Name<const N: usize>(&'static [&'static str; N]);

impl<'de, const N: usize> de::DeserializeSeed<'de> for Name<N> {
    type Value = Result<usize, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<const N: usize> Visitor<'_> for Name<N> {
    type Value = Result<usize, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        let known = self.0.iter().position(|&known| known == name);
        Ok(known.ok_or_else(|| quoted(name).into_owned()))
    }
}

/// A wrong name or value, short enough to be repeated in an answer.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    let cut = clip(text, QUOTED_BYTES);
    if cut.len() == text.len() {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(format!("{cut}…"))
    }
}

/// A nested object with nothing but these fields; `path` is its own.
pub(super) fn object<'a, const N: usize>(
    raw: &'a RawValue,
    path: &str,
    names: &'static [&'static str; N],
) -> Result<Object<'a, N>, FieldError> {
    let mut object = Object::new(names);
    if !raw.get().starts_with('{') || object.read(raw.get()).is_err() {
        let message = format!(
            "must be an object of {}, not {}",
            names.join(", "),
            quoted(raw.get())
        );
        return Err(FieldError::new(path, message));
    }
    match object.stray() {
        None => Ok(object),
        Some(stray) => Err(stray.error(Some(path), &names.join(", "))),
    }
}

impl Stray {
    /// What is wrong with it; `allowed` are the fields there could be.
    pub(super) fn error(&self, path: Option<&str>, allowed: &str) -> FieldError {
        let (name, message) = match self {
            Self::Unknown(name) => (
                name.as_str(),
                format!("is no field here; allowed: {allowed}"),
            ),
            Self::Twice(name) => (*name, "is given twice".to_owned()),
        };
        match path {
            Some(path) => FieldError::new(format!("{path}.{name}"), message),
            None => FieldError::new(name, message),
        }
    }
}

/// An integer of that range.
pub(super) fn integer(
    raw: &RawValue,
    path: &str,
    range: RangeInclusive<i64>,
) -> Result<i64, FieldError> {
    let token = raw.get();
    let number = is_integer(token).then(|| token.parse().ok()).flatten();
    number.filter(|n| range.contains(n)).ok_or_else(|| {
        let (min, max) = range.into_inner();
        FieldError::new(
            path,
            format!(
                "must be an integer from {min} to {max}, not {}",
                quoted(token)
            ),
        )
    })
}

/// A count or size: an integer from `min` that every JSON reader keeps exactly.
pub(super) fn count(raw: &RawValue, path: &str, min: i64) -> Result<u64, FieldError> {
    integer(raw, path, min..=INTEGER_MAX).map(|n| n as u64)
}

/// A time in milliseconds, at least one.
pub(super) fn millis(raw: &RawValue, path: &str) -> Result<u64, FieldError> {
    integer(raw, path, 1..=MS_MAX).map(|n| n as u64)
}

/// A string, borrowed where nothing in it is escaped.
pub(super) fn string<'a>(raw: &'a RawValue, path: &str) -> Result<Cow<'a, str>, FieldError> {
    let token = raw.get();
    let inner = token.strip_prefix('"').and_then(|t| t.strip_suffix('"'));
    let Some(inner) = inner else {
        return Err(FieldError::new(
            path,
            format!("must be a string, not {}", quoted(token)),
        ));
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(inner));
    }
    serde_json::from_str(token).map(Cow::Owned).map_err(|_| {
        FieldError::new(
            path,
            "must be a string of whole characters, this one has half of a surrogate pair",
        )
    })
}

/// `true` or `false`.
pub(super) fn boolean(raw: &RawValue, path: &str) -> Result<bool, FieldError> {
    match raw.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(FieldError::new(
            path,
            format!("must be true or false, not {}", quoted(other)),
        )),
    }
}

/// One of a few names.
pub(super) fn choice<T: Copy>(
    raw: &RawValue,
    path: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<T, FieldError> {
    let found = string(raw, path).ok();
    let chosen = all
        .iter()
        .copied()
        .find(|&one| found.as_deref() == Some(name(one)));
    chosen.ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|&one| name(one)).collect();
        let message = format!(
            "must be one of {}, not {}",
            names.join(", "),
            quoted(raw.get())
        );
        FieldError::new(path, message)
    })
}
