//! Connecting, asking, and every way a connection ends.
use crate::support::{PIPE, Server, builder, pair, pair_with, quiet, soon};
use pubsub_client::{Client, Closed, ConnectError, ErrorCode, GoawayReason, RequestError};
use pubsub_wire::encode;
use serde_json::json;
use serde_json::value::RawValue;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn it_works_over_tcp() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (stream, _) = listener.accept().await.unwrap();
        let mut server = Server::accept(stream).await;
        server.subscribe("t").await;
        server.msg("t", 1, "0").await;
        server.unsubscribe("t").await;
        server.closed().await
    };
    let ask = async {
        let client = Client::builder(format!("ws://{address}"))
            .connect()
            .await
            .unwrap();
        assert_eq!(client.welcome().node, "test");
        let mut stream = client.subscribe("t").await.unwrap();
        assert!(stream.next().await.is_some());
        stream.unsubscribe().await.unwrap();
        client.close().await
    };
    assert_eq!(tokio::join!(serve, ask), (1000, Closed::Local));
}

#[tokio::test]
async fn a_url_that_cannot_be_is_refused_before_connecting() {
    for url in ["", "127.0.0.1:1", "http://127.0.0.1:1", "ws://", "ws://a b"] {
        let error = Client::builder(url).connect().await.unwrap_err();
        assert!(matches!(error, ConnectError::Url { .. }), "{url}: {error}");
    }
}

