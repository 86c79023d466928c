//! What a handle of the program and the connection's task share: commands one way, answers and states the other.
use crate::error::{Refusal, RequestError};
use crate::event::{Closed, Goaway};
use crate::session::{Answer, Ask, SubscriptionId};
use crate::subscription::Subscription;
use pubsub_wire::ErrorCode;
use pubsub_wire::command::Subscribe;
use pubsub_wire::value::Welcome;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

/// What a handle asks of the connection.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) ask: Ask,
    /// `None` where no answer comes.
    pub(crate) waiter: Option<Waiter>,
}

/// What must not wait behind commands. Without a bound of its own: each subscription is let go once, and those are
/// bounded; goodbye is said by whoever waits for it.
#[derive(Debug)]
pub(crate) enum Signal {
    /// Nobody reads this subscription any more.
    Release(SubscriptionId),
    Close,
}

/// An answer is awaited; while it is, it takes up one of the requests in flight.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) to: To,
    _in_flight: OwnedSemaphorePermit,
}

/// Who is answered.
#[derive(Debug)]
pub(crate) enum To {
    /// The link goes into the subscription that is answered with.
    Subscriber(oneshot::Sender<Result<Subscription, RequestError>>, Link),
    Asker(oneshot::Sender<Result<Answer, RequestError>>),
    /// The answer goes into a stream.
    Nobody,
}

impl Waiter {
    /// Whoever gave up waiting doesn't mind.
    pub(crate) fn refuse(self, refusal: Refusal) {
        let refusal = RequestError::Refused(refusal);
        match self.to {
            To::Subscriber(waiting, _) => drop(waiting.send(Err(refusal))),
            To::Asker(waiting) => drop(waiting.send(Err(refusal))),
            To::Nobody => {}
        }
    }
}

/// A handle's way to the connection. The connection ends when the last is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) shared: Arc<Shared>,
}

/// What all handles of a connection see.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) welcome: Welcome,
    pub(crate) request_timeout: Duration,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) signals: mpsc::UnboundedSender<Signal>,
    pub(crate) closed: watch::Receiver<Option<Closed>>,
    pub(crate) goaway: watch::Receiver<Option<Goaway>>,
    pub(crate) strays: watch::Receiver<(u64, Option<Refusal>)>,
}

impl Link {
    /// Asks, and waits for the answer.
    pub(crate) async fn request(&self, ask: Ask) -> Result<Answer, RequestError> {
        let (waiting, answer) = oneshot::channel();
        self.answered(ask, To::Asker(waiting), answer).await
    }

    /// Subscribes, and waits for the answer.
    pub(crate) async fn subscribe(
        &self,
        subscribe: Subscribe,
    ) -> Result<Subscription, RequestError> {
        let (waiting, answer) = oneshot::channel();
        let to = To::Subscriber(waiting, self.clone());
        self.answered(Ask::Subscribe(Box::new(subscribe)), to, answer)
            .await
    }

    async fn answered<T>(
        &self,
        ask: Ask,
        to: To,
        answer: oneshot::Receiver<Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        self.in_time(async {
            self.ask(ask, to).await?;
            answer.await.unwrap_or_else(|_| Err(self.closed_error()))
        })
        .await
    }

    /// Asks what is answered in a stream; waits until the connection has taken it.
    pub(crate) async fn request_in_stream(&self, ask: Ask) -> Result<(), RequestError> {
        self.in_time(self.ask(ask, To::Nobody)).await
    }

    /// Asks what gets no answer; waits until the connection has taken it.
    pub(crate) async fn tell(&self, ask: Ask) -> Result<(), RequestError> {
        self.in_time(self.send(Command { ask, waiter: None })).await
    }

    async fn ask(&self, ask: Ask, to: To) -> Result<(), RequestError> {
        let permit = self.shared.in_flight.clone().acquire_owned().await;
        let waiter = permit.map(|permit| Waiter {
            to,
            _in_flight: permit,
        });
        // The semaphore is never closed.
        let waiter = waiter.ok();
        self.send(Command { ask, waiter }).await
    }

    async fn in_time<T>(
        &self,
        future: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let limit = self.shared.request_timeout;
        let in_time = tokio::time::timeout(limit, future).await;
        in_time.unwrap_or(Err(RequestError::Timeout(limit)))
    }

    async fn send(&self, command: Command) -> Result<(), RequestError> {
        let sent = self.commands.send(command).await;
        sent.map_err(|_| self.closed_error())
    }

    fn closed_error(&self) -> RequestError {
        let closed = self.shared.closed.borrow().clone();
        RequestError::Closed(closed.unwrap_or_else(task_stopped))
    }

    /// An answer that doesn't fit its question; the session lets none through.
    pub(crate) fn unexpected() -> RequestError {
        RequestError::Refused(Refusal::local(
            ErrorCode::UnknownOutcome,
            "an answer to another question",
        ))
    }
}

/// The connection's task is gone without a word: its runtime has stopped.
pub(crate) fn task_stopped() -> Closed {
    Closed::lost("the runtime of the connection has stopped")
}
