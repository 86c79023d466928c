//! What every log promises, checked against a list. Each log's tests run it.
use super::{Backward, Gone, Log, Scope};
use crate::config::Retain;
use crate::hub::entry::Publication;
use crate::hub::topics::{TopicId, Topics};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use pubsub_stream::Now;
use std::ops::ControlFlow;

const NAMES: [&str; 5] = ["a", "b", "q.x", "q.y", "r"];

/// What is done to a log.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Append { topic: usize, bytes: usize },
    Wait { ms: u64 },
    Commit,
    Retain,
    Reopen,
}

/// A log after it was closed and opened again.
pub(super) enum Reopened<L> {
    /// It can't be: it is the same.
    Same(L),
    /// It has found what it held.
    Recovered(L),
}

/// What is asked of it afterwards.
#[derive(Debug, Clone)]
pub(super) struct Question {
    topics: Vec<bool>,
    after: f64,
    upto: f64,
    n: u64,
    scan: usize,
}

pub(super) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        10 => (0..NAMES.len(), 0usize..40).prop_map(|(topic, bytes)| Step::Append { topic, bytes }),
        1 => (1u64..50).prop_map(|ms| Step::Wait { ms }),
        3 => Just(Step::Commit),
        3 => Just(Step::Retain),
        1 => Just(Step::Reopen),
    ];
    vec(step, 0..150)
}

pub(super) fn rules() -> impl Strategy<Value = Vec<Retain>> {
    let limits = || (200u64..5000, of(10u64..100), of(1u64..20));
    let rule = |pattern: &str, (bytes, age_ms, count)| Retain {
        pattern: pattern.to_owned(),
        bytes,
        age_ms,
        count,
    };
    prop_oneof![
        limits().prop_map(move |all| vec![rule(">", all)]),
        (limits(), limits(), limits()).prop_map(move |(x, q, all)| vec![
            rule("q.x", x),
            rule("q.*", q),
            rule(">", all)
        ]),
    ]
}

pub(super) fn questions() -> impl Strategy<Value = Vec<Question>> {
    let question = (
        vec(any::<bool>(), NAMES.len()),
        0.0..1.2,
        0.0..1.0,
        0u64..20,
        1usize..9,
    )
        .prop_map(|(topics, after, upto, n, scan)| Question {
            topics,
            after,
            upto,
            n,
            scan,
        });
    vec(question, 1..8)
}

/// A log and, beside it, all that was ever done to it.
struct Pair<'a, L> {
    /// Not there only while it is opened again.
    log: Option<L>,
    reopen: &'a mut dyn FnMut(L) -> Reopened<L>,
    /// What had left before is known as far as it matters to readers.
    is_recovered: bool,
    topics: Vec<TopicId>,
    /// Topic, and whether it is held; the offset is the place, from 1.
    all: Vec<(usize, bool)>,
    now: Now,
}

/// Does the steps and asks the questions.
pub(super) fn check<L: Log>(
    log: L,
    reopen: &mut dyn FnMut(L) -> Reopened<L>,
    steps: &[Step],
    questions: &[Question],
) {
    let mut names = Topics::new(100);
    let topics: Vec<TopicId> = NAMES
        .iter()
        .map(|name| names.insert(name).expect("room"))
        .collect();
    let mut pair = Pair {
        log: Some(log),
        reopen,
        is_recovered: false,
        topics,
        all: Vec::new(),
        now: Now {
            mono_ns: 1_000_000_000,
            wall_us: 7,
        },
    };
    pair.add_topics();
    for step in steps {
        pair.step(step);
        pair.check_floors();
    }
    for question in questions {
        pair.check_question(question);
    }
}

