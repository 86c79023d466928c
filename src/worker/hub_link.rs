//! The link to the node's hub: what it says goes to the engine, what the engine asks for goes to it.
//!
//! Owns the Unix socket, its two buffers and the pauses between attempts to connect. Must not contain: what a message means.
//! Driven by the worker's loop.
//!
//! Laws:
//! - A link that breaks is reported to the engine once, before anything of the next one.
//! - Requests are taken from the engine only as fast as the hub takes them: what waits, waits there, under the engine's bounds.
//! - The hub's absence costs one attempt per pause and no connection of a client.
use super::fanout::Slice;
use crate::link::{Join, LINK_VERSION, LinkError, LinkReader, encode_join, encode_request};
use pubsub_stream::{Engine, Now};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::UnixStream;

/// First pause between attempts, and the longest: a hub is back within a second or two of its death.
const PAUSE_NS: (u64, u64) = (10_000_000, 1_000_000_000);
/// Read at once while a fan-out is under way: what comes is mostly what those who catch up have asked for, and who keeps up would wait for
/// its decoding at every slice.
const SHARE_BYTES: usize = 16 << 10;
/// Requests encoded and not yet taken by the hub: one read of its side. Publications among them count as sent, so that if the link
/// breaks their outcome is unknown though they never left; what waits in the engine is known not to have been done.
const OUT_BYTES: usize = 64 << 10;

/// The link, up or down.
#[derive(Debug)]
pub(super) struct HubLink {
    address: SocketAddrUnix,
    join: Join,
    up: Option<Up>,
    /// When to try next, while it is down.
    retry_ns: u64,
    pause_ns: u64,
}

#[derive(Debug)]
struct Up {
    stream: UnixStream,
    reader: LinkReader,
    heard: Heard,
    /// Encoded requests; those before `sent` are the hub's.
    out: Vec<u8>,
    sent: usize,
    /// Why it is over, once it is; the engine learns of it at the next look.
    broken: Option<Broken>,
}

/// What has come from the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Heard {
    /// Nothing on this link.
    Nothing,
    /// Something since the last rest.
    Lately,
    /// Nothing since the last rest.
    Before,
}

/// Why a link is over.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the hub closed it")]
    Ended,
    #[error(transparent)]
    Socket(#[from] io::Error),
    #[error(transparent)]
    Link(#[from] LinkError),
}

impl HubLink {
    /// A link that is down and due to be tried.
    pub(super) fn new(path: &Path, slot: u32, generation: u32) -> io::Result<Self> {
        Ok(Self {
            address: SocketAddrUnix::new(path)?,
            join: Join {
                slot,
                generation,
                version: LINK_VERSION,
                reached: None,
            },
            up: None,
            retry_ns: 0,
            pause_ns: PAUSE_NS.0,
        })
    }

    /// Ready when something has arrived, when it broke, or when it takes requests again that it had no room for.
    /// While a fan-out is under way little is read.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, fan_out: Slice) -> Poll<()> {
        let share = match fan_out {
            Slice::Done => usize::MAX,
            Slice::More => SHARE_BYTES,
        };
        match &mut self.up {
            Some(up) => up.poll(cx, share),
            None => Poll::Pending,
        }
    }

    /// Whether this link is up and the hub has said something on it.
    pub(super) fn has_answered(&self) -> bool {
        self.up
            .as_ref()
            .is_some_and(|up| up.heard != Heard::Nothing)
    }

    /// When to try again, while it is down.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.up.is_none().then_some(self.retry_ns)
    }

    /// Tries to connect if that is due.
    pub(super) fn handle_timeout(&mut self, now: Now, engine: &Engine) {
        if self.poll_timeout().is_none_or(|at| at > now.mono_ns) {
            return;
        }
        let reached = engine.hub_position();
        self.join.reached = reached.map(|(epoch, position)| (epoch.to_owned(), position));
        match self.connect() {
            Ok(up) => self.up = Some(up),
            Err(error) => {
                tracing::debug!(%error, "no hub to link to");
                self.pause(now);
            }
        }
    }

    /// Tells the engine what has arrived, and whether it broke.
    pub(super) fn handle_input(&mut self, now: Now, engine: &mut Engine) {
        let Some(up) = &mut self.up else {
            return;
        };
        match up.reader.drain(&mut |event| engine.handle_hub(now, event)) {
            Ok(0) => {}
            Ok(_) => {
                up.heard = Heard::Lately;
                self.pause_ns = PAUSE_NS.0;
            }
            Err(error) => up.broken = Some(error.into()),
        }
        if let Some(why) = up.broken.take() {
            tracing::warn!(%why, "the link to the hub is lost");
            self.up = None;
            self.pause(now);
            engine.handle_hub_down(now);
        }
    }

    /// Hands the engine's requests over, as far as the hub takes them.
    pub(super) fn send(&mut self, engine: &mut Engine) {
        if let Some(up) = &mut self.up {
            while up.take(engine) && up.flush() {}
        }
    }

    /// Called now and then: gives the read buffer back when nothing has come since the last time.
    pub(super) fn rest(&mut self) {
        if let Some(up) = &mut self.up {
            match up.heard {
                Heard::Lately => up.heard = Heard::Before,
                Heard::Before => up.reader.release(),
                Heard::Nothing => {}
            }
        }
    }

    fn connect(&self) -> io::Result<Up> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // A Unix socket connects at once or not at all.
        connect(&socket, &self.address)?;
        let mut out = Vec::new();
        encode_join(&mut out, &self.join);
        Ok(Up {
            stream: UnixStream::from_std(StdUnixStream::from(socket))?,
            reader: LinkReader::default(),
            heard: Heard::Nothing,
            out,
            sent: 0,
            broken: None,
        })
    }

    fn pause(&mut self, now: Now) {
        self.retry_ns = now.mono_ns + self.pause_ns;
        self.pause_ns = (self.pause_ns * 2).min(PAUSE_NS.1);
    }
}

