//! A server played by hand over a pipe in memory, and a clock that moves only when nothing else can.
//!
//! Tests run on tokio's paused clock: time stands still while any task can go on, so waiting for time is waiting until
//! everything that can happen has happened.
use futures::{SinkExt, StreamExt};
use pubsub_client::{
    Bound, Builder, Client, ErrorCode, From, Ledger, Limits, Overflow, Settings, Welcome,
};
use pubsub_wire::encode::{self, ErrorFrame, MsgView};
use pubsub_wire::{Id, command};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// Bytes each direction of the pipe holds, in the place of a kernel's buffers.
pub(crate) const PIPE: usize = 4096;

pub(crate) fn builder() -> Builder {
    Client::builder("ws://test.invalid")
}

pub(crate) async fn pair() -> (Client, Server) {
    pair_with(builder()).await
}

pub(crate) async fn pair_with(builder: Builder) -> (Client, Server) {
    let (near, far) = duplex(PIPE);
    let (client, server) = tokio::join!(builder.connect_over(near), Server::accept(far));
    (client.unwrap(), server)
}

/// Servers that can be dialed any number of times, each time over a new pipe.
pub(crate) struct Net {
    dialed: mpsc::UnboundedReceiver<(String, DuplexStream)>,
}

impl Net {
    pub(crate) fn new() -> (Builder, Self) {
        let (sender, dialed) = mpsc::unbounded_channel();
        let builder = builder().connect_through(move |url| {
            let (near, far) = duplex(PIPE);
            let sent = sender.send((url, far));
            async move { sent.map(|()| near).map_err(std::io::Error::other) }
        });
        (builder, Self { dialed })
    }

    /// The next attempt: which URL, and the far end. `None` once no further one can come.
    pub(crate) async fn dialed(&mut self) -> Option<(String, DuplexStream)> {
        soon(self.dialed.recv()).await
    }

    /// The next attempt succeeds.
    pub(crate) async fn accept(&mut self) -> Server {
        let (_, far) = self.dialed().await.expect("it dials");
        Server::accept(far).await
    }

    /// The next attempt is answered with this status.
    pub(crate) async fn refuse(&mut self, status: &str) -> String {
        let (url, mut far) = self.dialed().await.expect("it dials");
        let mut head = [0; 1024];
        assert!(far.read(&mut head).await.unwrap() > 0);
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        far.write_all(answer.as_bytes()).await.unwrap();
        url
    }

    pub(crate) async fn pair(builder: Builder, net: &mut Self) -> (Client, Server) {
        let (client, server) = tokio::join!(builder.connect(), net.accept());
        (client.unwrap(), server)
    }
}

/// What is awaited comes, or the test has failed; time stands still until then.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(3600);
    let came = tokio::time::timeout(limit, future).await;
    came.expect("nothing more can happen")
}

/// Waits until nothing can go on any more.
pub(crate) async fn quiet() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

pub(crate) struct Server<S = DuplexStream> {
    pub(crate) socket: WebSocketStream<S>,
}

#[allow(clippy::result_large_err, clippy::unnecessary_wraps)] // the shape tungstenite asks for
fn agree(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    assert_eq!(request.uri().path(), "/ws");
    let protocol = request.headers()["sec-websocket-protocol"].clone();
    assert_eq!(protocol, "pubsub.v1");
    response
        .headers_mut()
        .insert("sec-websocket-protocol", protocol);
    Ok(response)
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    /// The handshake and the welcome.
    pub(crate) async fn accept(stream: S) -> Self {
        let mut server = Self::shake(stream).await;
        let welcome = Welcome {
            session: "w0-1".into(),
            node: "test".into(),
            worker: 0,
            heartbeat_ms: 25_000,
            limits: Limits::default(),
        };
        server.say(|out| encode::welcome(out, &welcome)).await;
        server
    }

    pub(crate) async fn shake(stream: S) -> Self {
        let config = WebSocketConfig::default().write_buffer_size(0);
        let socket = accept_hdr_async_with_config(stream, agree, Some(config)).await;
        Self {
            socket: socket.unwrap(),
        }
    }

    pub(crate) async fn say(&mut self, build: impl FnOnce(&mut Vec<u8>)) {
        let mut text = Vec::new();
        build(&mut text);
        self.send(Message::text(String::from_utf8(text).unwrap()))
            .await;
    }

    pub(crate) async fn send(&mut self, message: Message) {
        self.socket.send(message).await.unwrap();
    }

    /// The next frame; `None` when the client is gone.
    pub(crate) async fn frame(&mut self) -> Option<Message> {
        soon(self.socket.next()).await.transpose().ok().flatten()
    }

    /// The next command, which the strict reader must take.
    pub(crate) async fn command(&mut self) -> Value {
        match self.frame().await {
            Some(Message::Text(text)) => {
                command::parse(&text, &Limits::default()).unwrap();
                serde_json::from_str(&text).unwrap()
            }
            other => panic!("{other:?}"),
        }
    }

    /// The next command, of that op; its id.
    pub(crate) async fn asked(&mut self, op: &str) -> Id {
        let command = self.command().await;
        assert_eq!(command["op"], op, "{command}");
        Id::from_json(&command["id"].to_string()).unwrap()
    }

    /// Takes a subscribe and answers it.
    pub(crate) async fn subscribe(&mut self, topic: &str) {
        let id = self.asked("subscribe").await;
        self.say(|out| encode::subscribed(out, Some(&id), topic, "e", 0, &settings()))
            .await;
    }

    /// Takes an unsubscribe and answers it.
    pub(crate) async fn unsubscribe(&mut self, topic: &str) {
        let id = self.asked("unsubscribe").await;
        self.say(|out| encode::unsubscribed(out, Some(&id), topic, &counts()))
            .await;
    }

    pub(crate) async fn msg(&mut self, topic: &str, offset: i64, data: &str) {
        let view = MsgView {
            sub: None,
            topic,
            offset,
            ts: 1,
            key: None,
            data: data.as_bytes(),
        };
        self.say(|out| encode::msg(out, &view)).await;
    }

    pub(crate) async fn refuse(&mut self, id: Option<&Id>, code: ErrorCode) {
        let frame = ErrorFrame {
            id,
            code,
            message: "no",
            field: None,
            retry_after_ms: Some(2_000),
        };
        self.say(|out| encode::error(out, &frame)).await;
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &str) {
        let frame = CloseFrame {
            code: code.into(),
            reason: reason.to_owned().into(),
        };
        self.send(Message::Close(Some(frame))).await;
    }

    /// The close code of the next frame, which is a close frame.
    pub(crate) async fn closed(&mut self) -> u16 {
        match self.frame().await {
            Some(Message::Close(Some(frame))) => frame.code.into(),
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        from: From::Live,
        rate: None,
        batch: None,
        bound: Bound {
            messages: Some(1024),
            ..Bound::default()
        },
        overflow: Overflow::DropOldest,
        credit: None,
    }
}

pub(crate) fn counts() -> Ledger {
    Ledger {
        published: 9,
        delivered: 9,
        ..Ledger::default()
    }
}
