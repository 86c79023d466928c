//! Losing connections and coming back, on a clock that is not real.
use crate::support::{Net, PIPE, Server, quiet, soon};
use pubsub_client::{
    Client, Closed, ConnectError, Else, ErrorCode, Event, From, GoawayReason, Reconnect,
    RequestError, State, Subscription,
};
use pubsub_wire::encode;
use serde_json::json;
use std::io;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::io::duplex;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

const SECOND: Duration = Duration::from_secs(1);

async fn subscribed(client: &Client, server: &mut Server, topic: &str) -> Subscription {
    let (subscription, ()) = tokio::join!(client.subscribe(topic), server.subscribe(topic));
    subscription.unwrap()
}

/// Takes the question for a subscription again and answers it at `offset`.
async fn resume(server: &mut Server, topic: &str, offset: i64) -> serde_json::Value {
    let command = server.command().await;
    assert_eq!(
        (&command["op"], &command["topic"]),
        (&json!("subscribe"), &json!(topic))
    );
    let id = pubsub_wire::Id::from_json(&command["id"].to_string()).unwrap();
    let settings = crate::support::settings();
    server
        .say(|out| encode::subscribed(out, Some(&id), topic, "e", offset, &settings))
        .await;
    command["from"].clone()
}

async fn event(stream: &mut Subscription) -> Event {
    soon(stream.next()).await.expect("the stream goes on")
}

fn offset(event: &Event) -> i64 {
    match event {
        Event::Message(message) => message.offset,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_over_another_connection_and_says_so() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    server.msg("t", 1, "0").await;
    server.msg("t", 2, "0").await;
    quiet().await;
    drop(server);
    let mut server = net.accept().await;
    let from = resume(&mut server, "t", 2).await;
    assert_eq!(from, json!({"epoch": "e", "offset": 2, "else": "earliest"}));
    server.msg("t", 3, "0").await;
    assert_eq!(offset(&event(&mut stream).await), 1);
    assert_eq!(offset(&event(&mut stream).await), 2);
    assert!(matches!(
        event(&mut stream).await,
        Event::Resumed { lost: false, .. }
    ));
    assert_eq!(offset(&event(&mut stream).await), 3);
    assert!(client.close_reason().is_none());
}

#[tokio::test(start_paused = true)]
async fn where_to_go_on_when_the_position_is_gone_is_as_it_began_or_as_told() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let first = client.subscribe("a").from(From::Last);
    let (_first, ()) = tokio::join!(first, server.subscribe("a"));
    let second = client.subscribe("b").resume_otherwise(Else::Live);
    let (_second, ()) = tokio::join!(second, server.subscribe("b"));
    drop(server);
    let mut server = net.accept().await;
    assert_eq!(resume(&mut server, "a", 0).await["else"], "last");
    assert_eq!(resume(&mut server, "b", 0).await["else"], "live");
}

#[tokio::test(start_paused = true)]
async fn events_that_wait_for_their_reader_outlive_the_connection() {
    let (builder, mut net) = Net::new();
    let builder = builder.stream_events(NonZeroUsize::MIN);
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    let item = |offset| encode::MsgView {
        sub: None,
        topic: "t",
        offset,
        ts: 1,
        key: None,
        data: b"0",
    };
    let items = [1, 2, 3, 4].map(|offset| (item(offset), encode::Place::default()));
    server.say(|out| encode::batch(out, "t", items)).await;
    quiet().await;
    drop(server);
    // Nothing is read, so the loss shows when something can't be written.
    let publishing = tokio::spawn(client.publish("t", &1).into_future());
    let mut server = net.accept().await;
    assert_eq!(resume(&mut server, "t", 4).await["offset"], 4);
    for expected in 1..=4 {
        assert_eq!(offset(&event(&mut stream).await), expected);
    }
    assert!(matches!(event(&mut stream).await, Event::Resumed { .. }));
    drop(publishing);
}

