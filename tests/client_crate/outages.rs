//! A node that loses a process, and a node that goes: the client's streams go on, and say where they can't exactly.
use crate::harness::{Node, within_patience};
use pubsub_client::{Client, Event, GapReason, Reconnect, State, Subscription};
use rustix::process::Signal;
use std::time::Duration;

async fn event(stream: &mut Subscription) -> Event {
    loop {
        match within_patience("an event", stream.next()).await {
            Some(Event::Mode { .. } | Event::Position(_)) => {}
            Some(event) => return event,
            None => panic!("the stream goes on"),
        }
    }
}

async fn number(stream: &mut Subscription) -> u64 {
    match event(stream).await {
        Event::Message(message) => message.json().expect("a number"),
        other => panic!("a message was expected: {other:?}"),
    }
}

async fn client(builder: pubsub_client::Builder) -> Client {
    let reconnect = Reconnect::default().max_wait(Duration::from_millis(50));
    let connecting = builder.reconnect(reconnect).connect();
    within_patience("a connection", connecting)
        .await
        .expect("the node welcomes")
}

#[tokio::test]
async fn when_its_worker_is_killed_a_stream_goes_on_with_another() {
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let reader = client(Client::builder(node.url())).await;
    let mut stream = reader.subscribe("t").await.expect("subscribed");
    let worker = u64::from(reader.welcome().worker);
    node.signal(node.worker_pid(worker).await, Signal::KILL);
    let publisher = loop {
        // One that lands on the same worker before it is gone comes again.
        let publisher = client(Client::builder(node.url())).await;
        if publisher.publish("t", &1).await.is_ok() {
            break publisher;
        }
    };
    publisher.publish("t", &2).await.expect("it is published");
    let mut numbers = Vec::new();
    let mut resumed = 0;
    while numbers.last() != Some(&2) {
        match event(&mut stream).await {
            Event::Message(message) => numbers.push(message.json::<u64>().expect("a number")),
            Event::Resumed { lost, .. } => {
                assert!(!lost);
                resumed += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(resumed, 1);
    assert!(
        numbers.iter().all(|number| [1, 2].contains(number)),
        "{numbers:?}"
    );
}

#[tokio::test]
async fn when_a_node_goes_a_client_goes_to_the_other_and_is_told_that_its_log_is_another() {
    let mut first = Node::start(&["--workers", "1", "--source", "none", "--drain", "300ms"]).await;
    let second = Node::start(&["--workers", "1", "--source", "none"]).await;
    let builder = Client::builder(first.url()).endpoint(second.url());
    let reader = client(builder).await;
    let mut states = reader.states();
    let mut stream = reader.subscribe("t").await.expect("subscribed");
    reader.publish("t", &1).await.expect("it is published");
    assert_eq!(number(&mut stream).await, 1);
    first.signal(first.pid, Signal::TERM);
    let goaway = within_patience("a goaway", reader.goaway()).await;
    assert!(goaway.is_some());
    let other = second.url();
    while !matches!(
        within_patience("the other node", states.next()).await,
        Some(State::Connected { endpoint, .. }) if endpoint == other
    ) {}
    reader.publish("t", &2).await.expect("it is published");
    assert!(matches!(
        event(&mut stream).await,
        Event::Resumed { lost: true, .. }
    ));
    let Event::Gap(gap) = event(&mut stream).await else {
        panic!("a gap was expected")
    };
    assert_eq!(gap.reason, GapReason::Epoch);
    assert_eq!(number(&mut stream).await, 2);
    assert_eq!(first.exited().await.code(), Some(0));
}
