//! A request's id: a string or an integer, kept as the JSON token that was sent.
use crate::encode::json;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A request's id as its raw JSON token, so that the answer repeats it exactly, whatever its size.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Id(Box<str>);

impl Id {
    /// An integer.
    pub fn number(n: u64) -> Self {
        let mut token = Vec::new();
        json::integer(&mut token, n);
        Self::from_token(&token)
    }

    /// A string.
    pub fn text(text: &str) -> Self {
        let mut token = Vec::with_capacity(text.len() + 2);
        json::string(&mut token, text);
        Self::from_token(&token)
    }

    fn from_token(token: &[u8]) -> Self {
        Self(String::from_utf8_lossy(token).into())
    }

    /// The id that a JSON token is, if it is a string or an integer. The token must be valid JSON.
    pub fn from_json(token: &str) -> Option<Self> {
        let is_id = token.starts_with('"') || is_integer(token);
        is_id.then(|| Self(token.into()))
    }

    /// The JSON token.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The number, if it is one that fits.
    pub fn as_number(&self) -> Option<u64> {
        self.0.parse().ok()
    }

    /// What counts against the limit: the bytes as sent, without quotes.
    pub(super) fn size(&self) -> usize {
        let token = self.as_json();
        token
            .strip_prefix('"')
            .map_or(token.len(), |rest| rest.len() - 1)
    }
}

/// Whether a valid JSON token is a number without fraction and exponent.
pub(super) fn is_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Self::from_json(raw.get())
            .ok_or_else(|| de::Error::custom("an id is a string or an integer"))
    }
}
