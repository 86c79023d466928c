//! Settings drawn at random, and what a client has to expect of them.
use std::fmt::Write;

use fastrand::Rng;

use crate::client::Subscribed;

/// Settings that were drawn.
pub struct Drawn {
    overflow: &'static str,
    messages: u64,
    bytes: u64,
    age_ms: u64,
    rate: Option<String>,
    batch: Option<String>,
    credit: Option<u64>,
}

impl Drawn {
    /// Settings of any kind; many subscriptions have plain ones.
    pub fn new(rng: &mut Rng, plain: bool) -> Self {
        let overflows = [
            "drop_oldest",
            "conflate",
            "disconnect",
            "drop_newest",
            "spill",
        ];
        let likely = if plain { 7 } else { 13 };
        let overflow = overflows[[0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 4, 4, 1][rng.usize(..likely)]];
        let ms = [1, 20, 300, 4000][rng.usize(..4)];
        let when = ["always", "behind"][rng.usize(..2)];
        let rate = match rng.u8(..if plain { 1 } else { 10 }) {
            0..5 => None,
            5..7 => Some(format!(r#"{{"mode":"sample","ms":{ms},"when":"{when}"}}"#)),
            7 => Some(format!(
                r#"{{"mode":"throttle","ms":{ms},"when":"{when}"}}"#
            )),
            8 => Some(format!(
                r#"{{"mode":"throttle_first","ms":{ms},"when":"{when}"}}"#
            )),
            _ => Some(format!(
                r#"{{"mode":"debounce","ms":{ms},"max_wait_ms":{},"when":"{when}"}}"#,
                ms * 3
            )),
        };
        let batch = match rng.u8(..if plain { 1 } else { 6 }) {
            0..4 => None,
            4 => Some(format!(r#"{{"ms":{ms}}}"#)),
            _ => Some(format!(r#"{{"ms":{ms},"messages":3,"bytes":400}}"#)),
        };
        Self {
            overflow,
            messages: [1, 2, 4, 16, 64][rng.usize(..5)],
            bytes: [200, 1000, 100_000][rng.usize(..3)],
            age_ms: if plain {
                600_000
            } else {
                [50, 2000, 600_000][rng.usize(..3)]
            },
            rate,
            batch,
            credit: [None, None, None, Some(0), Some(7)][rng.usize(..if plain { 1 } else { 5 })],
        }
    }

    /// As fields of a `subscribe`.
    pub fn json(&self) -> String {
        let mut json = format!(
            r#","bound":{{"messages":{},"bytes":{},"age_ms":{}}},"overflow":"{}""#,
            self.messages, self.bytes, self.age_ms, self.overflow
        );
        if let Some(rate) = &self.rate {
            write!(json, r#","rate":{rate}"#).unwrap();
        }
        if let Some(batch) = &self.batch {
            write!(json, r#","batch":{batch}"#).unwrap();
        }
        if let Some(credit) = self.credit {
            write!(json, r#","credit":{credit}"#).unwrap();
        }
        json
    }

    /// What a client has to expect of them.
    pub fn note(&self, subscribed: &mut Subscribed) {
        self.note_overflow(subscribed);
        self.note_rate(subscribed);
        subscribed.batched = self.batch.is_some();
        subscribed.demand = self.credit;
    }

    fn note_overflow(&self, subscribed: &mut Subscribed) {
        subscribed.conflates |= self.overflow == "conflate";
        subscribed.spills |= self.overflow == "spill";
    }

    fn note_rate(&self, subscribed: &mut Subscribed) {
        subscribed.rated |= self.rate.is_some();
        let loses = |rate: &String| rate.contains("throttle_first");
        subscribed.loses_newest |= self.rate.as_ref().is_some_and(loses);
    }

    /// One setting of a `reconfigure`.
    pub fn change(&self, part: u8, subscribed: &mut Subscribed) -> String {
        let or_null = |json: &Option<String>| json.clone().unwrap_or("null".into());
        match part {
            0 => {
                self.note_overflow(subscribed);
                format!(r#","overflow":"{}""#, self.overflow)
            }
            1 => format!(
                r#","bound":{{"messages":{},"age_ms":{}}}"#,
                self.messages, self.age_ms
            ),
            2 => format!(r#","bound":{{"bytes":{}}}"#, self.bytes),
            3 => {
                self.note_rate(subscribed);
                format!(r#","rate":{}"#, or_null(&self.rate))
            }
            4 => {
                // What was pending may come as it was.
                subscribed.batched = false;
                format!(r#","batch":{}"#, or_null(&self.batch))
            }
            _ => {
                subscribed.demand = None;
                r#","credit":null"#.into()
            }
        }
    }
}