#[tokio::test(start_paused = true)]
async fn its_states_can_be_watched_to_the_end() {
    let (builder, mut net) = Net::new();
    let (client, server) = Net::pair(builder, &mut net).await;
    let mut states = client.states();
    let endpoint = "ws://test.invalid/ws";
    let connected =
        |state: State| matches!(state, State::Connected { endpoint: at, .. } if at == endpoint);
    assert!(connected(states.next().await.unwrap()));
    drop(server);
    let Some(State::Reconnecting { attempt, why, .. }) = soon(states.next()).await else {
        panic!()
    };
    assert_eq!(
        (attempt, why.as_str()),
        (1, "connection lost: the socket ended without a close frame")
    );
    net.refuse("500 Oops").await;
    let Some(State::Reconnecting { attempt, why, .. }) = soon(states.next()).await else {
        panic!()
    };
    assert_eq!(
        (attempt, why.as_str()),
        (
            2,
            "the server answered HTTP 500 instead of upgrading to WebSocket"
        )
    );
    let mut server = net.accept().await;
    assert!(connected(soon(states.next()).await.unwrap()));
    assert!(connected(client.state()));
    let (closed, code) = tokio::join!(client.close(), async {
        let code = server.closed().await;
        drop(server);
        code
    });
    assert_eq!((closed, code), (Closed::Local, 1000));
    assert_eq!(
        soon(states.next()).await,
        Some(State::Closed(Closed::Local))
    );
    assert_eq!(soon(states.next()).await, None);
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_without_a_connection_waits_for_one() {
    let (builder, mut net) = Net::new();
    let (client, server) = Net::pair(builder, &mut net).await;
    drop(server);
    quiet().await;
    let publishing = tokio::spawn(client.publish("t", &1).into_future());
    let mut server = net.accept().await;
    let id = server.asked("publish").await;
    server
        .say(|out| encode::published(out, Some(&id), "t", "e", 9))
        .await;
    assert_eq!(publishing.await.unwrap().unwrap().offset, 9);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_sent_in_time_never_is() {
    let (builder, mut net) = Net::new();
    let reconnect = Reconnect::default()
        .min_wait(60 * SECOND)
        .max_wait(60 * SECOND);
    let builder = builder.request_timeout(SECOND / 1000).reconnect(reconnect);
    let (client, server) = Net::pair(builder, &mut net).await;
    drop(server);
    quiet().await;
    let publishing = client.publish("t", &1).await;
    assert_eq!(
        publishing.unwrap_err(),
        RequestError::NotSent(SECOND / 1000)
    );
    let call = client.call("m", &1).deadline(SECOND / 1000).await;
    assert_eq!(
        call.unwrap_err().to_string(),
        "not begun in time: not sent within 1ms"
    );
    let mut server = net.accept().await;
    quiet().await;
    let frame = server.frame();
    assert!(
        futures::poll!(std::pin::pin!(frame)).is_pending(),
        "nothing is sent late"
    );
}

#[tokio::test(start_paused = true)]
async fn under_way_when_it_is_lost_a_call_is_repeated_only_if_it_may_be() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let publish = tokio::spawn(client.publish("t", &1).into_future());
    server.asked("publish").await;
    let once = tokio::spawn(client.call("once", &1).into_future());
    server.asked("call").await;
    let again = tokio::spawn(client.call("again", &1).idempotent().into_future());
    server.asked("call").await;
    drop(server);
    let publish = publish.await.unwrap().unwrap_err();
    assert!(
        matches!(publish, RequestError::UnknownOutcome(Closed::Lost { .. })),
        "{publish}"
    );
    let once = once.await.unwrap().unwrap_err();
    assert!(
        matches!(once, pubsub_client::CallError::UnknownOutcome { .. }),
        "{once}"
    );
    let mut server = net.accept().await;
    let command = server.command().await;
    assert_eq!(command["method"], "again");
    let id = pubsub_wire::Id::from_json(&command["id"].to_string()).unwrap();
    server.say(|out| encode::reply(out, Some(&id), "7")).await;
    assert_eq!(again.await.unwrap().unwrap().get(), "7");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_do_not_return_is_obeyed() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    server.close(1008, "rates").await;
    drop(server);
    let closed = soon(client.closed()).await;
    assert_eq!(closed.code(), 1008);
    assert!(net.dialed().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn after_its_last_attempt_it_gives_up_and_says_why() {
    let (builder, mut net) = Net::new();
    let builder = builder.reconnect(Reconnect::default().attempts(2));
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    drop(server);
    net.refuse("502 Bad Gateway").await;
    net.refuse("502 Bad Gateway").await;
    let expected = Closed::GaveUp {
        why: "the server answered HTTP 502 instead of upgrading to WebSocket".into(),
    };
    assert_eq!(soon(client.closed()).await, expected);
    assert!(matches!(soon(stream.next()).await, Some(Event::Closed(how)) if how == expected));
    assert_eq!(
        client.ping().await.unwrap_err(),
        RequestError::Closed(expected)
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_that_goaway_names_is_kept() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let told = Instant::now();
    server
        .say(|out| encode::goaway(out, GoawayReason::Restart, 3_711))
        .await;
    assert!(soon(client.goaway()).await.is_some());
    tokio::time::sleep(SECOND).await;
    server.close(1012, "restart").await;
    drop(server);
    let mut server = net.accept().await;
    let waited = told.elapsed();
    assert!(waited >= Duration::from_millis(3_711), "{waited:?}");
    assert!(waited < Duration::from_millis(3_721), "{waited:?}");
    let (answer, ()) = tokio::join!(client.ping(), async {
        let id = server.asked("ping").await;
        server.say(|out| encode::pong(out, Some(&id), 1)).await;
    });
    answer.unwrap();
    let goaway = client.goaway();
    assert!(
        futures::poll!(std::pin::pin!(goaway)).is_pending(),
        "that was the other's"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_can_name_another_to_go_to() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let goaway = r#"{"op":"goaway","reason":"rebalance","retry_after_ms":5,"endpoints":["ws://other.invalid/ws"]}"#;
    server.send(Message::text(goaway)).await;
    server.close(1012, "rebalance").await;
    drop(server);
    let (url, far) = net.dialed().await.unwrap();
    assert_eq!(url, "ws://other.invalid/ws");
    let _server = Server::accept(far).await;
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_full_server_names_its_time_too() {
    let (builder, mut net) = Net::new();
    let (_client, server) = Net::pair(builder, &mut net).await;
    drop(server);
    net.refuse("503 Service Unavailable\r\nRetry-After: 40")
        .await;
    let refused = Instant::now();
    net.accept().await;
    assert!(refused.elapsed() >= 40 * SECOND, "{:?}", refused.elapsed());
}

#[tokio::test(start_paused = true)]
async fn endpoints_take_turns_and_the_first_connect_tries_each_once() {
    let (builder, mut net) = Net::new();
    let builder = builder
        .endpoint("ws://other.invalid")
        .endpoint("ws://third.invalid");
    let serve = async {
        let refused = net.refuse("500 Oops").await;
        let server = net.accept().await;
        (refused, server)
    };
    let (client, (refused, server)) = tokio::join!(builder.clone().connect(), serve);
    let client = client.unwrap();
    assert_eq!(refused, "ws://test.invalid/ws");
    let at =
        |url: &str| matches!(client.state(), State::Connected { endpoint, .. } if endpoint == url);
    assert!(at("ws://other.invalid/ws"));
    drop(server);
    let (url, far) = net.dialed().await.unwrap();
    assert_eq!(url, "ws://third.invalid/ws", "it has never failed");
    let _server = Server::accept(far).await;
    drop(client);

    let refuse = async {
        net.refuse("500 Oops").await;
        net.refuse("502 Oops").await;
        net.refuse("501 Oops").await;
    };
    let (client, ()) = tokio::join!(builder.connect(), refuse);
    let error = client.unwrap_err();
    assert!(
        matches!(error, ConnectError::Refused { status: 501, .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_shuts_us_out_is_not_asked_again() {
    let (builder, mut net) = Net::new();
    let builder = builder.endpoint("ws://other.invalid");
    let (client, server) = Net::pair(builder, &mut net).await;
    drop(server);
    assert_eq!(net.refuse("403 Forbidden").await, "ws://other.invalid/ws");
    assert_eq!(net.refuse("500 Oops").await, "ws://test.invalid/ws");
    assert_eq!(net.refuse("404 Not Found").await, "ws://test.invalid/ws");
    assert!(matches!(soon(client.closed()).await, Closed::GaveUp { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_stranger_in_a_servers_place_is_told_and_tried_again_or_not() {
    let (builder, mut net) = Net::new();
    let serve = async {
        let (_, far) = net.dialed().await.unwrap();
        let mut server = Server::shake(far).await;
        server.send(Message::text(r#"{"op":"pong","ts":1}"#)).await;
        server.closed().await
    };
    let (client, code) = tokio::join!(builder.connect(), serve);
    let error = client.unwrap_err();
    assert_eq!(code, 1002);
    assert!(
        matches!(&error, ConnectError::Closed(Closed::Violation { why }) if why.contains("no welcome")),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_asked_and_then_left() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let begun = Instant::now();
    assert!(matches!(server.frame().await, Some(Message::Ping(_))));
    assert_eq!(begun.elapsed().as_secs(), 25);
    // Answered by itself when the server's socket is read next.
    assert!(matches!(server.frame().await, Some(Message::Ping(_))));
    let asked = Instant::now();
    let mut states = client.states();
    states.next().await;
    let Some(State::Reconnecting { why, .. }) = soon(states.next()).await else {
        panic!()
    };
    assert_eq!(asked.elapsed().as_secs(), 50);
    assert_eq!(why, "connection lost: no sign of life for three heartbeats");
    net.accept().await;
}

#[tokio::test(start_paused = true)]
async fn while_a_stream_is_full_silence_proves_nothing() {
    let (builder, mut net) = Net::new();
    let builder = builder.stream_events(NonZeroUsize::MIN);
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    for offset in 1..=3 {
        server.msg("t", offset, "0").await;
    }
    let begun = Instant::now();
    for pongs in 1..=24 {
        assert!(matches!(server.frame().await, Some(Message::Pong(_))));
        assert_eq!(begun.elapsed().as_millis() / 100, pongs * 125);
    }
    assert!(matches!(client.state(), State::Connected { .. }));
    for expected in 1..=3 {
        assert_eq!(offset(&event(&mut stream).await), expected);
    }
    // Now that it listens, silence is asked about again.
    let begun = Instant::now();
    assert!(matches!(server.frame().await, Some(Message::Ping(_))));
    assert_eq!(begun.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn without_handles_it_does_not_come_back() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let stream = subscribed(&client, &mut server, "t").await;
    drop(server);
    quiet().await;
    drop((client, stream));
    // An attempt may have been under way.
    while let Some((_, far)) = net.dialed().await {
        drop(far);
    }
}

#[tokio::test(start_paused = true)]
async fn saying_goodbye_during_an_outage_ends_at_once() {
    let (builder, mut net) = Net::new();
    let (client, server) = Net::pair(builder, &mut net).await;
    drop(server);
    quiet().await;
    let asker = client.clone();
    let waiting = tokio::spawn(async move { asker.ping().await });
    quiet().await;
    assert_eq!(client.close().await, Closed::Local);
    assert_eq!(
        waiting.await.unwrap().unwrap_err(),
        RequestError::Closed(Closed::Local)
    );
}

#[tokio::test(start_paused = true)]
async fn saying_goodbye_while_the_server_does_is_the_end_too() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    server.close(1012, "restart").await;
    quiet().await;
    let closing = tokio::spawn(async move { client.close().await });
    quiet().await;
    drop(server);
    assert_eq!(soon(closing).await.unwrap().code(), 1012);
    assert!(net.dialed().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_resubscribe_that_is_refused_for_now_is_made_later() {
    let (builder, mut net) = Net::new();
    let (client, mut server) = Net::pair(builder, &mut net).await;
    let mut stream = subscribed(&client, &mut server, "t").await;
    drop(server);
    let mut server = net.accept().await;
    let id = server.asked("subscribe").await;
    let refused = Instant::now();
    server.refuse(Some(&id), ErrorCode::Limit).await;
    resume(&mut server, "t", 0).await;
    assert_eq!(refused.elapsed().as_secs(), 2, "as the server said");
    assert!(matches!(event(&mut stream).await, Event::Resumed { .. }));
    drop(server);
    let mut server = net.accept().await;
    let id = server.asked("subscribe").await;
    server.refuse(Some(&id), ErrorCode::Forbidden).await;
    assert!(matches!(
        event(&mut stream).await,
        Event::NotResumed(refusal) if refusal.code == ErrorCode::Forbidden
    ));
    assert!(soon(stream.next()).await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dial_that_does_not_end_is_given_up_and_made_again() {
    let builder = crate::support::builder()
        .connect_timeout(3 * SECOND)
        .connect_through(|_| std::future::pending::<io::Result<tokio::io::DuplexStream>>());
    let begun = Instant::now();
    let error = builder.connect().await.unwrap_err();
    assert_eq!(error.to_string(), "the connection took longer than 3s");
    assert_eq!(begun.elapsed(), 3 * SECOND);
    let (near, _far) = duplex(PIPE);
    let builder = crate::support::builder().handshake_timeout(2 * SECOND);
    let error = builder.connect_over(near).await.unwrap_err();
    assert_eq!(error.to_string(), "the handshake took longer than 2s");
}
