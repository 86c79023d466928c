//! A WebSocket client that shows every frame as it came: what the tests look at, without a library's opinions.
use super::within_patience;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::SocketAddr;
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// How a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closing {
    /// With a close frame: code and reason.
    Frame(u16, String),
    /// With an empty close frame.
    NoCode,
    /// Without one.
    Cut,
}

impl Closing {
    /// The close code, where there was one.
    pub fn code(&self) -> Option<u16> {
        match self {
            Closing::Frame(code, _) => Some(*code),
            Closing::NoCode | Closing::Cut => None,
        }
    }
}

/// One connection that has had its `welcome`.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// Frames that came while an answer was waited for.
    waiting: VecDeque<Value>,
    closing: Option<Closing>,
    next_id: u64,
    /// The first frame.
    pub welcome: Value,
}

impl Socket {
    /// Connects to a node and waits for its `welcome`.
    pub async fn open(address: SocketAddr) -> Socket {
        let stream = within_patience("a connection", TcpStream::connect(address))
            .await
            .expect("the node accepts");
        Self::upgrade(stream, address).await
    }

    /// As [`open`](Self::open), with a small receive buffer, so that a pause in reading is soon felt by the server.
    pub async fn open_narrow(address: SocketAddr) -> Socket {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .set_recv_buffer_size(4096)
            .expect("a receive buffer can be small");
        let stream = within_patience("a connection", socket.connect(address))
            .await
            .expect("the node accepts");
        Self::upgrade(stream, address).await
    }

    async fn upgrade(stream: TcpStream, address: SocketAddr) -> Socket {
        Self::try_upgrade(stream, address)
            .await
            .expect("the node upgrades")
    }

    /// As [`open`](Self::open), with a receive buffer of so many bytes if any are said, where there may be no node or one that dies
    /// meanwhile.
    pub async fn reach(address: SocketAddr, receive_buffer: Option<u32>) -> Option<Socket> {
        let socket = TcpSocket::new_v4().expect("a socket");
        if let Some(bytes) = receive_buffer {
            socket
                .set_recv_buffer_size(bytes)
                .expect("a receive buffer can be small");
        }
        let connecting = within_patience("a connection or none", socket.connect(address));
        let stream = connecting.await.ok()?;
        Self::welcomed(stream, address).await.ok().flatten()
    }

    /// Upgrades a connection and waits for the `welcome`; fails as the library does.
    pub async fn try_upgrade(stream: TcpStream, address: SocketAddr) -> Result<Socket, Box<Error>> {
        let socket = Self::welcomed(stream, address).await?;
        Ok(socket.expect("the node welcomes who was upgraded"))
    }

    /// Nothing where the connection ends before there is a `welcome`.
    async fn welcomed(
        stream: TcpStream,
        address: SocketAddr,
    ) -> Result<Option<Socket>, Box<Error>> {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        let mut request = format!("ws://{address}/ws")
            .into_client_request()
            .expect("a good URL");
        request.headers_mut().insert(
            "sec-websocket-protocol",
            "pubsub.v1".parse().expect("a header value"),
        );
        let (stream, _) = within_patience("the upgrade", client_async(request, stream)).await?;
        let mut socket = Socket {
            stream,
            waiting: VecDeque::new(),
            closing: None,
            next_id: 1,
            welcome: Value::Null,
        };
        let Some(welcome) = socket.try_read().await else {
            return Ok(None);
        };
        assert_eq!(welcome["op"], "welcome", "the first frame is a welcome");
        socket.welcome = welcome;
        Ok(Some(socket))
    }

    /// The slot of the worker that holds this connection.
    pub fn worker(&self) -> u64 {
        self.welcome["worker"]
            .as_u64()
            .expect("welcome names the worker")
    }

    /// Sends a command as it stands.
    pub async fn send(&mut self, command: Value) {
        self.send_text(command.to_string()).await;
    }

    /// Sends one text frame.
    pub async fn send_text(&mut self, text: String) {
        self.stream
            .send(Message::text(text))
            .await
            .expect("the server reads");
    }

    /// Sends a command as it stands to a server that may be gone: then nothing comes back any more, which is seen by reading.
    pub async fn send_or_lose(&mut self, command: &Value) {
        let _ = self.stream.send(Message::text(command.to_string())).await;
    }

