//! `/echo`: whatever comes is sent back. For conformance suites and for measuring the way.
//!
//! Owns a whole WebSocket of its own: a runtime socket, a task and tungstenite's full context per connection, unlike sessions. Must
//! not contain: anything of sessions. Driven by
//! the loop's door, which begins a task for each.
//!
//! Law: a message is taken only when the one before has been handed to the kernel, so a client that does not read costs one
//! message of memory.
use super::early::{Early, NotText};
use super::front::Seat;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tungstenite::{Error, Message};

/// Largest frame and message: what conformance suites try.
const MESSAGE_BYTES: usize = 16 << 20;
/// First buffers; they grow by what is sent.
const BUFFER_BYTES: usize = 16 << 10;

/// Time for the client's end.
const LINGER: Duration = Duration::from_secs(2);

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
    let mut talk = Talk {
        context: WebSocketContext::new(Role::Server, Some(config)),
        line: Line {
            stream: echo.stream,
            before: echo.bytes.into(),
            early: Early::default(),
            verdict: Ok(()),
        },
    };
    // A connection that ends in an error has nobody left to tell.
    if talk.run().await.is_ok() {
        finish(talk.line.stream).await;
    }
    drop(echo.seat);
}

struct Talk {
    context: WebSocketContext,
    line: Line,
}

impl Talk {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            match self.context.read(&mut self.line) {
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => self.send(message).await?,
                // The context answers pings and closes by itself, with its next read.
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait().await?;
                }
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::InvalidData => {
                    return self.close(CloseCode::Invalid).await;
                }
                Err(Error::Io(error)) => return Err(error),
                Err(Error::ConnectionClosed) => return Ok(()),
                Err(error) => return self.close(code(&error)).await,
            }
        }
    }

    async fn send(&mut self, message: Message) -> io::Result<()> {
        let written = self.context.write(&mut self.line, message);
        self.flushed(written).await
    }

    async fn close(&mut self, code: CloseCode) -> io::Result<()> {
        let frame = CloseFrame {
            code,
            reason: "".into(),
        };
        let written = self.context.close(&mut self.line, Some(frame));
        self.flushed(written).await
    }

    /// Goes on until the kernel has all that the context holds; `outcome` is that of the first attempt.
    async fn flushed(&mut self, mut outcome: Result<(), Error>) -> io::Result<()> {
        loop {
            match outcome {
                Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.line.stream.writable().await?;
                }
                Err(Error::Io(error)) => return Err(error),
                Ok(()) | Err(Error::ConnectionClosed) => return Ok(()),
                Err(error) => return Err(io::Error::other(error)),
            }
            outcome = self.context.flush(&mut self.line);
        }
    }

    /// Waits until there is something to read, or room for an answer to a ping that had none.
    async fn wait(&mut self) -> io::Result<()> {
        let interest = match self.context.flush(&mut self.line) {
            Err(Error::Io(_)) => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        };
        self.line.stream.ready(interest).await.map(drop)
    }
}

fn code(error: &Error) -> CloseCode {
    match error {
        Error::Capacity(_) => CloseCode::Size,
        Error::Utf8(_) => CloseCode::Invalid,
        _ => CloseCode::Protocol,
    }
}

/// A runtime socket as tungstenite wants one: what is not ready is an error. A text that is none is one too, right behind the bytes
/// that show it.
struct Line {
    stream: TcpStream,
    /// What had arrived behind the request and is not read yet.
    before: VecDeque<u8>,
    early: Early,
    verdict: Result<(), NotText>,
}

impl Read for Line {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        if self.verdict.is_err() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let bytes = if self.before.is_empty() {
            self.stream.try_read(space)?
        } else {
            self.before.read(space)?
        };
        self.verdict = self.early.follow(&space[..bytes]);
        Ok(bytes)
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends the sending side and reads on until the client has seen the end, so that no reset eats what was written.
async fn finish(mut stream: TcpStream) {
    let seen = async {
        stream.shutdown().await?;
        let mut discarded = [0; 1024];
        while stream.read(&mut discarded).await? > 0 {}
        Ok::<_, io::Error>(())
    };
    // Whether the client waits for its end is its own affair.
    let _ = timeout(LINGER, seen).await;
}
