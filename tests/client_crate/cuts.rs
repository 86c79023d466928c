//! A client behind a proxy that cuts each of its connections at a random byte, while publications go on: nothing is lost,
//! nothing comes twice, and what may have been carried out is never repeated.
use crate::harness::{Node, PATIENCE, within_patience};
use pubsub_client::{
    CallError, Client, Event, Overflow, Published, Reconnect, RequestError, Subscription,
};
use serde_json::json;
use socket2::SockRef;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Connections that are cut, one after the other. The next one stays.
const CUTS: usize = 1_000;
/// A connection is cut after at most as many bytes, both ways together: some in the handshake, some in the welcome, most in
/// the stream.
const BYTES: usize = 5_000;
/// The last publication of a topic; its reader ends there.
const LAST: u64 = u64::MAX;

/// Relays connections to the node, and cuts them.
struct Proxy {
    address: SocketAddr,
    /// How many it has cut.
    cuts: watch::Receiver<usize>,
}

impl Proxy {
    async fn before(node: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (sender, cuts) = watch::channel(0);
        tokio::spawn(async move {
            let mut random = fastrand::Rng::with_seed(seed);
            while let Ok((mut near, _)) = listener.accept().await {
                let Ok(far) = TcpStream::connect(node).await else {
                    continue;
                };
                if *sender.borrow() == CUTS {
                    relay(&mut near, far, usize::MAX).await;
                    continue;
                }
                relay(&mut near, far, random.usize(1..=BYTES)).await;
                if random.bool() {
                    // Reset, so that what is under way to the client may be lost as well.
                    let at_once = Some(Duration::ZERO);
                    SockRef::from(&near)
                        .set_linger(at_once)
                        .expect("it can linger");
                }
                sender.send_modify(|cuts| *cuts += 1);
            }
        });
        Self { address, cuts }
    }
}

/// Until so many bytes have passed, or one side ends.
async fn relay(near: &mut TcpStream, mut far: TcpStream, mut bytes: usize) {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    while bytes > 0 {
        let passed = tokio::select! {
            read = near.read(&mut up) => match read {
                Ok(count) if count > 0 => far.write_all(&up[..count.min(bytes)]).await.map(|()| count),
                _ => return,
            },
            read = far.read(&mut down) => match read {
                Ok(count) if count > 0 => near.write_all(&down[..count.min(bytes)]).await.map(|()| count),
                _ => return,
            },
        };
        match passed {
            Ok(count) => bytes = bytes.saturating_sub(count),
            Err(_) => return,
        }
    }
}

/// What a reader got, up to the last.
#[derive(Debug, Default)]
struct Got {
    numbers: Vec<u64>,
    resumed: usize,
}

async fn read(mut stream: Subscription) -> Got {
    let mut got = Got::default();
    loop {
        match within_patience("an event", stream.next()).await {
            Some(Event::Message(message)) => match message.json().expect("a number") {
                LAST => return got,
                number => got.numbers.push(number),
            },
            Some(Event::Resumed { lost, .. }) => {
                assert!(!lost, "everything is held");
                got.resumed += 1;
            }
            Some(Event::Mode { .. } | Event::Position(_)) => {}
            other => panic!("{other:?}"),
        }
    }
}

/// Publishes numbers to two topics in turn, past all cuts; how many.
async fn publish(client: Client, mut cuts: watch::Receiver<usize>) -> u64 {
    let topic = |number: u64| ["one", "two.x"][usize::from(number % 2 == 1)];
    let mut number = 0;
    while *cuts.borrow_and_update() < CUTS {
        let publishing = client.publish(topic(number), &number);
        publishing.await.expect("the publisher's connection stays");
        number += 1;
    }
    for topic in ["one", "two.x"] {
        client.publish(topic, &LAST).await.expect("it is published");
    }
    number
}

/// What became of publications over connections that are cut.
#[derive(Debug, Default)]
struct Outcomes {
    acknowledged: BTreeSet<u64>,
    unknown: BTreeSet<u64>,
}

