//! The accept gate: whether this worker takes the next connection or leaves it to another one.
//!
//! Owns the rule. Must not contain: sockets, the scoreboard's memory, a clock, waiting. Driven by `accept`, which shows it what
//! every worker of the node says of itself and does what it answers.
//!
//! Laws:
//! - Connections spread by count: only a worker near the minimum accepts.
//! - Nobody waits for the dead: a worker that has stopped coming round, drains or has not begun does not count.
//! - Nobody waits for long: a connection that has waited [`WAIT_MAX_NS`] is taken whatever the counts.
//! - A newcomer is not a sink: it counts as if it held what the others hold, and that handicap melts over [`RAMP_NS`], so that a
//!   storm of reconnects spreads over all.

/// A worker that has not come round for this long is not waited for. Four heartbeats: one late timer is not a hang.
pub(super) const STALE_NS: u64 = 1_000_000_000;
/// A connection that has waited this long is accepted by whoever sees it: well over what an idle worker needs to wake, well
/// under what a client notices.
pub(super) const WAIT_MAX_NS: u64 = 8_000_000;
/// How long a new worker takes to show its real count: longer than a reconnect storm with jitter lasts.
pub(super) const RAMP_NS: u64 = 10_000_000_000;
/// One part in this many of the minimum is close enough to it: the spread stays under 1 %, and at high counts a worker can take
/// several connections in one turn.
const SLACK_DIVISOR: u64 = 128;

/// What one worker says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// It is up and accepts.
    pub(super) accepts: Accepts,
    /// Connections it holds, from `accept` on.
    pub(super) connections: u64,
    /// When it last came round.
    pub(super) heartbeat_ns: u64,
    /// When it began to accept.
    pub(super) born_ns: u64,
}

/// Whether a worker takes connections at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accepts {
    /// It does.
    Yes,
    /// It has not begun, drains or is gone.
    No,
}

/// What to do about a pending connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decision {
    /// This worker is near the minimum.
    Accept,
    /// It is not, but the connection has waited long enough.
    AcceptAnyway,
    /// Another one should take it.
    Wait,
}

/// Decides for a worker that shows `own`, among `others`, about a connection it has seen pending since `pending_ns`.
pub(super) fn decide(
    now_ns: u64,
    pending_ns: u64,
    own: Seen,
    others: impl Iterator<Item = Seen> + Clone,
) -> Decision {
    let live = others.filter(|seen| seen.counts(now_ns));
    let floor = live
        .clone()
        .chain([own])
        .filter(|seen| seen.age_ns(now_ns) >= RAMP_NS)
        .map(|seen| seen.connections)
        .min()
        .unwrap_or(0);
    let lowest = live.map(|seen| seen.effective(now_ns, floor)).min();
    let near =
        lowest.is_none_or(|lowest| own.effective(now_ns, floor) <= lowest + lowest / SLACK_DIVISOR);
    if near {
        Decision::Accept
    } else if now_ns.saturating_sub(pending_ns) >= WAIT_MAX_NS {
        Decision::AcceptAnyway
    } else {
        Decision::Wait
    }
}

impl Seen {
    /// Whether it is waited for.
    fn counts(&self, now_ns: u64) -> bool {
        self.accepts == Accepts::Yes && now_ns.saturating_sub(self.heartbeat_ns) < STALE_NS
    }

    fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.saturating_sub(self.born_ns)
    }

    /// Its count with what is left of a newcomer's handicap; `floor` is the least that an established worker holds.
    fn effective(&self, now_ns: u64, floor: u64) -> u64 {
        let left_ns = RAMP_NS.saturating_sub(self.age_ns(now_ns));
        let handicap = u128::from(floor) * u128::from(left_ns) / u128::from(RAMP_NS);
        self.connections + handicap as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    const SECOND: u64 = 1000 * MS;
    /// When the simulations begin: every worker is long established.
    const START: u64 = 100 * SECOND;

    fn worker(connections: u64) -> Seen {
        Seen {
            accepts: Accepts::Yes,
            connections,
            heartbeat_ns: START,
            born_ns: 0,
        }
    }

    /// A node of simulated workers; connections arrive one by one and are offered to the workers in a random order.
    struct Node {
        now_ns: u64,
        workers: Vec<Seen>,
        hung: Vec<usize>,
        random: fastrand::Rng,
    }

    impl Node {
        fn new(workers: Vec<Seen>, seed: u64) -> Self {
            Self {
                now_ns: START,
                workers,
                hung: Vec::new(),
                random: fastrand::Rng::with_seed(seed),
            }
        }

        fn decision(&self, of: usize, pending_ns: u64) -> Decision {
            let others = self.workers.iter().enumerate();
            let others = others.filter(|(i, _)| *i != of).map(|(_, seen)| *seen);
            decide(self.now_ns, pending_ns, self.workers[of], others)
        }

        /// One connection arrives; milliseconds go by until somebody takes it. Who, and how long it waited.
        fn connect(&mut self) -> (usize, u64) {
            let pending_ns = self.now_ns;
            loop {
                let mut order: Vec<usize> = (0..self.workers.len()).collect();
                self.random.shuffle(&mut order);
                order.retain(|i| !self.hung.contains(i));
                for i in order {
                    self.workers[i].heartbeat_ns = self.now_ns;
                    if self.decision(i, pending_ns) != Decision::Wait {
                        self.workers[i].connections += 1;
                        return (i, self.now_ns - pending_ns);
                    }
                }
                self.now_ns += MS;
            }
        }

        fn fullest_to_mean(&self) -> f64 {
            let counts = self.workers.iter().map(|w| w.connections);
            let mean = counts.clone().sum::<u64>() as f64 / self.workers.len() as f64;
            counts.max().unwrap_or(0) as f64 / mean
        }
    }

    #[test]
    fn the_first_connection_is_taken_at_once_by_a_worker_that_is_alone() {
        let alone = decide(START, START, worker(7), [].into_iter());
        assert_eq!(alone, Decision::Accept);
    }

    #[test]
    fn a_fuller_worker_waits_and_takes_it_anyway_in_the_end() {
        let others = [worker(500)].into_iter();
        let at = |now_ns| decide(now_ns, START, worker(600), others.clone());
        assert_eq!(at(START), Decision::Wait);
        assert_eq!(at(START + WAIT_MAX_NS - 1), Decision::Wait);
        assert_eq!(at(START + WAIT_MAX_NS), Decision::AcceptAnyway);
    }

    #[test]
    fn a_worker_that_stopped_coming_round_is_not_waited_for() {
        let mut hung = worker(0);
        hung.heartbeat_ns = START - STALE_NS;
        let decision = decide(START, START, worker(600), [hung, worker(600)].into_iter());
        assert_eq!(decision, Decision::Accept);
    }

    #[test]
    fn a_worker_that_does_not_accept_is_not_waited_for() {
        let mut draining = worker(0);
        draining.accepts = Accepts::No;
        let decision = decide(START, START, worker(600), [draining].into_iter());
        assert_eq!(decision, Decision::Accept);
    }

    #[test]
    fn five_thousand_connections_on_ten_workers_are_even_and_nobody_waits() {
        let mut node = Node::new(vec![worker(0); 10], 1);
        for _ in 0..5000 {
            assert_eq!(node.connect().1, 0);
        }
        assert!(node.fullest_to_mean() <= 1.01, "{}", node.fullest_to_mean());
    }

    #[test]
    fn a_hung_worker_delays_for_a_second_at_most_and_then_nothing() {
        let mut node = Node::new(vec![worker(0); 4], 2);
        node.hung.push(3);
        let (mut delayed_ns, mut accepted) = (0, 0);
        while accepted < 400 {
            let (_, waited_ns) = node.connect();
            assert!(waited_ns <= WAIT_MAX_NS);
            delayed_ns += waited_ns;
            accepted += 1;
        }
        assert!(delayed_ns <= STALE_NS + WAIT_MAX_NS);
        assert_eq!(node.workers[3].connections, 0);
    }

    #[test]
    fn a_newcomer_takes_its_share_of_a_storm_and_not_all_of_it() {
        let mut node = Node::new(vec![worker(1000); 9], 3);
        let mut fresh = worker(0);
        fresh.born_ns = START;
        node.workers.push(fresh);
        for _ in 0..1000 {
            node.connect();
            node.now_ns += MS / 2;
        }
        let taken = node.workers[9].connections;
        // A tenth is its share; while it is new it stays somewhat below what that would make of it.
        assert!((40..=120).contains(&taken), "{taken}");
    }

    #[test]
    fn a_newcomer_has_caught_up_when_its_ramp_is_over() {
        let mut node = Node::new(vec![worker(500); 9], 4);
        let mut fresh = worker(0);
        fresh.born_ns = START;
        node.workers.push(fresh);
        for _ in 0..2000 {
            node.connect();
            node.now_ns += 10 * MS;
        }
        assert!(node.fullest_to_mean() <= 1.02, "{}", node.fullest_to_mean());
    }

    #[test]
    fn a_node_of_newcomers_spreads_evenly_too() {
        let mut fresh = worker(0);
        fresh.born_ns = START;
        let mut node = Node::new(vec![fresh; 10], 5);
        for _ in 0..1000 {
            assert_eq!(node.connect().1, 0);
        }
        assert!(node.fullest_to_mean() <= 1.01, "{}", node.fullest_to_mean());
    }

    proptest! {
        #[test]
        fn somebody_always_accepts_at_once_while_all_come_round(
            counts in proptest::collection::vec((0u64..100_000, 0u64..20), 1..12),
        ) {
            let workers = counts.iter().map(|(connections, age_s)| {
                let mut seen = worker(*connections);
                seen.born_ns = START - age_s * SECOND;
                seen
            });
            let mut node = Node::new(workers.collect(), 6);
            prop_assert_eq!(node.connect().1, 0);
        }
    }
}
