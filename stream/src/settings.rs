//! The settings of a subscription: what it named, what the node has for what it didn't, and what the node allows.

use pubsub_wire::command::Subscribe;
use pubsub_wire::topic::covers;
use pubsub_wire::value::{Batch, Bound, From, Mode, Overflow, Rate, RateMode, Settings};
use pubsub_wire::{CommandError, ErrorCode};

use crate::command::refusal;
use crate::config::Defaults;
use crate::engine::Engine;
use crate::ring::Reach;
use crate::subscription::UNLIMITED;
use crate::terms::Terms;

/// Bound of a subscription where neither it nor the node names another.
const DEFAULT_BOUND: Bound = Bound {
    messages: Some(1024),
    bytes: Some(1 << 20),
    age_ms: Some(30_000),
};

impl Engine {
    /// What a subscription will have that asks for this.
    pub(crate) fn settings_of(&self, wanted: &Subscribe) -> Settings {
        let text = &wanted.topic;
        let rate = wanted.rate.or_else(|| self.default_rate(text));
        Settings {
            from: wanted.from.clone().unwrap_or(From::Live),
            rate: rate.filter(|r| r.mode != RateMode::All),
            batch: wanted.batch.or_else(|| self.default_batch(text)),
            bound: self.bound_of(text, wanted.bound),
            overflow: wanted
                .overflow
                .unwrap_or_else(|| self.default_overflow(text)),
            credit: wanted.credit,
        }
    }

    /// Whether one more rate or batch can be computed for what `text` stands for.
    pub(crate) fn check_cohorts(
        &self,
        text: &str,
        settings: &Settings,
    ) -> Result<(), CommandError> {
        let terms = Terms::new(settings.rate, settings.batch);
        let Some(view) = self.views.find(text) else {
            return Ok(());
        };
        let bound = Reach {
            messages: settings.bound.messages.unwrap_or(0),
            bytes: settings.bound.bytes.unwrap_or(0),
        };
        let most = self.config.cohorts;
        let acting = terms.acting(Mode::Behind, bound);
        if self.views.get(view).derived.len() < most || self.views.has_cohort(view, acting) {
            return Ok(());
        }
        let field = if settings.rate.is_some() {
            "rate"
        } else {
            "batch"
        };
        let why = format!(
            "there are {most} different rates and batches on this topic already; take one that others have"
        );
        Err(refusal(ErrorCode::Limit, field, &why))
    }

    /// What a subscription has now.
    pub(crate) fn settings(&self, index: u32) -> Settings {
        let subscription = &self.subscriptions[index as usize];
        let terms = subscription.terms.as_deref().copied().unwrap_or_default();
        Settings {
            from: subscription.from.as_deref().cloned().unwrap_or(From::Live),
            rate: terms.rate,
            batch: terms.batch,
            bound: Bound {
                messages: Some(u64::from(subscription.bound_messages)),
                bytes: Some(u64::from(subscription.bound_bytes)),
                age_ms: Some(u64::from(subscription.bound_age_ms)),
            },
            overflow: subscription.overflow,
            credit: Some(subscription.credit).filter(|c| *c != UNLIMITED),
        }
    }

    /// The same in a few words, for a list.
    pub(crate) fn settings_text(&self, index: u32) -> String {
        let settings = self.settings(index);
        let rate = settings.rate.map(rate_text);
        let batch = settings.batch.map(batch_text);
        let credit = settings.credit.map(|n| format!("credit {n}"));
        let all: Vec<String> = [rate, batch, credit].into_iter().flatten().collect();
        all.join(" · ")
    }

    pub(crate) fn default_rate(&self, text: &str) -> Option<Rate> {
        self.default_of(text, |d| d.rate)
    }

    pub(crate) fn default_batch(&self, text: &str) -> Option<Batch> {
        self.default_of(text, |d| d.batch)
    }

    pub(crate) fn default_overflow(&self, text: &str) -> Overflow {
        let named = self.default_of(text, |d| d.overflow);
        named.unwrap_or(Overflow::DropOldest)
    }

    /// The bound of a subscription that named `named`: with defaults where it named nothing, and no more than is allowed.
    pub(crate) fn bound_of(&self, text: &str, named: Bound) -> Bound {
        let default = Bound {
            messages: self.default_of(text, |d| d.bound.messages),
            bytes: self.default_of(text, |d| d.bound.bytes),
            age_ms: self.default_of(text, |d| d.bound.age_ms),
        };
        let bound = named
            .resolve(default, &self.config.limits)
            .resolve(DEFAULT_BOUND, &self.config.limits);
        let most = self.config.most.iter().find(|(p, _)| covers(p, text));
        most.map_or(bound, |(_, most)| Bound {
            messages: bound.messages.map(|n| n.min(most.messages)),
            bytes: bound.bytes.map(|n| n.min(most.bytes)),
            age_ms: bound.age_ms.map(|n| n.min(most.age_ms)),
        })
    }

    /// A setting of a subscription that doesn't name it.
    fn default_of<T>(&self, text: &str, setting: impl Fn(&Defaults) -> Option<T>) -> Option<T> {
        let defaults = self.config.defaults.iter();
        defaults
            .filter(|d| covers(&d.pattern, text))
            .find_map(setting)
    }
}

fn rate_text(rate: Rate) -> String {
    let when = match rate.when {
        pubsub_wire::value::When::Always => "",
        pubsub_wire::value::When::Behind => " when behind",
    };
    format!("{} {} ms{when}", rate.mode.as_str(), rate.ms)
}

fn batch_text(batch: Batch) -> String {
    let ms = batch.ms.map(|n| format!("{n} ms"));
    let messages = batch.messages.map(|n| format!("{n} messages"));
    let bytes = batch.bytes.map(|n| format!("{n} bytes"));
    let all: Vec<String> = [ms, messages, bytes].into_iter().flatten().collect();
    format!("batch {}", all.join(", "))
}
