//! Several workers behind one listener.
use super::harness::{Node, config};
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn connections_spread_evenly_over_the_workers() {
    let mut many = config();
    many.workers = 4;
    let node = Node::start(many);
    let clients: Vec<_> = (0..200).map(|_| node.client()).collect();
    for slot in 0..4 {
        let connections = node.slot(slot).connections.load(Relaxed);
        assert!((40..=60).contains(&connections), "{slot} has {connections}");
    }
    drop(clients);
    node.until("the seats are free", |node| node.connections() == 0);
}

#[test]
fn subscribers_of_different_workers_receive_the_same() {
    let mut many = config();
    many.workers = 2;
    let node = Node::start(many);
    let mut clients: Vec<_> = (0..10).map(|_| node.client()).collect();
    for client in &mut clients {
        client.subscribe("t");
    }
    clients[0].say(r#"{"op":"publish","topic":"t","data":"for all"}"#);
    for client in &mut clients {
        assert_eq!(client.json_of("msg")["data"], "for all");
    }
}

#[test]
fn when_the_hub_dies_connections_stay_and_are_told_of_the_gap() {
    let node = Node::start(config());
    node.hub.joined();
    let mut client = node.client();
    client.subscribe("t");
    client.say(r#"{"op":"publish","id":1,"topic":"t","data":1}"#);
    assert_eq!(client.json_of("msg")["data"], 1);
    node.hub.die();
    node.hub.joined();
    let gap = client.json_of("gap");
    assert_eq!(gap["reason"], "epoch", "{gap}");
    client.say(r#"{"op":"publish","id":2,"topic":"t","data":2}"#);
    assert_eq!(client.json_of("msg")["data"], 2);
}
