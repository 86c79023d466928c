//! Groups of connections: how they read, and what is counted of them together.
//!
//! Pure. Two groups are there from the start; more are made known as they are needed.
use super::account::Account;
use super::pace::Pace;
use super::staleness::Staleness;
use super::tally::Tally;

/// A group of connections that is counted, paused and resumed together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Group(u8);

impl Group {
    /// Where connections belong unless they are told otherwise.
    pub const MAIN: Self = Self(0);
    /// Those set apart: the caller stops and resumes them.
    pub const APART: Self = Self(1);

    /// How many groups there may be.
    pub const MAX: usize = 1 << u8::BITS;

    /// The next group after so many.
    pub(super) fn next(known: usize) -> Option<Self> {
        u8::try_from(known).ok().map(Self)
    }

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// What is kept of a group.
pub(super) struct Members {
    pub(super) pace: Pace,
    /// Of the window under way.
    pub(super) tally: Tally,
    pub(super) staleness: Staleness,
    pub(super) account: Account,
}

impl Members {
    pub(super) fn new(pace: Pace, outliers: usize) -> Self {
        Self {
            pace,
            tally: Tally::new(outliers),
            staleness: Staleness::default(),
            account: Account::default(),
        }
    }

    /// Ends the window and begins another.
    pub(super) fn take_window(&mut self, outliers: usize) -> Tally {
        self.account.received += self.tally.received;
        std::mem::replace(&mut self.tally, Tally::new(outliers))
    }

    /// Counts up to now.
    pub(super) fn account(&self) -> Account {
        let mut account = self.account.clone();
        account.received += self.tally.received;
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_group_received_does_not_begin_anew_with_a_window() {
        let mut members = Members::new(Pace::Full, 1);
        members.tally.receive(1, 1);
        assert_eq!(members.take_window(1).received, 1);
        members.tally.receive(1, 1);
        assert_eq!((members.account().received, members.tally.received), (2, 1));
    }
}
