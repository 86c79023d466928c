//! How to connect: every setting of a client, and its first connection.
use crate::breaker::{Breaker, Circuit};
use crate::client::Client;
use crate::connection::{Channels, Connection, Settings};
use crate::dial::{Dialer, Opener, Welcomed};
use crate::endpoint::Endpoint;
use crate::endpoints::Endpoints;
use crate::error::ConnectError;
use crate::link::{Link, Shared, Times};
use crate::reconnect::{Policy, Reconnect};
use crate::state::State;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::Instant;

/// Commands that wait for the connection's task; enough that a burst of publishers need not switch tasks at each one.
const COMMANDS: usize = 64;

/// How to connect. Made by [`Client::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `connect`"]
pub struct Builder {
    urls: Vec<String>,
    endpoints_max: usize,
    dialer: Dialer,
    #[cfg(feature = "tls")]
    roots: Option<Vec<u8>>,
    reconnect: Reconnect,
    times: Times,
    in_flight: NonZeroUsize,
    calls_in_flight: NonZeroUsize,
    breaker: Breaker,
    settings: Settings,
}

impl Builder {
    pub(crate) fn new(url: String) -> Self {
        let ten_seconds = Duration::from_secs(10);
        Self {
            urls: vec![url],
            endpoints_max: 16,
            dialer: Dialer {
                opener: Opener::Tcp,
                connect_timeout: ten_seconds,
                handshake_timeout: ten_seconds,
                message_bytes: 4 << 20,
                #[cfg(feature = "tls")]
                tls: None,
            },
            #[cfg(feature = "tls")]
            roots: None,
            reconnect: Reconnect::default(),
            times: Times {
                request: ten_seconds,
                call: ten_seconds,
                call_grace: Duration::from_secs(1),
            },
            in_flight: const { NonZeroUsize::new(1024).unwrap() },
            calls_in_flight: const { NonZeroUsize::new(64).unwrap() },
            breaker: Breaker::default(),
            settings: Settings {
                stream_events: const { NonZeroUsize::new(256).unwrap() },
                close_timeout: Duration::from_secs(5),
                resubscribes: const { NonZeroU32::new(60).unwrap() },
            },
        }
    }

    /// Another server of the same data. They are tried in order at first; later the one that failed longest ago is.
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// How many endpoints are known at most, with those that servers name in `goaway`; 16 unless told.
    pub fn endpoints_max(mut self, endpoints: usize) -> Self {
        self.endpoints_max = endpoints;
        self
    }

