//! How a worker ends.
use super::harness::{Node, config};
use crate::link::control::{DrainReason, Order, Report};
use crate::telemetry::scoreboard::State;
use std::sync::atomic::Ordering::Relaxed;

fn drain(reason: DrainReason) -> Order {
    Order::Drain {
        reason,
        window_ms: 500,
    }
}

#[test]
fn a_node_that_stops_tells_its_clients_closes_them_and_answers_503_meanwhile() {
    let mut node = Node::start(config());
    let mut clients = [node.client(), node.client()];
    node.scoreboard.node().draining.store(1, Relaxed);
    node.workers[0].order(&drain(DrainReason::Shutdown));
    let goaway = clients[0].json_of("goaway");
    assert_eq!(goaway["reason"], "shutdown");
    let answer = node.ask("GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"));
    assert_eq!(node.slot(0).state(), State::Draining);
    for client in &mut clients {
        assert_eq!(client.close_code(), 1001);
    }
    let worker = node.workers.remove(0);
    assert_eq!(worker.report(), Report::Drained);
    assert!(worker.thread.join().expect("no panic").is_ok());
}

#[test]
fn a_worker_that_is_replaced_leaves_new_connections_to_the_others() {
    let mut many = config();
    many.workers = 2;
    let mut node = Node::start(many);
    let mut clients: Vec<_> = (0..4).map(|_| node.client()).collect();
    let mut leaving = node.workers.remove(0);
    leaving.order(&drain(DrainReason::Restart));
    assert_eq!(leaving.report(), Report::Drained);
    assert!(leaving.thread.join().expect("no panic").is_ok());
    let before = node.slot(1).connections.load(Relaxed);
    clients.extend((0..4).map(|_| node.client()));
    assert_eq!(node.slot(1).connections.load(Relaxed), before + 4);
}

#[test]
fn a_client_that_does_not_read_is_closed_hard_at_the_end() {
    let mut limited = config();
    limited.worker.send_buffer_bytes = 8192;
    let mut node = Node::start(limited);
    let (mut stuck, mut writer) = (node.client(), node.client());
    stuck.subscribe("t");
    let data = "x".repeat(100_000);
    for _ in 0..100 {
        writer.say(&format!(
            r#"{{"op":"publish","topic":"t","data":"{data}"}}"#
        ));
    }
    writer.end();
    node.workers[0].order(&drain(DrainReason::Shutdown));
    let worker = node.workers.remove(0);
    assert_eq!(worker.report(), Report::Drained);
    assert!(worker.thread.join().expect("no panic").is_ok());
}

#[test]
fn an_order_to_stop_ends_it_at_once() {
    let mut node = Node::start(config());
    let _client = node.client();
    node.workers[0].order(&Order::Stop);
    let worker = node.workers.remove(0);
    assert!(worker.thread.join().expect("no panic").is_ok());
}

#[test]
fn a_supervisor_that_is_gone_changes_nothing() {
    let mut node = Node::start(config());
    let worker = node.workers.remove(0);
    worker
        .orders
        .shutdown(std::net::Shutdown::Both)
        .expect("gone");
    drop(worker.reports);
    let mut client = node.client();
    client.say(r#"{"op":"ping","id":1}"#);
    assert_eq!(client.json()["op"], "pong");
}

#[test]
fn the_slowest_subscriptions_are_told_when_asked() {
    let mut limited = config();
    limited.worker.send_buffer_bytes = 8192;
    let mut node = Node::start(limited);
    let (mut slow, mut writer) = (node.client(), node.client());
    slow.subscribe("t");
    let data = "x".repeat(100_000);
    for n in 0..60 {
        let id = if n == 59 { r#""id":1,"# } else { "" };
        writer.say(&format!(
            r#"{{"op":"publish",{id}"topic":"t","data":"{data}"}}"#
        ));
    }
    writer.json();
    node.workers[0].order(&Order::Slow { id: 5, n: 10 });
    let Report::Slow { id, rows } = node.workers[0].report() else {
        panic!("another report")
    };
    assert_eq!((id, rows.len()), (5, 1));
    assert_eq!(rows[0].topic, "t");
}

#[test]
fn a_new_life_of_a_slot_goes_on_counting() {
    let mut node = Node::start(config());
    node.client();
    node.workers[0].order(&Order::Stop);
    let worker = node.workers.remove(0);
    worker.thread.join().expect("no panic").expect("it stopped");
    let again = node.worker(0, 1);
    assert_eq!(again.report(), Report::Ready);
    let mut client = node.client();
    client.say(r#"{"op":"ping"}"#);
    client.json();
    node.until("the counters go on", |node| {
        node.slot(0).accepted_total.load(Relaxed) == 2
            && node.slot(0).sessions_total.load(Relaxed) == 2
    });
    assert_eq!(node.connections(), 1);
    drop(again);
}

#[test]
fn a_worker_asked_to_end_drains_for_a_restart() {
    let mut many = config();
    many.workers = 2;
    many.drain_ms = 100;
    let mut node = Node::start(many);
    node.workers[0].order(&Order::Stop);
    let first = node.workers.remove(0);
    first.thread.join().expect("no panic").expect("it stopped");
    let (ask, asked) = tokio::sync::oneshot::channel::<()>();
    let terminate = Box::pin(async move { drop(asked.await) });
    let again = node.worker_until(0, 1, Some(terminate));
    assert_eq!(again.report(), Report::Ready);
    let mut clients = [node.client(), node.client()];
    node.until("it has one of them", |node| {
        node.slot(0).connections.load(Relaxed) > 0
    });
    ask.send(()).expect("it listens");
    assert_eq!(again.report(), Report::Drained);
    assert!(again.thread.join().expect("no panic").is_ok());
    assert_eq!(node.slot(0).state(), State::Draining);
    clients.iter_mut().for_each(super::harness::Client::end);
}

#[test]
fn a_client_that_never_ends_after_its_close_is_let_go() {
    let node = Node::start(config());
    let mut client = node.client();
    std::io::Write::write_all(client.stream(), &[0x81, 1, b'x']).expect("sent");
    while !matches!(client.hear(), tungstenite::Message::Close(_)) {}
    node.until("its seat is free", |node| node.connections() == 0);
}
