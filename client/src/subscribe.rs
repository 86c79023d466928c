//! A subscription as a request: its settings, each by a method.
use crate::error::RequestError;
use crate::event::Position;
use crate::link::Link;
use crate::session::Wanted;
use crate::subscription::Subscription;
use pubsub_wire::command::Subscribe;
use pubsub_wire::value::{Batch, Else, From, Overflow, Rate, RateMode, When};
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

/// A subscription that begins when awaited. Made by [`Client::subscribe`](crate::Client::subscribe). What isn't set is
/// the server's default; what it makes of it all is in [`Subscription::settings`].
#[derive(Debug)]
#[must_use = "nothing is subscribed to until it is awaited"]
pub struct SubscribeRequest {
    link: Link,
    subscribe: Subscribe,
    otherwise: Option<Else>,
}

impl SubscribeRequest {
    pub(crate) fn new(link: Link, subscribe: Subscribe) -> Self {
        Self {
            link,
            subscribe,
            otherwise: None,
        }
    }

    /// Where to begin; live unless told.
    pub fn from(mut self, from: From) -> Self {
        self.subscribe.from = Some(from);
        self
    }

    /// Begins after a position that was received before, or at `otherwise` where that is gone; a
    /// [`Event::Gap`](crate::Event::Gap) says so then.
    pub fn after(self, position: Position, otherwise: Else) -> Self {
        self.from(match position {
            Position::One { epoch, offset } => From::After {
                epoch,
                offset,
                otherwise,
            },
            Position::Parts { positions } => From::Positions {
                positions,
                otherwise,
            },
        })
    }

    /// Where it goes on after a lost connection when its position is gone, which a [`Event::Gap`](crate::Event::Gap) says then. Unless told:
    /// as [`after`](Self::after) says, with the newest of every key if it began [so](From::Last), else at the earliest held.
    pub fn resume_otherwise(mut self, otherwise: Else) -> Self {
        self.otherwise = Some(otherwise);
        self
    }

    /// At most this many messages pending.
    pub fn bound_messages(mut self, messages: u64) -> Self {
        self.subscribe.bound.messages = Some(messages);
        self
    }

    /// At most this many bytes of frames pending.
    pub fn bound_bytes(mut self, bytes: u64) -> Self {
        self.subscribe.bound.bytes = Some(bytes);
        self
    }

    /// Nothing older than this is delivered.
    pub fn bound_age(mut self, age: Duration) -> Self {
        self.subscribe.bound.age_ms = Some(millis(age));
        self
    }

    /// What gives when a bound is reached.
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.subscribe.overflow = Some(overflow);
        self
    }

    /// Per key the newest at each tick of a grid of this width.
    pub fn sample(self, interval: Duration) -> Self {
        self.rate(RateMode::Sample, interval, None)
    }

    /// Per key the first at once and then the newest after each interval.
    pub fn throttle(self, interval: Duration) -> Self {
        self.rate(RateMode::Throttle, interval, None)
    }

    /// Per key the first of each interval.
    pub fn throttle_first(self, interval: Duration) -> Self {
        self.rate(RateMode::ThrottleFirst, interval, None)
    }

    /// Per key the newest once nothing came for `quiet`, and after `max_wait` at the latest.
    pub fn debounce(self, quiet: Duration, max_wait: Duration) -> Self {
        self.rate(RateMode::Debounce, quiet, Some(millis(max_wait)))
    }

    /// The rate set before acts only while the subscription is behind.
    pub fn rate_when_behind(mut self) -> Self {
        if let Some(rate) = &mut self.subscribe.rate {
            rate.when = When::Behind;
        }
        self
    }

    fn rate(mut self, mode: RateMode, interval: Duration, max_wait_ms: Option<u64>) -> Self {
        let when = When::Always;
        self.subscribe.rate = Some(Rate {
            mode,
            ms: millis(interval),
            max_wait_ms,
            when,
        });
        self
    }

    /// Messages are sent in batches; the first of its limits that is reached makes one due. The stream yields each by itself.
    pub fn batch(mut self, batch: Batch) -> Self {
        self.subscribe.batch = Some(batch);
        self
    }

    /// Only this many messages, until [`Subscription::credit`] asks for more.
    pub fn credit(mut self, messages: u64) -> Self {
        self.subscribe.credit = Some(messages);
        self
    }
}

/// At least 1, which is the shortest time the protocol knows.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis())
        .unwrap_or(u64::MAX)
        .max(1)
}

impl IntoFuture for SubscribeRequest {
    type Output = Result<Subscription, RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        let otherwise = self.otherwise.unwrap_or(match &self.subscribe.from {
            Some(From::After { otherwise, .. } | From::Positions { otherwise, .. }) => *otherwise,
            Some(From::Last) => Else::Last,
            _ => Else::Earliest,
        });
        let wanted = Wanted {
            subscribe: self.subscribe,
            otherwise,
        };
        Box::pin(async move { self.link.subscribe(wanted).await })
    }
}
