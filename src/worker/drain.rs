//! How a worker ends: when it takes no more, tells those it has, and when it is done.
//!
//! Owns the decisions of a graceful stop. Must not contain: sockets, sessions, a clock, signals. Driven by the worker's loop.
//!
//! Two kinds: a **node** that stops keeps its listener open and answers 503 until the last session is gone, so that nobody waits in a
//! dead queue; a **worker** that is replaced or taken away stops accepting instead, because the others serve.
use super::http::Service;
use crate::link::control::DrainReason;
use pubsub_stream::GoawayReason;

/// After the window the closes that are under way may finish.
const GRACE_NS: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

/// Where a worker is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drain {
    /// It serves.
    Serving,
    /// It drains, and is over at the latest then.
    Draining {
        /// The end of patience.
        until_ns: u64,
    },
}

/// What an order to drain leads to at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Begun {
    /// What the clients are told.
    pub(super) reason: GoawayReason,
    /// What becomes of new connections.
    pub(super) door: Door,
}

/// What becomes of new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// They are accepted and answered this.
    Answers(Service),
    /// They are left to the other workers.
    Shut,
}

impl Drain {
    /// Told to drain. `None` when it already does: the first word holds.
    pub(super) fn begin(
        &mut self,
        now_ns: u64,
        reason: DrainReason,
        window_ms: u64,
    ) -> Option<Begun> {
        if *self != Self::Serving {
            return None;
        }
        let until_ns = now_ns
            .saturating_add(window_ms.saturating_mul(MS))
            .saturating_add(GRACE_NS);
        *self = Self::Draining { until_ns };
        let answers = Service::Draining {
            retry_after_s: window_ms.div_ceil(1000).max(1),
        };
        Some(match reason {
            DrainReason::Shutdown => Begun {
                reason: GoawayReason::Shutdown,
                door: Door::Answers(answers),
            },
            DrainReason::Restart => Begun {
                reason: GoawayReason::Restart,
                door: Door::Shut,
            },
            DrainReason::Rebalance => Begun {
                reason: GoawayReason::Rebalance,
                door: Door::Shut,
            },
        })
    }

    /// Whether it is over, with `left` connections still open.
    pub(super) fn is_over(self, now_ns: u64, left: usize) -> bool {
        match self {
            Self::Serving => false,
            Self::Draining { until_ns } => left == 0 || now_ns >= until_ns,
        }
    }

    /// When it is over at the latest.
    pub(super) fn poll_timeout(self) -> Option<u64> {
        match self {
            Self::Serving => None,
            Self::Draining { until_ns } => Some(until_ns),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1000 * MS;

    fn draining(reason: DrainReason) -> (Drain, Begun) {
        let mut drain = Drain::Serving;
        let begun = drain.begin(0, reason, 5000).expect("it served");
        (drain, begun)
    }

    #[test]
    fn a_node_that_stops_goes_on_answering_and_says_when_to_return() {
        let (_, begun) = draining(DrainReason::Shutdown);
        assert_eq!(
            begun.door,
            Door::Answers(Service::Draining { retry_after_s: 5 })
        );
    }

    #[test]
    fn a_worker_that_is_replaced_leaves_new_connections_to_the_others() {
        for reason in [DrainReason::Restart, DrainReason::Rebalance] {
            assert_eq!(draining(reason).1.door, Door::Shut);
        }
    }

    #[test]
    fn it_is_over_with_the_last_connection_or_a_second_after_the_window() {
        let (drain, _) = draining(DrainReason::Shutdown);
        assert!(!drain.is_over(SECOND, 1));
        assert!(drain.is_over(SECOND, 0));
        assert!(!drain.is_over(6 * SECOND - 1, 1));
        assert!(drain.is_over(6 * SECOND, 1));
        assert!(!Drain::Serving.is_over(6 * SECOND, 0));
    }

    #[test]
    fn a_second_order_changes_nothing() {
        let (mut drain, _) = draining(DrainReason::Restart);
        let before = drain;
        assert_eq!(drain.begin(SECOND, DrainReason::Shutdown, 60_000), None);
        assert_eq!(drain, before);
    }
}