async fn publish_over_cuts(client: Client, cuts: watch::Receiver<usize>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut number = 0;
    while *cuts.borrow() < CUTS {
        match client.publish("via", &number).await {
            Ok(Published { .. }) => outcomes.acknowledged.insert(number),
            Err(RequestError::UnknownOutcome(_)) => outcomes.unknown.insert(number),
            Err(other) => panic!("{other}"),
        };
        number += 1;
    }
    while client.publish("via", &LAST).await.is_err() {}
    outcomes
}

/// How many calls were answered, and of how many it isn't known.
async fn call_over_cuts(client: Client, cuts: watch::Receiver<usize>) -> (usize, usize) {
    let (mut answered, mut unknown) = (0, 0);
    let account = json!({"account": "nobody"});
    while *cuts.borrow() < CUTS {
        let call = client.call("order.list", &account);
        match call.await {
            Ok(reply) => assert_eq!(reply.get(), r#"{"orders":[],"more":false}"#),
            Err(CallError::UnknownOutcome { .. }) => unknown += 1,
            Err(other) => panic!("{other}"),
        }
        let repeated = client.call("order.list", &account).idempotent().await;
        repeated.expect("it is sent until it is answered");
        answered += 1;
    }
    (answered, unknown)
}

#[tokio::test]
async fn over_a_thousand_cuts_nothing_is_lost_and_nothing_comes_twice() {
    let seed = std::env::var("PUBSUB_SEED").map_or(5, |seed| seed.parse().expect("a number"));
    println!("seed {seed} (PUBSUB_SEED)");
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let proxy = Proxy::before(node.listen, seed).await;
    let publisher = Client::builder(node.url())
        .connect()
        .await
        .expect("a connection");
    let reconnect = Reconnect::default()
        .min_wait(Duration::from_millis(1))
        .max_wait(Duration::from_millis(4));
    let url = format!("ws://{}", proxy.address);
    let client = loop {
        // The proxy cuts first connections too.
        let connecting = Client::builder(&url)
            .reconnect(reconnect)
            .request_timeout(PATIENCE)
            .call_timeout(PATIENCE)
            .connect();
        if let Ok(client) = connecting.await {
            break client;
        }
    };
    let mut readers = Vec::new();
    for topic in ["one", "two.*", "via"] {
        let stream = client.subscribe(topic).overflow(Overflow::Spill).await;
        readers.push(tokio::spawn(read(stream.expect("subscribed"))));
    }
    let cuts = || proxy.cuts.clone();
    let publishing = tokio::spawn(publish(publisher, cuts()));
    let outcomes = tokio::spawn(publish_over_cuts(client.clone(), cuts()));
    let calls = tokio::spawn(call_over_cuts(client, cuts()));

    let total = publishing.await.expect("it publishes");
    let outcomes = outcomes.await.expect("it publishes");
    let (answered, unknown) = calls.await.expect("it calls");
    let [one, two, via] = <[_; 3]>::try_from(readers).expect("three");
    let [one, two, via] = [one.await, two.await, via.await].map(|got| got.expect("it reads"));

    println!(
        "{CUTS} cuts: {total} published, resumed {} {} {} times; over the cut connections {} published, {} of them unknown; \
         {answered} calls repeated until answered, {unknown} others unknown",
        one.resumed,
        two.resumed,
        via.resumed,
        outcomes.acknowledged.len() + outcomes.unknown.len(),
        outcomes.unknown.len(),
    );
    let sent = |odd| (0..total).filter(move |number| number % 2 == odd);
    assert!(
        one.numbers.iter().copied().eq(sent(0)),
        "one: {:?}",
        one.numbers
    );
    assert!(
        two.numbers.iter().copied().eq(sent(1)),
        "two: {:?}",
        two.numbers
    );
    // Not in the order of asking: the node may take what is left of a cut connection after what came over the next.
    let count = via.numbers.len();
    let arrived: BTreeSet<u64> = via.numbers.into_iter().collect();
    assert_eq!(arrived.len(), count, "none twice");
    assert!(
        arrived.is_superset(&outcomes.acknowledged),
        "acknowledged is in the log"
    );
    let strange: Vec<_> = arrived
        .iter()
        .filter(|number| {
            !outcomes.acknowledged.contains(number) && !outcomes.unknown.contains(number)
        })
        .collect();
    assert!(strange.is_empty(), "never sent: {strange:?}");
}
