//! What a client that behaves gets.
use super::harness::{Node, config};
use crate::config::{Defaults, Most};
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::value::{Bound, Overflow};
use std::io::{Read, Write};
use std::sync::atomic::Ordering::Relaxed;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::{Data, OpCode};
use tungstenite::protocol::frame::{CloseFrame, Frame};

#[test]
fn a_publication_reaches_its_subscribers_and_its_publisher_is_told() {
    let node = Node::start(config());
    let (mut reader, mut writer) = (node.client(), node.client());
    reader.subscribe("news.*");
    writer.say(r#"{"op":"publish","id":7,"topic":"news.eu","key":"k","data":{"a":[1, 2]}}"#);
    let published = writer.json();
    assert_eq!(
        (&published["op"], &published["id"]),
        (&"published".into(), &7.into())
    );
    let Message::Text(text) = reader.hear() else {
        panic!("no text")
    };
    assert!(text.contains(r#""data":{"a":[1, 2]}"#), "{text}");
    node.until("the counters are carried", |node| {
        node.slot(0).delivered.load(Relaxed) == 1 && node.slot(0).published.load(Relaxed) == 1
    });
}

#[test]
fn what_is_sent_behind_the_request_is_taken_as_the_first_command() {
    let node = Node::start(config());
    let mut socket = node.socket();
    let mut bytes = b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    let ping = br#"{"op":"ping","id":1}"#;
    bytes.extend_from_slice(&[0x81, 0x80 | ping.len() as u8, 0, 0, 0, 0]);
    bytes.extend_from_slice(ping);
    socket.write_all(&bytes).expect("sent");
    let mut heard = Vec::new();
    let mut byte = [0];
    while !heard.ends_with(b"\"pong\"") {
        socket.read_exact(&mut byte).expect("an answer");
        heard.push(byte[0]);
    }
}

#[test]
fn a_request_sent_byte_by_byte_is_answered() {
    let node = Node::start(config());
    let mut socket = node.socket();
    socket.set_nodelay(true).expect("set");
    for byte in b"GET /health HTTP/1.1\r\nHost: h\r\n\r\n" {
        socket.write_all(&[*byte]).expect("sent");
    }
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with(r#"{"node":"test","status":"ok","worker":0}"#),
        "{answer}"
    );
}

#[test]
fn a_command_in_fragments_with_a_ping_between_is_one_command() {
    let node = Node::start(config());
    let mut client = node.client();
    let text = br#"{"op":"ping","id":"in pieces"}"#;
    let parts = text.chunks(7);
    let last = parts.len() - 1;
    for (i, part) in parts.enumerate() {
        let opcode = if i == 0 { Data::Text } else { Data::Continue };
        let frame = Frame::message(part.to_vec(), OpCode::Data(opcode), i == last);
        client.socket.send(Message::Frame(frame)).expect("sent");
        let ping = vec![i as u8];
        client
            .socket
            .send(Message::Ping(ping.clone().into()))
            .expect("sent");
        loop {
            match client.hear() {
                Message::Pong(payload) => break assert_eq!(payload, ping),
                Message::Text(text) => assert!(i == last && text.contains("in pieces")),
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_large_command_arrives_over_several_reads() {
    let node = Node::start(config());
    let mut client = node.client();
    client.subscribe("large");
    let data = "x".repeat(200_000);
    client.say(&format!(
        r#"{{"op":"publish","topic":"large","data":"{data}"}}"#
    ));
    assert_eq!(client.json()["data"], data);
}

#[test]
fn a_close_is_answered_with_its_code_and_the_connection_ends() {
    let node = Node::start(config());
    let mut client = node.client();
    let frame = CloseFrame {
        code: 1000.into(),
        reason: "done".into(),
    };
    client.socket.close(Some(frame)).expect("sent");
    assert_eq!(client.close_code(), 1000);
    node.until("the seat is free", |node| node.connections() == 0);
}

#[test]
fn who_a_proxy_speaks_for_may_not_publish_where_only_loopback_may() {
    let node = Node::start(config());
    let request = http::Request::builder()
        .uri(format!("ws://{}/ws", node.address))
        .header("Host", "h")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("Sec-WebSocket-Version", "13")
        .header("X-Forwarded-For", "127.0.0.1")
        .body(())
        .expect("a request");
    let (socket, _) = tungstenite::client(request, node.socket()).expect("upgraded");
    let mut client = super::harness::Client { socket };
    client.json();
    client.say(r#"{"op":"publish","id":1,"topic":"t","data":1}"#);
    assert_eq!(client.json()["code"], "forbidden");
}

#[test]
fn echo_returns_texts_and_binaries_of_every_size() {
    let node = Node::start(config());
    let mut client = node.open("/echo");
    for size in [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20] {
        client
            .socket
            .send(Message::binary(vec![7; size]))
            .expect("sent");
        assert_eq!(client.hear().len(), size);
    }
    client.say("ä€😀");
    assert_eq!(client.hear(), Message::text("ä€😀"));
    client.socket.close(None).expect("sent");
    client.close_code();
}

#[test]
fn a_subscriber_that_stops_reading_for_a_while_loses_nothing_within_its_bound() {
    let mut roomy = config();
    // 20 MB are sent: far more than the kernel takes for a client that does not read.
    roomy.defaults = vec![Defaults {
        pattern: ">".to_owned(),
        bound: Bound {
            bytes: Some(64 << 20),
            ..Bound::default()
        },
        ..Defaults::default()
    }];
    let node = Node::start(roomy);
    let (mut reader, mut writer) = (node.client(), node.client());
    reader.subscribe("t");
    let data = "x".repeat(20_000);
    for n in 0..1000 {
        let id = if n == 999 { r#""id":1,"# } else { "" };
        writer.say(&format!(
            r#"{{"op":"publish",{id}"topic":"t","data":"{data}"}}"#
        ));
    }
    assert_eq!(writer.json()["op"], "published");
    let mut last = 0;
    while last < 1000 {
        let message = reader.json();
        if message["op"] == "msg" {
            last += 1;
            assert_eq!(message["offset"], last);
        }
    }
}

#[test]
fn a_subscriber_gets_what_the_node_has_for_its_pattern_and_no_more_than_it_may_ask_for() {
    let mut set_up = config();
    set_up.defaults = vec![Defaults {
        pattern: "news.*".to_owned(),
        bound: Bound {
            messages: Some(7),
            ..Bound::default()
        },
        overflow: Some(Overflow::Disconnect),
        ..Defaults::default()
    }];
    set_up.most = vec![Most {
        pattern: "news.>".to_owned(),
        bound: BoundLimits {
            messages: 9,
            ..set_up.limits.bound
        },
    }];
    let node = Node::start(set_up);
    let mut client = node.client();
    let mut settings = |topic: &str, bound: &str| {
        client.say(&format!(
            r#"{{"op":"subscribe","topic":"{topic}","bound":{bound}}}"#
        ));
        let settings = client.json()["settings"].take();
        (
            settings["bound"]["messages"].as_u64(),
            settings["overflow"].as_str().map(str::to_owned),
        )
    };
    let has = |messages: u64, overflow: &str| (Some(messages), Some(overflow.to_owned()));
    assert_eq!(settings("news.eu", "null"), has(7, "disconnect"));
    assert_eq!(
        settings("news.us", r#"{"messages":99}"#),
        has(9, "disconnect")
    );
    assert_eq!(settings("news.eu.de", "null"), has(9, "drop_oldest"));
    assert_eq!(settings("sport", "null"), has(1024, "drop_oldest"));
}

#[test]
fn accepted_sockets_have_what_the_listener_was_given() {
    let mut limited = config();
    limited.worker.send_buffer_bytes = 10_000;
    let node = Node::start(limited);
    // The options are set on the listener; what an accepted socket inherits is the kernel's word, so it is asked.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let front = crate::worker::front::Front::new(
        std::rc::Rc::new(node.config.clone()),
        std::sync::Arc::clone(&node.scoreboard),
        0,
        1,
    );
    crate::worker::accept::prepare(&listener, &front).expect("prepared");
    listener.set_nonblocking(false).expect("set");
    let _far = std::net::TcpStream::connect(listener.local_addr().expect("bound")).expect("there");
    let (near, _) = listener.accept().expect("accepted");
    let near = socket2::SockRef::from(&near);
    assert!(near.tcp_nodelay().expect("asked"));
    // The kernel doubles what it is given.
    assert_eq!(near.send_buffer_size().expect("asked"), 20_000);
    assert_eq!(near.tcp_notsent_lowat().expect("asked"), 16 << 10);
}
