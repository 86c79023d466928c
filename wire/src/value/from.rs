//! Where a subscription begins.
use serde::de::{self, Deserializer};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// Where a subscription begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// At the head.
    Live,
    /// At the oldest entry that the log still holds.
    Earliest,
    /// With the newest entry of every key, in log order, then live.
    Last,
    /// With the newest `n` entries, in order.
    Recent(u64),
    /// After a position that was received before.
    After {
        /// The epoch the position belongs to.
        epoch: String,
        /// The last offset that was received.
        offset: i64,
        /// Where to begin when that is gone.
        otherwise: Else,
    },
    /// After a vector of positions, for a pattern over several partitions.
    Positions {
        /// One position per partition; a partition not named starts live.
        positions: Vec<PartPosition>,
        /// Where to begin when one of them is gone.
        otherwise: Else,
    },
}

/// A position in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PartPosition {
    /// Partition number.
    pub part: u32,
    /// The partition's epoch.
    pub epoch: String,
    /// Offset in the partition; -1 is before its first.
    pub offset: i64,
}

/// Where a subscription begins when the position it asked for is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Else {
    /// At the oldest entry held.
    #[default]
    Earliest,
    /// With the newest of every key.
    Last,
    /// At the head.
    Live,
}

impl Else {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Earliest, Self::Last, Self::Live];

    /// The name as it travels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Earliest => "earliest",
            Self::Last => "last",
            Self::Live => "live",
        }
    }
}

impl Serialize for From {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Live => serializer.serialize_str("live"),
            Self::Earliest => serializer.serialize_str("earliest"),
            Self::Last => serializer.serialize_str("last"),
            Self::Recent(n) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("recent", n)?;
                map.end()
            }
            Self::After {
                epoch,
                offset,
                otherwise,
            } => {
                let mut map = serializer.serialize_map(Some(3))?;
                map.serialize_entry("epoch", epoch)?;
                map.serialize_entry("offset", offset)?;
                map.serialize_entry("else", otherwise)?;
                map.end()
            }
            Self::Positions {
                positions,
                otherwise,
            } => {
                let mut map = serializer.serialize_map(Some(2))?;
                map.serialize_entry("positions", positions)?;
                map.serialize_entry("else", otherwise)?;
                map.end()
            }
        }
    }
}

/// Every field that any form of `from` has; which are there says which form it is.
#[derive(Deserialize)]
#[serde(untagged)]
enum Form {
    Name(Name),
    Recent {
        recent: u64,
    },
    After {
        epoch: String,
        offset: i64,
        #[serde(default, rename = "else")]
        otherwise: Else,
    },
    Positions {
        positions: Vec<PartPosition>,
        #[serde(default, rename = "else")]
        otherwise: Else,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Name {
    Live,
    Earliest,
    Last,
}

impl<'de> Deserialize<'de> for From {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::deserialize(deserializer)
            .map_err(|_| de::Error::custom("not a place to begin from"))?;
        Ok(match form {
            Form::Name(Name::Live) => Self::Live,
            Form::Name(Name::Earliest) => Self::Earliest,
            Form::Name(Name::Last) => Self::Last,
            Form::Recent { recent } => Self::Recent(recent),
            Form::After {
                epoch,
                offset,
                otherwise,
            } => Self::After {
                epoch,
                offset,
                otherwise,
            },
            Form::Positions {
                positions,
                otherwise,
            } => Self::Positions {
                positions,
                otherwise,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_back_as_it_was_written() {
        let part = PartPosition {
            part: 3,
            epoch: "e".into(),
            offset: -1,
        };
        let forms = [
            (From::Live, r#""live""#),
            (From::Earliest, r#""earliest""#),
            (From::Last, r#""last""#),
            (From::Recent(50), r#"{"recent":50}"#),
            (
                From::After {
                    epoch: "x".into(),
                    offset: 41,
                    otherwise: Else::Last,
                },
                r#"{"epoch":"x","offset":41,"else":"last"}"#,
            ),
            (
                From::Positions {
                    positions: vec![part],
                    otherwise: Else::Live,
                },
                r#"{"positions":[{"part":3,"epoch":"e","offset":-1}],"else":"live"}"#,
            ),
        ];
        for (from, text) in forms {
            assert_eq!(serde_json::to_string(&from).unwrap(), text);
            assert_eq!(serde_json::from_str::<From>(text).unwrap(), from);
        }
    }
}
