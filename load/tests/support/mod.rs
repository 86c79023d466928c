//! A server of this protocol in a thread, that says what a test tells it to say.
//!
//! It speaks through tungstenite, so what the load tool sends is read by somebody else's code. One thread per connection; it
//! ends with its connection.
#![allow(dead_code, unreachable_pub)] // each test file is a crate of its own and uses a part

use pubsub_wire::Limits;
use pubsub_wire::command::{Command, Id, parse};
use pubsub_wire::encode::{self, MsgView, Place};
use pubsub_wire::value::{
    Bound, Dropped, From, Lag, Ledger, Mode, Overflow, Pending, Settings, Welcome,
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener, TcpStream};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

/// What a connection is sent, and when.
#[derive(Clone)]
pub enum Step {
    /// A message with this offset.
    Msg(i64),
    /// A message with this key and offset, released by a rate; the offset to resume after.
    Released(&'static str, i64, i64),
    /// A batch of messages with these offsets.
    Batch(Vec<i64>),
    /// From here on the subscription is in this mode.
    Mode(Mode),
    /// A `gap` that says so many up to this offset were lost.
    Gap { to: i64, count: u64 },
    /// Any text.
    Text(String),
    /// One text in so many fragments, with a ping after the first.
    Fragments(String, usize),
    /// A binary frame.
    Binary,
    /// A ping frame.
    Ping,
    /// A close frame with this code.
    Close(u16),
}

/// How a connection is treated.
#[derive(Clone)]
pub struct Script {
    /// Where the subscription stands.
    pub offset: i64,
    /// What follows `subscribed`.
    pub steps: Vec<Step>,
    /// What the ledger says was delivered; `None`: it is not answered.
    pub delivered: Option<u64>,
    /// What the ledger says was lost, by dropping the oldest.
    pub lost: u64,
    /// The answer to `subscribe` is an error.
    pub refuses: bool,
    /// How calls are answered.
    pub calls: Answer,
}

/// How a call is answered.
#[derive(Clone, Copy)]
pub enum Answer {
    /// As it should be.
    Right,
    /// With what another call asked for.
    Wrong,
    /// With an error of this code.
    Error(&'static str),
    /// Never.
    None,
}

impl Script {
    /// So many messages, and books that close.
    pub fn honest(messages: i64) -> Self {
        Self {
            offset: 0,
            steps: (1..=messages).map(Step::Msg).collect(),
            delivered: Some(messages as u64),
            lost: 0,
            refuses: false,
            calls: Answer::Right,
        }
    }
}

/// Serves every connection by this script; where.
pub fn serve(script: Script) -> SocketAddr {
    serve_each(vec![script])
}

/// Serves each connection by the next of these scripts, those that come later by the last.
pub fn serve_each(scripts: Vec<Script>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, socket) in listener.incoming().map_while(Result::ok).enumerate() {
            let script = scripts[number.min(scripts.len() - 1)].clone();
            std::thread::spawn(move || {
                // It ends with the client, in whatever way.
                let _ = speak(socket, &script);
            });
        }
    });
    addr
}

/// Answers a `subscribe` and closes the socket without a word.
pub fn subscribe_and_go(socket: TcpStream) {
    let Ok(mut socket) = tungstenite::accept(socket) else {
        return;
    };
    if socket.read().is_ok() {
        let subscribed = |out: &mut Vec<u8>| {
            encode::subscribed(out, Some(&Id::number(1)), "t", "e", 0, &settings());
        };
        let _ = say(&mut socket, subscribed);
    }
}

/// A subscription and what is still to be sent to it.
struct Serving {
    topic: String,
    steps: VecDeque<Step>,
    demand: u64,
}

impl Serving {
    /// Sends what there is demand for.
    fn go_on(&mut self, socket: &mut WebSocket<TcpStream>) -> tungstenite::Result<()> {
        while let Some(cost) = self
            .steps
            .front()
            .map(cost)
            .filter(|cost| *cost <= self.demand)
        {
            self.demand -= cost;
            let step = self.steps.pop_front().expect("the one in front");
            take(socket, &self.topic, &step)?;
        }
        Ok(())
    }
}

/// Messages in a step.
fn cost(step: &Step) -> u64 {
    match step {
        Step::Msg(_) | Step::Released(..) => 1,
        Step::Batch(offsets) => offsets.len() as u64,
        _ => 0,
    }
}

fn speak(socket: TcpStream, script: &Script) -> tungstenite::Result<()> {
    let Ok(mut socket) = tungstenite::accept(socket) else {
        return Ok(());
    };
    say(&mut socket, |out| encode::welcome(out, &welcome()))?;
    let mut published = 0;
    let mut serving: Option<Serving> = None;
    loop {
        let Message::Text(text) = socket.read()? else {
            continue;
        };
        let request = parse(&text, &Limits::default()).expect("the load tool's commands are right");
        let id = request.id.as_ref();
        match request.command {
            Command::Subscribe(subscribe) if script.refuses => {
                let text = format!(
                    r#"{{"op":"error","id":1,"code":"limit","message":"no room for {}"}}"#,
                    subscribe.topic
                );
                socket.send(Message::text(text))?;
            }
            Command::Subscribe(subscribe) => {
                say(&mut socket, |out| {
                    encode::subscribed(out, id, &subscribe.topic, "e", script.offset, &settings());
                })?;
                let begun = serving.insert(Serving {
                    topic: subscribe.topic,
                    steps: script.steps.clone().into(),
                    demand: subscribe.credit.unwrap_or(u64::MAX),
                });
                begun.go_on(&mut socket)?;
            }
            Command::Credit { n, .. } => {
                let serving = serving.as_mut().expect("credit for a subscription");
                serving.demand += n;
                serving.go_on(&mut socket)?;
            }
            Command::Ledger { topic } => {
                if let Some(delivered) = script.delivered {
                    let ledger = ledger(delivered, script.lost);
                    say(&mut socket, |out| {
                        encode::ledger(out, id, &topic, "e", &ledger);
                    })?;
                }
            }
            Command::Call(call) => {
                let params: Value = serde_json::from_str(call.params).unwrap();
                answer(&mut socket, id, script.calls, &params)?;
            }
            Command::Publish(publish) => {
                published += 1;
                say(&mut socket, |out| {
                    encode::published(out, id, &publish.topic, "e", published);
                })?;
            }
            other => panic!("unexpected: {other:?}"),
        }
    }
}

