//! The session against a server that is played by hand: what it sends, what it hands on.
mod resume;
mod strange;

use super::*;
use crate::error::RequestError;
use crate::event::Closed;
use crate::event::Event;
use pubsub_wire::Limits;
use pubsub_wire::command::Subscribe;
use pubsub_wire::encode::{self as server_side, ErrorFrame, MsgView, Place};
use pubsub_wire::value::{
    Bound, Else, From, Gap, GapReason, Lag, Ledger, Mode, Overflow, Settings, Welcome,
};
use serde_json::{Value, json};
use std::time::Duration;

/// A session and what came out of it.
struct Played {
    session: Session,
    now: Instant,
}

fn text(build: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    build(&mut out);
    String::from_utf8(out).unwrap()
}

fn id(request: RequestId) -> Id {
    Id::number(request.0)
}

impl Played {
    /// Behind the welcome.
    fn open() -> Self {
        let mut played = Self {
            session: Session::new(NonZeroU32::new(3).unwrap()),
            now: Instant::now(),
        };
        played.connect();
        played
    }

    fn connect(&mut self) {
        self.session.handle_connected(&welcome());
    }

    fn lose(&mut self) {
        self.session.handle_lost(&Closed::lost("cut"));
    }

    fn hear(&mut self, build: impl FnOnce(&mut Vec<u8>)) -> Result<(), Violation> {
        self.session.handle_text(self.now, &text(build))
    }

    fn ask(&mut self, ask: Ask) -> RequestId {
        self.session.handle_ask(ask).unwrap().unwrap()
    }

    fn refused(&mut self, ask: Ask) -> ErrorCode {
        self.session.handle_ask(ask).unwrap_err().code
    }

    /// What is sent; every command must be one to the strict reader.
    fn sent(&mut self) -> Vec<Value> {
        let texts = std::iter::from_fn(|| self.session.poll_transmit(self.now));
        let check = |text: String| {
            pubsub_wire::command::parse(&text, &Limits::default()).unwrap();
            serde_json::from_str(&text).unwrap()
        };
        texts.map(check).collect()
    }

    fn outputs(&mut self) -> Vec<Output> {
        std::iter::from_fn(|| self.session.poll_output()).collect()
    }

    /// Asks for a subscription and has it answered.
    fn subscribe(&mut self, topic: &str) -> SubscriptionId {
        let request = self.ask(subscribe(topic));
        self.sent();
        self.subscribed(request, topic)
    }

    fn subscribed(&mut self, request: RequestId, topic: &str) -> SubscriptionId {
        self.hear(|out| {
            server_side::subscribed(out, Some(&id(request)), topic, "e", 0, &settings());
        })
        .unwrap();
        match self.outputs().as_slice() {
            [Output::Answer(answered, Ok(Answer::Subscribed(id, _)))] if *answered == request => {
                *id
            }
            other => panic!("{other:?}"),
        }
    }

    fn msg(&mut self, sub: Option<&str>, topic: &str, offset: i64) {
        let view = MsgView {
            sub,
            topic,
            offset,
            ts: 1,
            key: None,
            data: b"1",
        };
        self.hear(|out| server_side::msg(out, &view)).unwrap();
    }

    fn unsubscribed(&mut self, request: u64, topic: &str) {
        let ledger = Ledger {
            published: 7,
            delivered: 7,
            ..Ledger::default()
        };
        self.hear(|out| server_side::unsubscribed(out, Some(&Id::number(request)), topic, &ledger))
            .unwrap();
    }

    fn error(&mut self, id: Option<&Id>, code: ErrorCode) {
        let frame = ErrorFrame {
            id,
            code,
            message: "no",
            field: None,
            retry_after_ms: Some(30),
        };
        self.hear(|out| server_side::error(out, &frame)).unwrap();
    }

    /// Offsets of the messages that come out, by subscription.
    fn offsets(&mut self) -> Vec<(SubscriptionId, i64)> {
        let offset = |output| match output {
            Output::Event(id, Event::Message(msg)) => (id, msg.offset),
            other => panic!("{other:?}"),
        };
        self.outputs().into_iter().map(offset).collect()
    }
}

fn welcome() -> Welcome {
    Welcome {
        session: "s".into(),
        node: "n".into(),
        worker: 0,
        heartbeat_ms: 25_000,
        limits: Limits::default(),
    }
}

