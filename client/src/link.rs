//! What a handle of the program and the connection's task share: commands one way, answers and states the other.
use crate::breaker::{Circuit, Outcome, Pass};
use crate::call::CallError;
use crate::error::{Refusal, RequestError};
use crate::event::{Closed, Goaway};
use crate::session::{Answer, Ask, Call, SubscriptionId, Wanted};
use crate::state::State;
use crate::subscription::Subscription;
use pubsub_wire::ErrorCode;
use pubsub_wire::value::Welcome;
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

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
    ticket: Arc<Ticket>,
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
    /// Whether it is still wanted; from then on whoever asked can't say that it was never sent.
    pub(crate) fn take(&self) -> bool {
        let listening = match &self.to {
            To::Subscriber(waiting, _) => !waiting.is_closed(),
            To::Asker(waiting) => !waiting.is_closed(),
            To::Nobody => true,
        };
        listening && self.ticket.settle(TAKEN)
    }

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

/// Who was first: the connection that takes a command, or whoever gives it up.
#[derive(Debug, Default)]
struct Ticket(AtomicU8);

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Ticket {
    fn settle(&self, as_what: u8) -> bool {
        let order = Ordering::AcqRel;
        self.0
            .compare_exchange(OPEN, as_what, order, Ordering::Acquire)
            .is_ok()
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
    pub(crate) welcome: watch::Receiver<Welcome>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) times: Times,
    pub(crate) in_flight: Arc<Semaphore>,
    pub(crate) calls_in_flight: Arc<Semaphore>,
    pub(crate) circuit: Mutex<Circuit>,
    pub(crate) signals: mpsc::UnboundedSender<Signal>,
    pub(crate) closed: watch::Receiver<Option<Closed>>,
    pub(crate) goaway: watch::Receiver<Option<Goaway>>,
    pub(crate) strays: watch::Receiver<(u64, Option<Refusal>)>,
}

/// A longer time limit is none, and what comes after it can't be told by a clock.
const FOREVER: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long requests may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) request: Duration,
    pub(crate) call: Duration,
    /// How much longer a call's answer is awaited, so that a server's `deadline` arrives.
    pub(crate) call_grace: Duration,
}

/// When a request is given up: before it was sent, and after.
#[derive(Debug, Clone, Copy)]
struct Limits {
    sent: Duration,
    answered: Duration,
}

impl Link {
    /// Asks, and waits for the answer.
    pub(crate) async fn request(&self, ask: Ask) -> Result<Answer, RequestError> {
        let (waiting, answer) = oneshot::channel();
        self.exchange(ask, To::Asker(waiting), answer).await
    }

    /// Subscribes, and waits for the answer.
    pub(crate) async fn subscribe(&self, wanted: Wanted) -> Result<Subscription, RequestError> {
        let (waiting, answer) = oneshot::channel();
        let to = To::Subscriber(waiting, self.clone());
        let ask = Ask::Subscribe(Box::new(wanted));
        self.exchange(ask, to, answer).await
    }

    async fn exchange<T>(
        &self,
        ask: Ask,
        to: To,
        answer: oneshot::Receiver<Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let limits = Limits {
            sent: self.shared.times.request.min(FOREVER),
            answered: self.shared.times.request.min(FOREVER),
        };
        let room = self.shared.in_flight.clone();
        self.answered(ask, to, room, answer, limits).await
    }

    /// Calls, if the breaker lets it, and waits for the result.
    pub(crate) async fn call(
        &self,
        call: Call,
        deadline: Option<Duration>,
    ) -> Result<Box<RawValue>, CallError> {
        let trial = self.pass()?;
        let times = self.shared.times;
        let sent = deadline.unwrap_or(times.call).min(FOREVER);
        let limits = Limits {
            sent,
            answered: sent + times.call_grace.min(FOREVER),
        };
        let deadline = Instant::now() + sent;
        let (waiting, answer) = oneshot::channel();
        let ask = Ask::Call(Box::new(call), deadline.into_std());
        let room = self.shared.calls_in_flight.clone();
        let answer = self
            .answered(ask, To::Asker(waiting), room, answer, limits)
            .await;
        let result = match answer {
            Ok(Answer::Reply(result)) => Ok(result),
            Ok(_) => Err(Self::unexpected().into()),
            Err(error) => Err(CallError::from(error)),
        };
        trial.end(&result);
        result
    }

