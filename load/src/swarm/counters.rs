//! What happened to a swarm so far: plain numbers, and the first of each kind of trouble in words.
use super::ConnectError;
use pubsub_wire::value::Ledger;
use std::collections::BTreeMap;

/// Counts since the swarm was made.
#[derive(Debug, Clone, Default)]
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
    /// Ping frames answered.
    pub pings: u64,
    /// `goaway` frames.
    pub goaways: u64,
    /// `error` answers, and the first of them.
    pub errors: u64,
    /// Code and message of the first `error`.
    pub first_error: Option<String>,
    /// Connections that did not come about.
    pub failed: u64,
    /// Why the first of them did not.
    pub first_failure: Option<ConnectError>,
    /// Connections that have passed the handshake, ever.
    pub upgraded: u64,
    /// Subscriptions that stood, ever.
    pub subscribed: u64,
    /// Connections that ended though nobody here asked for it, by close code (1006: without a close frame).
    pub closed: BTreeMap<u16, u64>,
    /// Connections closed because of what they sent, and the first reason.
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

    pub(super) fn error(&mut self, text: String) {
        self.errors += 1;
        self.first_error.get_or_insert(text);
    }
}

/// The sum of all ledgers that were answered, beside what was received.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Books {
    /// Ledgers.
    pub answered: u64,
    /// `ledger` commands that were refused, or whose connection ended first.
    pub unanswered: u64,
    /// Delivered, as the server counts.
    pub delivered: u64,
    /// Received, as this side counts.
    pub received: u64,
    /// Lost by any policy.
    pub lost: u64,
    /// Left out as asked: conflated, or filtered by a rate.
    pub left_out: u64,
    /// To be delivered yet.
    pub pending: u64,
    /// Sum over connections of what the two sides disagree by, and of what a ledger's own sum is off by. Magnitudes are
    /// added, so that one error does not hide another.
    pub residual: u64,
}

impl Books {
    /// One answer, and how many messages its connection had received before it.
    pub fn enter(&mut self, ledger: &Ledger, received: u64) {
        self.answered += 1;
        self.delivered += ledger.delivered;
        self.received += received;
        self.lost += lost(ledger);
        self.left_out += ledger.conflated + ledger.filtered_by_rate;
        self.pending += ledger.pending.memory + ledger.pending.spilled.unwrap_or(0);
        self.residual += ledger.delivered.abs_diff(received) + ledger.residual().unsigned_abs();
    }
}

fn lost(ledger: &Ledger) -> u64 {
    let dropped = &ledger.dropped;
    dropped.drop_oldest + dropped.drop_newest + dropped.memory + ledger.expired + ledger.retention
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(published: u64, delivered: u64) -> Ledger {
        Ledger {
            published,
            delivered,
            ..Ledger::default()
        }
    }

    #[test]
    fn books_that_agree_leave_nothing() {
        let mut books = Books::default();
        books.enter(&ledger(5, 5), 5);
        assert_eq!((books.answered, books.residual), (1, 0));
    }

    #[test]
    fn one_too_many_does_not_make_up_for_one_too_few() {
        let mut books = Books::default();
        books.enter(&ledger(5, 5), 4);
        books.enter(&ledger(5, 5), 6);
        assert_eq!(books.residual, 2);
    }

    #[test]
    fn a_ledger_whose_own_sum_is_off_is_a_residual_too() {
        let mut books = Books::default();
        books.enter(&ledger(7, 5), 5);
        assert_eq!(books.residual, 2);
    }
}
