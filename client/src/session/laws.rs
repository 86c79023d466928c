//! The session's laws under any order of questions, answers, refusals and endings, against a server that obeys the
//! protocol: commands take effect in order, and a text is taken from its `subscribed` to its `unsubscribed`.
use super::*;
use proptest::prelude::*;
use pubsub_wire::Limits;
use pubsub_wire::encode::{self, ErrorFrame, MsgView};
use pubsub_wire::value::{Bound, From, Overflow};
use std::collections::{BTreeMap, BTreeSet};

const TEXTS: [&str; 3] = ["a", "b.*", ">"];

#[derive(Debug, Clone)]
enum Step {
    Subscribe(usize),
    /// Of the subscriptions held, the one of that number.
    Release(usize),
    Unsubscribe(usize),
    Finish(usize),
    /// The server takes a command; it may refuse one that can be refused.
    Take(Verdict),
    /// The session gets a frame.
    Deliver,
    /// The server sends a message to every subscription.
    Publish,
    /// The time has come for what was to be tried later.
    Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Fulfil,
    Refuse,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..TEXTS.len()).prop_map(Step::Subscribe),
        2 => (0..4_usize).prop_map(Step::Release),
        1 => (0..4_usize).prop_map(Step::Unsubscribe),
        1 => (0..4_usize).prop_map(Step::Finish),
        5 => Just(Step::Take(Verdict::Fulfil)),
        1 => Just(Step::Take(Verdict::Refuse)),
        6 => Just(Step::Deliver),
        3 => Just(Step::Publish),
        1 => Just(Step::Retry),
    ]
}

/// Session and server with the wire between them, and what each has seen.
#[derive(Default)]
struct World {
    session: Session,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    /// Texts that are taken, each with the offsets sent to this subscription.
    active: BTreeMap<String, Vec<i64>>,
    /// What was sent to each subscription of a text, in the order they were.
    sent: BTreeMap<String, Vec<Vec<i64>>>,
    offset: i64,
    asked: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    /// Every subscription that was answered: its text, how many of the text came before, what it got.
    got: BTreeMap<u64, (String, usize, Vec<i64>)>,
    begun: BTreeMap<String, usize>,
    /// Subscriptions the program still holds.
    held: Vec<SubscriptionId>,
    released: BTreeSet<u64>,
    later: Vec<SubscriptionId>,
}

impl World {
    fn new() -> Self {
        let mut world = Self::default();
        let welcome = Welcome {
            session: String::new(),
            node: String::new(),
            worker: 0,
            heartbeat_ms: 1,
            limits: Limits::default(),
        };
        world.send(|out| encode::welcome(out, &welcome));
        world.deliver();
        world
    }

