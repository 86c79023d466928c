//! Calls: what travels, what each answer becomes, and what keeps them from harm.
use crate::support::{Server, builder, pair, pair_with, quiet};
use pubsub_client::{Breaker, CallError, ErrorCode};
use pubsub_wire::Id;
use pubsub_wire::command::FieldError;
use pubsub_wire::encode::{self, ErrorFrame};
use serde_json::json;
use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

async fn reply(server: &mut Server, result: &str) -> serde_json::Value {
    let call = server.command().await;
    let id = Id::from_json(&call["id"].to_string()).unwrap();
    server
        .say(|out| encode::reply(out, Some(&id), result))
        .await;
    call
}

async fn refuse(server: &mut Server, code: ErrorCode) {
    let id = server.asked("call").await;
    server.refuse(Some(&id), code).await;
}

#[tokio::test(start_paused = true)]
async fn a_call_travels_with_its_time_and_its_reply_comes_as_it_was_sent() {
    let (client, mut server) = pair().await;
    let params = json!({"account": "a"});
    let call = client.call("order.get", &params).deadline(SECOND / 2);
    let (answer, call) = tokio::join!(call, reply(&mut server, r#"{ "price":1.10 }"#));
    assert_eq!(
        call,
        json!({"op": "call", "id": call["id"], "method": "order.get", "params": params, "deadline_ms": 500})
    );
    let answer = answer.unwrap();
    assert_eq!(
        (answer.get(), answer.stands_for()),
        (r#"{ "price":1.10 }"#, None)
    );
    assert_eq!(answer.json::<serde_json::Value>().unwrap()["price"], 1.1);
    let (_, call) = tokio::join!(client.call("m", &()), reply(&mut server, "null"));
    assert_eq!(call["deadline_ms"], 10_000, "what the client is set to");
}

#[tokio::test(start_paused = true)]
async fn each_no_has_a_type() {
    let (client, mut server) = pair_with(builder().breaker(Breaker::off())).await;
    for code in ErrorCode::ALL {
        let (answer, ()) = tokio::join!(client.call("m", &1), refuse(&mut server, code));
        let error = answer.unwrap_err();
        let after = Some(2 * SECOND);
        let fits = match code {
            ErrorCode::Deadline => matches!(error, CallError::Deadline { .. }),
            ErrorCode::UnknownMethod => matches!(error, CallError::UnknownMethod { .. }),
            ErrorCode::Rejected => matches!(error, CallError::Rejected { .. }),
            ErrorCode::BadField => matches!(error, CallError::BadField { .. }),
            ErrorCode::Limit | ErrorCode::RateLimited => {
                matches!(error, CallError::Limit { retry_after, .. } if retry_after == after)
            }
            ErrorCode::Unavailable => {
                matches!(error, CallError::Unavailable { retry_after, .. } if retry_after == after)
            }
            ErrorCode::UnknownOutcome => matches!(error, CallError::UnknownOutcome { .. }),
            ErrorCode::Forbidden => matches!(error, CallError::Forbidden { .. }),
            other => matches!(&error, CallError::Refused(refusal) if refusal.code == other),
        };
        assert!(fits, "{code}: {error:?}");
    }
    let unsendable = std::collections::HashMap::from([((1, 2), 3)]);
    let error = client.call("m", &unsendable).await.unwrap_err();
    assert!(matches!(error, CallError::Data(_)), "{error}");
}

#[tokio::test(start_paused = true)]
async fn all_wrong_fields_come_at_once() {
    let (client, mut server) = pair().await;
    let refuse = async {
        let id = server.asked("call").await;
        let frame = ErrorFrame {
            id: Some(&id),
            code: ErrorCode::BadField,
            message: "2 fields",
            field: None,
            retry_after_ms: None,
        };
        let fields = [
            FieldError::new("qty", "is needed"),
            FieldError::new("side", "buy or sell"),
        ];
        server
            .say(|out| encode::error_fields(out, &frame, &fields))
            .await;
    };
    let (answer, ()) = tokio::join!(client.call("order.submit", &json!({})), refuse);
    let error = answer.unwrap_err();
    assert_eq!(
        error.to_string(),
        "2 fields (qty: is needed; side: buy or sell)"
    );
    let CallError::BadField { fields, .. } = error else {
        panic!()
    };
    assert_eq!(fields.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_servers_word_is_awaited_a_little_longer_than_the_deadline() {
    let (client, mut server) = pair_with(builder().call_grace(SECOND)).await;
    let begun = Instant::now();
    let call = client.call("m", &1).deadline(2 * SECOND);
    let (answer, _) = tokio::join!(call, server.asked("call"));
    assert_eq!(answer.unwrap_err(), CallError::Timeout(3 * SECOND));
    assert_eq!(begun.elapsed(), 3 * SECOND);
    let call = client.call("m", &1).deadline(2 * SECOND);
    let (answer, ()) = tokio::join!(call, async {
        let id = server.asked("call").await;
        tokio::time::sleep(2 * SECOND + SECOND / 2).await;
        server.refuse(Some(&id), ErrorCode::Deadline).await;
    });
    let error = answer.unwrap_err();
    assert!(matches!(error, CallError::Deadline { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn calls_wait_for_their_own_turn_and_hold_up_nothing_else() {
    let builder = builder().calls_in_flight(NonZeroUsize::MIN);
    let (client, mut server) = pair_with(builder).await;
    let first = tokio::spawn(client.call("first", &1).into_future());
    let id = server.asked("call").await;
    let late = tokio::spawn(client.call("late", &1).deadline(SECOND).into_future());
    let second = tokio::spawn(client.call("second", &1).deadline(5 * SECOND).into_future());
    quiet().await;
    let (pong, ()) = tokio::join!(client.ping(), async {
        let id = server.asked("ping").await;
        server.say(|out| encode::pong(out, Some(&id), 1)).await;
    });
    pong.unwrap();
    let late = late.await.unwrap().unwrap_err();
    assert!(
        matches!(late, CallError::Deadline { .. }),
        "it never had its turn: {late}"
    );
    server.say(|out| encode::reply(out, Some(&id), "1")).await;
    let call = reply(&mut server, "2").await;
    assert_eq!(call["method"], "second");
    let left = call["deadline_ms"].as_u64().unwrap();
    assert!(left <= 4_000, "what is left of its time: {left}");
    assert_eq!(first.await.unwrap().unwrap().get(), "1");
    assert_eq!(second.await.unwrap().unwrap().get(), "2");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_again_and_again_is_not_tried_for_a_while() {
    let breaker = Breaker::default().failures(NonZeroU32::new(2).unwrap());
    let (client, mut server) = pair_with(builder().breaker(breaker)).await;
    for _ in 0..2 {
        let (answer, ()) = tokio::join!(
            client.call("m", &1),
            refuse(&mut server, ErrorCode::Unavailable)
        );
        assert!(answer.is_err());
    }
    let shut = client.call("m", &1).await.unwrap_err();
    assert_eq!(
        shut,
        CallError::Open {
            retry_after: SECOND
        }
    );
    assert_eq!(shut.retry_after(), Some(SECOND));
    tokio::time::sleep(SECOND).await;
    let trial = tokio::spawn(client.call("m", &1).into_future());
    quiet().await;
    assert!(
        matches!(client.call("m", &1).await, Err(CallError::Open { .. })),
        "one at a time"
    );
    // A no is an answer.
    refuse(&mut server, ErrorCode::Rejected).await;
    assert!(matches!(
        trial.await.unwrap(),
        Err(CallError::Rejected { .. })
    ));
    let (answer, _) = tokio::join!(client.call("m", &1), reply(&mut server, "1"));
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_fallback_stands_in_where_nobody_answers_and_never_for_a_no() {
    let (client, mut server) = pair().await;
    let call = client.call("m", &1).fallback(&json!({"cached": true}));
    let (answer, ()) = tokio::join!(call, refuse(&mut server, ErrorCode::Unavailable));
    let answer = answer.unwrap();
    assert_eq!(answer.get(), r#"{"cached":true}"#);
    assert!(matches!(
        answer.stands_for(),
        Some(CallError::Unavailable { .. })
    ));

    let call = client
        .call("m", &1)
        .deadline(SECOND)
        .fallback_with(ToString::to_string);
    let (answer, _) = tokio::join!(call, server.asked("call"));
    assert_eq!(answer.unwrap().get(), r#""no answer within 2s""#);

    for code in [
        ErrorCode::Rejected,
        ErrorCode::BadField,
        ErrorCode::Forbidden,
    ] {
        let call = client.call("m", &1).fallback(&1);
        let (answer, ()) = tokio::join!(call, refuse(&mut server, code));
        assert!(!answer.unwrap_err().is_unanswered());
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_given_up_before_it_was_sent_is_not_sent() {
    let builder = builder().calls_in_flight(NonZeroUsize::MIN);
    let (client, mut server) = pair_with(builder).await;
    let first = tokio::spawn(client.call("first", &1).into_future());
    let id = server.asked("call").await;
    let given_up = tokio::spawn(client.call("second", &1).into_future());
    quiet().await;
    given_up.abort();
    assert!(given_up.await.is_err());
    server.say(|out| encode::reply(out, Some(&id), "1")).await;
    first.await.unwrap().unwrap();
    client.publish("t", &1).unacknowledged().await.unwrap();
    assert_eq!(server.command().await["op"], "publish");
}