    /// Sends one text frame into the library's buffer; it leaves with the next flush or send.
    pub async fn feed_text(&mut self, text: String) {
        self.stream
            .feed(Message::text(text))
            .await
            .expect("the server reads");
    }

    /// Sends what was fed.
    pub async fn flush(&mut self) {
        self.stream.flush().await.expect("the server reads");
    }

    /// Sends `command` under a fresh id and gives its answer, an `error` too. What comes before it is kept for [`next`](Self::next).
    pub async fn ask(&mut self, mut command: Value) -> Value {
        let id = self.next_id;
        self.next_id += 1;
        command["id"] = json!(id);
        self.send(command).await;
        self.answer(&json!(id)).await
    }

    /// As [`ask`](Self::ask); nothing if the connection ends before there is an answer.
    pub async fn try_ask(&mut self, mut command: Value) -> Option<Value> {
        let id = json!(self.next_id);
        self.next_id += 1;
        command["id"] = id.clone();
        self.send_or_lose(&command).await;
        loop {
            let frame = self.try_read().await?;
            if frame.get("id") == Some(&id) {
                return Some(frame);
            }
            self.waiting.push_back(frame);
        }
    }

    /// The answer with `id`. What comes before it is kept for [`next`](Self::next).
    pub async fn answer(&mut self, id: &Value) -> Value {
        let mut before = VecDeque::new();
        loop {
            let frame = self.read().await;
            if frame.get("id") == Some(id) {
                self.waiting.append(&mut before);
                return frame;
            }
            before.push_back(frame);
        }
    }

    /// Subscribes to `topic` with further `fields` and gives the `subscribed`.
    pub async fn subscribe(&mut self, topic: &str, fields: Value) -> Value {
        let mut command = json!({"op": "subscribe", "topic": topic});
        let command_fields = command.as_object_mut().expect("an object");
        command_fields.extend(fields.as_object().expect("fields of subscribe").clone());
        let answer = self.ask(command).await;
        assert_eq!(answer["op"], "subscribed", "{answer}");
        answer
    }

    /// Publishes and gives the `published`.
    pub async fn publish(&mut self, topic: &str, key: Option<&str>, data: Value) -> Value {
        let answer = self
            .ask(json!({"op": "publish", "topic": topic, "key": key, "data": data}))
            .await;
        assert_eq!(answer["op"], "published", "{answer}");
        answer
    }

    /// Publishes `count` entries without waiting, `entry` telling key and data, and waits until the last is in the log; gives its `published`.
    pub async fn publish_many(
        &mut self,
        topic: &str,
        count: u64,
        entry: impl Fn(u64) -> (Option<String>, Value),
    ) -> Value {
        let mut last = Value::Null;
        for number in 0..count {
            let (key, data) = entry(number);
            if number + 1 == count {
                last = self.publish(topic, key.as_deref(), data).await;
            } else {
                self.feed_text(
                    json!({"op": "publish", "topic": topic, "key": key, "data": data}).to_string(),
                )
                .await;
            }
        }
        last
    }

    /// The ledger of a subscription, its residual checked to be 0.
    pub async fn ledger(&mut self, topic: &str) -> Value {
        let answer = self.ask(json!({"op": "ledger", "topic": topic})).await;
        assert_eq!(answer["op"], "ledger", "{answer}");
        assert_eq!(
            residual(&answer["ledger"]),
            0,
            "published is the sum of all others: {answer}"
        );
        answer["ledger"].clone()
    }

    /// The next frame that has not been given out.
    pub async fn next(&mut self) -> Value {
        match self.waiting.pop_front() {
            Some(frame) => frame,
            None => self.read().await,
        }
    }

    /// As [`next`](Self::next); nothing once the connection has ended.
    pub async fn try_next(&mut self) -> Option<Value> {
        match self.waiting.pop_front() {
            Some(frame) => Some(frame),
            None => self.try_read().await,
        }
    }

    /// A frame that came while an answer was waited for; nothing is read.
    pub fn waiting(&mut self) -> Option<Value> {
        self.waiting.pop_front()
    }