fn settings() -> Settings {
    Settings {
        from: From::Live,
        rate: None,
        batch: None,
        bound: Bound::default(),
        overflow: Overflow::DropOldest,
        credit: None,
    }
}

fn subscribe(topic: &str) -> Ask {
    ask_for(Subscribe {
        topic: topic.into(),
        ..Subscribe::default()
    })
}

fn ask_for(subscribe: Subscribe) -> Ask {
    Ask::Subscribe(Box::new(Wanted {
        subscribe,
        otherwise: Else::Last,
    }))
}

#[test]
fn a_welcome_may_come_only_once() {
    assert!(
        Played::open()
            .hear(|out| server_side::welcome(out, &welcome()))
            .is_err()
    );
}

#[test]
fn a_message_goes_to_the_subscription_it_was_sent_for() {
    let mut played = Played::open();
    let exact = played.subscribe("quotes.A");
    let pattern = played.subscribe("quotes.*");
    played.msg(None, "quotes.A", 1);
    played.msg(Some("quotes.*"), "quotes.A", 1);
    played.msg(Some("quotes.*"), "quotes.B", 2);
    played.msg(None, "nobody.asked", 3);
    assert_eq!(played.offsets(), [(exact, 1), (pattern, 1), (pattern, 2)]);
}

#[test]
fn the_items_of_a_batch_come_as_messages_of_its_subscription() {
    let mut played = Played::open();
    let pattern = played.subscribe("quotes.*");
    let exact = played.subscribe("quotes.A");
    let view = |topic, offset| MsgView {
        sub: None,
        topic,
        offset,
        ts: 1,
        key: None,
        data: b"1",
    };
    let resume = Place {
        part: None,
        resume: Some(8),
    };
    let items = [
        (view("quotes.A", 9), resume),
        (view("quotes.B", 7), Place::default()),
    ];
    played
        .hear(|out| server_side::batch(out, "quotes.*", items))
        .unwrap();
    played
        .hear(|out| server_side::batch(out, "quotes.A", [items[0]]))
        .unwrap();
    let came: Vec<_> = played
        .outputs()
        .into_iter()
        .map(|output| match output {
            Output::Event(id, Event::Message(msg)) => (
                id,
                msg.sub.as_deref().map(str::to_owned),
                msg.offset,
                msg.resume,
            ),
            other => panic!("{other:?}"),
        })
        .collect();
    let sub = Some("quotes.*".to_owned());
    assert_eq!(
        came,
        [
            (pattern, sub.clone(), 9, Some(8)),
            (pattern, sub, 7, None),
            (exact, None, 9, Some(8)),
        ]
    );
}

#[test]
fn modes_and_gaps_of_unknown_range_are_handed_on_as_they_are() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let lag = Lag {
        messages: 5,
        bytes: 600,
        age_ms: 7,
    };
    played
        .hear(|out| server_side::mode(out, "t", Mode::Behind, &lag))
        .unwrap();
    let rated = Gap {
        from: None,
        to: None,
        count: Some(3),
        reason: GapReason::DropOldest,
        epoch: "e",
        offset: 12,
    };
    played
        .hear(|out| server_side::gap(out, "t", &rated))
        .unwrap();
    let outputs = played.outputs();
    let [
        Output::Event(a, Event::Mode { mode, lag: told }),
        Output::Event(b, Event::Gap(gap)),
    ] = outputs.as_slice()
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((*a, *b), (subscription, subscription));
    assert_eq!((*mode, *told), (Mode::Behind, lag));
    assert_eq!((gap.from, gap.to, gap.count), (None, None, Some(3)));
}

#[test]
fn two_subscriptions_of_one_text_are_refused_here() {
    let mut played = Played::open();
    let request = played.ask(subscribe("t"));
    assert_eq!(played.refused(subscribe("t")), ErrorCode::AlreadySubscribed);
    played.subscribed(request, "t");
    assert_eq!(played.refused(subscribe("t")), ErrorCode::AlreadySubscribed);
}

#[test]
fn a_refused_subscription_leaves_its_text_free() {
    let mut played = Played::open();
    let request = played.ask(subscribe("t"));
    played.error(Some(&id(request)), ErrorCode::Limit);
    let outputs = played.outputs();
    assert!(
        matches!(&outputs[0], Output::Answer(r, Err(RequestError::Refused(no))) if *r == request && no.code == ErrorCode::Limit)
    );
    played.subscribe("t");
}

