//! What happened to a swarm so far: plain numbers, and the first of each kind of trouble in words.
use super::{CallCounts, Causes, Losses};
use pubsub_wire::value::Ledger;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts since the swarm was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Messages received.
    pub received: u64,
    /// Bytes received, frame headers included.
    pub wire_bytes: u64,
    /// System calls that read.
    pub reads: u64,
    /// Messages parsed whole and compared with what the fast path had read.
    pub checked: u64,
    /// Text frames that the fast path left to the parser.
    pub parsed: u64,
    /// `batch` frames.
    pub batches: u64,
    /// Messages whose order was not checked, for want of room for their keys.
    pub unfollowed: u64,
    /// Offsets that came again.
    pub duplicates: u64,
    /// Offsets that were less than one before.
    pub disorders: u64,
    /// Messages whose parts disagree, or that are none of this protocol.
    pub malformed: u64,
    /// `gap` frames.
    pub gaps: u64,
    /// `gap` frames that could not say how many were lost.
    pub gaps_uncounted: u64,
    /// What the others said was lost, by reason.
    pub lost: Losses,
    /// Ping frames answered.
    pub pings: u64,
    /// `goaway` frames.
    pub goaways: u64,
    /// `error` answers, and the first of them.
    pub errors: u64,
    /// Code and message of the first `error`.
    pub first_error: Option<String>,
    /// All of them, by code and message.
    pub error_causes: Causes,
    /// Connections that did not come about.
    pub failed: u64,
    /// All of them, by reason.
    pub failure_causes: Causes,
    /// Why the first of them did not.
    pub first_failure: Option<String>,
    /// Connections that have passed the handshake, ever.
    pub upgraded: u64,
    /// For how long connections were coming about, nanoseconds: from when they were asked for to when the last of them had.
    pub connecting_ns: u64,
    /// Since when that has not been counted yet, on the monotonic clock.
    pub connecting_since_ns: u64,
    /// What became of calls, where connections make them.
    pub calls: CallCounts,
    /// Subscriptions that stood, ever.
    pub subscribed: u64,
    /// Connections that ended though nobody here asked for it, by close code (1006: without a close frame).
    pub closed: BTreeMap<u16, u64>,
    /// Connections closed because of what they sent, by reason.
    pub violations: Causes,
    /// The first of these reasons.
    pub first_violation: Option<String>,
    /// How many upgraded connections each worker slot has greeted.
    pub workers: BTreeMap<u32, u64>,
    /// Ledgers answered.
    pub books: Books,
}

impl Counters {
    /// Connections that ended though nobody here asked for it.
    pub fn closed_total(&self) -> u64 {
        self.closed.values().sum()
    }

    /// Messages that broke the order promised.
    pub fn offset_errors(&self) -> u64 {
        self.duplicates + self.disorders
    }

    /// Adds what happened to another swarm.
    pub fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.wire_bytes += other.wire_bytes;
        self.reads += other.reads;
        self.checked += other.checked;
        self.parsed += other.parsed;
        self.batches += other.batches;
        self.unfollowed += other.unfollowed;
        self.duplicates += other.duplicates;
        self.disorders += other.disorders;
        self.malformed += other.malformed;
        self.gaps += other.gaps;
        self.gaps_uncounted += other.gaps_uncounted;
        self.pings += other.pings;
        self.goaways += other.goaways;
        self.errors += other.errors;
        self.failed += other.failed;
        self.upgraded += other.upgraded;
        // Processes connect at the same time.
        self.connecting_ns = self.connecting_ns.max(other.connecting_ns);
        self.subscribed += other.subscribed;
        add_each(&mut self.closed, &other.closed);
        add_each(&mut self.workers, &other.workers);
        self.books.merge(&other.books);
        self.calls.merge(&other.calls);
        self.lost.add_all(&other.lost);
        self.error_causes.add_all(&other.error_causes);
        self.failure_causes.add_all(&other.failure_causes);
        self.violations.add_all(&other.violations);
        for (own, others) in [
            (&mut self.first_error, &other.first_error),
            (&mut self.first_failure, &other.first_failure),
            (&mut self.first_violation, &other.first_violation),
        ] {
            if own.is_none() {
                own.clone_from(others);
            }
        }
    }

    /// Connections that came about per second, while there were any to come about.
    pub fn connects_per_s(&self) -> Option<f64> {
        let ns = self.connecting_ns;
        (ns > 0).then(|| self.upgraded as f64 * 1e9 / ns as f64)
    }

    /// After a time in which nothing was to come about, connections are asked for.
    pub(super) fn connecting(&mut self, now_ns: u64) {
        self.connecting_since_ns = now_ns;
    }

    pub(super) fn upgraded(&mut self, now_ns: u64) {
        self.upgraded += 1;
        self.connecting_ns += now_ns.saturating_sub(self.connecting_since_ns);
        self.connecting_since_ns = now_ns;
    }

    pub(super) fn error(&mut self, text: String) {
        self.errors += 1;
        self.error_causes.count(&text);
        self.first_error.get_or_insert(text);
    }
}

