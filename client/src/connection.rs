//! The task of one client: the only place where sockets, the session, the policy and the program's channels meet.
//!
//! One turn: hand on what the session put out, take what the program wants, write, read; again while there is progress. When
//! the socket ends, the session is told and the policy says what next: wait, dial, go on; or it is the end.
//!
//! Bounded by construction: an event whose stream is full is held, and while one is held nothing is read, so that the
//! server meets its own backpressure; nothing is taken from the program while frames wait to be written or there is no
//! connection.
mod alarm;
mod hand_on;
mod line;

use crate::dial::{Dialer, Welcomed};
use crate::error::{ConnectError, Refusal};
use crate::event::{Closed, Event, Goaway};
use crate::link::{Command, Signal, Waiter};
use crate::reconnect::{Decision, Policy};
use crate::session::{RequestId, Session, SubscriptionId};
use crate::state::State;
use alarm::Alarm;
use futures::channel::mpsc as stream;
use hashbrown::HashMap;
use line::{Line, Next};
use pubsub_wire::value::Welcome;
use std::num::{NonZeroU32, NonZeroUsize};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Turns before other tasks get theirs; one turn reads one frame.
const TURNS: usize = 64;

/// How a connection behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Events a stream holds for a program that doesn't read.
    pub(crate) stream_events: NonZeroUsize,
    /// How long the peer may take to answer a close frame.
    pub(crate) close_timeout: Duration,
    /// How often in a row a subscription is asked for again after "later".
    pub(crate) resubscribes: NonZeroU32,
}

/// The ends of the program's channels.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) signals: mpsc::UnboundedReceiver<Signal>,
    pub(crate) welcome: watch::Sender<Welcome>,
    pub(crate) state: watch::Sender<State>,
    pub(crate) closed: watch::Sender<Option<Closed>>,
    pub(crate) goaway: watch::Sender<Option<Goaway>>,
    pub(crate) strays: watch::Sender<(u64, Option<Refusal>)>,
}

/// One client's connections, from the first welcome on. It ends when the policy gives up or this side says goodbye.
pub(crate) struct Connection {
    way: Way,
    dialer: Dialer,
    policy: Policy,
    session: Session,
    settings: Settings,
    channels: Channels,
    /// No more commands come.
    drained: bool,
    /// This side wants no other connection.
    leaving: bool,
    waiters: HashMap<RequestId, Waiter>,
    streams: HashMap<SubscriptionId, stream::Sender<Event>>,
    /// An event whose stream is full.
    held: Option<(SubscriptionId, Event)>,
    retry_alarm: Alarm,
}

/// The way to a server.
enum Way {
    Open(Box<Line>),
    Waiting(Alarm),
    Dialing(Pin<Box<dyn Future<Output = Result<Welcomed, ConnectError>> + Send>>),
}

/// What a turn found; how the socket, or all, ended.
type Progress = Result<bool, Closed>;

