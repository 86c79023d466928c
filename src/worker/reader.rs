//! WebSocket input: bytes of a client become what it said.
//!
//! Owns the one read buffer of a worker, the one decoder that all connections share, and what a connection must remember between
//! two reads. Must not contain: sockets, the engine, answers (pongs and closes are the engine's: what a decoder writes is thrown
//! away). Driven by the worker's loop.
//!
//! The rules of frames are tungstenite's. Its `WebSocketContext` is too large to keep for each idle connection, so:
//! - only whole frames are ever decoded; the bytes of an incomplete one wait in the connection's [`Unfinished`];
//! - between messages a decoder has no memory, so all connections share one;
//! - a message in fragments has a decoder of its own, until its last fragment.
//!
//! Laws: an idle connection owns nothing here. What one owns is bounded: an incomplete frame by `frame_bytes` (and it grows with
//! what arrives, not with what a header promises), the fragments of a message by the same limit in the decoder.
use super::frames::{Message, scan};
use pubsub_wire::close;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message as Decoded};

/// Bytes taken from a connection in one turn: some hundred commands, and no longer than a slice of the fan-out takes.
const READ_BYTES: usize = 16 << 10;
/// What the shared decoder takes of them at a time: it overwrites its whole buffer with zeros before each.
const DECODER_BYTES: usize = 2 << 10;
/// First buffer of a decoder that belongs to one message; it grows by what arrives.
const OWN_BUFFER_BYTES: usize = 1 << 10;
/// Room for what a decoder wants to answer, which is thrown away: a control frame at a time.
const DISCARD_BYTES: usize = 256;

/// What a client said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said<'a> {
    /// A text message.
    Text(&'a str),
    /// A ping, with its payload.
    Ping(&'a [u8]),
    /// A close frame; nothing follows.
    Close(Option<u16>),
    /// Something that ends the connection; nothing follows.
    Violation(Violation),
}

/// What a client must not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation {
    /// Close code, RFC 6455, 7.4.1.
    pub(super) code: u16,
    /// Text for the close frame.
    pub(super) reason: &'static str,
}

impl Violation {
    const BINARY: Self = Self {
        code: close::UNSUPPORTED,
        reason: "binary messages are not spoken here",
    };

    fn of(error: &Error) -> Self {
        let (code, reason) = match error {
            Error::Capacity(_) => (close::TOO_BIG, "the message is larger than frame_bytes"),
            Error::Utf8(_) => (close::INVALID_UTF8, "the text is not UTF-8"),
            Error::Protocol(tungstenite::error::ProtocolError::UnmaskedFrameFromClient) => {
                (close::PROTOCOL_ERROR, "a client's frames are masked")
            }
            _ => (close::PROTOCOL_ERROR, "the frame breaks RFC 6455"),
        };
        Self { code, reason }
    }
}

/// What a connection remembers between two reads.
#[derive(Debug, Default)]
pub(super) struct Unfinished {
    /// The bytes of an incomplete frame.
    bytes: Vec<u8>,
    /// The decoder of a message whose last fragment is missing.
    fragments: Option<WebSocketContext>,
}

/// The input side of a worker.
#[derive(Debug)]
pub(super) struct Reader {
    buffer: Box<[u8]>,
    filled: usize,
    decoder: Decoder,
}

impl Reader {
    /// Takes messages of up to `frame_bytes`.
    pub(super) fn new(frame_bytes: usize) -> Self {
        Self {
            buffer: vec![0; READ_BYTES].into(),
            filled: 0,
            decoder: Decoder::new(frame_bytes),
        }
    }

    /// Lends the buffer to `read`, which says how many bytes it put there. [`Reader::decode`] comes next.
    pub(super) fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Received, E> {
        self.filled = 0;
        self.filled = read(&mut self.buffer)?.min(self.buffer.len());
        Ok(match self.filled {
            0 => Received::End,
            bytes if bytes == self.buffer.len() => Received::Full,
            _ => Received::Part,
        })
    }