/// Adds counts by name.
pub(super) fn add_each<K: Copy + Ord>(counts: &mut BTreeMap<K, u64>, others: &BTreeMap<K, u64>) {
    for (name, n) in others {
        *counts.entry(*name).or_default() += n;
    }
}

/// The sum of all ledgers that were answered, beside what this side saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Books {
    /// Ledgers.
    pub answered: u64,
    /// `ledger` commands that were refused, or whose connection ended first.
    pub unanswered: u64,
    /// What the ledgers say, added up. What is spilled and cannot be known stands as 0 in it, as it does in the law.
    pub sum: Ledger,
    /// Ledgers that could not say how much is spilled.
    pub spilled_unknown: u64,
    /// Received, as this side counts, when the ledger came.
    pub received: u64,
    /// Sum over connections of what the two sides disagree by, and of what a ledger's own sum is off by. Magnitudes are
    /// added, so that one error does not hide another.
    pub residual: u64,
}

/// What a connection had seen when its ledger came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Messages.
    pub received: u64,
    /// Messages that `gap` frames said were lost.
    pub announced: u64,
}

impl Books {
    /// One answer, and what its connection had seen before it. A loss is counted before it is announced, so that more may be lost
    /// than was announced yet, but never less.
    pub fn enter(&mut self, ledger: &Ledger, seen: Seen) {
        self.answered += 1;
        self.received += seen.received;
        self.spilled_unknown += u64::from(ledger.pending.spilled.is_none());
        add(&mut self.sum, ledger);
        self.residual += ledger.delivered.abs_diff(seen.received)
            + ledger.residual().unsigned_abs()
            + seen.announced.saturating_sub(lost(ledger));
    }

    /// Adds other ledgers.
    pub fn merge(&mut self, other: &Self) {
        self.answered += other.answered;
        self.unanswered += other.unanswered;
        if other.answered > 0 {
            add(&mut self.sum, &other.sum);
        }
        self.spilled_unknown += other.spilled_unknown;
        self.received += other.received;
        self.residual += other.residual;
    }

    /// Lost by any policy.
    pub fn lost(&self) -> u64 {
        lost(&self.sum)
    }

    /// Left out as asked: conflated, or filtered by a rate.
    pub fn left_out(&self) -> u64 {
        self.sum.conflated + self.sum.filtered_by_rate
    }

    /// To be delivered yet.
    pub fn pending(&self) -> u64 {
        self.sum.pending.memory + self.sum.pending.spilled.unwrap_or(0)
    }
}

/// What a ledger says was lost.
pub fn lost(ledger: &Ledger) -> u64 {
    let dropped = &ledger.dropped;
    dropped.drop_oldest + dropped.drop_newest + dropped.memory + ledger.expired + ledger.retention
}

