//! A latency in milliseconds, which is for ever where a message never came.
//!
//! Pure. JSON has no infinity, and `null` means that there was nothing to measure: so for ever is the text `never`.
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How for ever is written.
const NEVER: &str = "never";

/// Milliseconds; infinite: it never came.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Latency(pub f64);

impl Latency {
    /// Milliseconds, if it is finite.
    pub fn finite(self) -> Option<f64> {
        Some(self.0).filter(|ms| ms.is_finite())
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.finite() {
            Some(ms) => serializer.serialize_f64(ms),
            None => serializer.serialize_str(NEVER),
        }
    }
}

impl<'de> Deserialize<'de> for Latency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Ms(f64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Ms(ms) => Ok(Self(ms)),
            Written::Text(text) if text == NEVER => Ok(Self(f64::INFINITY)),
            Written::Text(text) => Err(D::Error::invalid_value(
                Unexpected::Str(&text),
                &"milliseconds or \"never\"",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_ever_is_a_word_and_what_is_unknown_is_null() {
        let latencies = [Some(Latency(1.5)), Some(Latency(f64::INFINITY)), None];
        let text = serde_json::to_string(&latencies).unwrap();
        assert_eq!(text, r#"[1.5,"never",null]"#);
        let back: [Option<Latency>; 3] = serde_json::from_str(&text).unwrap();
        assert_eq!(back, latencies);
        assert!(serde_json::from_str::<Latency>(r#""soon""#).is_err());
    }
}
