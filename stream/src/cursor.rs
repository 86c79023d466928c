//! Where a subscription's cursor is registered: with the ring that keeps entries for it, with the compacted view if it waits, and as
//! a window that pins what is before a hole.
//!
//! Law: a cursor is moved only between `lift` and `place`.

use pubsub_wire::value::Overflow;

use crate::cohort::Cohort;
use crate::ring::Hold;
use crate::subscription::Subscription;

/// Takes the cursor out of the cohort's books, so that it can be moved.
#[inline]
pub(crate) fn lift(subscription: &mut Subscription, cohort: &mut Cohort) {
    if let Some(hold) = subscription.held.take() {
        cohort.ring.release(subscription.cursor, hold);
    }
    if subscription.waits {
        if let Some(compact) = &mut cohort.compact {
            compact.leave(subscription.cursor);
        }
        subscription.waits = false;
    }
}

/// Enters the cursor into the cohort's books where it stands now.
#[inline]
pub(crate) fn place(subscription: &mut Subscription, cohort: &mut Cohort) {
    debug_assert!(subscription.held.is_none());
    // What is older than its start stands among its own: as long as that may come, its bound is minded where it trips.
    let hold = if subscription.since() > 0 {
        Hold::Live
    } else {
        subscription.hold
    };
    cohort.ring.hold(subscription.cursor, hold);
    subscription.held = Some(hold);
    if subscription.overflow == Overflow::Conflate {
        let waits = subscription.hold == Hold::Parked || subscription.cursor < cohort.ring.first();
        if let (true, Some(compact)) = (waits, &mut cohort.compact) {
            compact.wait_at(subscription.cursor);
            subscription.waits = true;
        }
    }
    if subscription.extra.is_some() {
        unpin_passed(subscription, cohort);
    }
}

/// What of the window before a hole was passed is needed no more.
fn unpin_passed(subscription: &mut Subscription, cohort: &mut Cohort) {
    let cursor = subscription.cursor;
    if let Some(hole) = &mut subscription.extra().hole {
        let to = cursor.min(hole.from);
        debug_assert!(hole.pinned <= to);
        cohort.ring.unpin(hole.pinned, to);
        hole.pinned = to;
    }
}

/// Enters the cursor anew as one that is held otherwise.
pub(crate) fn hold(subscription: &mut Subscription, cohort: &mut Cohort, hold: Hold) {
    if subscription.hold == hold {
        return;
    }
    let was_placed = subscription.held.is_some();
    lift(subscription, cohort);
    subscription.hold = hold;
    if was_placed {
        place(subscription, cohort);
    }
}