    /// Gives out what the bytes of the last [`Reader::fill`] say, for the connection they are of. `visit` may stop it.
    pub(super) fn decode(
        &mut self,
        unfinished: &mut Option<Box<Unfinished>>,
        visit: impl FnMut(Said<'_>) -> ControlFlow<()>,
    ) {
        let bytes = &self.buffer[..self.filled];
        self.decoder.decode(unfinished, bytes, visit);
    }

    /// Gives out what `bytes` say that arrived by another way.
    pub(super) fn take(
        &mut self,
        unfinished: &mut Option<Box<Unfinished>>,
        bytes: &[u8],
        visit: impl FnMut(Said<'_>) -> ControlFlow<()>,
    ) {
        self.decoder.decode(unfinished, bytes, visit);
    }

    /// Lends the buffer for bytes that nobody will look at.
    pub(super) fn scratch(&mut self) -> &mut [u8] {
        &mut self.buffer
    }
}

/// How much a read gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Received {
    /// The peer has finished sending.
    End,
    /// All there was.
    Part,
    /// As much as fits; there may be more.
    Full,
}

#[derive(Debug)]
struct Decoder {
    frame_bytes: usize,
    /// Between messages whenever nobody is in `decode`.
    shared: WebSocketContext,
}

impl Decoder {
    fn new(frame_bytes: usize) -> Self {
        Self {
            frame_bytes,
            shared: context(frame_bytes, DECODER_BYTES),
        }
    }

    fn decode(
        &mut self,
        unfinished: &mut Option<Box<Unfinished>>,
        bytes: &[u8],
        visit: impl FnMut(Said<'_>) -> ControlFlow<()>,
    ) {
        let Some(mut before) = unfinished.take() else {
            return self.decode_run(unfinished, bytes, None, visit);
        };
        if before.bytes.is_empty() {
            return self.decode_run(unfinished, bytes, before.fragments.take(), visit);
        }
        before.bytes.extend_from_slice(bytes);
        let fragments = before.fragments.take();
        self.decode_run(unfinished, &before.bytes, fragments, visit);
    }

    /// Decodes the whole frames at the front of `run` and remembers the rest.
    fn decode_run(
        &mut self,
        unfinished: &mut Option<Box<Unfinished>>,
        run: &[u8],
        fragments: Option<WebSocketContext>,
        visit: impl FnMut(Said<'_>) -> ControlFlow<()>,
    ) {
        let message = match fragments {
            Some(_) => Message::Fragmented,
            None => Message::Whole,
        };
        let found = scan(run, message, self.frame_bytes);
        let (whole, rest) = run.split_at(found.whole);
        // A run larger than a read would leave the shared decoder with a buffer as large.
        let alone = found.message == Message::Fragmented || whole.len() > 2 * READ_BYTES;
        let mut own =
            fragments.or_else(|| alone.then(|| context(self.frame_bytes, OWN_BUFFER_BYTES)));
        let decoder = own.as_mut().unwrap_or(&mut self.shared);
        let flow = feed(decoder, whole, found.messages, visit);
        if flow.is_break() {
            if own.is_none() {
                self.shared = context(self.frame_bytes, DECODER_BYTES);
            }
            return;
        }
        let fragments = own.filter(|_| found.message == Message::Fragmented);
        if !rest.is_empty() || fragments.is_some() {
            let bytes = rest.to_vec();
            *unfinished = Some(Box::new(Unfinished { bytes, fragments }));
        }
    }
}

fn context(frame_bytes: usize, buffer_bytes: usize) -> WebSocketContext {
    let config = WebSocketConfig::default()
        .read_buffer_size(buffer_bytes)
        .write_buffer_size(0)
        .max_write_buffer_size(DISCARD_BYTES)
        .max_message_size(Some(frame_bytes))
        .max_frame_size(Some(frame_bytes));
    WebSocketContext::new(Role::Server, Some(config))
}

/// Decodes whole frames of so many messages or fewer. `Break` when nothing may follow, or `visit` wants nothing more: the decoder is
/// used up then.
fn feed(
    context: &mut WebSocketContext,
    frames: &[u8],
    messages: usize,
    mut visit: impl FnMut(Said<'_>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let mut stream = Lent(frames);
    for _ in 0..messages {
        match context.read(&mut stream) {
            Ok(Decoded::Text(text)) => visit(Said::Text(&text))?,
            Ok(Decoded::Ping(payload)) => visit(Said::Ping(&payload))?,
            Ok(Decoded::Pong(_) | Decoded::Frame(_)) => {}
            Ok(Decoded::Binary(_)) => {
                visit(Said::Violation(Violation::BINARY))?;
                return ControlFlow::Break(());
            }
            Ok(Decoded::Close(frame)) => {
                visit(Said::Close(frame.map(|frame| close_code(frame.code))))?;
                return ControlFlow::Break(());
            }
            Err(Error::Io(_)) => return ControlFlow::Continue(()),
            Err(error) => {
                visit(Said::Violation(Violation::of(&error)))?;
                return ControlFlow::Break(());
            }
        }
    }
    ControlFlow::Continue(())
}

fn close_code(code: CloseCode) -> u16 {
    code.into()
}

/// The stream a decoder reads from: lent bytes, then "not now". What it writes is thrown away.
struct Lent<'a>(&'a [u8]);

impl Read for Lent<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.0.read(space)
    }
}

impl Write for Lent<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
