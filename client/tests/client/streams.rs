//! Subscriptions as streams: order, bounds, endings.
use crate::support::{self, PIPE, Server, builder, counts, pair, pair_with, quiet, soon};
use pubsub_client::{
    Batch, Client, Closed, Else, ErrorCode, Event, From, Gap, GapReason, Lag, Mode, Position,
    RequestError, Subscription,
};
use pubsub_wire::encode::{self, MsgView, Place};
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

async fn subscribed(client: &Client, server: &mut Server, topic: &str) -> Subscription {
    let (subscription, ()) = tokio::join!(client.subscribe(topic), server.subscribe(topic));
    subscription.unwrap()
}

async fn offset(subscription: &mut Subscription) -> i64 {
    match soon(subscription.next()).await {
        Some(Event::Message(message)) => message.offset,
        other => panic!("{other:?}"),
    }
}

/// Sends messages of offsets 1.. until the pipe takes no more; how many it took.
fn flood(
    mut server: Server,
    topic: &'static str,
    count: i64,
) -> (Arc<AtomicI64>, tokio::task::JoinHandle<Server>) {
    let sent = Arc::new(AtomicI64::new(0));
    let counter = sent.clone();
    let data = format!("\"{}\"", "x".repeat(450));
    let task = tokio::spawn(async move {
        for offset in 1..=count {
            server.msg(topic, offset, &data).await;
            counter.store(offset, Ordering::Relaxed);
        }
        server
    });
    (sent, task)
}

#[tokio::test(start_paused = true)]
async fn every_setting_travels() {
    let (client, mut server) = pair().await;
    let minute = Duration::from_secs(60);
    let request = client
        .subscribe("quotes.*")
        .after(
            Position::One {
                epoch: "e".into(),
                offset: 41,
            },
            Else::Last,
        )
        .debounce(Duration::from_millis(5), minute)
        .rate_when_behind()
        .batch(Batch {
            messages: Some(10),
            ..Batch::default()
        })
        .bound_messages(64)
        .bound_bytes(1000)
        .bound_age(minute)
        .overflow(pubsub_client::Overflow::Conflate)
        .credit(3);
    let asked = async {
        let mut command = server.command().await;
        let id = command["id"].take();
        assert!(id.is_u64());
        assert_eq!(
            command,
            json!({"op": "subscribe", "id": null, "topic": "quotes.*", "from": {"epoch": "e", "offset": 41, "else": "last"},
                "rate": {"mode": "debounce", "ms": 5, "max_wait_ms": 60_000, "when": "behind"}, "batch": {"messages": 10},
                "bound": {"messages": 64, "bytes": 1000, "age_ms": 60_000}, "overflow": "conflate", "credit": 3})
        );
        let id = pubsub_wire::Id::from_json(&id.to_string()).unwrap();
        server.refuse(Some(&id), ErrorCode::BadField).await;
    };
    let (answer, ()) = tokio::join!(request, asked);
    assert!(matches!(answer, Err(RequestError::Refused(no)) if no.code == ErrorCode::BadField));
    drop((
        client.subscribe("t").from(From::Last),
        client.subscribe("t").sample(minute),
    ));
}

