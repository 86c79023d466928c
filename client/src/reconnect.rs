//! Whether, where and when to connect again, pure; `now` and the seed of what is drawn are arguments.
//!
//! Owns the reading of close codes, HTTP statuses and `goaway`. The connection tells it what happened and does what it
//! decides.
mod advice;
#[cfg(test)]
mod tests;

use crate::backoff::Backoff;
use crate::endpoint::Endpoint;
use crate::endpoints::Endpoints;
use crate::error::ConnectError;
use crate::event::{Closed, Goaway};
use advice::Advice;
use std::time::{Duration, Instant};

/// A longer wait is for ever, and can't be told by a clock.
const FOREVER: Duration = Duration::from_secs(366 * 24 * 3600);

/// What to do when the connection is lost. By default it is tried again for ever, after waits that double from 250 ms up
/// to 30 s and are drawn evenly from nothing to that.
///
/// Close codes and statuses that say "don't return" are obeyed in any case, and so are the times that a server names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it acts once it is given to the builder"]
pub struct Reconnect {
    attempts: Option<u32>,
    give_up_after: Option<Duration>,
    min_wait: Duration,
    max_wait: Duration,
    lasting: Duration,
    obeyed: Duration,
}

impl Default for Reconnect {
    fn default() -> Self {
        Self {
            attempts: None,
            give_up_after: None,
            min_wait: Duration::from_millis(250),
            max_wait: Duration::from_secs(30),
            lasting: Duration::from_secs(5),
            obeyed: Duration::from_secs(600),
        }
    }
}

impl Reconnect {
    /// The client ends with its connection.
    pub fn never() -> Self {
        Self::default().attempts(0)
    }

    /// The most attempts in a row that fail before the client gives up; without limit unless told.
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }

    /// How long after a loss the client gives up; never unless told.
    pub fn give_up_after(mut self, time: Duration) -> Self {
        self.give_up_after = Some(time);
        self
    }

    /// The longest wait before the first attempt, which doubles with each that fails; 250 ms unless told.
    pub fn min_wait(mut self, wait: Duration) -> Self {
        self.min_wait = wait.min(FOREVER);
        self
    }

    /// The longest wait before any attempt; 30 s unless told.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait.min(FOREVER);
        self
    }

    /// How long a connection must have lasted for waits to begin anew from the shortest; 5 s unless told.
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasting = time;
        self
    }

    /// The longest wait that a server can impose (`goaway`, `Retry-After`); 10 min unless told.
    pub fn obeyed(mut self, time: Duration) -> Self {
        self.obeyed = time.min(FOREVER);
        self
    }
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Retry {
        endpoint: Endpoint,
        /// Since the loss, from 1.
        attempt: u32,
        wait: Duration,
    },
    GiveUp,
}

/// The state of an outage, and of what is known about servers.
#[derive(Debug)]
pub(crate) struct Policy {
    settings: Reconnect,
    endpoints: Endpoints,
    backoff: Backoff,
    /// The one that is connected or tried.
    endpoint: Endpoint,
    connected: Option<Instant>,
    /// When the server told us to return.
    told: Option<Instant>,
    lost: Option<Instant>,
    attempts: u32,
}

impl Policy {
    /// To be told of the first connection, to `endpoint`.
    pub(crate) fn new(
        settings: Reconnect,
        endpoints: Endpoints,
        endpoint: Endpoint,
        seed: u64,
    ) -> Self {
        Self {
            settings,
            endpoints,
            backoff: Backoff::new(settings.min_wait, settings.max_wait, seed),
            endpoint,
            connected: None,
            told: None,
            lost: None,
            attempts: 0,
        }
    }

    /// The one that is connected or tried.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// A server has welcomed us.
    pub(crate) fn handle_connected(&mut self, now: Instant) {
        self.connected = Some(now);
        self.told = None;
        self.lost = None;
        self.attempts = 0;
    }

    /// The server asks to go.
    pub(crate) fn handle_goaway(&mut self, now: Instant, goaway: &Goaway) {
        let wait = Duration::from_millis(goaway.retry_after_ms).min(self.settings.obeyed);
        self.told = Some(now + wait);
        self.endpoints.learn(&self.endpoint, &goaway.endpoints);
    }

    /// The connection has ended.
    pub(crate) fn handle_closed(&mut self, now: Instant, closed: &Closed) -> Decision {
        if let Some(since) = self.connected.take()
            && now.saturating_duration_since(since) >= self.settings.lasting
        {
            self.backoff.reset();
        }
        self.decide(now, advice::after_close(closed))
    }

    /// An attempt has failed.
    pub(crate) fn handle_refused(&mut self, now: Instant, error: &ConnectError) -> Decision {
        self.decide(now, advice::after_refusal(error))
    }

    fn decide(&mut self, now: Instant, advice: Advice) -> Decision {
        self.endpoints.handle_failure(now, &self.endpoint);
        let told = self.told.take();
        let wait = match advice {
            Advice::Never => return Decision::GiveUp,
            Advice::Elsewhere => {
                self.endpoints.bar(&self.endpoint);
                self.backoff.next_wait()
            }
            Advice::Again => match told {
                // Spread by the server already.
                Some(at) => at.saturating_duration_since(now),
                None => self.backoff.next_wait(),
            },
            Advice::After(wait) => wait.min(self.settings.obeyed) + self.backoff.next_wait(),
            Advice::Later => self.backoff.long_wait(),
        };
        let lost = *self.lost.get_or_insert(now);
        let Some(endpoint) = self.endpoints.first() else {
            return Decision::GiveUp;
        };
        let spent = self
            .settings
            .attempts
            .is_some_and(|most| self.attempts >= most);
        let late = |limit| (now + wait).saturating_duration_since(lost) > limit;
        if spent || self.settings.give_up_after.is_some_and(late) {
            return Decision::GiveUp;
        }
        self.attempts = self.attempts.saturating_add(1);
        self.endpoint = endpoint.clone();
        Decision::Retry {
            endpoint: endpoint.clone(),
            attempt: self.attempts,
            wait,
        }
    }
}
