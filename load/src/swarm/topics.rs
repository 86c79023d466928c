//! The subscriptions of a swarm: their text, the commands made of it, and what is known of their publications.
//!
//! Pure. One record per topic text, shared by all connections that subscribe to it.
use super::calls::CallPlan;
use super::frames::Opcode;
use super::head::{self, Found};
use super::published::Published;
use super::{batch, outgoing};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::num::NonZeroU64;

/// A topic of a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicId(pub(super) u32);

/// What every connection of a topic subscribes to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

    /// A rate delivers in the order of release: offsets rise per key only.
    fn rated(&self) -> bool {
        let rate = self.settings.get("rate").filter(|rate| !rate.is_null());
        rate.is_some_and(|rate| rate.get("mode").is_none_or(|mode| mode != "all"))
    }

    /// How many messages are asked for at a time; `None`: without limit, or none ever.
    fn credit(&self) -> Option<NonZeroU64> {
        self.settings
            .get("credit")
            .and_then(Value::as_u64)
            .and_then(NonZeroU64::new)
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
        live && !thinned && !self.rated() && !self.set("credit")
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
    /// Which of the targets it is asked of.
    pub(super) target: usize,
    /// `None`: a pattern, whose messages name their own topics.
    prefix: Option<Box<[u8]>>,
    subscribe: Box<[u8]>,
    ledger: Box<[u8]>,
    /// As JSON.
    text: Box<str>,
    /// What its batches begin with.
    pub(super) batch: Box<[u8]>,
    /// A rate releases its messages.
    pub(super) rated: bool,
    /// How many messages are asked for at a time.
    pub(super) credit: Option<NonZeroU64>,
    /// Nothing is asked for, ever: `"credit":0`.
    pub(super) starved: bool,
    /// Its connections call instead of subscribing.
    pub(super) calls: Option<CallPlan>,
    /// Publications seen by anybody; `None`: they are not followed.
    pub(super) published: Option<Published>,
}

impl Topic {
    pub(super) fn new(subscription: &Subscription, target: usize) -> Self {
        let ledger = json!({"op": "ledger", "id": id::LEDGER, "topic": subscription.topic});
        Self {
            target,
            prefix: (!subscription.is_pattern()).then(|| head::prefix(&subscription.topic)),
            subscribe: subscription.command().into_bytes().into(),
            ledger: ledger.to_string().into_bytes().into(),
            text: Value::from(subscription.topic.as_str()).to_string().into(),
            batch: batch::prefix(&subscription.topic),
            rated: subscription.rated(),
            credit: subscription.credit(),
            starved: subscription.set("credit") && subscription.credit().is_none(),
            calls: None,
            published: subscription.owes_all().then(Published::default),
        }
    }

    /// Of connections that call.
    pub(super) fn calling(plan: CallPlan, target: usize) -> Self {
        Self {
            calls: Some(plan),
            published: None,
            ..Self::new(&Subscription::plain(""), target)
        }
    }

    /// The head of a plain `msg` of this subscription.
    #[inline]
    pub(super) fn head<'a>(&self, payload: &'a [u8]) -> Option<Found<'a>> {
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

    /// Appends a `credit` command for `n` more as a frame.
    pub(super) fn credit(&self, n: u64, out: &mut Vec<u8>) {
        let command = format!(r#"{{"op":"credit","topic":{},"n":{n}}}"#, self.text);
        outgoing::frame(out, Opcode::Text, command.as_bytes());
    }

    /// How much credit to give to a connection that has used so much of it; `None`: it has enough. Half is left when more comes,
    /// so that a server need not wait for it.
    #[inline]
    pub(super) fn due_credit(&self, used: u64) -> Option<u64> {
        let due = self.credit?.get().div_ceil(2);
        (used >= due).then_some(used)
    }
}

#[cfg(test)]
mod tests {
    use super::head::Head;
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
        let settings = json!({"overflow": "conflate", "bound": {"messages": 4}});
        let topic = Topic::new(&with(settings), 0);
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
    fn a_rate_of_all_is_none() {
        assert!(with(json!({"rate": {"mode": "throttle", "ms": 5}})).rated());
        for none in [
            json!({}),
            json!({"rate": null}),
            json!({"rate": {"mode": "all"}}),
        ] {
            assert!(!with(none.clone()).rated(), "{none}");
        }
    }

    #[test]
    fn credit_is_due_once_half_is_used_and_never_where_none_was_asked_for() {
        let due = |settings: Value, used| Topic::new(&with(settings), 0).due_credit(used);
        let ten = json!({"credit": 10});
        assert_eq!(
            [
                due(ten.clone(), 0),
                due(ten.clone(), 4),
                due(ten.clone(), 5),
                due(ten, 12)
            ],
            [None, None, Some(5), Some(12)]
        );
        assert_eq!(
            [due(json!({"credit": 1}), 0), due(json!({"credit": 1}), 1)],
            [None, Some(1)]
        );
        assert_eq!(
            [due(json!({"credit": 0}), 9), due(json!({}), 9)],
            [None, None]
        );
    }

    #[test]
    fn a_pattern_reads_messages_of_any_topic() {
        let payload = br#"{"op":"msg","sub":"q.*","topic":"q.A","offset":3,"ts":4,"data":1}"#;
        let head = |topic| {
            Topic::new(&Subscription::plain(topic), 0)
                .head(payload)
                .map(|found| found.head)
        };
        assert_eq!((head("q.*"), head("q.A")), (Some(Head::plain(3, 4)), None));
    }
}
