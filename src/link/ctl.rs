//! What is asked of a running node on its control socket, and the answers.
//!
//! Owns the vocabulary: one JSON object a line each way, an answer to each question in order. Must not contain: who may ask (the
//! supervisor checks the peer), or what is done. Driven by the supervisor on one end, by `ctl` and the admin role on the other.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::control::SlowRow;

/// A question or command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ctl", rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// How is the node doing?
    Status,
    /// Have so many workers from now on.
    Workers {
        /// 1..=1024.
        n: u32,
    },
    /// Tell all clients to go and answer 503 from now on.
    Drain,
    /// Drain, then end. The connection stays open until the node has ended.
    Stop,
    /// Which subscriptions are furthest behind?
    Slow {
        /// How many at most.
        n: usize,
    },
}

/// The answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is being done: what, in words.
    Done(String),
    /// It is not being done: why, in words.
    Refused(String),
    /// To `Status`: the object that `/status` has.
    Status(Box<RawValue>),
    /// To `Slow`, the furthest behind first.
    Slow(Vec<SlowOf>),
}

/// A subscription that is behind, and the worker it is with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowOf {
    /// Slot of the worker.
    pub worker: u32,
    /// The subscription.
    #[serde(flatten)]
    pub row: SlowRow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_look_as_documented() {
        let json = |ask: &Ask| serde_json::to_string(ask).unwrap();
        assert_eq!(json(&Ask::Status), r#"{"ctl":"status"}"#);
        assert_eq!(json(&Ask::Workers { n: 4 }), r#"{"ctl":"workers","n":4}"#);
        assert_eq!(
            serde_json::from_str::<Ask>(r#"{"ctl":"slow","n":7}"#).unwrap(),
            Ask::Slow { n: 7 }
        );
        assert!(serde_json::from_str::<Ask>(r#"{"ctl":"workers","n":4,"m":1}"#).is_err());
    }

    #[test]
    fn an_answer_passes_the_status_on_as_it_is() {
        let status = RawValue::from_string(r#"{"node": "n"}"#.to_owned()).unwrap();
        let line = serde_json::to_string(&Answer::Status(status)).unwrap();
        assert_eq!(line, r#"{"status":{"node": "n"}}"#);
        let Answer::Status(back) = serde_json::from_str(&line).unwrap() else {
            panic!("{line}")
        };
        assert_eq!(back.get(), r#"{"node": "n"}"#);
    }
}
