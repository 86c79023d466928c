//! The session's laws under any order of questions, answers, refusals, endings and cuts, against a server that obeys the
//! protocol: it keeps a log from which old entries may leave, takes commands in order, and forgets a connection that is cut.
use super::*;
use crate::error::RequestError;
use crate::event::{Closed, Event};
use proptest::prelude::*;
use pubsub_wire::Limits;
use pubsub_wire::command::Subscribe;
use pubsub_wire::encode::{self, ErrorFrame, MsgView};
use pubsub_wire::value::{Bound, Else, From, Gap, GapReason, Ledger, Overflow, Settings, Welcome};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const TEXTS: [&str; 3] = ["a", "b.*", ">"];

#[derive(Debug, Clone)]
enum Step {
    /// With so much credit, or without the setting.
    Subscribe(usize, Option<u64>),
    /// So much more for the subscription of that number.
    Credit(usize, u64),
    /// Of the subscriptions held, the one of that number.
    Release(usize),
    Unsubscribe(usize),
    Finish(usize),
    Drain(usize),
    Publish,
    Call(Repeat),
    /// The server takes a command; it may refuse one that can be refused.
    Take(Verdict),
    /// The session gets a frame.
    Deliver,
    /// Something happens at the server: an entry in the log.
    Append,
    /// The log forgets all but its newest two entries.
    Forget,
    /// The connection is gone, with all that was under way.
    Cut,
    /// Another comes.
    Connect,
    Ledger(usize),
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
        3 => (0..TEXTS.len(), prop_oneof![Just(None), (0..4_u64).prop_map(Some)])
            .prop_map(|(text, credit)| Step::Subscribe(text, credit)),
        2 => (0..4_usize, 1..4_u64).prop_map(|(at, n)| Step::Credit(at, n)),
        1 => (0..4_usize).prop_map(Step::Release),
        1 => (0..4_usize).prop_map(Step::Unsubscribe),
        1 => (0..4_usize).prop_map(Step::Finish),
        1 => (0..4_usize).prop_map(Step::Drain),
        2 => Just(Step::Publish),
        2 => prop_oneof![Just(Repeat::Never), Just(Repeat::Allowed)].prop_map(Step::Call),
        6 => Just(Step::Take(Verdict::Fulfil)),
        1 => Just(Step::Take(Verdict::Refuse)),
        8 => Just(Step::Deliver),
        4 => Just(Step::Append),
        1 => Just(Step::Forget),
        2 => Just(Step::Cut),
        4 => Just(Step::Connect),
        1 => (0..4_usize).prop_map(Step::Ledger),
        1 => Just(Step::Retry),
    ]
}

/// A subscription as a reader has it.
#[derive(Debug, Default)]
struct Got {
    /// After it everything must come.
    start: i64,
    offsets: Vec<i64>,
    /// Ranges that were said to be lost.
    gaps: Vec<(i64, i64)>,
    /// How many messages were asked for; without the setting all are.
    granted: Option<u64>,
    /// No event of it came any more.
    ended: bool,
}

/// A subscription as the server has it.
#[derive(Debug)]
struct Feed {
    /// All up to here is sent, or said to be lost.
    at: i64,
    credit: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    Up,
    Down,
}