/// The one reader of the clock here; tests move it.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Connection {
    pub(crate) fn new(
        welcomed: Welcomed,
        dialer: Dialer,
        policy: Policy,
        settings: Settings,
        channels: Channels,
    ) -> Self {
        let mut connection = Self {
            way: Way::Waiting(Alarm::default()),
            dialer,
            policy,
            session: Session::new(settings.resubscribes),
            settings,
            channels,
            drained: false,
            leaving: false,
            waiters: HashMap::new(),
            streams: HashMap::new(),
            held: None,
            retry_alarm: Alarm::default(),
        };
        connection.on_welcomed(welcomed);
        connection
    }

    /// An error is the end of all.
    fn turn(&mut self, cx: &mut Context<'_>) -> Progress {
        let mut progress = self.hand_on(cx);
        progress |= self.take_signal(cx)?;
        progress |= match &mut self.way {
            Way::Open(_) => match self.turn_line(cx) {
                Ok(progress) => progress,
                Err(noticed) => self.on_line_end(noticed)?,
            },
            Way::Waiting(alarm) => alarm.poll(cx) && self.begin_dial(),
            Way::Dialing(dialing) => match dialing.as_mut().poll(cx) {
                Poll::Pending => false,
                Poll::Ready(Ok(welcomed)) => self.on_welcomed(welcomed),
                Poll::Ready(Err(error)) => self.on_refused(&error)?,
            },
        };
        Ok(progress)
    }

    /// An error is the end of the socket.
    fn turn_line(&mut self, cx: &mut Context<'_>) -> Progress {
        let mut progress = self.take_command(cx);
        let Way::Open(line) = &mut self.way else {
            return Ok(progress);
        };
        progress |= line.write(cx, || match self.session.poll_transmit(now()) {
            Some(text) => Next::Text(text),
            None if self.drained => Next::Done,
            None => Next::Nothing,
        });
        progress |= self.read(cx)?;
        progress |= self.retry(cx);
        if let Way::Open(line) = &mut self.way {
            progress |= line.check_alarms(cx)?;
        }
        Ok(progress)
    }

    fn take_signal(&mut self, cx: &mut Context<'_>) -> Progress {
        match self.channels.signals.poll_recv(cx) {
            Poll::Ready(Some(Signal::Release(id))) => {
                self.streams.remove(&id);
                self.session.handle_release(id);
                Ok(true)
            }
            // No handle is left, or one asked for it.
            Poll::Ready(None | Some(Signal::Close)) if !self.leaving => self.leave(),
            Poll::Ready(Some(Signal::Close)) => Ok(true),
            Poll::Ready(None) | Poll::Pending => Ok(false),
        }
    }

    /// Where the server has said goodbye already, its end is awaited and nothing more.
    fn leave(&mut self) -> Progress {
        self.leaving = true;
        self.channels.commands.close();
        match &mut self.way {
            Way::Open(line) => {
                if line.is_open() {
                    line.begin_close(Closed::Local);
                }
                Ok(true)
            }
            Way::Waiting(_) | Way::Dialing(_) => Err(Closed::Local),
        }
    }

    /// Takes one command, when the one before is written; when this side says goodbye, those that are there already.
    fn take_command(&mut self, cx: &mut Context<'_>) -> bool {
        let writable = matches!(&self.way, Way::Open(line) if line.is_writable());
        if self.drained || !writable || !self.session.is_ready() {
            return false;
        }
        match self.channels.commands.poll_recv(cx) {
            Poll::Pending => return false,
            Poll::Ready(None) => self.drained = true,
            Poll::Ready(Some(command)) => self.on_command(command),
        }
        true
    }

    fn on_command(&mut self, command: Command) {
        let Command { ask, waiter } = command;
        if waiter.as_ref().is_some_and(|waiter| !waiter.take()) {
            return;
        }
        match self.session.handle_ask(ask) {
            Ok(Some(request)) => {
                if let Some(waiter) = waiter {
                    self.waiters.insert(request, waiter);
                }
            }
            Ok(None) => {}
            Err(refusal) => {
                if let Some(waiter) = waiter {
                    waiter.refuse(refusal);
                }
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Progress {
        let Way::Open(line) = &mut self.way else {
            return Ok(false);
        };
        if self.held.is_some() {
            line.rest();
            return Ok(false);
        }
        let Poll::Ready(text) = line.read(cx)? else {
            return Ok(false);
        };
        if let Some(text) = text
            && let Err(violation) = self.session.handle_text(now(), &text)
        {
            let why = violation.to_string();
            line.begin_close(Closed::Violation { why });
        }
        if line.is_violated() {
            self.channels.commands.close();
            self.drained = true;
        }
        Ok(true)
    }

    fn retry(&mut self, cx: &mut Context<'_>) -> bool {
        self.retry_alarm.aim(self.session.poll_timeout());
        let due = self.retry_alarm.poll(cx);
        if due {
            self.session.handle_timeout(now());
        }
        due
    }

    fn begin_dial(&mut self) -> bool {
        let dialer = self.dialer.clone();
        let endpoint = self.policy.endpoint().clone();
        self.way = Way::Dialing(Box::pin(async move { dialer.dial(&endpoint).await }));
        true
    }

    fn on_welcomed(&mut self, welcomed: Welcomed) -> bool {
        let Welcomed { socket, welcome } = welcomed;
        let heartbeat = Duration::from_millis(welcome.heartbeat_ms);
        let line = Line::new(socket, heartbeat, self.settings.close_timeout);
        self.way = Way::Open(Box::new(line));
        self.policy.handle_connected(now());
        self.session.handle_connected(&welcome);
        self.channels.goaway.send_replace(None);
        self.channels.welcome.send_replace(welcome);
        let endpoint = self.policy.endpoint().to_string();
        self.channels
            .state
            .send_replace(State::Connected { endpoint });
        true
    }

    /// The socket has ended.
    fn on_line_end(&mut self, noticed: Closed) -> Progress {
        let way = std::mem::replace(&mut self.way, Way::Waiting(Alarm::default()));
        let closed = match way {
            Way::Open(line) => line.end(noticed),
            _ => noticed,
        };
        self.session.handle_lost(&closed);
        if self.leaving {
            return Err(closed);
        }
        match self.policy.handle_closed(now(), &closed) {
            Decision::GiveUp => Err(closed),
            Decision::Retry { attempt, wait, .. } => {
                Ok(self.wait(attempt, wait, closed.to_string()))
            }
        }
    }

    fn on_refused(&mut self, error: &ConnectError) -> Progress {
        let why = error.to_string();
        match self.policy.handle_refused(now(), error) {
            Decision::GiveUp => Err(Closed::GaveUp { why }),
            Decision::Retry { attempt, wait, .. } => Ok(self.wait(attempt, wait, why)),
        }
    }

    fn wait(&mut self, attempt: u32, retry_in: Duration, why: String) -> bool {
        self.way = Way::Waiting(Alarm::after(retry_in));
        self.channels.state.send_replace(State::Reconnecting {
            attempt,
            why,
            retry_in,
        });
        true
    }

    /// It is over. How is told before anything that waits is let go.
    fn finish(&mut self, closed: Closed) {
        self.channels
            .state
            .send_replace(State::Closed(closed.clone()));
        self.channels.closed.send_replace(Some(closed));
        self.channels.commands.close();
        self.hand_on_rest();
        self.waiters.clear();
        self.streams.clear();
        self.held = None;
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..TURNS {
            match self.turn(cx) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(closed) => {
                    self.finish(closed);
                    return Poll::Ready(());
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}