    /// The next frame with this `op`; others are passed over, an `error` is not.
    pub async fn next_op(&mut self, op: &str) -> Value {
        loop {
            let frame = self.next().await;
            if frame["op"] == op {
                return frame;
            }
            assert_ne!(frame["op"], "error", "waiting for {op}");
        }
    }

    /// The next answer, good or bad, whatever its id; data is passed over.
    pub async fn next_op_or_error(&mut self) -> Value {
        loop {
            let frame = self.next().await;
            if !["msg", "mode", "gap", "position"].contains(&frame["op"].as_str().expect("an op")) {
                return frame;
            }
        }
    }

    /// The answer with `id`, or the next error: a command that can't be read may have lost its id.
    pub async fn answer_or_error(&mut self, id: &Value) -> Value {
        loop {
            let frame = self.next_op_or_error().await;
            if frame.get("id") == Some(id) || frame["op"] == "error" {
                return frame;
            }
        }
    }

    /// The next `count` messages; other frames are passed over, an `error` or a `gap` is not.
    pub async fn messages(&mut self, count: usize) -> Vec<Value> {
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            let frame = self.next().await;
            match frame["op"].as_str() {
                Some("msg") => messages.push(frame),
                Some("gap" | "error" | "goaway") => {
                    panic!("message {} of {count} expected: {frame}", messages.len())
                }
                _ => {}
            }
        }
        messages
    }

    /// True when a pong comes back and neither message nor gap before it: no more data had been sent to this client.
    pub async fn is_quiet(&mut self) -> bool {
        let pong = self.ask(json!({"op": "ping"})).await;
        assert_eq!(pong["op"], "pong", "{pong}");
        !self
            .waiting
            .iter()
            .any(|frame| frame["op"] == "msg" || frame["op"] == "gap")
    }

    /// Reads on until the server closes; gives what came and how it ended.
    pub async fn rest(&mut self) -> (Vec<Value>, Closing) {
        let mut frames: Vec<Value> = self.waiting.drain(..).collect();
        while let Some(frame) = self.try_read().await {
            frames.push(frame);
        }
        (frames, self.closing.clone().expect("it has ended"))
    }

    /// Reads on until the server closes.
    pub async fn closed(&mut self) -> Closing {
        self.rest().await.1
    }

    async fn read(&mut self) -> Value {
        match self.try_read().await {
            Some(frame) => frame,
            None => panic!(
                "a frame was expected, but the connection ended: {:?}",
                self.closing
            ),
        }
    }

    async fn try_read(&mut self) -> Option<Value> {
        loop {
            match within_patience("a frame", self.stream.next()).await {
                Some(Ok(Message::Text(text))) => {
                    return Some(
                        serde_json::from_str(&text)
                            .unwrap_or_else(|error| panic!("{error} in {text}")),
                    );
                }
                Some(Ok(Message::Close(frame))) => {
                    self.closing = Some(frame.map_or(Closing::NoCode, |frame| {
                        Closing::Frame(frame.code.into(), frame.reason.to_string())
                    }));
                }
                Some(Ok(Message::Binary(_))) => panic!("a binary frame"),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    self.closing.get_or_insert(Closing::Cut);
                    return None;
                }
            }
        }
    }
}

/// The offset of a frame.
pub fn offset(frame: &Value) -> i64 {
    frame["offset"]
        .as_i64()
        .unwrap_or_else(|| panic!("no offset in {frame}"))
}

/// Published less all that a ledger accounts for.
pub fn residual(ledger: &Value) -> i64 {
    let count = |pointer: &str| match ledger.pointer(pointer) {
        Some(Value::Null) if pointer == "/pending/spilled" => 0,
        Some(number) if number.is_i64() || number.is_u64() => number.as_i64().expect("it fits"),
        other => panic!("{pointer} is {other:?} in {ledger}"),
    };
    let accounted = [
        "/delivered",
        "/filtered_by_rate",
        "/conflated",
        "/dropped/drop_oldest",
        "/dropped/drop_newest",
        "/dropped/memory",
        "/expired",
        "/retention",
        "/pending/memory",
        "/pending/spilled",
    ];
    count("/published") - accounted.iter().map(|pointer| count(pointer)).sum::<i64>()
}