impl<L: Log> Pair<'_, L> {
    fn log(&self) -> &L {
        self.log.as_ref().expect("it is open")
    }

    fn log_mut(&mut self) -> &mut L {
        self.log.as_mut().expect("it is open")
    }

    fn add_topics(&mut self) {
        let mut found = self.log_mut().recovered();
        found.sort();
        let mut held: Vec<Box<str>> = self.held().map(|(topic, _)| NAMES[topic].into()).collect();
        held.sort();
        held.dedup();
        if self.is_recovered {
            assert_eq!(found, held, "the topics that have entries");
        }
        for (topic, name) in self.topics.clone().into_iter().zip(NAMES) {
            self.log_mut().add_topic(topic, name);
        }
    }

    fn commit(&mut self) {
        let (now, head) = (self.now, self.log().head());
        self.log_mut().commit(now).expect("room");
        assert!(self.log().acknowledged() <= head);
    }

    fn reopen(&mut self) {
        self.commit();
        let log = self.log.take().expect("it is open");
        match (self.reopen)(log) {
            Reopened::Same(log) => self.log = Some(log),
            Reopened::Recovered(log) => {
                assert_eq!(log.head(), self.all.len() as i64, "nothing was lost");
                self.log = Some(log);
                self.is_recovered = true;
                self.add_topics();
            }
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Append { topic, bytes } => {
                let publication = Publication {
                    topic: NAMES[topic],
                    key: Some("k"),
                    data: &vec![b'1'; bytes],
                };
                let (now, id) = (self.now, self.topics[topic]);
                let size = NAMES[topic].len() + 1 + bytes;
                let room = self.log_mut().check_room(now, Some(id), NAMES[topic], size);
                assert_eq!(room, Ok(()));
                let entry = self.log_mut().append(now, id, &publication);
                self.all.push((topic, true));
                let fields = entry.fields();
                assert_eq!(
                    (fields.offset, fields.offset),
                    (self.all.len() as i64, self.log().head())
                );
                assert_eq!(
                    (fields.topic, fields.key, fields.data),
                    (NAMES[topic], Some("k"), publication.data)
                );
                assert_eq!(
                    (fields.mono_ns, fields.ts_us),
                    (self.now.mono_ns, self.now.wall_us)
                );
            }
            Step::Wait { ms } => {
                self.now.mono_ns += ms * 1_000_000;
                self.now.wall_us += ms * 1000;
            }
            Step::Commit => self.commit(),
            Step::Retain => {
                self.commit();
                self.retain();
            }
            Step::Reopen => self.reopen(),
        }
    }

    /// What goes is the oldest of its rule, and is noted.
    fn retain(&mut self) {
        let mut gone: Vec<Gone> = Vec::new();
        let now = self.now;
        self.log_mut().retain(now, &mut gone);
        for gone in gone {
            assert!(gone.first <= gone.last);
            let mut left = 0;
            for (topic, held) in &mut self.all[..gone.last as usize] {
                if self.topics[*topic] == gone.topic && std::mem::take(held) {
                    left += 1;
                }
            }
            assert_eq!(left, gone.entries, "all of the topic up to the last");
            let (topic, _) = self.all[gone.last as usize - 1];
            assert_eq!(self.topics[topic], gone.topic);
        }
    }

    fn held(&self) -> impl Iterator<Item = (usize, i64)> {
        self.all
            .iter()
            .zip(1..)
            .filter(|((_, held), _)| *held)
            .map(|(&(topic, _), offset)| (topic, offset))
    }

    fn left(&self) -> impl Iterator<Item = (usize, i64)> {
        self.all
            .iter()
            .zip(1..)
            .filter(|((_, held), _)| !*held)
            .map(|(&(topic, _), offset)| (topic, offset))
    }

    fn check_floors(&self) {
        let log = self.log();
        assert_eq!(
            log.floor(),
            self.left().map(|(_, offset)| offset).max().unwrap_or(0)
        );
        assert_eq!(log.hole_at(log.floor()), None);
        let (size, mut held) = (log.size(), self.held());
        assert_eq!(size.first, held.next().map_or(0, |(_, offset)| offset));
        assert_eq!(size.entries, self.held().count() as u64);
        for position in 0..=log.head() {
            let next = self
                .held()
                .map(|(_, offset)| offset)
                .find(|&offset| offset > position);
            assert_eq!(log.first_after(position), next);
        }
        for (number, &topic) in self.topics.iter().enumerate() {
            let of = |&(topic, _): &(usize, i64)| topic == number;
            let floor = self
                .left()
                .filter(of)
                .map(|(_, offset)| offset)
                .max()
                .unwrap_or(0);
            assert!(
                self.held()
                    .filter(of)
                    .all(|(_, offset)| offset > log.topic_floor(topic)),
                "a topic leaves in order"
            );
            assert!(log.topic_floor(topic) >= floor);
            assert!(self.is_recovered || log.topic_floor(topic) == floor);
            assert_eq!(log.topic_entries(topic), self.held().filter(of).count());
            let middle = log.head() / 2;
            let upto = self
                .held()
                .filter(of)
                .filter(|(_, offset)| *offset <= middle)
                .count();
            assert_eq!(log.topic_entries_upto(topic, middle), upto);
            if self.is_recovered {
                continue;
            }
            let past = log.topic_past(topic);
            assert_eq!(past.left, self.left().filter(of).count() as u64);
            let first = self.all.iter().position(|&(topic, _)| topic == number);
            assert_eq!(past.first, first.map_or(0, |place| place as i64 + 1));
        }
    }

    fn check_question(&self, question: &Question) {
        let head = self.log().head() as f64;
        let (after, upto) = (
            (question.after * head) as i64,
            (question.upto * head) as i64,
        );
        let wanted = |number: usize| question.topics[number];
        let chosen: Vec<TopicId> = (0..NAMES.len())
            .filter(|&number| wanted(number))
            .map(|number| self.topics[number])
            .collect();
        let test = |topic: TopicId| chosen.contains(&topic);
        let some: Vec<i64> = self
            .held()
            .filter(|&(topic, _)| wanted(topic))
            .map(|(_, offset)| offset)
            .collect();
        let all: Vec<i64> = self.held().map(|(_, offset)| offset).collect();
        for (scope, held) in [
            (Scope::All, &all),
            (Scope::Topics(&chosen), &some),
            (Scope::Matching(&test), &some),
        ] {
            self.check_read(scope, held, after, upto, question.scan);
            self.check_rewind(scope, held, after, upto, question);
        }
    }

    /// However little is looked at in one call, together the calls show everything once.
    fn check_read(&self, scope: Scope<'_>, held: &[i64], after: i64, upto: i64, budget: usize) {
        let mut seen = Vec::new();
        let mut reached = after;
        while reached < upto {
            let (mut scan, before) = (budget, reached);
            let mut took = false;
            reached = self
                .log()
                .read(scope, before, upto, &mut scan, &mut |held| {
                    // One a call: what is refused must be shown again.
                    if std::mem::replace(&mut took, true) {
                        return ControlFlow::Break(());
                    }
                    assert_eq!(held.offset, held.entry.offset());
                    assert_eq!(held.entry.fields().topic, self.name_of(held.topic));
                    seen.push(held.offset);
                    ControlFlow::Continue(())
                });
            assert!(reached >= before && reached <= upto.max(before));
            assert!(seen.last().is_none_or(|&last| last <= reached));
        }
        let expected: Vec<i64> = held
            .iter()
            .copied()
            .filter(|o| (after + 1..=upto).contains(o))
            .collect();
        assert_eq!(seen, expected);
    }

    /// Going back n entries from a position, and no further than the floor.
    fn check_rewind(
        &self,
        scope: Scope<'_>,
        held: &[i64],
        floor: i64,
        from: i64,
        question: &Question,
    ) {
        let mut back = Backward {
            at: from,
            left: question.n,
        };
        while !self
            .log()
            .rewind(scope, floor, &mut back, &mut question.scan.clone())
        {}
        let newest: Vec<i64> = held
            .iter()
            .rev()
            .copied()
            .filter(|&o| o <= from && o > floor)
            .take(question.n as usize)
            .collect();
        let found = held
            .iter()
            .filter(|&&o| o > back.at && o <= from && o > floor)
            .count();
        assert_eq!(found, newest.len());
        assert!(newest.iter().all(|&offset| offset > back.at));
    }

    fn name_of(&self, topic: TopicId) -> &'static str {
        NAMES[self.topics.iter().position(|&t| t == topic).expect("known")]
    }
}
