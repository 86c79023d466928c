//! One attempt at one endpoint: TCP, TLS, upgrade, welcome, each step within its time.
use crate::endpoint::Endpoint;
#[cfg(feature = "tls")]
use crate::endpoint::Scheme;
use crate::error::ConnectError;
use crate::event::Closed;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use futures::{SinkExt, StreamExt};
use pubsub_wire::close;
use pubsub_wire::server::{ServerMessage, parse_server};
use pubsub_wire::value::Welcome;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::http::header;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The socket's read buffer, allocated at once: a few dozen messages, where the library's default is 128 KiB.
const READ_BUFFER: usize = 32 * 1024;
/// Frames are gathered up to this size before a write.
const WRITE_BUFFER: usize = 16 * 1024;

/// Whatever bytes travel over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Io for S {}

pub(crate) type Stream = Box<dyn Io>;
type Opening = Pin<Box<dyn Future<Output = io::Result<Stream>> + Send>>;

/// How a stream to an endpoint is had.
#[derive(Clone)]
pub(crate) enum Opener {
    /// TCP, and TLS where the URL says so.
    Tcp,
    /// As the program says, given the URL.
    Own(Arc<dyn Fn(String) -> Opening + Send + Sync>),
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "Tcp",
            Self::Own(_) => "Own",
        })
    }
}

/// How attempts are made.
#[derive(Debug, Clone)]
pub(crate) struct Dialer {
    pub(crate) opener: Opener,
    pub(crate) connect_timeout: Duration,
    pub(crate) handshake_timeout: Duration,
    pub(crate) message_bytes: usize,
    /// Set by whoever dials with it.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Tls>,
}

/// A socket behind its welcome.
pub(crate) struct Welcomed {
    pub(crate) socket: WebSocketStream<Stream>,
    pub(crate) welcome: Welcome,
}

impl Dialer {
    /// Connects to `endpoint` and waits for its welcome.
    pub(crate) async fn dial(&self, endpoint: &Endpoint) -> Result<Welcomed, ConnectError> {
        let stream = within(
            "the connection",
            self.connect_timeout,
            self.connect(endpoint),
        );
        let stream = stream.await?;
        self.shake(endpoint, stream).await
    }

    /// Upgrade and welcome over a stream that is there.
    pub(crate) async fn shake(
        &self,
        endpoint: &Endpoint,
        stream: Stream,
    ) -> Result<Welcomed, ConnectError> {
        let shaken = self.upgrade(endpoint, stream);
        within("the handshake", self.handshake_timeout, shaken).await
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<Stream, ConnectError> {
        let failed = |source| ConnectError::Io {
            address: format!("{}:{}", endpoint.host(), endpoint.port()),
            source,
        };
        let stream = match &self.opener {
            Opener::Own(open) => return open(endpoint.to_string()).await.map_err(failed),
            Opener::Tcp => TcpStream::connect((endpoint.host(), endpoint.port())).await,
        };
        let stream = stream.map_err(failed)?;
        // Commands are small and answers are waited for.
        stream.set_nodelay(true).map_err(failed)?;
        #[cfg(feature = "tls")]
        if endpoint.scheme() == Scheme::Tls {
            let missing = || ConnectError::Tls("not set up".into());
            let tls = self.tls.as_ref().ok_or_else(missing)?;
            let stream = tls.connect(endpoint, stream).await.map_err(failed)?;
            return Ok(Box::new(stream));
        }
        Ok(Box::new(stream))
    }

    async fn upgrade(&self, endpoint: &Endpoint, stream: Stream) -> Result<Welcomed, ConnectError> {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(self.message_bytes))
            .max_frame_size(Some(self.message_bytes));
        let request = endpoint.request()?;
        let shaken = client_async_with_config(request, stream, Some(config)).await;
        let (mut socket, _) = shaken.map_err(handshake_error)?;
        let welcome = welcome(&mut socket).await.map_err(ConnectError::Closed)?;
        Ok(Welcomed { socket, welcome })
    }
}

/// What the server says first. One that says anything else is told so.
async fn welcome(socket: &mut WebSocketStream<Stream>) -> Result<Welcome, Closed> {
    loop {
        let violation = match socket.next().await {
            None => return Err(Closed::lost("the socket ended before the welcome")),
            Some(Err(error)) => return Err(lost(error)),
            Some(Ok(Message::Close(frame))) => return Err(remote(frame)),
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Ok(Message::Binary(_))) => "it sent a binary frame".to_owned(),
            Some(Ok(Message::Text(text))) => match parse_server(&text) {
                Ok(ServerMessage::Welcome(welcome)) => return Ok(welcome),
                Ok(_) => "its first message was no welcome".to_owned(),
                Err(error) => error.to_string(),
            },
        };
        let frame = CloseFrame {
            code: close::PROTOCOL_ERROR.into(),
            reason: "no message of pubsub.v1".into(),
        };
        // It may be gone by now.
        let _ = socket.send(Message::Close(Some(frame))).await;
        return Err(Closed::Violation { why: violation });
    }
}

/// What a peer's close frame says.
pub(crate) fn remote(frame: Option<CloseFrame>) -> Closed {
    frame.map_or_else(Closed::without_code, |frame| Closed::Remote {
        code: frame.code.into(),
        reason: frame.reason.to_string(),
    })
}

/// What an error of the socket says.
pub(crate) fn lost(error: Error) -> Closed {
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

async fn within<T>(
    what: &'static str,
    limit: Duration,
    step: impl Future<Output = Result<T, ConnectError>>,
) -> Result<T, ConnectError> {
    let in_time = tokio::time::timeout(limit, step).await;
    in_time.unwrap_or(Err(ConnectError::Timeout { what, limit }))
}

fn handshake_error(error: Error) -> ConnectError {
    match error {
        Error::Http(response) => ConnectError::Refused {
            status: response.status().as_u16(),
            retry_after: retry_after(&response),
        },
        error => ConnectError::Handshake(error.to_string()),
    }
}

/// The header's form in seconds; the one with a date is not used by this server.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}
