//! What `gap` frames said was lost, by the reason they gave.
//!
//! Pure. A gap that does not say how many counts nowhere here.
use pubsub_wire::value::GapReason;
use serde::{Deserialize, Serialize};

/// Numbers of messages by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses([u64; REASONS]);

/// How many reasons there are.
const REASONS: usize = Losses::REASONS.len();

impl Losses {
    /// All reasons, in the order in which they are shown.
    pub const REASONS: [GapReason; 6] = [
        GapReason::DropOldest,
        GapReason::DropNewest,
        GapReason::Expired,
        GapReason::Memory,
        GapReason::Retention,
        GapReason::Epoch,
    ];

    /// So many more were lost for this reason.
    pub fn add(&mut self, reason: GapReason, count: u64) {
        self.0[place(reason)] += count;
    }

    /// Adds those of others.
    pub fn add_all(&mut self, others: &Self) {
        let pairs = self.0.iter_mut().zip(others.0);
        pairs.for_each(|(sum, more)| *sum += more);
    }

    /// What came since an earlier moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self(std::array::from_fn(|at| {
            self.0[at].saturating_sub(earlier.0[at])
        }))
    }

    /// Every reason with its count, also where it is 0.
    pub fn iter(&self) -> impl Iterator<Item = (GapReason, u64)> {
        Self::REASONS.into_iter().zip(self.0)
    }

    /// For any reason.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

fn place(reason: GapReason) -> usize {
    match reason {
        GapReason::DropOldest => 0,
        GapReason::DropNewest => 1,
        GapReason::Expired => 2,
        GapReason::Memory => 3,
        GapReason::Retention => 4,
        GapReason::Epoch => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_place_of_its_own() {
        for (at, reason) in Losses::REASONS.into_iter().enumerate() {
            assert_eq!(place(reason), at);
        }
    }

    #[test]
    fn what_came_since_is_what_was_added() {
        let mut losses = Losses::default();
        losses.add(GapReason::Expired, 3);
        let before = losses;
        losses.add(GapReason::Expired, 2);
        losses.add(GapReason::Memory, 7);
        let since = losses.since(&before);
        assert_eq!((since.total(), losses.total()), (9, 12));
        let mut sum = before;
        sum.add_all(&since);
        assert_eq!(sum, losses);
        assert!(since.iter().any(|one| one == (GapReason::Memory, 7)));
    }
}