/// An echo without its executions, or an order that was filled.
fn answer(
    socket: &mut WebSocket<TcpStream>,
    id: Option<&Id>,
    how: Answer,
    params: &Value,
) -> tungstenite::Result<()> {
    let mut result = match params.get("client_order_id") {
        Some(client) => json!({"order_id": "o", "client_order_id": client, "status": "filled"}),
        None => {
            json!({"request": params["request"], "timestamp": params["timestamp"], "address": params["address"]})
        }
    };
    match how {
        Answer::Right => {}
        Answer::Wrong => result["request"] = json!(-1),
        Answer::Error(code) => {
            let id = id.expect("a call has an id").as_json();
            let text = format!(r#"{{"op":"error","id":{id},"code":"{code}","message":"no"}}"#);
            return socket.send(Message::text(text));
        }
        Answer::None => return Ok(()),
    }
    say(socket, |out| encode::reply(out, id, &result.to_string()))
}

fn take(socket: &mut WebSocket<TcpStream>, topic: &str, step: &Step) -> tungstenite::Result<()> {
    let plain = Place::default();
    match step {
        Step::Msg(offset) => say(socket, |out| {
            encode::msg_at(out, &view(topic, *offset, None), plain);
        }),
        Step::Released(key, offset, resume) => {
            let place = Place {
                resume: Some(*resume),
                ..plain
            };
            say(socket, |out| {
                encode::msg_at(out, &view(topic, *offset, Some(key)), place);
            })
        }
        Step::Batch(offsets) => {
            let items = offsets
                .iter()
                .map(|offset| (view(topic, *offset, None), plain));
            say(socket, |out| encode::batch(out, topic, items))
        }
        Step::Mode(mode) => say(socket, |out| {
            encode::mode(out, topic, *mode, &Lag::default());
        }),
        Step::Gap { to, count } => {
            let from = to - *count as i64 + 1;
            let text = format!(
                r#"{{"op":"gap","topic":"{topic}","from":{from},"to":{to},"count":{count},"reason":"drop_oldest","epoch":"e","offset":{to}}}"#
            );
            socket.send(Message::text(text))
        }
        Step::Text(text) => socket.send(Message::text(text.as_str())),
        Step::Fragments(text, n) => fragments(socket, text, *n),
        Step::Binary => socket.send(Message::binary(vec![1])),
        Step::Ping => socket.send(Message::Ping(vec![7].into())),
        Step::Close(code) => socket.close(Some(tungstenite::protocol::CloseFrame {
            code: (*code).into(),
            reason: "".into(),
        })),
    }
}

fn view<'a>(topic: &'a str, offset: i64, key: Option<&'a str>) -> MsgView<'a> {
    MsgView {
        sub: None,
        topic,
        offset,
        ts: pubsub_load::clock::wall_us(),
        key,
        data: b"{}",
    }
}

fn fragments(socket: &mut WebSocket<TcpStream>, text: &str, n: usize) -> tungstenite::Result<()> {
    let pieces: Vec<&[u8]> = text.as_bytes().chunks(text.len().div_ceil(n)).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 {
            Data::Text
        } else {
            Data::Continue
        };
        let last = number + 1 == pieces.len();
        let frame = Frame::message(piece.to_vec(), OpCode::Data(kind), last);
        socket.send(Message::Frame(frame))?;
        if number == 0 {
            socket.send(Message::Ping(vec![1].into()))?;
        }
    }
    Ok(())
}

fn say(
    socket: &mut WebSocket<TcpStream>,
    write: impl FnOnce(&mut Vec<u8>),
) -> tungstenite::Result<()> {
    let mut payload = Vec::new();
    write(&mut payload);
    socket.send(Message::text(String::from_utf8(payload).unwrap()))
}

fn welcome() -> Welcome {
    Welcome {
        session: "s".into(),
        node: "n".into(),
        worker: 3,
        heartbeat_ms: 25_000,
        limits: Limits::default(),
    }
}

fn settings() -> Settings {
    Settings {
        from: From::Live,
        rate: None,
        batch: None,
        bound: Bound::default(),
        overflow: Overflow::DropOldest,
        credit: None,
    }
}

fn ledger(delivered: u64, lost: u64) -> Ledger {
    Ledger {
        published: delivered + lost,
        delivered,
        filtered_by_rate: 0,
        conflated: 0,
        dropped: Dropped {
            drop_oldest: lost,
            drop_newest: 0,
            memory: 0,
        },
        expired: 0,
        retention: 0,
        pending: Pending {
            memory: 0,
            spilled: None,
        },
    }
}
