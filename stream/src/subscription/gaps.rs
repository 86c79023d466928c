//! Losses that have yet to be announced, in the order of the stream.
//!
//! Laws: no count is lost; those of one kind that follow each other are one; they are few.

use std::collections::VecDeque;

use pubsub_wire::value::GapReason;

use super::PendingGap;

/// Gaps that wait apart at most; past it a loss is told with the last of its kind.
const GAPS_MAX: usize = 1024;

/// The gaps of one subscription.
#[derive(Debug, Default)]
pub(crate) struct Gaps(VecDeque<PendingGap>);

impl Gaps {
    /// Queues a gap, joined with the one before it where both are of one kind.
    pub(super) fn push(&mut self, gap: PendingGap) {
        let gaps = &mut self.0;
        if gap.reason == GapReason::Epoch {
            // What was lost before is of an epoch that ended.
            gaps.clear();
        }
        if let Some(last) = gaps.back_mut().filter(|last| follows(last, &gap)) {
            join(last, &gap);
            return;
        }
        let is_full = gaps.len() >= GAPS_MAX;
        if let Some(same) = last_like(gaps, &gap).filter(|_| is_full) {
            join(same, &gap);
            return;
        }
        if gaps.capacity() == 0 {
            // There is seldom more than one, and those who stand still have it for long.
            gaps.reserve_exact(1);
        }
        gaps.push_back(gap);
    }

    /// The first is told.
    pub(super) fn pop(&mut self) {
        self.0.pop_front();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &PendingGap> {
        self.0.iter()
    }
}

/// Whether a gap can be told with the one before it.
fn follows(last: &PendingGap, gap: &PendingGap) -> bool {
    // One that tells where a subscription began stays as `subscribed` told it.
    let same = last.reason == gap.reason && gap.reason != GapReason::Retention;
    let follows = match (last.to, gap.from) {
        (Some(to), Some(from)) => from == to + 1,
        (None, None) => true,
        _ => false,
    };
    same && follows && last.count.is_some() && gap.count.is_some()
}

/// A loss that follows is told with another.
pub(crate) fn join(gap: &mut PendingGap, next: &PendingGap) {
    gap.to = next.to;
    gap.count = gap.count.zip(next.count).map(|(a, b)| a + b);
    gap.offset = next.offset;
}

/// The last gap that waits and is of the same kind.
fn last_like<'a>(
    gaps: &'a mut VecDeque<PendingGap>,
    gap: &PendingGap,
) -> Option<&'a mut PendingGap> {
    let kind = |g: &PendingGap| (g.reason, g.to.is_some(), g.count.is_some());
    gaps.iter_mut().rev().find(|g| kind(g) == kind(gap))
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::Subscription;
    use super::*;

    #[test]
    fn reasons_that_alternate_for_long_wait_in_a_bounded_queue_and_lose_no_count() {
        let mut subscription = Subscription::new(0, 0, 0, 0);
        let epoch: Rc<str> = Rc::from("e");
        for number in 0..10_000 {
            let reason = [GapReason::DropOldest, GapReason::Expired][number % 2];
            subscription.lose_counted(2, reason, 3 * number as i64, Rc::clone(&epoch), false);
        }
        assert_eq!(subscription.gaps().count(), GAPS_MAX);
        for reason in [GapReason::DropOldest, GapReason::Expired] {
            let told = subscription.gaps().filter(|g| g.reason == reason);
            assert_eq!(told.filter_map(|g| g.count).sum::<u64>(), 10_000);
        }
        assert_eq!(
            subscription.gaps().filter_map(|g| g.to).max(),
            Some(3 * 9_999)
        );
    }
}
