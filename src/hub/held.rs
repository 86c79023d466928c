//! Answers that wait until the log says that what they tell of is in it.
//!
//! Owns their order. Must not contain: the log. Driven by the core: only a log that syncs before it acknowledges makes anybody wait.
//!
//! Their number is bounded: a worker for which as many wait as it may have requests waiting is read no further.
use super::worker::WorkerId;
use pubsub_stream::hub::HubEvent;
use std::collections::VecDeque;

/// What is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// A publication has this offset.
    Published {
        /// The worker's number of its request.
        request: u64,
        /// The offset.
        offset: i64,
    },
    /// A call came to this.
    Replied {
        /// The worker's number of its request.
        request: u64,
        /// JSON.
        result: String,
    },
}

impl Answer {
    /// As it is sent.
    pub(super) fn event(&self) -> HubEvent<'_> {
        match *self {
            Self::Published { request, offset } => HubEvent::Published { request, offset },
            Self::Replied {
                request,
                ref result,
            } => HubEvent::Replied { request, result },
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct HeldBack(VecDeque<(i64, WorkerId, Answer)>);

impl HeldBack {
    /// `answer` may be told once everything up to `offset` is in the log; those before it had no larger one.
    pub(super) fn push(&mut self, offset: i64, worker: WorkerId, answer: Answer) {
        debug_assert!(self.0.back().is_none_or(|(last, ..)| *last <= offset));
        self.0.push_back((offset, worker, answer));
    }

    /// The next answer that may be told, since everything up to `acknowledged` is in the log.
    pub(super) fn pop(&mut self, acknowledged: i64) -> Option<(WorkerId, Answer)> {
        let (offset, ..) = self.0.front()?;
        if *offset > acknowledged {
            return None;
        }
        let (_, worker, answer) = self.0.pop_front()?;
        Some((worker, answer))
    }

    /// The worker has left.
    pub(super) fn forget(&mut self, worker: WorkerId) {
        self.0.retain(|(_, of, _)| *of != worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(request: u64) -> Answer {
        Answer::Published { request, offset: 1 }
    }

    #[test]
    fn an_answer_waits_for_its_offset_and_for_those_before_it() {
        let mut held = HeldBack::default();
        held.push(3, WorkerId(0), published(1));
        held.push(5, WorkerId(1), published(2));
        assert_eq!(held.pop(2), None);
        assert_eq!(held.pop(3), Some((WorkerId(0), published(1))));
        assert_eq!(held.pop(4), None);
        assert_eq!(held.pop(9), Some((WorkerId(1), published(2))));
        assert_eq!(held.pop(9), None);
    }

    #[test]
    fn a_worker_that_has_left_is_told_nothing() {
        let mut held = HeldBack::default();
        held.push(1, WorkerId(0), published(1));
        held.push(1, WorkerId(1), published(2));
        held.forget(WorkerId(0));
        assert_eq!(held.pop(1), Some((WorkerId(1), published(2))));
        assert_eq!(held.pop(1), None);
    }
}