#[test]
fn a_released_subscription_is_unsubscribed_from_and_silent() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    played.session.handle_release(subscription);
    let sent = played.sent();
    assert_eq!(
        (&sent[0]["op"], &sent[0]["topic"]),
        (&json!("unsubscribe"), &json!("t"))
    );
    played.msg(None, "t", 1);
    assert!(played.outputs().is_empty());
    played.unsubscribed(sent[0]["id"].as_u64().unwrap(), "t");
    assert!(
        played
            .outputs()
            .iter()
            .any(|output| matches!(output, Output::Ended(id) if *id == subscription))
    );
    assert_eq!(
        played.refused(Ask::Ledger(subscription, AnswerTo::Caller)),
        ErrorCode::NotSubscribed
    );
}

#[test]
fn releasing_what_has_ended_asks_nothing() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let request = played.ask(Ask::Unsubscribe(
        subscription,
        Unsent::Discard,
        AnswerTo::Caller,
    ));
    played.unsubscribed(request.0, "t");
    played.sent();
    played.session.handle_release(subscription);
    assert!(played.sent().is_empty());
}

#[test]
fn a_text_that_is_ending_is_asked_for_again_only_afterwards() {
    let mut played = Played::open();
    let old = played.subscribe("t");
    played.session.handle_release(old);
    let unsubscribe = played.sent()[0]["id"].as_u64().unwrap();
    let request = played.ask(subscribe("t"));
    assert!(played.sent().is_empty());
    played.msg(None, "t", 1);
    assert!(played.outputs().is_empty(), "that was the old one's");
    played.unsubscribed(unsubscribe, "t");
    played.outputs();
    let sent = played.sent();
    assert_eq!(
        (&sent[0]["op"], &sent[0]["id"]),
        (&json!("subscribe"), &json!(request.0))
    );
    let new = played.subscribed(request, "t");
    assert_ne!(new, old);
    played.msg(None, "t", 2);
    assert_eq!(played.offsets(), [(new, 2)]);
}

#[test]
fn a_refused_unsubscribe_of_a_released_one_is_tried_again_later() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    played.session.handle_release(subscription);
    let unsubscribe = Id::number(played.sent()[0]["id"].as_u64().unwrap());
    played.error(Some(&unsubscribe), ErrorCode::RateLimited);
    let due = played.now + Duration::from_millis(30);
    assert_eq!(played.session.poll_timeout(), Some(due));
    played.session.handle_timeout(played.now);
    assert!(played.sent().is_empty(), "not before");
    played.session.handle_timeout(due);
    assert_eq!(played.sent()[0]["op"], "unsubscribe");
}

#[test]
fn a_refused_finish_says_so_in_the_stream_which_goes_on() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let request = played.ask(Ask::Unsubscribe(
        subscription,
        Unsent::Deliver,
        AnswerTo::Stream,
    ));
    assert_eq!(played.sent()[0]["drain"], true);
    assert_eq!(
        played.refused(Ask::Unsubscribe(
            subscription,
            Unsent::Discard,
            AnswerTo::Stream
        )),
        ErrorCode::NotSubscribed
    );
    played.error(Some(&id(request)), ErrorCode::RateLimited);
    assert!(matches!(
        &played.outputs()[0],
        Output::Event(_, Event::Refused(_))
    ));
    played.msg(None, "t", 1);
    assert_eq!(played.offsets(), [(subscription, 1)]);
    played.ask(Ask::Unsubscribe(
        subscription,
        Unsent::Discard,
        AnswerTo::Stream,
    ));
}

