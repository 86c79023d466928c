//! One socket, from its welcome to its end: frames out and in, the close handshake, the heartbeat.
//!
//! Knows nothing of what the text frames say. The connection drives it and asks how it ended.
use super::alarm::Alarm;
use super::{Progress, now};
use crate::dial::{Stream, lost, remote};
use crate::event::Closed;
use crate::heartbeat::{Beat, Heartbeat};
use futures::{Sink, Stream as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

pub(super) struct Line {
    socket: WebSocketStream<Stream>,
    /// Something was given to the socket and may not have left it.
    unflushed: bool,
    phase: Phase,
    /// Writing failed. The peer may have said why before, so reading goes on.
    broken: Option<Closed>,
    close_timeout: Duration,
    close_alarm: Alarm,
    heartbeat: Heartbeat,
    beat_alarm: Alarm,
}

/// How far it has come.
enum Phase {
    Open,
    /// A close frame is to be sent once what is before it is written.
    Closing(Closed),
    /// Ours is sent, or the peer's has come: reading on until the socket ends.
    Closed(Closed),
}

impl Line {
    pub(super) fn new(
        socket: WebSocketStream<Stream>,
        heartbeat: Duration,
        close_timeout: Duration,
    ) -> Self {
        Self {
            socket,
            unflushed: false,
            phase: Phase::Open,
            broken: None,
            close_timeout,
            close_alarm: Alarm::default(),
            heartbeat: Heartbeat::new(now(), heartbeat),
            beat_alarm: Alarm::default(),
        }
    }

    /// Whether neither side has said goodbye.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether there is any use in writing.
    pub(super) fn is_writable(&self) -> bool {
        self.broken.is_none()
    }

    /// Whether this side has said goodbye: what comes is read only to find the end.
    pub(super) fn is_left(&self) -> bool {
        matches!(
            self.phase,
            Phase::Closing(_) | Phase::Closed(Closed::Local | Closed::Violation { .. })
        )
    }

    /// Says goodbye once what is before it is written.
    pub(super) fn begin_close(&mut self, why: Closed) {
        self.phase = Phase::Closing(why);
        self.close_alarm.set_if_unset(self.close_timeout);
    }

    /// Writes what `next` gives, and then a close frame where one is due (`None` from `next` being the last word). Writing that fails
    /// is remembered, not the end: what the peer said last is still to be read.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, next: impl FnMut() -> Next) -> bool {
        if self.broken.is_some() {
            return false;
        }
        self.try_write(cx, next).unwrap_or_else(|error| {
            self.broken = Some(lost(error));
            self.close_alarm.set_if_unset(self.close_timeout);
            true
        })
    }

    fn try_write(
        &mut self,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Next,
    ) -> Result<bool, Error> {
        let mut progress = false;
        while !matches!(self.phase, Phase::Closed(_)) {
            if Pin::new(&mut self.socket).poll_ready(cx)?.is_pending() {
                return Ok(progress);
            }
            let message = match next() {
                Next::Text(text) => Some(Message::text(text)),
                Next::Nothing => None,
                Next::Done => self.goodbye(),
            };
            let Some(message) = message else { break };
            Pin::new(&mut self.socket).start_send(message)?;
            self.unflushed = true;
            progress = true;
        }
        if self.unflushed {
            self.unflushed = Pin::new(&mut self.socket).poll_flush(cx)?.is_pending();
        }
        Ok(progress)
    }

    fn goodbye(&mut self) -> Option<Message> {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Closing(why) => {
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

    /// One frame. Text comes out where it counts, `None` where there was nothing for the session in it.
    pub(super) fn read(&mut self, cx: &mut Context<'_>) -> Result<Poll<Option<Utf8Bytes>>, Closed> {
        self.heartbeat.handle_listening(now());
        match Pin::new(&mut self.socket).poll_next(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(None) => Err(Closed::lost("the socket ended")),
            Poll::Ready(Some(Err(error))) => Err(lost(error)),
            Poll::Ready(Some(Ok(message))) => {
                self.heartbeat.handle_heard(now());
                Ok(Poll::Ready(self.on_message(message)))
            }
        }
    }

    fn on_message(&mut self, message: Message) -> Option<Utf8Bytes> {
        match message {
            Message::Close(frame) => self.on_peer_close(frame),
            // The socket has queued the answer.
            Message::Ping(_) => self.unflushed = true,
            // Answers count until the end; after a violation nothing does.
            _ if self.is_violated() => {}
            Message::Text(text) => return Some(text),
            Message::Binary(_) => self.begin_close(Closed::Violation {
                why: "it sent a binary frame".into(),
            }),
            Message::Pong(_) | Message::Frame(_) => {}
        }
        None
    }

    pub(super) fn is_violated(&self) -> bool {
        let (Phase::Closing(why) | Phase::Closed(why)) = &self.phase else {
            return false;
        };
        matches!(why, Closed::Violation { .. })
    }

    /// The answer to it has been queued by the socket. Who closed first is remembered.
    fn on_peer_close(&mut self, frame: Option<CloseFrame>) {
        self.unflushed = true;
        self.close_alarm.set_if_unset(self.close_timeout);
        self.phase = match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Closed(why) => Phase::Closed(why),
            Phase::Open | Phase::Closing(_) => Phase::Closed(remote(frame)),
        };
    }

    /// Nothing is read now.
    pub(super) fn rest(&mut self) {
        self.heartbeat.handle_deaf(now());
    }

    pub(super) fn check_alarms(&mut self, cx: &mut Context<'_>) -> Progress {
        if self.close_alarm.poll(cx) {
            return Err(Closed::lost("the server did not answer the close frame"));
        }
        if !self.is_open() || self.broken.is_some() {
            return Ok(false);
        }
        self.beat_alarm.aim(Some(self.heartbeat.poll_timeout()));
        if !self.beat_alarm.poll(cx) {
            return Ok(false);
        }
        match self.heartbeat.handle_timeout(now()) {
            None => {}
            Some(Beat::Ping) => self.send(Message::Ping(Vec::new().into())),
            Some(Beat::Pong) => self.say_alive(),
            Some(Beat::Lost) => return Err(Closed::lost("no sign of life for three heartbeats")),
        }
        Ok(true)
    }

    /// Where something waits to be written already, nothing needs to be added to it.
    fn say_alive(&mut self) {
        if !self.unflushed {
            self.send(Message::Pong(Vec::new().into()));
        }
    }

    fn send(&mut self, message: Message) {
        self.broken = Pin::new(&mut self.socket)
            .start_send(message)
            .err()
            .map(lost);
        if self.broken.is_some() {
            self.close_alarm.set_if_unset(self.close_timeout);
        }
        self.unflushed = true;
    }

    /// How it ended, when the socket has.
    pub(super) fn end(self, noticed: Closed) -> Closed {
        match self.phase {
            Phase::Closed(why) | Phase::Closing(why) => why,
            Phase::Open => self.broken.unwrap_or(noticed),
        }
    }
}

/// What is to be written next.
pub(super) enum Next {
    Text(String),
    Nothing,
    /// Nothing, and nothing will come.
    Done,
}

/// Short and ours: a reason has at most 123 bytes, and what the server sent may hold anything.
fn close_reason(why: &Closed) -> &'static str {
    match why {
        Closed::Violation { .. } => "no message of pubsub.v1",
        _ => "",
    }
}
