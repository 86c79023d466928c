//! The subscriptions of a swarm: their text, the commands made of it, and what is known of their publications.
//!
//! Pure. One record per topic text, shared by all connections that subscribe to it.
use super::frames::Opcode;
use super::head::{self, Head};
use super::outgoing;
use super::published::Published;
use serde_json::{Map, Value, json};

/// A topic of a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicId(pub(super) u32);

/// What every connection of a topic subscribes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Subscription {
    /// Topic or pattern.
    pub topic: String,
    /// Further fields of the `subscribe` command, as they are.
    pub settings: Map<String, Value>,
}

impl Subscription {
    /// With the server's defaults.
    pub fn plain(topic: impl Into<String>) -> Self {
        Self {
            topic: topic.into(),
            settings: Map::new(),
        }
    }

    /// The `subscribe` command.
    pub fn command(&self) -> String {
        let mut command = self.settings.clone();
        command.insert("op".into(), "subscribe".into());
        command.insert("id".into(), id::SUBSCRIBE.into());
        command.insert("topic".into(), self.topic.as_str().into());
        Value::Object(command).to_string()
    }

    /// Offsets rise over the whole of it. A rate delivers in the order of release.
    fn rises(&self) -> bool {
        !self.set("rate")
    }

    /// Every publication from the start on is owed: it starts live, and nothing it asked for thins it out.
    fn owes_all(&self) -> bool {
        let live = self
            .settings
            .get("from")
            .is_none_or(|from| from.is_null() || from == "live");
        let thinned = self
            .settings
            .get("overflow")
            .is_some_and(|overflow| overflow == "conflate");
        live && !thinned && !self.set("rate") && !self.set("credit")
    }

    fn set(&self, field: &str) -> bool {
        self.settings
            .get(field)
            .is_some_and(|value| !value.is_null())
    }

    fn is_pattern(&self) -> bool {
        self.topic
            .split('.')
            .any(|token| token == "*" || token == ">")
    }
}

/// The `id` of each command: a connection has one subscription, so there is never more than one of a kind under way.
pub(super) mod id {
    pub(in super::super) const SUBSCRIBE: u64 = 1;
    pub(in super::super) const LEDGER: u64 = 2;
}

pub(super) struct Topic {
    /// `None`: a pattern, whose messages name their own topics.
    prefix: Option<Box<[u8]>>,
    subscribe: Box<[u8]>,
    ledger: Box<[u8]>,
    /// Offsets must rise.
    pub(super) rises: bool,
    /// Publications seen by anybody; `None`: they are not followed.
    pub(super) published: Option<Published>,
}

impl Topic {
    pub(super) fn new(subscription: &Subscription) -> Self {
        let ledger = json!({"op": "ledger", "id": id::LEDGER, "topic": subscription.topic});
        Self {
            prefix: (!subscription.is_pattern()).then(|| head::prefix(&subscription.topic)),
            subscribe: subscription.command().into_bytes().into(),
            ledger: ledger.to_string().into_bytes().into(),
            rises: subscription.rises(),
            published: subscription.owes_all().then(Published::default),
        }
    }

    /// The head of a plain `msg` of this subscription.
    #[inline]
    pub(super) fn head(&self, payload: &[u8]) -> Option<Head> {
        match &self.prefix {
            Some(prefix) => head::after_prefix(prefix, payload),
            None => head::on_any_topic(payload),
        }
    }

    /// Appends the `subscribe` command as a frame.
    pub(super) fn subscribe(&self, out: &mut Vec<u8>) {
        outgoing::frame(out, Opcode::Text, &self.subscribe);
    }

    /// Appends the `ledger` command as a frame.
    pub(super) fn ledger(&self, out: &mut Vec<u8>) {
        outgoing::frame(out, Opcode::Text, &self.ledger);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(settings: Value) -> Subscription {
        let Value::Object(settings) = settings else {
            panic!("no object")
        };
        Subscription {
            topic: "t".into(),
            settings,
        }
    }

    #[test]
    fn settings_travel_in_the_command() {
        let topic = Topic::new(&with(
            json!({"overflow": "conflate", "bound": {"messages": 4}}),
        ));
        let command: Value = serde_json::from_slice(&topic.subscribe).unwrap();
        assert_eq!(
            command,
            json!({"op": "subscribe", "id": 1, "topic": "t", "overflow": "conflate", "bound": {"messages": 4}})
        );
    }

    #[test]
    fn everything_is_owed_only_to_those_who_start_live_and_ask_for_no_less() {
        assert!(with(json!({})).owes_all());
        assert!(with(json!({"from": "live", "rate": null, "overflow": "drop_oldest"})).owes_all());
        for less in [
            json!({"from": "last"}),
            json!({"rate": {"mode": "sample", "ms": 5}}),
            json!({"overflow": "conflate"}),
            json!({"credit": 0}),
        ] {
            assert!(!with(less.clone()).owes_all(), "{less}");
        }
    }

    #[test]
    fn a_pattern_reads_messages_of_any_topic() {
        let payload = br#"{"op":"msg","sub":"q.*","topic":"q.A","offset":3,"ts":4,"data":1}"#;
        let head = Some(Head {
            offset: 3,
            ts_us: 4,
        });
        assert_eq!(Topic::new(&Subscription::plain("q.*")).head(payload), head);
        assert_eq!(Topic::new(&Subscription::plain("q.A")).head(payload), None);
    }
}