    fn send(&mut self, build: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        build(&mut text);
        self.to_client.push_back(String::from_utf8(text).unwrap());
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Subscribe(text) => {
                let topic = TEXTS[text].to_owned();
                let subscribe = Subscribe {
                    topic,
                    ..Subscribe::default()
                };
                self.ask(Ask::Subscribe(Box::new(subscribe)));
            }
            Step::Release(at) if at < self.held.len() => {
                let id = self.held.remove(at);
                self.release(id);
            }
            Step::Unsubscribe(at) if at < self.held.len() => {
                let id = self.held.remove(at);
                self.ask(Ask::Unsubscribe(id, Unsent::Discard, AnswerTo::Caller));
                self.release(id);
            }
            Step::Finish(at) if at < self.held.len() => {
                self.ask(Ask::Unsubscribe(
                    self.held[at],
                    Unsent::Deliver,
                    AnswerTo::Stream,
                ));
            }
            Step::Release(_) | Step::Unsubscribe(_) | Step::Finish(_) => {}
            Step::Take(verdict) => self.take(verdict),
            Step::Deliver => self.deliver(),
            Step::Publish => self.publish(),
            Step::Retry => self.retry(),
        }
        self.to_server
            .extend(std::iter::from_fn(|| self.session.poll_transmit()));
    }

    fn ask(&mut self, ask: Ask) {
        if let Ok(Some(request)) = self.session.handle_ask(ask) {
            assert!(self.asked.insert(request.0));
        }
    }

    fn release(&mut self, id: SubscriptionId) {
        self.released.insert(id.0);
        self.session.handle_release(id);
    }

    fn retry(&mut self) {
        for id in std::mem::take(&mut self.later) {
            self.session.handle_release(id);
        }
    }

    fn publish(&mut self) {
        self.offset += 1;
        let offset = self.offset;
        let texts: Vec<_> = self.active.keys().cloned().collect();
        for text in texts {
            self.active.get_mut(&text).unwrap().push(offset);
            let sub = (text != "a").then_some(text.as_str());
            let view = MsgView {
                sub,
                topic: "a",
                offset,
                ts: 0,
                key: None,
                data: b"0",
            };
            self.send(|out| encode::msg(out, &view));
        }
    }

    fn take(&mut self, verdict: Verdict) {
        let Some(text) = self.to_server.pop_front() else {
            return;
        };
        let request = pubsub_wire::command::parse(&text, &Limits::default()).unwrap();
        if verdict == Verdict::Refuse {
            let code = ErrorCode::RateLimited;
            let frame = ErrorFrame {
                id: request.id.as_ref(),
                code,
                message: "",
                field: None,
                retry_after_ms: None,
            };
            return self.send(|out| encode::error(out, &frame));
        }
        match request.command {
            Command::Subscribe(subscribe) => {
                let taken = self.active.insert(subscribe.topic.clone(), Vec::new());
                assert!(taken.is_none(), "asked for a text that is taken");
                self.send(|out| {
                    encode::subscribed(
                        out,
                        request.id.as_ref(),
                        &subscribe.topic,
                        "e",
                        0,
                        &settings(),
                    );
                });
            }
            Command::Unsubscribe { topic, .. } => {
                let offsets = self
                    .active
                    .remove(&topic)
                    .expect("unsubscribed from what is not subscribed to");
                self.sent.entry(topic.clone()).or_default().push(offsets);
                self.send(|out| {
                    encode::unsubscribed(out, request.id.as_ref(), &topic, &Ledger::default());
                });
            }
            other => panic!("{other:?}"),
        }
    }

    fn deliver(&mut self) {
        let Some(text) = self.to_client.pop_front() else {
            return;
        };
        self.session.handle_text(&text).unwrap();
        while let Some(output) = self.session.poll_output() {
            self.on_output(output);
        }
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Answer(request, answer) => {
                assert!(self.answered.insert(request.0), "answered twice");
                if let Ok(Answer::Subscribed(id, subscribed)) = answer {
                    let number = self.begun.entry(subscribed.topic.clone()).or_default();
                    self.got
                        .insert(id.0, (subscribed.topic, *number, Vec::new()));
                    *number += 1;
                    self.held.push(id);
                }
            }
            Output::Event(id, event) => {
                assert!(!self.released.contains(&id.0), "an event nobody reads");
                if let Event::Message(msg) = event {
                    self.got
                        .get_mut(&id.0)
                        .expect("not before it is subscribed")
                        .2
                        .push(msg.offset);
                }
            }
            Output::ReleaseLater(id, _) => self.later.push(id),
            Output::Ended(_) | Output::Welcome(_) => {}
            Output::Goaway(_) | Output::Stray(_) => panic!("{output:?}"),
        }
    }

    /// Lets everything that is under way arrive, lets go of all, and again.
    fn settle(&mut self) {
        while !self.held.is_empty()
            || !self.to_server.is_empty()
            || !self.to_client.is_empty()
            || !self.later.is_empty()
        {
            self.act(&Step::Take(Verdict::Fulfil));
            self.act(&Step::Deliver);
            self.act(&Step::Retry);
            if self.to_server.is_empty() && self.to_client.is_empty() {
                self.act(&Step::Release(0));
            }
        }
    }
}

fn settings() -> Settings {
    Settings {
        from: From::Live,
        rate: None,
        batch: None,
        bound: Bound::default(),
        overflow: Overflow::Conflate,
        credit: None,
    }
}

proptest! {
    #[test]
    fn every_question_is_answered_once_and_every_message_comes_to_its_own(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in &steps {
            world.act(step);
        }
        world.settle();
        prop_assert_eq!(&world.asked.difference(&world.answered).count(), &0, "a question without an answer");
        prop_assert!(world.active.is_empty(), "the server still sends");
        let session = &world.session;
        prop_assert!(session.subscriptions.is_empty() && session.texts.is_empty() && session.pending.is_empty());
        for (text, number, got) in world.got.values() {
            let sent = &world.sent[text][*number];
            prop_assert!(sent.starts_with(got), "{}: got {:?} of {:?}", text, got, sent);
        }
    }

    #[test]
    fn what_is_read_to_its_end_is_whole(steps in prop::collection::vec(step(), 0..80)) {
        let mut world = World::new();
        for step in steps.iter().filter(|step| !matches!(step, Step::Release(_) | Step::Unsubscribe(_))) {
            world.act(step);
        }
        while !world.to_server.is_empty() || !world.to_client.is_empty() {
            world.act(&Step::Take(Verdict::Fulfil));
            world.act(&Step::Deliver);
        }
        for (text, number, got) in world.got.values() {
            let open = || &world.active[text];
            let sent = world.sent.get(text).and_then(|ended| ended.get(*number)).unwrap_or_else(open);
            prop_assert_eq!(got, sent);
        }
    }
}
