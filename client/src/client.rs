//! The handle of one connection.
use crate::connect::Builder;
use crate::error::{Refusal, RequestError};
use crate::event::{Closed, Goaway};
use crate::link::{Link, Signal, task_stopped};
use crate::publish::PublishRequest;
use crate::session::{Answer, Ask};
use crate::subscribe::SubscribeRequest;
use pubsub_wire::command::Subscribe;
use pubsub_wire::value::Welcome;
use serde::Serialize;
use std::time::{Duration, Instant};

/// A connection to a server. Clones are handles of the same connection; it ends when the last of them and of its
/// subscriptions is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Begins to connect to `ws://HOST[:PORT][/PATH]`; without a path it is `/ws`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(crate) fn new(link: Link) -> Self {
        Self { link }
    }

    /// What the server said first: names, heartbeat, limits.
    pub fn welcome(&self) -> &Welcome {
        &self.link.shared.welcome
    }

    /// Subscribes to a topic or pattern; awaiting the request sends it.
    pub fn subscribe(&self, topic: impl Into<String>) -> SubscribeRequest {
        self.subscribe_with(Subscribe {
            topic: topic.into(),
            ..Subscribe::default()
        })
    }

    /// Subscribes with settings from elsewhere.
    pub fn subscribe_with(&self, subscribe: Subscribe) -> SubscribeRequest {
        SubscribeRequest::new(self.link.clone(), subscribe)
    }

    /// Publishes `data` as JSON; awaiting the request sends it and waits until it is in the server's log. JSON text that
    /// is there already goes out byte for byte as a `&serde_json::value::RawValue`.
    pub fn publish<T: Serialize + ?Sized>(
        &self,
        topic: impl Into<String>,
        data: &T,
    ) -> PublishRequest {
        PublishRequest::new(self.link.clone(), topic.into(), serde_json::to_string(data))
    }

    /// Asks for a sign of life and tells how long it took.
    pub async fn ping(&self) -> Result<Duration, RequestError> {
        let begun = Instant::now();
        match self.link.request(Ask::Ping).await? {
            Answer::Pong => Ok(begun.elapsed()),
            _ => Err(Link::unexpected()),
        }
    }

    /// Says goodbye once everything asked before is sent, and waits for the end. Streams end with [`Event::Closed`](crate::Event::Closed).
    pub async fn close(&self) -> Closed {
        // An error says that it has ended already.
        let _ = self.link.shared.signals.send(Signal::Close);
        self.closed().await
    }

    /// Waits until the connection has ended, and tells how.
    pub async fn closed(&self) -> Closed {
        let mut closed = self.link.shared.closed.clone();
        let ended = closed.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|how| how.clone())
            .unwrap_or_else(task_stopped)
    }

    /// How the connection ended; `None` while it lives.
    pub fn close_reason(&self) -> Option<Closed> {
        self.link.shared.closed.borrow().clone()
    }

    /// Waits until the server asks to go, with the time to return after; delivery goes on until it closes. `None` when
    /// the connection ended without it.
    pub async fn goaway(&self) -> Option<Goaway> {
        let mut goaway = self.link.shared.goaway.clone();
        goaway.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// How many errors answered no request, and the last of them: refused publications that nobody waited for, or
    /// wrong credit.
    pub fn stray_errors(&self) -> (u64, Option<Refusal>) {
        self.link.shared.strays.borrow().clone()
    }
}
