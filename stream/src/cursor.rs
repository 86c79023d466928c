//! Where a subscription's cursor is registered: with the ring that keeps entries for it, and with the compacted view if it waits.
//!
//! Law: a cursor is moved only between `lift` and `place`.

use pubsub_wire::value::Overflow;

use crate::ring::Hold;
use crate::subscription::Subscription;
use crate::view::View;

/// Takes the cursor out of the view's books, so that it can be moved.
#[inline]
pub(crate) fn lift(subscription: &mut Subscription, view: &mut View) {
    if subscription.holds {
        view.ring.release(subscription.cursor, subscription.hold);
        subscription.holds = false;
    }
    if subscription.waits {
        if let Some(compact) = &mut view.compact {
            compact.leave(subscription.cursor);
        }
        subscription.waits = false;
    }
}

/// Enters the cursor into the view's books where it stands now.
#[inline]
pub(crate) fn place(subscription: &mut Subscription, view: &mut View) {
    debug_assert!(!subscription.holds);
    view.ring.hold(subscription.cursor, subscription.hold);
    subscription.holds = true;
    if subscription.overflow == Overflow::Conflate {
        let waits = subscription.hold == Hold::Parked || subscription.cursor < view.ring.first();
        if let (true, Some(compact)) = (waits, &mut view.compact) {
            compact.wait_at(subscription.cursor);
            subscription.waits = true;
        }
    }
}

/// Enters the cursor anew as one that is held otherwise.
pub(crate) fn hold(subscription: &mut Subscription, view: &mut View, hold: Hold) {
    if subscription.hold == hold {
        return;
    }
    let was_placed = subscription.holds;
    lift(subscription, view);
    subscription.hold = hold;
    if was_placed {
        place(subscription, view);
    }
}
