//! What clients get that misbehave, and that the others never notice.
use super::harness::{Node, config};
use crate::telemetry::scoreboard::Rejected;
use std::io::{Read, Write};
use std::sync::atomic::Ordering::Relaxed;

/// Sends raw bytes as a client that was welcomed; the close code it gets.
fn close_code_after(node: &Node, bytes: &[u8]) -> u16 {
    let mut client = node.client();
    client.stream().write_all(bytes).expect("sent");
    client.close_code()
}

fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    assert!(payload.len() < 126);
    let mut out = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    out.extend_from_slice(payload);
    out
}

#[test]
fn frames_that_are_not_allowed_end_the_connection_with_their_code() {
    let node = Node::start(config());
    let mut neighbour = node.client();
    assert_eq!(close_code_after(&node, &[0x81, 1, b'x']), 1002);
    assert_eq!(close_code_after(&node, &masked(0x80, b"x")), 1002);
    assert_eq!(close_code_after(&node, &masked(0x82, b"x")), 1003);
    assert_eq!(close_code_after(&node, &masked(0x81, b"\xff")), 1007);
    let endless = [0x81, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(close_code_after(&node, &endless), 1009);
    neighbour.say(r#"{"op":"ping","id":1}"#);
    assert_eq!(neighbour.json()["op"], "pong");
    node.until("they are counted", |node| {
        node.slot(0).rejected(Rejected::Protocol).load(Relaxed) == 4
            && node.slot(0).rejected(Rejected::TooLarge).load(Relaxed) == 1
    });
}

#[test]
fn fragments_without_end_are_cut_at_the_size_of_a_message() {
    let mut limited = config();
    limited.limits.frame_bytes = 10_000;
    let node = Node::start(limited);
    let mut bytes = masked(0x01, b"{");
    for _ in 0..101 {
        bytes.extend(masked(0x00, &[b' '; 100]));
    }
    assert_eq!(close_code_after(&node, &bytes), 1009);
}

#[test]
fn what_comes_after_a_violation_does_not_eat_the_close_frame() {
    let node = Node::start(config());
    let mut bytes = vec![0x81, 1, b'x'];
    bytes.extend(vec![0; 100_000]);
    assert_eq!(close_code_after(&node, &bytes), 1002);
}

#[test]
fn requests_are_answered_as_they_deserve() {
    let node = Node::start(config());
    let status = |request: &str| node.ask(request)[9..12].to_owned();
    assert_eq!(status("GET /nowhere HTTP/1.1\r\nHost: h\r\n\r\n"), "404");
    assert_eq!(status("PUT /ws HTTP/1.1\r\nHost: h\r\n\r\n"), "405");
    assert_eq!(status("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n"), "426");
    assert_eq!(status("nonsense\r\n\r\n"), "400");
    let long = format!("GET /ws HTTP/1.1\r\nX: {}", "x".repeat(8192));
    assert_eq!(status(&long), "431");
    let foreign = "GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nOrigin: ";
    assert_eq!(
        status(&format!("{foreign}https://evil.example\r\n\r\n")),
        "403"
    );
    assert_eq!(status(&format!("{foreign}null\r\n\r\n")), "403");
    node.until("the seats are free", |node| node.connections() == 0);
}

#[test]
fn a_header_that_never_ends_is_cut_in_time() {
    let mut hasty = config();
    hasty.worker.handshake_ms = 50;
    let node = Node::start(hasty);
    let mut socket = node.socket();
    socket.write_all(b"GET /ws HTTP/1.1\r\nX: ").expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).expect("an end");
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let why = Rejected::HandshakeTimeout;
    assert_eq!(node.slot(0).rejected(why).load(Relaxed), 1);
}

#[test]
fn half_open_handshakes_give_way_to_honest_ones() {
    let mut small = config();
    small.worker.handshakes = 4;
    let node = Node::start(small);
    let silent: Vec<_> = (0..8).map(|_| node.socket()).collect();
    let mut client = node.client();
    client.say(r#"{"op":"ping","id":1}"#);
    assert_eq!(client.json()["op"], "pong");
    drop(silent);
    node.until("the seats are free", |node| node.connections() == 1);
}

#[test]
fn one_connection_too_many_is_told_so() {
    let mut small = config();
    small.worker.per_address = 2;
    let node = Node::start(small);
    let mut kept = [node.client(), node.client()];
    let answer = node.ask("GET /ws HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert_eq!(node.slot(0).rejected(Rejected::PerAddress).load(Relaxed), 1);
    kept[0].end();
    node.until("a seat is free", |node| node.connections() == 1);
    node.client();
}

#[test]
fn connections_that_are_reset_leave_nothing_behind() {
    let node = Node::start(config());
    for _ in 0..20 {
        let mut client = node.client();
        client.subscribe("t");
        let socket = socket2::SockRef::from(&*client.stream());
        let now = Some(std::time::Duration::ZERO);
        socket.set_linger(now).expect("set");
    }
    let mut writer = node.client();
    writer.say(r#"{"op":"publish","id":1,"topic":"t","data":1}"#);
    assert_eq!(writer.json()["op"], "published");
    node.until("the seats are free", |node| node.connections() == 1);
}