    /// What to do when the connection is lost.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// How long TCP, and TLS over it, may take for one endpoint; 10 s unless told.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.dialer.connect_timeout = timeout;
        self
    }

    /// How long upgrade and welcome may take then; 10 s unless told.
    pub fn handshake_timeout(mut self, timeout: Duration) -> Self {
        self.dialer.handshake_timeout = timeout;
        self
    }

    /// How long the answer to a request may take, with the wait for a connection; 10 s unless told.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.times.request = timeout;
        self
    }

    /// How long a call's result is of use, where the call doesn't say ([`deadline`](crate::CallRequest::deadline)); 10 s unless told.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.times.call = timeout;
        self
    }

    /// How much longer than its deadline a call's answer is awaited, so that the server can say that it was not begun;
    /// 1 s unless told.
    pub fn call_grace(mut self, grace: Duration) -> Self {
        self.times.call_grace = grace;
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

    /// How often in a row a subscription is asked for again after a reconnect when the server says "later"; 60 unless
    /// told. Its stream ends with [`Event::NotResumed`](crate::Event::NotResumed) then.
    pub fn resubscribes(mut self, attempts: NonZeroU32) -> Self {
        self.settings.resubscribes = attempts;
        self
    }

    /// How many answers are awaited at once, those of calls apart; 1,024 unless told. Further requests wait for their turn.
    pub fn in_flight(mut self, requests: NonZeroUsize) -> Self {
        self.in_flight = requests;
        self
    }

    /// How many calls are under way at once, apart from other requests; 64 unless told, which is what a server allows by
    /// default. Further calls wait for their turn, within their deadline.
    pub fn calls_in_flight(mut self, calls: NonZeroUsize) -> Self {
        self.calls_in_flight = calls;
        self
    }

    /// When calls are no longer tried.
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = breaker;
        self
    }

    /// The largest message that is taken from the server, bytes; 4 MiB unless told.
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.dialer.message_bytes = bytes;
        self
    }

    /// For `wss://`, trusts only the certificates in this PEM text; what browsers trust unless told.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.roots = Some(pem.into());
        self
    }

    /// Connects through streams that `open` makes from an endpoint's URL, tunnels for instance, or TLS of one's own. Within
    /// [`connect_timeout`](Self::connect_timeout), as TCP.
    pub fn connect_through<F, O, S>(mut self, open: F) -> Self
    where
        F: Fn(String) -> O + Send + Sync + 'static,
        O: Future<Output = io::Result<S>> + Send + 'static,
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.dialer.opener = Opener::Own(Arc::new(move |url| {
            let opening = open(url);
            Box::pin(async move { Ok(Box::new(opening.await?) as _) })
        }));
        self
    }

    /// Connects and waits for the server's welcome; each endpoint is tried once, in order, and the error is that of the last.
    /// To be called inside a tokio runtime, on which the client lives until the last handle of it is dropped.
    pub async fn connect(self) -> Result<Client, ConnectError> {
        let endpoints = self.endpoints()?;
        let dialer = self.dialer()?;
        let mut known = Endpoints::new(endpoints.clone(), self.endpoints_max);
        let mut last = None;
        for endpoint in endpoints {
            match dialer.dial(&endpoint).await {
                Ok(welcomed) => {
                    let policy = self.policy(known, endpoint);
                    return Ok(self.begin(welcomed, dialer, policy));
                }
                Err(error) => {
                    known.handle_failure(Instant::now().into_std(), &endpoint);
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| ConnectError::Url {
            url: String::new(),
            why: "no endpoint".into(),
        }))
    }

    /// Connects over a stream that is there already; the URL says what to ask for. The client ends with it, since it can't
    /// make another: see [`connect_through`](Self::connect_through).
    pub async fn connect_over<S>(mut self, stream: S) -> Result<Client, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.reconnect = Reconnect::never();
        let dialer = self.dialer.clone();
        let only = Endpoint::parse(&self.urls[0])?;
        let welcomed = dialer.shake(&only, Box::new(stream)).await?;
        let policy = self.policy(Endpoints::new(vec![only.clone()], 1), only);
        Ok(self.begin(welcomed, dialer, policy))
    }

    fn endpoints(&self) -> Result<Vec<Endpoint>, ConnectError> {
        self.urls.iter().map(|url| Endpoint::parse(url)).collect()
    }

    /// A server may name a `wss://` endpoint when none was given, so TLS is set up in any case.
    #[cfg(feature = "tls")]
    fn dialer(&self) -> Result<Dialer, ConnectError> {
        Ok(Dialer {
            tls: Some(Tls::new(self.roots.as_deref())?),
            ..self.dialer.clone()
        })
    }

    #[cfg(not(feature = "tls"))]
    #[allow(clippy::unnecessary_wraps)] // with TLS it may fail
    fn dialer(&self) -> Result<Dialer, ConnectError> {
        Ok(self.dialer.clone())
    }

    fn policy(&self, endpoints: Endpoints, first: Endpoint) -> Policy {
        Policy::new(self.reconnect, endpoints, first, fastrand::u64(..))
    }

    /// Starts the client's task.
    fn begin(&self, welcomed: Welcomed, dialer: Dialer, policy: Policy) -> Client {
        let (commands, commands_end) = mpsc::channel(COMMANDS);
        let (signals, signals_end) = mpsc::unbounded_channel();
        let (welcome_end, welcome) = watch::channel(welcomed.welcome.clone());
        let endpoint = policy.endpoint().to_string();
        let (state_end, state) = watch::channel(State::Connected { endpoint });
        let (closed_end, closed) = watch::channel(None);
        let (goaway_end, goaway) = watch::channel(None);
        let (strays_end, strays) = watch::channel((0, None));
        let channels = Channels {
            commands: commands_end,
            signals: signals_end,
            welcome: welcome_end,
            state: state_end,
            closed: closed_end,
            goaway: goaway_end,
            strays: strays_end,
        };
        tokio::spawn(Connection::new(
            welcomed,
            dialer,
            policy,
            self.settings,
            channels,
        ));
        let shared = Shared {
            welcome,
            state,
            times: self.times,
            in_flight: Arc::new(Semaphore::new(self.in_flight.get())),
            calls_in_flight: Arc::new(Semaphore::new(self.calls_in_flight.get())),
            circuit: Mutex::new(Circuit::new(self.breaker)),
            signals,
            closed,
            goaway,
            strays,
        };
        Client::new(Link {
            commands,
            shared: Arc::new(shared),
        })
    }
}
