//! Histograms as they travel between processes: `HdrHistogram`'s own V2 format, in base64.
//!
//! Pure. Named by what a histogram of the kind may hold, so that one of other bounds is refused where it arrives, and adding two never
//! fails: `#[serde(with = "Packed::<MAX, DIGITS>")]`.
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer as Reader, Serializer as _, V2Serializer};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serializer};
use std::borrow::Cow;

/// Histograms from 1 to `MAX` with so many significant digits.
pub(crate) struct Packed<const MAX: u64, const DIGITS: u8>;

impl<const MAX: u64, const DIGITS: u8> Packed<MAX, DIGITS> {
    pub(crate) fn serialize<S: Serializer>(
        histogram: &Histogram<u64>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        V2Serializer::new()
            .serialize(histogram, &mut bytes)
            .map_err(|error| S::Error::custom(format!("a histogram: {error:?}")))?;
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Histogram<u64>, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&*text).map_err(D::Error::custom)?;
        let histogram: Histogram<u64> = Reader::new()
            .deserialize(&mut bytes.as_slice())
            .map_err(|error| D::Error::custom(format!("a histogram: {error:?}")))?;
        let bounds = (histogram.low(), histogram.high(), histogram.sigfig());
        if bounds == (1, MAX, DIGITS) {
            Ok(histogram)
        } else {
            Err(D::Error::custom(format!(
                "a histogram of other bounds: {bounds:?}"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;

    #[derive(Serialize, Deserialize)]
    struct Case(#[serde(with = "Packed::<1000, 2>")] Histogram<u64>);

    #[derive(Serialize, Deserialize)]
    struct Wider(#[serde(with = "Packed::<2000, 2>")] Histogram<u64>);

    fn sent(values: &[u64]) -> String {
        let mut histogram = Histogram::new_with_bounds(1, 1000, 2).unwrap();
        for value in values {
            histogram.record(*value).unwrap();
        }
        serde_json::to_string(&Case(histogram)).unwrap()
    }

    #[test]
    fn what_travels_arrives_and_can_be_added() {
        let Case(mut got) = serde_json::from_str(&sent(&[1, 7, 7, 900])).unwrap();
        assert_eq!((got.len(), got.count_at(7)), (4, 2));
        got.add(&serde_json::from_str::<Case>(&sent(&[7])).unwrap().0)
            .unwrap();
        assert_eq!(got.count_at(7), 3);
    }

    #[test]
    fn what_is_no_histogram_or_has_other_bounds_is_refused() {
        for text in ["3", "\"\"", "\"?\"", "\"AAAA\""] {
            assert!(serde_json::from_str::<Case>(text).is_err(), "{text}");
        }
        let text = sent(&[5]);
        assert!(serde_json::from_str::<Wider>(&text).is_err());
        assert!(serde_json::from_str::<Case>(&text[..text.len() - 9]).is_err());
    }
}