/// Session and server with the wire between them, and what each has seen.
struct World {
    session: Session,
    line: Line,
    now: Instant,
    to_server: VecDeque<String>,
    to_client: VecDeque<String>,
    /// Texts that are taken on this connection.
    active: BTreeMap<String, Feed>,
    /// The newest offset of the log, and the oldest it holds.
    head: i64,
    oldest: i64,
    asked: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    calls: BTreeMap<u64, Repeat>,
    /// How often the server has carried out each call or publication.
    done: BTreeMap<u64, u32>,
    got: BTreeMap<u64, Got>,
    /// Subscriptions the program still holds.
    held: Vec<SubscriptionId>,
    released: BTreeSet<u64>,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            session: Session::new(NonZeroU32::new(1000).unwrap()),
            line: Line::Down,
            now: Instant::now(),
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            active: BTreeMap::new(),
            head: 0,
            oldest: 1,
            asked: BTreeSet::new(),
            answered: BTreeSet::new(),
            calls: BTreeMap::new(),
            done: BTreeMap::new(),
            got: BTreeMap::new(),
            held: Vec::new(),
            released: BTreeSet::new(),
        };
        world.connect();
        world
    }

    fn connect(&mut self) {
        if self.line == Line::Up {
            return;
        }
        self.line = Line::Up;
        self.session.handle_connected(&Welcome {
            session: String::new(),
            node: String::new(),
            worker: 0,
            heartbeat_ms: 1,
            limits: Limits::default(),
        });
    }

    fn send(&mut self, build: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        build(&mut text);
        self.to_client.push_back(String::from_utf8(text).unwrap());
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Subscribe(text, credit) => {
                let topic = TEXTS[text].to_owned();
                let subscribe = Subscribe {
                    topic,
                    credit,
                    ..Subscribe::default()
                };
                let otherwise = Else::Earliest;
                self.ask(Ask::Subscribe(Box::new(Wanted {
                    subscribe,
                    otherwise,
                })));
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
                let id = self.held[at];
                self.ask(Ask::Unsubscribe(id, Unsent::Discard, AnswerTo::Stream));
            }
            Step::Drain(at) if at < self.held.len() => {
                let id = self.held[at];
                self.ask(Ask::Unsubscribe(id, Unsent::Deliver, AnswerTo::Stream));
            }
            Step::Credit(at, n) if at < self.held.len() => self.credit(self.held[at], n),
            Step::Ledger(at) if at < self.held.len() => {
                self.ask(Ask::Ledger(self.held[at], AnswerTo::Caller));
            }
            Step::Release(_)
            | Step::Unsubscribe(_)
            | Step::Finish(_)
            | Step::Drain(_)
            | Step::Credit(..)
            | Step::Ledger(_) => {}
            Step::Publish => self.publish(),
            Step::Call(repeat) => self.call(repeat),
            Step::Take(verdict) => self.take(verdict),
            Step::Deliver => self.deliver(),
            Step::Append => self.append(),
            Step::Forget => {
                self.oldest = self.oldest.max(self.head - 1);
                self.pump();
            }
            Step::Cut => self.cut(),
            Step::Connect => self.connect(),
            Step::Retry => {
                self.now += Duration::from_secs(1);
                self.session.handle_timeout(self.now);
            }
        }
        // What is not taken from the session yet has not reached the socket; many steps may leave it there.
        if matches!(step, Step::Take(_) | Step::Deliver) {
            self.transmit();
        }
        self.hand_on();
    }

    fn transmit(&mut self) {
        let (now, session) = (self.now, &mut self.session);
        self.to_server
            .extend(std::iter::from_fn(|| session.poll_transmit(now)));
    }

    /// Nothing is asked without a connection.
    fn ask(&mut self, ask: Ask) -> Option<u64> {
        if self.line == Line::Down {
            return None;
        }
        let request = self.session.handle_ask(ask).ok()??;
        assert!(self.asked.insert(request.0));
        Some(request.0)
    }

    fn publish(&mut self) {
        let publication = Publication {
            topic: "x".into(),
            key: None,
            data: "0".into(),
        };
        self.ask(Ask::Publish(publication, Acknowledgement::Wanted));
    }

    fn call(&mut self, repeat: Repeat) {
        let call = Call {
            method: "m".into(),
            params: "0".into(),
            repeat,
        };
        let until = self.now + Duration::from_secs(1_000_000);
        if let Some(request) = self.ask(Ask::Call(Box::new(call), until)) {
            self.calls.insert(request, repeat);
        }
    }

    fn credit(&mut self, id: SubscriptionId, n: u64) {
        let got = self.got.get_mut(&id.0).expect("it is held");
        if let (Some(granted), Line::Up) = (&mut got.granted, self.line)
            && self.session.handle_ask(Ask::Credit(id, n)).is_ok()
        {
            *granted += n;
        }
    }

    fn release(&mut self, id: SubscriptionId) {
        self.released.insert(id.0);
        self.session.handle_release(id);
    }

    fn cut(&mut self) {
        if self.line == Line::Down {
            return;
        }
        self.line = Line::Down;
        self.to_server.clear();
        self.to_client.clear();
        self.active.clear();
        self.session.handle_lost(&Closed::lost("cut"));
    }

    fn append(&mut self) {
        self.head += 1;
        self.pump();
    }

    /// Sends what each subscription may have; what has left the log before it was sent is a gap.
    fn pump(&mut self) {
        for (text, mut feed) in std::mem::take(&mut self.active) {
            if feed.at < self.oldest - 1 {
                self.gap(&text, feed.at + 1, self.oldest - 1);
                feed.at = self.oldest - 1;
            }
            while feed.at < self.head && feed.credit != Some(0) {
                feed.at += 1;
                feed.credit = feed.credit.map(|credit| credit - 1);
                self.msg(&text, feed.at);
            }
            self.active.insert(text, feed);
        }
    }

    fn gap(&mut self, text: &str, from: i64, to: i64) {
        let lost = Gap {
            from: Some(from),
            to: Some(to),
            count: Some((to + 1 - from) as u64),
            reason: GapReason::Retention,
            epoch: "e",
            offset: to,
        };
        self.send(|out| encode::gap(out, text, &lost));
    }

    fn msg(&mut self, text: &str, offset: i64) {
        let view = MsgView {
            sub: (text != "a").then_some(text),
            topic: "a",
            offset,
            ts: 0,
            key: None,
            data: b"0",
        };
        self.send(|out| encode::msg(out, &view));
    }

    fn take(&mut self, verdict: Verdict) {
        let Some(text) = self.to_server.pop_front() else {
            return;
        };
        let request = pubsub_wire::command::parse(&text, &Limits::default()).unwrap();
        let id = request.id.as_ref();
        if verdict == Verdict::Refuse && request.id.is_some() {
            let frame = ErrorFrame {
                id,
                code: ErrorCode::RateLimited,
                message: "",
                field: None,
                retry_after_ms: None,
            };
            return self.send(|out| encode::error(out, &frame));
        }
        match request.command {
            Command::Subscribe(subscribe) => self.take_subscribe(id, &subscribe),
            Command::Unsubscribe { topic, .. } => {
                let was = self.active.remove(&topic);
                assert!(was.is_some(), "unsubscribed from what is not subscribed to");
                let ledger = Ledger::default();
                self.send(|out| encode::unsubscribed(out, id, &topic, &ledger));
            }
            Command::Credit { topic, n } => {
                // It may have been unsubscribed from before.
                if let Some(feed) = self.active.get_mut(&topic) {
                    *feed.credit.as_mut().expect("only with the setting") += n;
                }
                self.pump();
            }
            // Its subscription may have been unsubscribed from before.
            Command::Ledger { topic } => {
                let ledger = Ledger::default();
                self.send(|out| encode::ledger(out, id, &topic, "e", &ledger));
            }
            Command::Publish(_) => {
                let number = id.and_then(Id::as_number).unwrap();
                *self.done.entry(number).or_default() += 1;
                self.send(|out| encode::published(out, id, "x", "e", 1));
            }
            Command::Call(_) => {
                let number = id.and_then(Id::as_number).unwrap();
                *self.done.entry(number).or_default() += 1;
                self.send(|out| encode::reply(out, id, "0"));
            }
            other => panic!("{other:?}"),
        }
    }

    /// After a position that is held: exactly there. After one that isn't: a gap up to what is.
    fn take_subscribe(&mut self, id: Option<&Id>, subscribe: &Subscribe) {
        let text = &subscribe.topic;
        let asked = match &subscribe.from {
            Some(From::After { offset, .. }) => *offset,
            _ => self.head,
        };
        let at = asked.max(self.oldest - 1);
        let settings = Settings {
            credit: subscribe.credit,
            ..settings()
        };
        self.send(|out| encode::subscribed(out, id, text, "e", at, &settings));
        if at > asked {
            self.gap(text, asked + 1, at);
        }
        let credit = subscribe.credit;
        let taken = self.active.insert(text.clone(), Feed { at, credit });
        assert!(taken.is_none(), "asked for a text that is taken");
        self.pump();
    }

    fn deliver(&mut self) {
        if let Some(text) = self.to_client.pop_front() {
            self.session.handle_text(self.now, &text).unwrap();
        }
    }

    fn hand_on(&mut self) {
        while let Some(output) = self.session.poll_output() {
            self.on_output(output);
        }
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Answer(request, answer) => self.on_answer(request, answer),
            Output::Event(id, event) => {
                assert!(!self.released.contains(&id.0), "an event nobody reads");
                let got = self
                    .got
                    .get_mut(&id.0)
                    .expect("not before it is subscribed");
                assert!(!got.ended, "an event after its end");
                match event {
                    Event::Message(msg) => got.offsets.push(msg.offset),
                    Event::Gap(gap) => got.gaps.push((gap.from.unwrap(), gap.to.unwrap())),
                    _ => {}
                }
            }
            Output::Ended(id) => {
                if let Some(got) = self.got.get_mut(&id.0) {
                    got.ended = true;
                }
            }
            Output::Goaway(_) | Output::Stray(_) => panic!("{output:?}"),
        }
    }

    fn on_answer(&mut self, request: RequestId, answer: Result<Answer, RequestError>) {
        assert!(self.answered.insert(request.0), "answered twice");
        match answer {
            Ok(Answer::Subscribed(id, subscribed)) => {
                let Position::One { offset, .. } = subscribed.at else {
                    panic!("one partition")
                };
                let got = Got {
                    start: offset,
                    granted: subscribed.settings.credit,
                    ..Got::default()
                };
                self.got.insert(id.0, got);
                self.held.push(id);
            }
            Err(RequestError::UnknownOutcome(_)) => {
                let repeat = self.calls.get(&request.0);
                assert_ne!(
                    repeat,
                    Some(&Repeat::Allowed),
                    "it could have been repeated"
                );
            }
            _ => {}
        }
    }

    /// Lets everything that is under way arrive; without cuts, refusals or further questions.
    fn settle(&mut self) {
        self.connect();
        for _ in 0..3 {
            while !self.to_server.is_empty() || !self.to_client.is_empty() || {
                self.transmit();
                !self.to_server.is_empty()
            } {
                self.act(&Step::Take(Verdict::Fulfil));
                self.act(&Step::Deliver);
            }
            self.act(&Step::Retry);
        }
    }

    /// Settles, lets go of all, and again.
    fn end(&mut self) {
        self.settle();
        while !self.held.is_empty() {
            self.act(&Step::Release(0));
            self.settle();
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

/// Everything after the start up to `head`, once and in order, as a message or within a gap; no more than was asked for,
/// and no less.
fn is_whole(got: &Got, head: Option<i64>) -> Result<(), TestCaseError> {
    let mut all: Vec<i64> = got.offsets.clone();
    prop_assert!(
        all.is_sorted_by(|a, b| a < b),
        "twice or out of order: {:?}",
        got
    );
    for (from, to) in &got.gaps {
        all.extend(*from..=*to);
    }
    all.sort_unstable();
    let last = all.last().copied().unwrap_or(got.start);
    let spent = got.granted == Some(got.offsets.len() as u64);
    prop_assert!(
        got.granted
            .is_none_or(|granted| got.offsets.len() as u64 <= granted),
        "{:?}",
        got
    );
    let end = if spent { last } else { head.unwrap_or(last) };
    let expected: Vec<i64> = (got.start + 1..=end).collect();
    prop_assert_eq!(all, expected, "{:?}", got);
    Ok(())
}

proptest! {
    #[test]
    fn over_any_cuts_all_comes_once_and_every_question_is_answered_once(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in &steps {
            world.act(step);
        }
        world.settle();
        for (id, got) in &world.got {
            let reads_on = !got.ended && !world.released.contains(id);
            is_whole(got, reads_on.then_some(world.head))?;
        }
        world.end();
        let unanswered: Vec<_> = world.asked.difference(&world.answered).collect();
        prop_assert!(unanswered.is_empty(), "questions without an answer: {:?}", unanswered);
        prop_assert!(world.active.is_empty(), "the server still sends");
        let session = &world.session;
        prop_assert!(session.subscriptions.is_empty() && session.texts.is_empty() && session.pending.is_empty());
        prop_assert!(session.retries.is_empty() && session.transmits.is_empty());
        for (request, times) in &world.done {
            let once = world.calls.get(request) != Some(&Repeat::Allowed);
            prop_assert!(!once || *times == 1, "request {} was carried out {} times", request, times);
        }
    }
}
