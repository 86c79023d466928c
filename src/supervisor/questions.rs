//! Asking all workers at once for their slowest subscriptions, and putting the answers together.
//!
//! Owns which worker still owes which answer. Must not contain: pipes, a clock. Driven by [`node`](super::node).
//!
//! Laws: whoever asks gets an answer within [`PATIENCE_NS`], from the workers that gave one: a hung worker holds up nobody; there
//! are never more than [`OPEN_MAX`] open questions.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::link::control::SlowRow;
use crate::link::ctl::SlowOf;

/// How long an answer may take: a worker in a long turn, not one that hangs.
pub const PATIENCE_NS: u64 = 500_000_000;
/// Open questions, each of which may hold rows of all workers.
pub const OPEN_MAX: usize = 16;

/// Open questions; `A` is who asked.
#[derive(Debug)]
pub struct Questions<A> {
    next: u64,
    open: BTreeMap<u64, Question<A>>,
}

#[derive(Debug)]
struct Question<A> {
    asker: A,
    wanted: usize,
    owing: Vec<u32>,
    rows: Vec<SlowOf>,
    deadline: u64,
}

impl<A> Default for Questions<A> {
    fn default() -> Self {
        Self {
            next: 1,
            open: BTreeMap::new(),
        }
    }
}

impl<A> Questions<A> {
    /// Opens a question for the `wanted` slowest to these workers; its number. Gives the asker back when too many are open.
    pub fn try_ask(
        &mut self,
        now: u64,
        asker: A,
        wanted: usize,
        workers: Vec<u32>,
    ) -> Result<u64, A> {
        if self.open.len() >= OPEN_MAX {
            return Err(asker);
        }
        let id = self.next;
        self.next += 1;
        let deadline = now + PATIENCE_NS;
        self.open.insert(
            id,
            Question {
                asker,
                wanted,
                owing: workers,
                rows: Vec::new(),
                deadline,
            },
        );
        Ok(id)
    }

    /// A worker's answer. Rows beyond what was asked for are cut; an answer that nobody waits for is dropped.
    pub fn handle_answer(&mut self, worker: u32, id: u64, rows: Vec<SlowRow>) {
        let Some(question) = self.open.get_mut(&id) else {
            return;
        };
        if !question.owing.contains(&worker) {
            return;
        }
        question.owing.retain(|owing| *owing != worker);
        question.rows.extend(
            rows.into_iter()
                .take(question.wanted)
                .map(|row| SlowOf { worker, row }),
        );
    }

    /// No answer will come from this worker any more.
    pub fn handle_gone(&mut self, worker: u32) {
        for question in self.open.values_mut() {
            question.owing.retain(|owing| *owing != worker);
        }
    }

    /// A question that has all its answers, or whose time is over: who asked, and the slowest of all.
    pub fn poll_answered(&mut self, now: u64) -> Option<(A, Vec<SlowOf>)> {
        let done = |question: &Question<A>| question.owing.is_empty() || question.deadline <= now;
        let id = *self.open.iter().find(|(_, question)| done(question))?.0;
        let Entry::Occupied(entry) = self.open.entry(id) else {
            return None;
        };
        let mut question = entry.remove();
        let rank = |of: &SlowOf| (of.row.lag.messages, of.row.lag.age_ms);
        question.rows.sort_by_key(|of| std::cmp::Reverse(rank(of)));
        question.rows.truncate(question.wanted);
        Some((question.asker, question.rows))
    }

    /// When [`Self::poll_answered`] has something at the latest.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.open.values().map(|question| question.deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::control::SlowLag;
    use pubsub_wire::value::Overflow;

    fn row(session: &str, messages: u64) -> SlowRow {
        let lag = SlowLag {
            messages,
            bytes: 0,
            age_ms: 0,
        };
        let (mode, overflow) = ("behind".into(), Overflow::DropOldest);
        SlowRow {
            session: session.into(),
            topic: "t".into(),
            mode,
            lag,
            overflow,
            settings: String::new(),
        }
    }

    fn named(rows: &[SlowOf]) -> Vec<&str> {
        rows.iter().map(|of| of.row.session.as_str()).collect()
    }

    #[test]
    fn the_slowest_of_all_workers_are_put_in_order() {
        let mut questions = Questions::default();
        let id = questions.try_ask(0, "me", 2, vec![0, 1]).unwrap();
        questions.handle_answer(1, id, vec![row("b", 5), row("c", 1)]);
        assert_eq!(questions.poll_answered(1), None);
        questions.handle_answer(1, id, vec![row("twice", 99)]);
        questions.handle_answer(0, id, vec![row("a", 9)]);
        let (asker, rows) = questions.poll_answered(1).unwrap();
        assert_eq!(
            (asker, named(&rows), rows[0].worker),
            ("me", vec!["a", "b"], 0)
        );
        assert_eq!(questions.poll_timeout(), None);
    }

    #[test]
    fn a_worker_that_hangs_or_is_gone_holds_up_nobody() {
        let mut questions = Questions::default();
        let id = questions.try_ask(7, (), 2, vec![0, 1]).unwrap();
        questions.handle_answer(0, id, vec![row("a", 9)]);
        let deadline = questions.poll_timeout().unwrap();
        assert!(questions.poll_answered(deadline - 1).is_none());
        assert_eq!(named(&questions.poll_answered(deadline).unwrap().1), ["a"]);
        questions.handle_answer(1, id, vec![row("late", 9)]);
        questions.try_ask(0, (), 1, vec![3]).unwrap();
        questions.handle_gone(3);
        assert!(questions.poll_answered(0).unwrap().1.is_empty());
    }

    #[test]
    fn a_node_without_workers_answers_at_once() {
        let mut questions = Questions::default();
        questions.try_ask(0, (), 5, vec![]).unwrap();
        assert!(questions.poll_answered(0).is_some());
    }

    #[test]
    fn too_many_questions_are_given_back() {
        let mut questions = Questions::default();
        for _ in 0..OPEN_MAX {
            questions.try_ask(0, "me", 1, vec![0]).unwrap();
        }
        assert_eq!(questions.try_ask(0, "you", 1, vec![0]), Err("you"));
    }
}