fn add(sum: &mut Ledger, ledger: &Ledger) {
    sum.published += ledger.published;
    sum.delivered += ledger.delivered;
    sum.filtered_by_rate += ledger.filtered_by_rate;
    sum.conflated += ledger.conflated;
    sum.dropped.drop_oldest += ledger.dropped.drop_oldest;
    sum.dropped.drop_newest += ledger.dropped.drop_newest;
    sum.dropped.memory += ledger.dropped.memory;
    sum.expired += ledger.expired;
    sum.retention += ledger.retention;
    sum.pending.memory += ledger.pending.memory;
    *sum.pending.spilled.get_or_insert(0) += ledger.pending.spilled.unwrap_or(0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use pubsub_wire::value::{Dropped, Pending};

    fn ledger(published: u64, delivered: u64) -> Ledger {
        Ledger {
            published,
            delivered,
            ..Ledger::default()
        }
    }

    fn seen(received: u64) -> Seen {
        Seen {
            received,
            announced: 0,
        }
    }

    #[test]
    fn connections_come_about_at_a_rate_that_pauses_between_steps_do_not_lower() {
        let mut counters = Counters::default();
        assert_eq!(counters.connects_per_s(), None);
        for begun_s in [10, 100] {
            counters.connecting(begun_s * 1_000_000_000);
            for tenth in 1..=5 {
                counters.upgraded(begun_s * 1_000_000_000 + tenth * 100_000_000);
            }
        }
        let mut both = counters.clone();
        both.merge(&counters);
        let rates = [counters, both].map(|counters| counters.connects_per_s().map(f64::round));
        assert_eq!(
            rates,
            [Some(10.0), Some(20.0)],
            "processes connect at the same time"
        );
    }

    #[test]
    fn books_that_agree_leave_nothing() {
        let mut books = Books::default();
        books.enter(&ledger(5, 5), seen(5));
        assert_eq!((books.answered, books.residual), (1, 0));
    }

    #[test]
    fn one_too_many_does_not_make_up_for_one_too_few() {
        let mut books = Books::default();
        books.enter(&ledger(5, 5), seen(4));
        books.enter(&ledger(5, 5), seen(6));
        assert_eq!(books.residual, 2);
    }

    #[test]
    fn a_ledger_whose_own_sum_is_off_is_a_residual_too() {
        let mut books = Books::default();
        books.enter(&ledger(7, 5), seen(5));
        assert_eq!(books.residual, 2);
    }

    #[test]
    fn a_loss_may_wait_for_its_announcement_but_nothing_is_announced_that_was_not_lost() {
        let lossy = Ledger {
            expired: 2,
            ..ledger(7, 5)
        };
        let with = |announced| {
            let mut books = Books::default();
            let received = 5;
            books.enter(
                &lossy,
                Seen {
                    received,
                    announced,
                },
            );
            books.residual
        };
        assert_eq!([with(0), with(2), with(5)], [0, 0, 3]);
    }

    #[test]
    fn the_sum_has_every_count_of_every_ledger() {
        let one = Ledger {
            published: 55,
            delivered: 1,
            filtered_by_rate: 2,
            conflated: 3,
            dropped: Dropped {
                drop_oldest: 4,
                drop_newest: 5,
                memory: 6,
            },
            expired: 7,
            retention: 8,
            pending: Pending {
                memory: 9,
                spilled: Some(10),
            },
        };
        let mut books = Books::default();
        books.enter(&one, seen(1));
        books.enter(&one, seen(1));
        assert_eq!((books.sum.residual(), books.sum.published), (0, 110));
        assert_eq!(
            (books.lost(), books.left_out(), books.pending()),
            (60, 10, 38)
        );
        assert_eq!((books.residual, books.spilled_unknown), (0, 0));
        let mut unknown = one;
        unknown.pending.spilled = None;
        unknown.published -= 10;
        books.enter(&unknown, seen(1));
        assert_eq!(
            (books.residual, books.spilled_unknown, books.sum.residual()),
            (0, 1, 0)
        );
    }
}
