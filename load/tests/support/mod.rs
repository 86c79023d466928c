//! A server of this protocol in a thread, that says what a test tells it to say.
//!
//! It speaks through tungstenite, so what the load tool sends is read by somebody else's code. One thread per connection; it
//! ends with its connection.
#![allow(dead_code, unreachable_pub)] // each test file is a crate of its own and uses a part

use pubsub_wire::Limits;
use pubsub_wire::command::{Command, parse};
use pubsub_wire::encode::{self, MsgView};
use pubsub_wire::value::{Bound, Dropped, From, Ledger, Overflow, Pending, Settings, Welcome};
use std::net::{SocketAddr, TcpListener, TcpStream};
use tungstenite::protocol::frame::Frame;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::{Message, WebSocket};

/// What a connection is sent, and when.
#[derive(Clone)]
pub enum Step {
    /// A message with this offset.
    Msg(i64),
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
    /// The answer to `subscribe` is an error.
    pub refuses: bool,
}

impl Script {
    /// So many messages, and books that close.
    pub fn honest(messages: i64) -> Self {
        Self {
            offset: 0,
            steps: (1..=messages).map(Step::Msg).collect(),
            delivered: Some(messages as u64),
            refuses: false,
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

fn speak(socket: TcpStream, script: &Script) -> tungstenite::Result<()> {
    let Ok(mut socket) = tungstenite::accept(socket) else {
        return Ok(());
    };
    say(&mut socket, |out| encode::welcome(out, &welcome()))?;
    let mut published = 0;
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
                for step in &script.steps {
                    take(&mut socket, &subscribe.topic, step)?;
                }
            }
            Command::Ledger { topic } => {
                if let Some(delivered) = script.delivered {
                    say(&mut socket, |out| {
                        encode::ledger(out, id, &topic, "e", &ledger(delivered));
                    })?;
                }
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

fn take(socket: &mut WebSocket<TcpStream>, topic: &str, step: &Step) -> tungstenite::Result<()> {
    match step {
        Step::Msg(offset) => {
            let ts = pubsub_load::clock::wall_us();
            let view = MsgView {
                sub: None,
                topic,
                offset: *offset,
                ts,
                key: None,
                data: b"{}",
            };
            say(socket, |out| encode::msg(out, &view))
        }
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

fn ledger(delivered: u64) -> Ledger {
    Ledger {
        published: delivered,
        delivered,
        filtered_by_rate: 0,
        conflated: 0,
        dropped: Dropped {
            drop_oldest: 0,
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
