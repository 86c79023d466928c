//! A subscription as a stream of events.
use crate::error::RequestError;
use crate::event::{Event, Position};
use crate::link::{Link, Signal};
use crate::position;
use crate::session::{Answer, AnswerTo, Ask, SubscriptionId, Unsent};
use futures::channel::mpsc;
use futures::{Stream, StreamExt};
use pubsub_wire::command::Reconfigure;
use pubsub_wire::server;
use pubsub_wire::value::{Ledger, Settings};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A subscription: a [`Stream`] of [`Event`]s, and questions about it.
///
/// It holds a bounded number of events; while it is full, nothing of the connection is read, so that a program that is
/// too slow meets the server's overflow policy instead of filling its own memory. Dropping it unsubscribes.
#[derive(Debug)]
#[must_use = "dropping a subscription unsubscribes"]
pub struct Subscription {
    id: SubscriptionId,
    topic: String,
    start: Position,
    position: Position,
    settings: Settings,
    events: mpsc::Receiver<Event>,
    ended: bool,
    link: Link,
}

impl Subscription {
    pub(crate) fn new(
        id: SubscriptionId,
        subscribed: server::Subscribed,
        events: mpsc::Receiver<Event>,
        link: Link,
    ) -> Self {
        let server::Subscribed {
            topic,
            at,
            settings,
            ..
        } = subscribed;
        Self {
            id,
            topic,
            position: at.clone(),
            start: at,
            settings,
            events,
            ended: false,
            link,
        }
    }

    /// Its topic or pattern.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The position after which its messages follow.
    pub fn start(&self) -> &Position {
        &self.start
    }

    /// The position after all that this stream has yielded: where to begin [`after`](crate::SubscribeRequest::after) in another
    /// process. After a lost connection the client itself goes on there. With a rate newest values may then come again, and nothing is missed.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// Its settings as the server applies them.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        StreamExt::next(self).await
    }

    /// Asks for `messages` more, on top of what was asked for before; needs [`SubscribeRequest::credit`](crate::SubscribeRequest::credit).
    pub async fn credit(&self, messages: u64) -> Result<(), RequestError> {
        self.link.tell(Ask::Credit(self.id, messages)).await
    }

    /// Changes its settings while messages flow: only what `change` names, whose topic is filled in. Where it is refused, the
    /// settings stay as they were.
    pub async fn reconfigure(&mut self, change: Reconfigure) -> Result<&Settings, RequestError> {
        match self
            .link
            .request(Ask::Reconfigure(self.id, Box::new(change)))
            .await?
        {
            Answer::Reconfigured(settings) => {
                self.settings = settings;
                Ok(&self.settings)
            }
            _ => Err(Link::unexpected()),
        }
    }

    /// The server's counts. They are of the moment the server answered, when events before it may still wait in this
    /// stream; where the two are to be compared, [`request_ledger`](Self::request_ledger) puts the counts in their place.
    pub async fn ledger(&self) -> Result<Ledger, RequestError> {
        match self
            .link
            .request(Ask::Ledger(self.id, AnswerTo::Caller))
            .await?
        {
            Answer::Ledger(ledger) => Ok(ledger),
            _ => Err(Link::unexpected()),
        }
    }

    /// Asks for the server's counts, which come as [`Event::Ledger`].
    pub async fn request_ledger(&self) -> Result<(), RequestError> {
        self.link.tell(Ask::Ledger(self.id, AnswerTo::Stream)).await
    }

    /// Ends it and tells its final counts. What this stream still holds, and what comes until then, is thrown away.
    pub async fn unsubscribe(mut self) -> Result<Ledger, RequestError> {
        self.events.close();
        let ask = Ask::Unsubscribe(self.id, Unsent::Discard, AnswerTo::Caller);
        match self.link.request(ask).await? {
            Answer::Unsubscribed(ledger) => Ok(ledger),
            _ => Err(Link::unexpected()),
        }
    }

    /// Asks the server to end it. The stream goes on with what was sent before, up to [`Event::Unsubscribed`].
    pub async fn finish(&self) -> Result<(), RequestError> {
        self.end(Unsent::Discard).await
    }

    /// As [`finish`](Self::finish), but the server first delivers what is pending, for a limited time.
    pub async fn drain(&self) -> Result<(), RequestError> {
        self.end(Unsent::Deliver).await
    }

    async fn end(&self, unsent: Unsent) -> Result<(), RequestError> {
        self.link
            .request_in_stream(Ask::Unsubscribe(self.id, unsent, AnswerTo::Stream))
            .await
    }
}

impl Stream for Subscription {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let event = ready!(self.events.poll_next_unpin(cx));
        self.ended = matches!(
            event,
            None | Some(Event::Unsubscribed(_) | Event::Closed(_) | Event::NotResumed(_))
        );
        if let Some(event) = &event {
            position::advance(&mut self.position, event);
        }
        let closed = || self.link.shared.closed.borrow().clone().map(Event::Closed);
        Poll::Ready(event.or_else(closed))
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // The connection's task may be gone, and the subscription with it.
        let _ = self.link.shared.signals.send(Signal::Release(self.id));
    }
}