#[test]
fn answers_that_belong_into_the_stream_come_in_their_place() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let ledger = played.ask(Ask::Ledger(subscription, AnswerTo::Stream));
    let finish = played.ask(Ask::Unsubscribe(
        subscription,
        Unsent::Discard,
        AnswerTo::Stream,
    ));
    played.msg(None, "t", 1);
    let counts = Ledger {
        published: 1,
        delivered: 1,
        ..Ledger::default()
    };
    played
        .hear(|out| server_side::ledger(out, Some(&id(ledger)), "t", "e", &counts))
        .unwrap();
    played.msg(None, "t", 2);
    played.unsubscribed(finish.0, "t");
    let outputs = played.outputs();
    let events: Vec<_> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Event(id, event) if *id == subscription => Some(event),
            _ => None,
        })
        .collect();
    assert!(
        matches!(
            events.as_slice(),
            [Event::Message(_), Event::Ledger { ledger, .. }, Event::Message(_), Event::Unsubscribed(_)]
                if *ledger == counts
        ),
        "{events:?}"
    );
    assert!(matches!(outputs.last(), Some(Output::Ended(id)) if *id == subscription));
}

#[test]
fn every_question_gets_its_own_answer() {
    let mut played = Played::open();
    let subscription = played.subscribe("t");
    let publication = || Publication {
        topic: "t".into(),
        key: Some("k".into()),
        data: "[1 ]".into(),
    };
    let first = played.ask(Ask::Publish(publication(), Acknowledgement::Wanted));
    let unwanted = played
        .session
        .handle_ask(Ask::Publish(publication(), Acknowledgement::Unwanted))
        .unwrap();
    let ping = played.ask(Ask::Ping);
    let change = Box::new(Reconfigure::default());
    let change = played.ask(Ask::Reconfigure(subscription, change));
    let credit = played
        .session
        .handle_ask(Ask::Credit(subscription, 5))
        .unwrap();
    assert_eq!((unwanted, credit), (None, None));
    let sent = played.sent();
    let [published, silent, ping_sent, change_sent, credit_sent] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(
        *published,
        json!({"op": "publish", "id": first.0, "topic": "t", "key": "k", "data": [1]})
    );
    assert_eq!(
        *silent,
        json!({"op": "publish", "topic": "t", "key": "k", "data": [1]})
    );
    assert_eq!(*ping_sent, json!({"op": "ping", "id": ping.0}));
    assert_eq!(
        *change_sent,
        json!({"op": "reconfigure", "id": change.0, "topic": "t"})
    );
    assert_eq!(*credit_sent, json!({"op": "credit", "topic": "t", "n": 5}));

    played
        .hear(|out| server_side::pong(out, Some(&id(ping)), 1))
        .unwrap();
    played
        .hear(|out| server_side::reconfigured(out, Some(&id(change)), "t", &settings()))
        .unwrap();
    played
        .hear(|out| server_side::published(out, Some(&id(first)), "t", "e", 42))
        .unwrap();
    let outputs = played.outputs();
    let [
        Output::Answer(a, Ok(Answer::Pong)),
        Output::Answer(b, Ok(Answer::Reconfigured(_))),
        Output::Answer(c, Ok(Answer::Published(at))),
    ] = outputs.as_slice()
    else {
        panic!("{outputs:?}")
    };
    assert_eq!((*a, *b, *c, at.offset), (ping, change, first, 42));
}

#[test]
fn errors_without_a_question_are_handed_on_as_such() {
    let mut played = Played::open();
    played.error(None, ErrorCode::Forbidden);
    played.error(Some(&Id::number(99)), ErrorCode::Forbidden);
    played.error(Some(&Id::text("x")), ErrorCode::Forbidden);
    let outputs = played.outputs();
    assert_eq!(
        outputs
            .iter()
            .filter(|output| matches!(output, Output::Stray(_)))
            .count(),
        3
    );
}

#[test]
fn answers_nobody_asked_for_or_of_another_kind_are_violations() {
    let mut played = Played::open();
    assert!(played.hear(|out| server_side::pong(out, None, 1)).is_err());
    assert!(
        played
            .hear(|out| server_side::pong(out, Some(&Id::number(5)), 1))
            .is_err()
    );
    let ping = played.ask(Ask::Ping);
    assert!(
        played
            .hear(|out| server_side::published(out, Some(&id(ping)), "t", "e", 1))
            .is_err()
    );
    let now = played.now;
    assert!(played.session.handle_text(now, "{").is_err());
    assert!(played.session.handle_text(now, r#"{"op":"msg"}"#).is_err());
}

#[test]
fn what_a_later_version_sends_is_passed_over() {
    let mut played = Played::open();
    let now = played.now;
    played
        .session
        .handle_text(now, r#"{"op":"weather","id":1}"#)
        .unwrap();
    assert!(played.outputs().is_empty());
}
