//! What a group of connections got, was told the loss of, and ended as.
//!
//! Pure. Sums over connections; a connection that ended without a ledger is in none of the sums over ledgers and counted as such.
use super::counters::{Books, add_each};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Counts of one group since the swarm was made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Subscriptions that stood, ever.
    pub subscribed: u64,
    /// Messages received.
    pub received: u64,
    /// `gap` frames.
    pub gaps: u64,
    /// Messages that `gap` frames said were lost.
    pub announced: u64,
    /// `gap` frames that could not say how many were lost.
    pub gaps_uncounted: u64,
    /// How often one was told that it is behind.
    pub behind: u64,
    /// How often one was told that it reads history.
    pub replays: u64,
    /// Connections that ended though nobody here asked for it, by close code (1006: without a close frame).
    pub closed: BTreeMap<u16, u64>,
    /// Subscriptions that ended before their ledger was answered, …
    pub ended_unbooked: u64,
    /// … and what they had received.
    pub received_unbooked: u64,
    /// Ledgers answered.
    pub books: Books,
}

impl Account {
    /// Subscriptions whose ledger was not answered, whatever became of them.
    pub fn unbooked(&self) -> u64 {
        self.subscribed.saturating_sub(self.books.answered)
    }

    /// Adds what happened to others of the group.
    pub fn merge(&mut self, other: &Self) {
        self.subscribed += other.subscribed;
        self.received += other.received;
        self.gaps += other.gaps;
        self.announced += other.announced;
        self.gaps_uncounted += other.gaps_uncounted;
        self.behind += other.behind;
        self.replays += other.replays;
        add_each(&mut self.closed, &other.closed);
        self.ended_unbooked += other.ended_unbooked;
        self.received_unbooked += other.received_unbooked;
        self.books.merge(&other.books);
    }

    pub(super) fn gap(&mut self, count: Option<u64>) {
        self.gaps += 1;
        match count {
            Some(count) => self.announced += count,
            None => self.gaps_uncounted += 1,
        }
    }

    pub(super) fn closed(&mut self, code: u16) {
        *self.closed.entry(code).or_default() += 1;
    }

    /// A subscription ended without a ledger.
    pub(super) fn ended_unbooked(&mut self, received: u64) {
        self.ended_unbooked += 1;
        self.received_unbooked += received;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::counters::Seen;
    use pubsub_wire::value::Ledger;

    #[test]
    fn gaps_are_counted_with_what_they_say_was_lost() {
        let mut account = Account::default();
        for count in [Some(3), None, Some(4)] {
            account.gap(count);
        }
        assert_eq!(
            (account.gaps, account.announced, account.gaps_uncounted),
            (3, 7, 1)
        );
    }

    #[test]
    fn what_has_no_ledger_is_counted_and_not_taken_for_nothing() {
        let mut account = Account {
            subscribed: 3,
            ..Account::default()
        };
        account.books.enter(&Ledger::default(), Seen::default());
        account.closed(4001);
        account.ended_unbooked(12);
        assert_eq!(
            (
                account.unbooked(),
                account.ended_unbooked,
                account.received_unbooked
            ),
            (2, 1, 12)
        );
        assert_eq!(account.closed.get(&4001), Some(&1));
    }
}