    fn pass(&self) -> Result<Trial<'_>, CallError> {
        let now = Instant::now().into_std();
        let pass = lock(&self.shared.circuit).try_pass(now);
        let pass = pass.map_err(|retry_after| CallError::Open { retry_after })?;
        Ok(Trial {
            circuit: &self.shared.circuit,
            pass: Some(pass),
        })
    }

    async fn answered<T>(
        &self,
        ask: Ask,
        to: To,
        room: Arc<Semaphore>,
        mut answer: oneshot::Receiver<Result<T, RequestError>>,
        limits: Limits,
    ) -> Result<T, RequestError> {
        let begun = Instant::now();
        let ticket = Arc::new(Ticket::default());
        let asked = self.ask(ask, to, room, ticket.clone());
        let not_sent = RequestError::NotSent(limits.sent);
        match timeout_at(begun + limits.sent, asked).await {
            Err(_) => return Err(not_sent),
            Ok(asked) => asked?,
        }
        let mut answered = async |until: Duration| {
            let answer = timeout_at(begun + until, &mut answer).await;
            answer.map(|answer| answer.unwrap_or_else(|_| Err(self.closed_error())))
        };
        if let Ok(answer) = answered(limits.sent).await {
            return answer;
        }
        if ticket.settle(GIVEN_UP) {
            return Err(not_sent);
        }
        let answer = answered(limits.answered).await;
        answer.unwrap_or(Err(RequestError::Timeout(limits.answered)))
    }

    /// Asks what is answered in a stream; waits until the connection has taken it.
    pub(crate) async fn request_in_stream(&self, ask: Ask) -> Result<(), RequestError> {
        let room = self.shared.in_flight.clone();
        self.in_time(self.ask(ask, To::Nobody, room, Arc::default()))
            .await
    }

    /// Asks what gets no answer; waits until the connection has taken it.
    pub(crate) async fn tell(&self, ask: Ask) -> Result<(), RequestError> {
        self.in_time(self.send(Command { ask, waiter: None })).await
    }

    async fn ask(
        &self,
        ask: Ask,
        to: To,
        room: Arc<Semaphore>,
        ticket: Arc<Ticket>,
    ) -> Result<(), RequestError> {
        let permit = room.acquire_owned().await;
        let waiter = permit.map(|permit| Waiter {
            to,
            ticket,
            _in_flight: permit,
        });
        // The semaphore is never closed.
        let waiter = waiter.ok();
        self.send(Command { ask, waiter }).await
    }

    async fn in_time(
        &self,
        future: impl Future<Output = Result<(), RequestError>>,
    ) -> Result<(), RequestError> {
        let limit = self.shared.times.request.min(FOREVER);
        let in_time = tokio::time::timeout(limit, future).await;
        in_time.unwrap_or(Err(RequestError::NotSent(limit)))
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

/// A call that the breaker let through; it learns what became of it, also when the program gives it up.
struct Trial<'a> {
    circuit: &'a Mutex<Circuit>,
    pass: Option<Pass>,
}

impl Trial<'_> {
    fn end<T>(mut self, result: &Result<T, CallError>) {
        let unanswered = result.as_ref().is_err_and(CallError::is_unanswered);
        self.learn(if unanswered {
            Outcome::Unanswered
        } else {
            Outcome::Answered
        });
    }

    fn learn(&mut self, outcome: Outcome) {
        if let Some(pass) = self.pass.take() {
            let now = Instant::now().into_std();
            lock(self.circuit).handle_outcome(now, pass, outcome);
        }
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.learn(Outcome::Abandoned);
    }
}

/// Nothing that is done under it can panic half-way.
fn lock(circuit: &Mutex<Circuit>) -> std::sync::MutexGuard<'_, Circuit> {
    circuit.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The connection's task is gone without a word: its runtime has stopped.
pub(crate) fn task_stopped() -> Closed {
    Closed::lost("the runtime of the connection has stopped")
}
