//! The task of one connection: the only place where the socket, the session and the program's channels meet.
//!
//! One turn: hand on what the session put out, take what the program wants, write, read; again while there is progress.
//! Bounded by construction: an event whose stream is full is held, and while one is held nothing is read, so that the
//! server meets its own backpressure; nothing is taken from the program while frames wait to be written.
mod alarm;
mod hand_on;

use crate::error::Refusal;
use crate::event::{Closed, Event, Goaway};
use crate::link::{Command, Signal, Waiter};
use crate::session::{RequestId, Session, SubscriptionId};
use alarm::Alarm;
use futures::channel::mpsc as stream;
use futures::{Sink, Stream};
use hashbrown::HashMap;
use pubsub_wire::value::Welcome;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Turns before other tasks get theirs; one turn reads one frame.
const TURNS: usize = 64;

/// How a connection behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Events a stream holds for a program that doesn't read.
    pub(crate) stream_events: NonZeroUsize,
    /// How long the peer may take to answer a close frame.
    pub(crate) close_timeout: Duration,
}

/// The ends of the program's channels.
pub(crate) struct Channels {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) signals: mpsc::UnboundedReceiver<Signal>,
    pub(crate) welcome: oneshot::Sender<Welcome>,
    pub(crate) closed: watch::Sender<Option<Closed>>,
    pub(crate) goaway: watch::Sender<Option<Goaway>>,
    pub(crate) strays: watch::Sender<(u64, Option<Refusal>)>,
}

/// One connection, from the finished handshake on. It ends when the socket does.
pub(crate) struct Connection<S> {
    socket: WebSocketStream<S>,
    session: Session,
    settings: Settings,
    commands: mpsc::Receiver<Command>,
    /// No more commands come.
    drained: bool,
    signals: mpsc::UnboundedReceiver<Signal>,
    welcome: Option<oneshot::Sender<Welcome>>,
    closed: watch::Sender<Option<Closed>>,
    goaway: watch::Sender<Option<Goaway>>,
    strays: watch::Sender<(u64, Option<Refusal>)>,
    waiters: HashMap<RequestId, Waiter>,
    streams: HashMap<SubscriptionId, stream::Sender<Event>>,
    /// An event whose stream is full.
    held: Option<(SubscriptionId, Event)>,
    /// Something was given to the socket and may not have left it.
    unflushed: bool,
    phase: Phase,
    /// Writing failed. The peer may have said why before, so reading goes on.
    broken: Option<Closed>,
    close_alarm: Alarm,
    /// While nothing is read the server's pings go unanswered; a pong of our own tells it that we live.
    alive_alarm: Alarm,
    alive_interval: Duration,
    retries: Vec<SubscriptionId>,
    retry_alarm: Alarm,
}

/// How far the connection has come.
enum Phase {
    Open,
    /// A close frame is to be sent once what is before it is written.
    Closing(Closed),
    /// Ours is sent, or the peer's has come: reading on until the socket ends.
    Closed(Closed),
}

