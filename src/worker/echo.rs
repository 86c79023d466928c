//! `/echo`: whatever comes is sent back. For conformance suites and for measuring the way.
//!
//! Owns a whole WebSocket of its own: a runtime socket, a task and tungstenite's full context per connection, unlike sessions. Must
//! not contain: anything of sessions. Driven by `upgrade`.
//!
//! Law: a message is taken only when the one before has been handed to the kernel, so a client that does not read costs one
//! message of memory.
use super::front::Seat;
use super::upgrade::finish;
use std::io::{self, Read, Write};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// Largest frame and message: what conformance suites try.
const MESSAGE_BYTES: usize = 16 << 20;
/// First buffers; they grow by what is sent.
const BUFFER_BYTES: usize = 16 << 10;

/// A connection whose handshake is done.
#[derive(Debug)]
pub(super) struct Echo {
    pub(super) stream: TcpStream,
    /// What had arrived behind the request.
    pub(super) bytes: Vec<u8>,
    pub(super) seat: Seat,
}

/// Echoes until either side ends.
pub(super) async fn serve(echo: Echo) {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(0)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let context = WebSocketContext::from_partially_read(echo.bytes, Role::Server, Some(config));
    let mut talk = Talk {
        context,
        stream: echo.stream,
    };
    // A connection that ends in an error has nobody left to tell.
    if talk.run().await.is_ok() {
        finish(talk.stream).await;
    }
    drop(echo.seat);
}

struct Talk {
    context: WebSocketContext,
    stream: TcpStream,
}

impl Talk {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            match self.context.read(&mut Tried(&self.stream)) {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => self.send(message).await?,
                // The context answers pings and closes by itself, with its next read.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait().await?;
                }
                Err(Error::Io(error)) => return Err(error),
                Err(Error::ConnectionClosed) => return Ok(()),
                Err(error) => return self.close(code(&error)).await,
            }
        }
    }

    async fn send(&mut self, message: Message) -> io::Result<()> {
        let written = self.context.write(&mut Tried(&self.stream), message);
        self.flushed(written).await
    }

    async fn close(&mut self, code: CloseCode) -> io::Result<()> {
        let frame = CloseFrame {
            code,
            reason: "".into(),
        };
        let written = self.context.close(&mut Tried(&self.stream), Some(frame));
        self.flushed(written).await
    }

    /// Goes on until the kernel has all that the context holds; `outcome` is that of the first attempt.
    async fn flushed(&mut self, mut outcome: Result<(), Error>) -> io::Result<()> {
        loop {
            match outcome {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stream.writable().await?;
                }
                Err(Error::Io(error)) => return Err(error),
                Ok(()) | Err(Error::ConnectionClosed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            }
            outcome = self.context.flush(&mut Tried(&self.stream));
        }
    }

    /// Waits until there is something to read, or room for an answer to a ping that had none.
    async fn wait(&mut self) -> io::Result<()> {
        let interest = match self.context.flush(&mut Tried(&self.stream)) {
            Err(Error::Io(_)) => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        };
        self.stream.ready(interest).await.map(drop)
    }
}

fn code(error: &Error) -> CloseCode {
    match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        _ => CloseCode::Protocol,
    }
}

/// A runtime socket as tungstenite wants one: what is not ready is an error.
struct Tried<'a>(&'a TcpStream);

impl Read for Tried<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(space)
    }
}

impl Write for Tried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
