//! `reconfigure`: other settings for a subscription that lives.
//!
//! What is refused changes nothing. What the change makes superfluous is accounted for by the policy that was: first the new bound
//! acts, by the old policy and where the socket refuses already; then the policy changes, then rate and batch, then credit. No
//! position and no count is lost.

use pubsub_wire::command::{FieldError, Patch, Reconfigure};
use pubsub_wire::value::{Batch, Bound, Overflow, Rate, RateMode, Settings};
use pubsub_wire::{CommandError, ErrorCode, Id, encode};

use crate::command::refusal;
use crate::config::Now;
use crate::engine::Engine;
use crate::ring::Hold;
use crate::subscription::{Stage, UNLIMITED};
use crate::terms::Terms;

impl Engine {
    pub(crate) fn reconfigure(
        &mut self,
        now: Now,
        session: u32,
        id: Option<&Id>,
        change: &Reconfigure,
    ) -> Result<(), CommandError> {
        let index = self.find(session, &change.topic)?;
        if self.subscriptions[index as usize].draining().is_some() {
            return Err(refusal(
                ErrorCode::NotSubscribed,
                "topic",
                "it is being unsubscribed",
            ));
        }
        let settings = self.merge(index, change)?;
        self.check_cohorts(&change.topic, &settings)?;
        if self.moves(index, &settings) && !self.may_depart(index) {
            let why = "earlier changes wait for what is pending to be read; read, and try again";
            return Err(refusal(ErrorCode::Limit, "topic", why));
        }
        let key = self.key(index);
        if self.subscriptions[index as usize].hold == Hold::Parked {
            // A larger bound brings nothing back.
            self.settle(now, index);
        }
        self.apply_bound(now, index, &settings.bound);
        if self.subscription_index(key).is_none() {
            return Ok(());
        }
        self.apply_overflow(index, settings.overflow);
        if self.subscriptions[index as usize].hold == Hold::Parked {
            // What spills now is read from the log, and not left behind by other settings.
            self.settle(now, index);
        }
        let terms = self.terms.intern(Terms::new(settings.rate, settings.batch));
        let before = std::mem::replace(&mut self.subscriptions[index as usize].terms, terms);
        self.terms.forget(before.as_ref());
        self.relocate(index);
        self.subscriptions[index as usize].credit = settings.credit.unwrap_or(UNLIMITED);
        if self.subscriptions[index as usize].stage != Stage::Opening {
            self.go_on(now, index);
        }
        if self.subscription_index(key).is_none() {
            return Ok(());
        }
        let settings = self.settings(index);
        self.send(session, |out| {
            encode::reconfigured(out, id, &change.topic, &settings);
        });
        Ok(())
    }

    /// Whether what is pending may have to wait apart from what comes under these settings: credit and bound leave it where it is.
    fn moves(&self, index: u32, settings: &Settings) -> bool {
        let subscription = &self.subscriptions[index as usize];
        let terms = subscription.terms.as_deref().copied().unwrap_or_default();
        terms != Terms::new(settings.rate, settings.batch)
            || subscription.overflow != settings.overflow
    }

    /// The settings as they will be.
    fn merge(&self, index: u32, change: &Reconfigure) -> Result<Settings, CommandError> {
        let current = self.settings(index);
        let text = &change.topic;
        let rate = self.merge_rate(current.rate, change)?;
        let credit = match change.credit {
            Patch::Keep => current.credit,
            Patch::Reset => None,
            // What was asked for cannot be revoked.
            Patch::Set(n) => Some(n.max(current.credit.unwrap_or(0))),
        };
        let bound = match change.bound {
            Patch::Keep => current.bound,
            Patch::Reset => Bound::default(),
            Patch::Set(patch) => patch.merge(current.bound, Bound::default()),
        };
        Ok(Settings {
            from: current.from,
            rate: rate.filter(|r| r.mode != RateMode::All),
            batch: self.merge_batch(current.batch, change),
            bound: self.bound_of(text, bound),
            overflow: change
                .overflow
                .apply(current.overflow, self.default_overflow(text)),
            credit,
        })
    }

    fn merge_rate(
        &self,
        current: Option<Rate>,
        change: &Reconfigure,
    ) -> Result<Option<Rate>, CommandError> {
        Ok(match change.rate {
            Patch::Keep => current,
            Patch::Reset => self.default_rate(&change.topic),
            Patch::Set(patch) => Some(patch.merge(current).map_err(bad_field)?),
        })
    }

    fn merge_batch(&self, current: Option<Batch>, change: &Reconfigure) -> Option<Batch> {
        match change.batch {
            Patch::Keep => current,
            Patch::Reset => self.default_batch(&change.topic),
            Patch::Set(patch) => patch.merge(current),
        }
    }

    /// A smaller bound acts at once, by the policy that is.
    fn apply_bound(&mut self, now: Now, index: u32, bound: &Bound) {
        self.remove_bounds(index);
        let subscription = &mut self.subscriptions[index as usize];
        subscription.set_bound(bound);
        let (messages, bytes) = (subscription.bound_messages, subscription.bound_bytes);
        let parked = subscription.hold == Hold::Parked && subscription.stage == Stage::Ring;
        let cohort = self.views.cohort_mut(subscription.cohort);
        cohort.add_bounds(messages, bytes);
        if parked {
            self.park(now, index);
        }
    }

    fn apply_overflow(&mut self, index: u32, overflow: Overflow) {
        let subscription = &mut self.subscriptions[index as usize];
        let before = subscription.overflow;
        if before == overflow {
            return;
        }
        let head = self.views.cohort(subscription.cohort).ring.head();
        let waits = subscription.is_bounded() && subscription.cursor < head;
        // What spills is read from the log whole.
        let conflates = (before == Overflow::Conflate && overflow != Overflow::Spill)
            || overflow == Overflow::Conflate;
        if (waits && conflates) || subscription.hole().is_some() {
            // What is pending goes out by the policy under which it waited.
            let cohort = subscription.cohort;
            let acting = self.views.cohort(cohort).acting;
            let published = self.depart(index);
            let subscription = &mut self.subscriptions[index as usize];
            subscription.overflow = overflow;
            let view = subscription.view;
            let cohort = self.views.cohort_of(view, acting);
            self.join(index, cohort, published);
            return;
        }
        let cohort = self.views.cohort_mut(subscription.cohort);
        let placed = subscription.held.is_some();
        crate::cursor::lift(subscription, cohort);
        if before == Overflow::Conflate {
            cohort.remove_conflater();
        }
        if overflow == Overflow::Conflate {
            cohort.add_conflater();
        }
        subscription.overflow = overflow;
        if placed {
            crate::cursor::place(subscription, cohort);
        }
    }
}

fn bad_field(error: FieldError) -> CommandError {
    CommandError {
        id: None,
        code: ErrorCode::BadField,
        message: error.message,
        field: Some(error.field),
    }
}
