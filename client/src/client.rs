//! The handle of a client.
use crate::call::CallRequest;
use crate::connect::Builder;
use crate::error::{Refusal, RequestError};
use crate::event::{Closed, Goaway};
use crate::link::{Link, Signal, task_stopped};
use crate::publish::PublishRequest;
use crate::session::{Answer, Ask};
use crate::state::{State, States};
use crate::subscribe::SubscribeRequest;
use pubsub_wire::command::Subscribe;
use pubsub_wire::value::Welcome;
use serde::Serialize;
use std::time::{Duration, Instant};

/// A client, connected to one server at a time; it connects again by itself ([`Reconnect`](crate::Reconnect)). Clones are handles of the
/// same; it ends when the last of them and of its subscriptions is dropped.
#[derive(Debug, Clone)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Begins to connect to `ws://HOST[:PORT][/PATH]`, or `wss://` for TLS; without a path it is `/ws`.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }

    pub(crate) fn new(link: Link) -> Self {
        Self { link }
    }

    /// What the server said first, on the newest connection: names, heartbeat, limits.
    #[must_use]
    pub fn welcome(&self) -> Welcome {
        self.link.shared.welcome.borrow().clone()
    }

    /// How it stands with its servers.
    #[must_use]
    pub fn state(&self) -> State {
        self.link.shared.state.borrow().clone()
    }

    /// How it stands with its servers, now and whenever that changes.
    pub fn states(&self) -> States {
        States::new(self.link.shared.state.clone())
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

    /// Calls `method` with `params` as JSON; awaiting the request sends it and waits for the reply.
    pub fn call<T: Serialize + ?Sized>(
        &self,
        method: impl Into<String>,
        params: &T,
    ) -> CallRequest {
        let params = serde_json::to_string(params);
        CallRequest::new(self.link.clone(), method.into(), params)
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

    /// Waits until the client has ended for good, and tells how; a connection that is lost and made again is no end.
    pub async fn closed(&self) -> Closed {
        let mut closed = self.link.shared.closed.clone();
        let ended = closed.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|how| how.clone())
            .unwrap_or_else(task_stopped)
    }

    /// How the client ended; `None` while it lives.
    #[must_use]
    pub fn close_reason(&self) -> Option<Closed> {
        self.link.shared.closed.borrow().clone()
    }

    /// Waits until the present server asks to go; delivery goes on until it closes, and the client returns by itself when it
    /// said. `None` when the client ended without it.
    pub async fn goaway(&self) -> Option<Goaway> {
        let mut goaway = self.link.shared.goaway.clone();
        goaway.wait_for(Option::is_some).await.ok()?.clone()
    }

    /// How many errors answered no request, and the last of them: refused publications that nobody waited for, or
    /// wrong credit.
    #[must_use]
    pub fn stray_errors(&self) -> (u64, Option<Refusal>) {
        self.link.shared.strays.borrow().clone()
    }
}