#[tokio::test]
async fn nobody_listening_is_an_io_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Client::builder(format!("ws://{address}/ws"))
        .connect()
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Io { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_says_when_to_return() {
    let (near, mut far) = duplex(PIPE);
    let answer = async {
        let mut head = [0; 1024];
        assert!(far.read(&mut head).await.unwrap() > 0);
        let refusal =
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n";
        far.write_all(refusal).await.unwrap();
    };
    let (client, ()) = tokio::join!(builder().connect_over(near), answer);
    let expected = Some(Duration::from_secs(7));
    let refused = client.unwrap_err();
    assert!(
        matches!(refused, ConnectError::Refused { status: 503, retry_after } if retry_after == expected),
        "{refused}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let (near, _far) = duplex(PIPE);
    let error = builder().connect_over(near).await.unwrap_err();
    assert!(matches!(error, ConnectError::Timeout { .. }), "{error}");

    let (near, far) = duplex(PIPE);
    let (client, server) = tokio::join!(builder().connect_over(near), async {
        let mut server = Server::shake(far).await;
        server.frame().await
    });
    assert!(matches!(client.unwrap_err(), ConnectError::Timeout { .. }));
    assert!(server.is_none(), "a connection nobody waits for is closed");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_closes_before_its_welcome_is_told_apart() {
    let (near, far) = duplex(PIPE);
    let (client, ()) = tokio::join!(builder().connect_over(near), async {
        Server::shake(far).await.close(1013, "full").await;
    });
    let error = client.unwrap_err();
    assert!(
        matches!(
            error,
            ConnectError::Closed(Closed::Remote { code: 1013, .. })
        ),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn publications_are_acknowledged_refused_or_fire_and_forget() {
    let (client, mut server) = pair().await;
    let (published, ()) = tokio::join!(
        client.publish("t", &json!({"a": 1})).key("k").into_future(),
        async {
            let command = server.command().await;
            let id = pubsub_wire::Id::from_json(&command["id"].to_string()).unwrap();
            assert_eq!(
                command,
                json!({"op": "publish", "id": command["id"], "topic": "t", "key": "k", "data": {"a": 1}})
            );
            server
                .say(|out| encode::published(out, Some(&id), "t", "e", 42))
                .await;
        }
    );
    let published = published.unwrap();
    assert_eq!((published.epoch.as_str(), published.offset), ("e", 42));

    let (refused, ()) = tokio::join!(client.publish("t", &1).into_future(), async {
        let id = server.asked("publish").await;
        server.refuse(Some(&id), ErrorCode::Unavailable).await;
    });
    let Err(RequestError::Refused(refusal)) = refused else {
        panic!()
    };
    assert_eq!(
        (refusal.code, refusal.retry_after),
        (ErrorCode::Unavailable, Some(Duration::from_secs(2)))
    );

    assert_eq!(client.stray_errors(), (0, None));
    let raw = RawValue::from_string("[ 1.10 ]".into()).unwrap();
    client.publish("t", &raw).unacknowledged().await.unwrap();
    let Some(Message::Text(text)) = server.frame().await else {
        panic!()
    };
    assert_eq!(
        text.as_str(),
        r#"{"op":"publish","topic":"t","data":[ 1.10 ]}"#
    );
    server.refuse(None, ErrorCode::Forbidden).await;
    quiet().await;
    let (count, last) = client.stray_errors();
    assert_eq!(
        (count, last.map(|refusal| refusal.code)),
        (1, Some(ErrorCode::Forbidden))
    );

    let unsendable = std::collections::HashMap::from([((1, 2), 3)]);
    assert!(matches!(
        client.publish("t", &unsendable).await,
        Err(RequestError::Data(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn publishing_waits_for_a_server_that_does_not_read() {
    const COUNT: usize = 1000;
    let (client, mut server) = pair().await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = sent.clone();
    let publisher = tokio::spawn(async move {
        let data = "x".repeat(450);
        for _ in 0..COUNT {
            client.publish("t", &data).unacknowledged().await.unwrap();
            counter.fetch_add(1, Ordering::Relaxed);
        }
        client.close().await
    });
    quiet().await;
    let taken = sent.load(Ordering::Relaxed);
    // The channel's 64, what the socket's 16 KiB buffer and the pipe hold, and those between them.
    let room = 64 + (16 * 1024 + PIPE) / 450 + 3;
    assert!(
        taken <= room,
        "{taken} of {COUNT} were taken, {room} at most may be"
    );
    for _ in 0..COUNT {
        assert_eq!(server.command().await["op"], "publish");
    }
    assert_eq!(server.closed().await, 1000);
    drop(server);
    assert_eq!(publisher.await.unwrap(), Closed::Local);
}

#[tokio::test(start_paused = true)]
async fn only_so_many_requests_are_in_flight() {
    let (client, mut server) = pair_with(builder().in_flight(NonZeroUsize::new(2).unwrap())).await;
    let pings: Vec<_> = (0..3)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.ping().await })
        })
        .collect();
    let first = server.asked("ping").await;
    server.asked("ping").await;
    quiet().await;
    assert!(
        futures::poll!(std::pin::pin!(server.frame())).is_pending(),
        "the third waits"
    );
    server.say(|out| encode::pong(out, Some(&first), 1)).await;
    server.asked("ping").await;
    for ping in pings {
        ping.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_given_up() {
    let (client, mut server) = pair_with(builder().request_timeout(Duration::from_secs(3))).await;
    let (answer, id) = tokio::join!(client.ping(), server.asked("ping"));
    assert_eq!(
        answer.unwrap_err(),
        RequestError::Timeout(Duration::from_secs(3))
    );
    server.say(|out| encode::pong(out, Some(&id), 1)).await;
    let (answer, ()) = tokio::join!(client.ping(), async {
        let id = server.asked("ping").await;
        server.say(|out| encode::pong(out, Some(&id), 1)).await;
    });
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_learn_how_the_connection_ended() {
    let (client, mut server) = pair().await;
    let (answer, ()) = tokio::join!(client.publish("t", &1).into_future(), async {
        server.asked("publish").await;
        server.close(1012, "restart").await;
        drop(server);
    });
    let expected = Closed::Remote {
        code: 1012,
        reason: "restart".into(),
    };
    assert_eq!(
        answer.unwrap_err(),
        RequestError::UnknownOutcome(expected.clone())
    );
    assert_eq!(
        client.ping().await.unwrap_err(),
        RequestError::Closed(expected.clone())
    );
    assert_eq!(client.close().await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_close_frame_without_a_code_is_1005_and_none_at_all_1006() {
    let (client, mut server) = pair().await;
    server.send(Message::Close(None)).await;
    drop(server);
    assert_eq!(soon(client.closed()).await.code(), 1005);

    let (client, server) = pair().await;
    drop(server);
    let closed = soon(client.closed()).await;
    assert!(matches!(closed, Closed::Lost { .. }), "{closed}");
    assert_eq!(closed.code(), 1006);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_message_of_the_protocol_is_answered_with_1002() {
    let frames = [
        Message::text("{"),
        Message::text(r#"{"op":"pong","id":7,"ts":1}"#),
        Message::binary(vec![1]),
    ];
    for frame in frames {
        let (client, mut server) = pair().await;
        server.send(frame).await;
        assert_eq!(server.closed().await, 1002);
        drop(server);
        let closed = soon(client.closed()).await;
        assert!(matches!(closed, Closed::Violation { .. }), "{closed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_ends_the_connection() {
    let (client, mut server) = pair_with(builder().message_bytes(1000)).await;
    server
        .msg("t", 1, &format!("\"{}\"", "x".repeat(2000)))
        .await;
    let closed = soon(client.closed()).await;
    assert!(matches!(closed, Closed::Violation { .. }), "{closed}");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_says_goodbye_after_what_was_asked() {
    let (client, mut server) = pair().await;
    let other = client.clone();
    drop(client);
    other.publish("t", &1).unacknowledged().await.unwrap();
    drop(other);
    assert_eq!(server.command().await["op"], "publish");
    assert_eq!(server.closed().await, 1000);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_answer_the_goodbye_is_left() {
    let (client, server) = pair().await;
    assert_eq!(client.close().await, Closed::Local);
    drop(server);
}

#[tokio::test(start_paused = true)]
async fn answers_still_count_while_goodbye_is_said() {
    let (client, mut server) = pair().await;
    let publishing = tokio::spawn(client.publish("t", &1).into_future());
    let id = server.asked("publish").await;
    let closing = tokio::spawn(async move { client.close().await });
    quiet().await;
    server
        .say(|out| encode::published(out, Some(&id), "t", "e", 1))
        .await;
    assert_eq!(publishing.await.unwrap().unwrap().offset, 1);
    assert_eq!(server.closed().await, 1000);
    drop(server);
    assert_eq!(closing.await.unwrap(), Closed::Local);
}

#[tokio::test(start_paused = true)]
async fn goaway_is_told_while_delivery_goes_on() {
    let (client, mut server) = pair().await;
    server
        .say(|out| encode::goaway(out, GoawayReason::Restart, 3711))
        .await;
    let goaway = client.goaway().await.unwrap();
    assert_eq!(
        (goaway.reason, goaway.retry_after_ms),
        (GoawayReason::Restart, 3711)
    );
    let (answer, ()) = tokio::join!(client.ping(), async {
        let id = server.asked("ping").await;
        server.say(|out| encode::pong(out, Some(&id), 1)).await;
    });
    answer.unwrap();
    drop(server);
    soon(client.closed()).await;
    let (client, server) = pair().await;
    drop(server);
    assert!(client.goaway().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn pings_of_the_server_are_answered() {
    let (client, mut server) = pair().await;
    server.send(Message::Ping(b"beat".to_vec().into())).await;
    assert!(
        matches!(server.frame().await, Some(Message::Pong(payload)) if payload.as_ref() == b"beat")
    );
    drop(client);
}
