//! From a URL to a connection: address, TCP, handshake, welcome.
use crate::client::Client;
use crate::connection::{Channels, Connection, Settings};
use crate::error::ConnectError;
use crate::event::Closed;
use crate::link::{Link, Shared, task_stopped};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::{Request, Response};
use tokio_tungstenite::tungstenite::http::uri::PathAndQuery;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

/// The subprotocol that is asked for.
const PROTOCOL: &str = "pubsub.v1";
/// Where a server listens when the URL names no path.
const PATH: &str = "/ws";
/// Commands that wait for the connection's task; enough that a burst of publishers need not switch tasks at each one.
const COMMANDS: usize = 64;
/// The socket's read buffer, allocated at once: a few dozen messages, where the library's default is 128 KiB.
const READ_BUFFER: usize = 32 * 1024;
/// Frames are gathered up to this size before a write.
const WRITE_BUFFER: usize = 16 * 1024;

/// How to connect. Made by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct Builder {
    url: String,
    connect_timeout: Duration,
    request_timeout: Duration,
    in_flight: NonZeroUsize,
    message_bytes: usize,
    settings: Settings,
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url,
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(10),
            in_flight: const { NonZeroUsize::new(1024).unwrap() },
            message_bytes: 4 << 20,
            settings: Settings {
                stream_events: const { NonZeroUsize::new(256).unwrap() },
                close_timeout: Duration::from_secs(5),
            },
        }
    }

    /// How long connection, handshake and welcome may take together; 10 s unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long an answer may take; 10 s unless told.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How long the server may take to answer a close frame; 5 s unless told.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.settings.close_timeout = timeout;
        self
    }

    /// How many events each stream holds for a program that doesn't read it; 256 unless told. When it is full the
    /// socket is not read any more, so that the server sees a slow consumer and its overflow policy acts.
    pub fn stream_events(mut self, events: NonZeroUsize) -> Self {
        self.settings.stream_events = events;
        self
    }

    /// How many answers are awaited at once; 1,024 unless told. Further requests wait for their turn.
    pub fn in_flight(mut self, requests: NonZeroUsize) -> Self {
        self.in_flight = requests;
        self
    }

    /// The largest message that is taken from the server, bytes; 4 MiB unless told.
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.message_bytes = bytes;
        self
    }

    /// Connects over TCP and waits for the server's welcome. To be called inside a tokio runtime, on which the
    /// connection lives until the last handle of it is dropped.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let request = self.request()?;
        self.in_time(async {
            let stream = dial(request.uri()).await?;
            self.open(request, stream).await
        })
        .await
    }

    /// Connects over a stream that is there already, a tunnel or TLS for instance; the URL says what to ask for.
    pub async fn connect_over<S>(self, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let request = self.request()?;
        self.in_time(self.open(request, stream)).await
    }

    async fn in_time<T>(
        &self,
        future: impl Future<Output = Result<T, ConnectError>>,
    ) -> Result<T, ConnectError> {
        let in_time = tokio::time::timeout(self.connect_timeout, future).await;
        in_time.unwrap_or(Err(ConnectError::Timeout(self.connect_timeout)))
    }

    fn request(&self) -> Result<Request, ConnectError> {
        let uri: Uri = self.url.parse().map_err(|error| self.bad_url(&error))?;
        if uri.scheme_str() != Some("ws") {
            return Err(self.bad_url(&"must begin with ws://"));
        }
        let mut parts = uri.into_parts();
        let path = parts
            .path_and_query
            .take()
            .filter(|path| path.as_str() != "/");
        parts.path_and_query = path.or(Some(PathAndQuery::from_static(PATH)));
        let uri = Uri::from_parts(parts).map_err(|error| self.bad_url(&error))?;
        let mut request = uri
            .into_client_request()
            .map_err(|error| self.bad_url(&error))?;
        let protocol = HeaderValue::from_static(PROTOCOL);
        request
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        Ok(request)
    }

    fn bad_url(&self, why: &dyn ToString) -> ConnectError {
        ConnectError::Url {
            url: self.url.clone(),
            why: why.to_string(),
        }
    }

    async fn open<S>(&self, request: Request, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(WRITE_BUFFER)
            .max_message_size(Some(self.message_bytes))
            .max_frame_size(Some(self.message_bytes));
        let shaken = client_async_with_config(request, stream, Some(config)).await;
        let (socket, _) = shaken.map_err(handshake_error)?;
        self.begin(socket).await
    }

    /// Starts the connection's task and waits for the welcome.
    async fn begin<S>(&self, socket: WebSocketStream<S>) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (commands, commands_end) = mpsc::channel(COMMANDS);
        let (signals, signals_end) = mpsc::unbounded_channel();
        let (welcome_end, welcome) = oneshot::channel();
        let (closed_end, closed) = watch::channel(None);
        let (goaway_end, goaway) = watch::channel(None);
        let (strays_end, strays) = watch::channel((0, None));
        let channels = Channels {
            commands: commands_end,
            signals: signals_end,
            welcome: welcome_end,
            closed: closed_end,
            goaway: goaway_end,
            strays: strays_end,
        };
        tokio::spawn(Connection::new(socket, self.settings, channels));
        let Ok(welcome) = welcome.await else {
            let how: Option<Closed> = closed.borrow().clone();
            return Err(ConnectError::Closed(how.unwrap_or_else(task_stopped)));
        };
        let request_timeout = self.request_timeout;
        let shared = Shared {
            welcome,
            request_timeout,
            in_flight: Arc::new(Semaphore::new(self.in_flight.get())),
            signals,
            closed,
            goaway,
            strays,
        };
        Ok(Client::new(Link {
            commands,
            shared: Arc::new(shared),
        }))
    }
}

async fn dial(uri: &Uri) -> Result<TcpStream, ConnectError> {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(80);
    let io = |source| ConnectError::Io {
        address: format!("{host}:{port}"),
        source,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(io)?;
    // Commands are small and answers are waited for.
    stream.set_nodelay(true).map_err(io)?;
    Ok(stream)
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