impl Up {
    fn poll(&mut self, cx: &mut Context<'_>, share: usize) -> Poll<()> {
        if self.broken.is_some() {
            return Poll::Ready(());
        }
        // Asked first, so that a link that rests needs no buffer.
        if self.stream.poll_read_ready(cx).is_pending() {
            return self.poll_space(cx);
        }
        match self.read(cx, share) {
            Poll::Ready(Ok(0)) => self.broken = Some(Broken::Ended),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => self.broken = Some(error.into()),
            Poll::Pending => return self.poll_space(cx),
        }
        Poll::Ready(())
    }

    /// One read of at most so many bytes; the runtime learns from a short one that there is no more.
    fn read(&mut self, cx: &mut Context<'_>, share: usize) -> Poll<io::Result<usize>> {
        let stream = Pin::new(&mut self.stream);
        let got = self.reader.fill(|space| {
            let bytes = space.len().min(share);
            let mut space = ReadBuf::new(&mut space[..bytes]);
            match stream.poll_read(cx, &mut space) {
                Poll::Ready(Ok(())) => Ok(space.filled().len()),
                Poll::Ready(Err(error)) => Err(Poll::Ready(error)),
                Poll::Pending => Err(Poll::Pending),
            }
        });
        match got {
            Ok(bytes) => Poll::Ready(Ok(bytes)),
            Err(waits) => waits.map(Err),
        }
    }

    /// Ready when requests wait and the hub takes some.
    fn poll_space(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.out.is_empty() {
            return Poll::Pending;
        }
        self.stream.poll_write_ready(cx).map(drop)
    }

    /// Encodes requests of the engine as far as there is room. Whether there is anything to flush.
    fn take(&mut self, engine: &mut Engine) -> bool {
        // Before the hub has greeted, the engine has nothing that belongs on this link.
        while self.heard != Heard::Nothing && self.out.len() < OUT_BYTES {
            let Some(request) = engine.poll_hub() else {
                break;
            };
            encode_request(&mut self.out, &request);
        }
        !self.out.is_empty()
    }

    /// Writes what is encoded. Whether all of it went.
    fn flush(&mut self) -> bool {
        while self.sent < self.out.len() {
            match self.stream.try_write(&self.out[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) => {
                    self.broken = Some(error.into());
                    return false;
                }
            }
        }
        self.out.clear();
        self.sent = 0;
        true
    }
}