/// What a turn found.
type Progress = Result<bool, Closed>;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(socket: WebSocketStream<S>, settings: Settings, channels: Channels) -> Self {
        Self {
            socket,
            session: Session::default(),
            settings,
            commands: channels.commands,
            drained: false,
            signals: channels.signals,
            welcome: Some(channels.welcome),
            closed: channels.closed,
            goaway: channels.goaway,
            strays: channels.strays,
            waiters: HashMap::new(),
            streams: HashMap::new(),
            held: None,
            unflushed: false,
            phase: Phase::Open,
            broken: None,
            close_alarm: Alarm::default(),
            alive_alarm: Alarm::default(),
            alive_interval: Duration::MAX,
            retries: Vec::new(),
            retry_alarm: Alarm::default(),
        }
    }

    fn turn(&mut self, cx: &mut Context<'_>) -> Progress {
        let mut progress = self.hand_on(cx);
        progress |= self.take_signal(cx);
        progress |= self.take_command(cx);
        progress |= self.write(cx);
        progress |= self.read(cx)?;
        progress |= self.check_alarms(cx)?;
        Ok(progress)
    }

    fn take_signal(&mut self, cx: &mut Context<'_>) -> bool {
        match self.signals.poll_recv(cx) {
            Poll::Ready(Some(Signal::Release(id))) => {
                self.streams.remove(&id);
                self.session.handle_release(id);
                true
            }
            // No handle is left, or one asked for it.
            Poll::Ready(None | Some(Signal::Close)) if matches!(self.phase, Phase::Open) => {
                self.begin_close(Closed::Local);
                true
            }
            _ => false,
        }
    }

    /// Takes one command, when the one before is written; when this side says goodbye, those that are there already.
    fn take_command(&mut self, cx: &mut Context<'_>) -> bool {
        let may = !self.drained && self.broken.is_none() && self.session.is_transmitted();
        if !may {
            return false;
        }
        match self.commands.poll_recv(cx) {
            Poll::Pending => return false,
            Poll::Ready(None) => self.drained = true,
            Poll::Ready(Some(command)) => self.on_command(command),
        }
        true
    }

    fn on_command(&mut self, command: Command) {
        let Command { ask, waiter } = command;
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

    fn begin_close(&mut self, why: Closed) {
        self.commands.close();
        self.drained |= matches!(why, Closed::Violation { .. });
        self.phase = Phase::Closing(why);
        self.close_alarm.set_if_unset(self.settings.close_timeout);
    }

    /// Writing that fails is remembered, not the end: what the peer said last is still to be read.
    fn write(&mut self, cx: &mut Context<'_>) -> bool {
        if self.broken.is_some() {
            return false;
        }
        self.try_write(cx).unwrap_or_else(|error| {
            self.broken = Some(lost(error));
            self.close_alarm.set_if_unset(self.settings.close_timeout);
            true
        })
    }

    fn try_write(&mut self, cx: &mut Context<'_>) -> Result<bool, Error> {
        let mut progress = false;
        while !matches!(self.phase, Phase::Closed(_)) {
            if Pin::new(&mut self.socket).poll_ready(cx)?.is_pending() {
                return Ok(progress);
            }
            let Some(message) = self.next_message() else {
                break;
            };
            Pin::new(&mut self.socket).start_send(message)?;
            self.unflushed = true;
            progress = true;
        }
        if self.unflushed {
            self.unflushed = Pin::new(&mut self.socket).poll_flush(cx)?.is_pending();
        }
        Ok(progress)
    }

    fn next_message(&mut self) -> Option<Message> {
        if let Some(text) = self.session.poll_transmit() {
            return Some(Message::text(text));
        }
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Closing(why) if self.drained => {
                let frame = CloseFrame {
                    code: why.code().into(),
                    reason: close_reason(&why).into(),
                };
                self.phase = Phase::Closed(why);
                Some(Message::Close(Some(frame)))
            }
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    fn read(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.held.is_some() {
            return Ok(false);
        }
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(None) => Err(Closed::lost("the socket ended")),
            Poll::Ready(Some(Err(error))) => Err(lost(error)),
            Poll::Ready(Some(Ok(message))) => {
                self.on_message(message);
                Ok(true)
            }
        }
    }

    fn on_message(&mut self, message: Message) {
        match message {
            Message::Close(frame) => self.on_peer_close(frame),
            // The socket has queued the answer.
            Message::Ping(_) => self.unflushed = true,
            // Answers count until the end; after a violation nothing does.
            _ if self.is_violated() => {}
            Message::Text(text) => {
                if let Err(violation) = self.session.handle_text(&text) {
                    self.begin_close(Closed::Violation {
                        why: violation.to_string(),
                    });
                }
            }
            Message::Binary(_) => self.begin_close(Closed::Violation {
                why: "it sent a binary frame".into(),
            }),
            Message::Pong(_) | Message::Frame(_) => {}
        }
    }

    fn is_violated(&self) -> bool {
        let (Phase::Closing(why) | Phase::Closed(why)) = &self.phase else {
            return false;
        };
        matches!(why, Closed::Violation { .. })
    }

    /// The answer to it has been queued by the socket. Who closed first is remembered.
    fn on_peer_close(&mut self, frame: Option<CloseFrame>) {
        self.unflushed = true;
        self.close_alarm.set_if_unset(self.settings.close_timeout);
        let remote = frame.map_or_else(Closed::without_code, |frame| Closed::Remote {
            code: frame.code.into(),
            reason: frame.reason.to_string(),
        });
        self.phase = match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Closed(why) => Phase::Closed(why),
            Phase::Open | Phase::Closing(_) => Phase::Closed(remote),
        };
    }

    fn check_alarms(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.close_alarm.poll(cx) {
            return Err(Closed::lost("the server did not answer the close frame"));
        }
        let mut progress = false;
        if self.retry_alarm.poll(cx) {
            let retries = std::mem::take(&mut self.retries);
            for id in retries {
                self.session.handle_release(id);
            }
            progress = true;
        }
        if self.alive_alarm.poll(cx) {
            self.say_alive();
            progress = true;
        }
        Ok(progress)
    }

    /// Where something waits to be written already, nothing needs to be added to it.
    fn say_alive(&mut self) {
        let may = matches!(self.phase, Phase::Open) && self.broken.is_none() && !self.unflushed;
        if may {
            let pong = Message::Pong(Vec::new().into());
            self.broken = Pin::new(&mut self.socket).start_send(pong).err().map(lost);
            self.unflushed = true;
        }
    }

    /// The socket has ended. How is told before anything that waits is let go.
    fn finish(&mut self, noticed: Closed) {
        let closed = match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Closed(why) | Phase::Closing(why) => why,
            Phase::Open => self.broken.take().unwrap_or(noticed),
        };
        self.closed.send_replace(Some(closed));
        self.commands.close();
        self.waiters.clear();
        self.streams.clear();
        self.held = None;
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Future for Connection<S> {
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

/// Short and ours: a reason has at most 123 bytes, and what the server sent may hold anything.
fn close_reason(why: &Closed) -> &'static str {
    match why {
        Closed::Violation { .. } => "no message of pubsub.v1",
        _ => "",
    }
}

fn lost(error: Error) -> Closed {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Closed::lost("the socket ended without a close frame")
        }
        Error::Protocol(_) | Error::Capacity(_) | Error::Utf8(_) => Closed::Violation {
            why: error.to_string(),
        },
        error => Closed::lost(error),
    }
}