#[tokio::test(start_paused = true)]
async fn events_come_in_the_order_they_were_sent_up_to_the_final_ledger() {
    let (client, mut server) = pair().await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    assert_eq!(
        (stream.topic(), stream.settings()),
        ("t", &support::settings())
    );
    assert_eq!(
        *stream.start(),
        Position::One {
            epoch: "e".into(),
            offset: 0
        }
    );

    server.msg("t", 1, "{\"a\" : 1}").await;
    let lost = pubsub_wire::value::Gap {
        from: Some(2),
        to: Some(5),
        count: Some(4),
        reason: GapReason::DropOldest,
        epoch: "e",
        offset: 5,
    };
    server.say(|out| encode::gap(out, "t", &lost)).await;
    let lag = Lag {
        messages: 1,
        bytes: 2,
        age_ms: 3,
    };
    server
        .say(|out| encode::mode(out, "t", Mode::Behind, &lag))
        .await;
    let view = MsgView {
        sub: None,
        topic: "t",
        offset: 6,
        ts: 1,
        key: Some("k"),
        data: b"6",
    };
    server
        .say(|out| encode::batch(out, "t", [(view, Place::default())]))
        .await;
    server.say(|out| encode::position(out, "t", "e", 7)).await;

    let Some(Event::Message(message)) = soon(stream.next()).await else {
        panic!()
    };
    assert_eq!((message.offset, message.data.get()), (1, "{\"a\" : 1}"));
    let Some(Event::Gap(Gap {
        from,
        to,
        count,
        at,
        ..
    })) = soon(stream.next()).await
    else {
        panic!()
    };
    assert_eq!((from, to, count), (Some(2), Some(5), Some(4)));
    assert_eq!(
        at,
        Position::One {
            epoch: "e".into(),
            offset: 5
        }
    );
    assert!(
        matches!(soon(stream.next()).await, Some(Event::Mode { mode: Mode::Behind, lag: seen }) if seen == lag)
    );
    assert!(
        matches!(soon(stream.next()).await, Some(Event::Message(message)) if message.key.as_deref() == Some("k"))
    );
    assert!(matches!(
        soon(stream.next()).await,
        Some(Event::Position(Position::One { offset: 7, .. }))
    ));

    stream.request_ledger().await.unwrap();
    let id = server.asked("ledger").await;
    server
        .say(|out| encode::ledger(out, Some(&id), "t", "e", &counts()))
        .await;
    assert!(
        matches!(soon(stream.next()).await, Some(Event::Ledger { ledger, .. }) if ledger == counts())
    );
    stream.finish().await.unwrap();
    server.msg("t", 8, "8").await;
    server.unsubscribe("t").await;
    assert_eq!(offset(&mut stream).await, 8);
    assert!(
        matches!(soon(stream.next()).await, Some(Event::Unsubscribed(ledger)) if ledger == counts())
    );
    assert!(soon(stream.next()).await.is_none());
    assert!(client.close_reason().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_read_stops_the_socket_and_loses_nothing() {
    const COUNT: i64 = 1000;
    let (client, mut server) =
        pair_with(builder().stream_events(NonZeroUsize::new(4).unwrap())).await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    let (sent, task) = flood(server, "t", COUNT);
    quiet().await;
    let taken = sent.load(Ordering::Relaxed);
    // The stream's four, one held, what the socket's 32 KiB buffer and the pipe hold, and one under way.
    let room = 4 + 1 + (32 * 1024 + PIPE as i64) / 450 + 1;
    assert!(
        taken <= room,
        "{taken} of {COUNT} were taken, {room} at most may be"
    );
    for expected in 1..=COUNT {
        assert_eq!(offset(&mut stream).await, expected);
    }
    task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn letting_an_unread_stream_go_frees_the_others() {
    let (client, mut server) = pair_with(builder().stream_events(NonZeroUsize::MIN)).await;
    let mut read = subscribed(&client, &mut server, "read").await;
    let unread = subscribed(&client, &mut server, "unread").await;
    for offset in 1..=3 {
        server.msg("unread", offset, "0").await;
    }
    server.msg("read", 4, "0").await;
    quiet().await;
    assert!(
        futures::poll!(std::pin::pin!(read.next())).is_pending(),
        "it is behind what nobody reads"
    );
    drop(unread);
    assert_eq!(offset(&mut read).await, 4);
    server.unsubscribe("unread").await;
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_read_the_server_still_hears_of_us() {
    let (client, mut server) = pair_with(builder().stream_events(NonZeroUsize::MIN)).await;
    let stream = subscribed(&client, &mut server, "t").await;
    for offset in 1..=3 {
        server.msg("t", offset, "0").await;
    }
    for _ in 0..3 {
        assert!(matches!(server.frame().await, Some(Message::Pong(_))));
    }
    drop(stream);
    server.unsubscribe("t").await;
}

#[tokio::test(start_paused = true)]
async fn dropping_a_stream_unsubscribes_and_its_text_can_be_had_again() {
    let (client, mut server) = pair().await;
    drop(subscribed(&client, &mut server, "t").await);
    let id = server.asked("unsubscribe").await;
    let again = tokio::spawn({
        let client = client.clone();
        async move { client.subscribe("t").await }
    });
    quiet().await;
    server.msg("t", 1, "\"of the old one\"").await;
    server
        .say(|out| encode::unsubscribed(out, Some(&id), "t", &counts()))
        .await;
    server.subscribe("t").await;
    server.msg("t", 2, "0").await;
    let mut again = again.await.unwrap().unwrap();
    assert_eq!(offset(&mut again).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_subscribe_that_was_given_up_is_undone() {
    let (client, mut server) = pair().await;
    let asking = tokio::spawn(client.subscribe("t").into_future());
    let id = server.asked("subscribe").await;
    asking.abort();
    assert!(asking.await.is_err());
    server
        .say(|out| encode::subscribed(out, Some(&id), "t", "e", 0, &support::settings()))
        .await;
    server.unsubscribe("t").await;
}

#[tokio::test(start_paused = true)]
async fn an_unsubscribe_that_was_refused_is_tried_again() {
    let (client, mut server) = pair().await;
    drop(subscribed(&client, &mut server, "t").await);
    let id = server.asked("unsubscribe").await;
    let begun = tokio::time::Instant::now();
    server.refuse(Some(&id), ErrorCode::RateLimited).await;
    server.unsubscribe("t").await;
    assert_eq!(begun.elapsed().as_secs(), 2, "not before the server said");
}

#[tokio::test(start_paused = true)]
async fn unsubscribing_an_unread_stream_tells_its_final_ledger() {
    let (client, mut server) = pair_with(builder().stream_events(NonZeroUsize::MIN)).await;
    let stream = subscribed(&client, &mut server, "t").await;
    for offset in 1..=5 {
        server.msg("t", offset, "0").await;
    }
    quiet().await;
    let (ledger, ()) = tokio::join!(stream.unsubscribe(), server.unsubscribe("t"));
    assert_eq!(ledger.unwrap(), counts());
    let (again, ()) = tokio::join!(client.subscribe("t"), server.subscribe("t"));
    assert_eq!(again.unwrap().topic(), "t");
}

#[tokio::test(start_paused = true)]
async fn counts_and_credit_and_settings_are_asked_for() {
    let (client, mut server) = pair().await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    let (ledger, ()) = tokio::join!(stream.ledger(), async {
        let id = server.asked("ledger").await;
        server
            .say(|out| encode::ledger(out, Some(&id), "t", "e", &counts()))
            .await;
    });
    assert_eq!(ledger.unwrap(), counts());
    stream.credit(5).await.unwrap();
    assert_eq!(
        server.command().await,
        json!({"op": "credit", "topic": "t", "n": 5})
    );
    let mut changed = support::settings();
    changed.credit = Some(9);
    let (answer, ()) = tokio::join!(
        stream.reconfigure(pubsub_client::Reconfigure::default()),
        async {
            let id = server.asked("reconfigure").await;
            server
                .say(|out| encode::reconfigured(out, Some(&id), "t", &changed))
                .await;
        }
    );
    assert_eq!(answer.unwrap(), &changed);
    assert_eq!(stream.settings(), &changed);
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_end_is_had_and_then_how_it_ended() {
    let (client, mut server) = pair().await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    server.msg("t", 1, "0").await;
    server.close(4001, "slow").await;
    let expected = Closed::Remote {
        code: 4001,
        reason: "slow".into(),
    };
    drop(server);
    assert_eq!(client.closed().await, expected);
    assert_eq!(offset(&mut stream).await, 1);
    assert!(matches!(soon(stream.next()).await, Some(Event::Closed(how)) if how == expected));
    assert!(soon(stream.next()).await.is_none());
}

#[test]
fn handles_can_go_to_any_thread() {
    fn is<T: Send + Unpin>() {}
    fn send<T: Send>(_: &T) {}
    is::<Client>();
    is::<Subscription>();
    is::<Event>();
    let _ = |client: &Client, mut stream: Subscription| {
        send(&client.closed());
        send(&client.ping());
        send(&client.publish("t", &1).into_future());
        send(&client.subscribe("t").into_future());
        send(&client.call("m", &1).fallback(&2).into_future());
        send(&Client::builder("ws://a").connect());
        send(&client.states().next());
        send(&stream.next());
        send(&stream.unsubscribe());
    };
}
