//! What a swarm notices of a server that does not do what it should.
mod support;

use pubsub_load::swarm::{Books, Group, Options, Subscription, Swarm};
use pubsub_load::target::Target;
use pubsub_wire::value::GapReason;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;
use support::{Script, Step, serve, serve_each};

/// Far longer than anything here takes; what is waited for is always an event.
const PATIENCE: Duration = Duration::from_secs(60);

fn swarm(addr: SocketAddr, subscription: &Subscription, n: usize) -> Swarm {
    let target = Target::parse(&format!("ws://{addr}/ws")).unwrap();
    let mut swarm = Swarm::new(Options {
        check_every: 1,
        ..Options::new(target)
    })
    .unwrap();
    let topic = swarm.topic(subscription);
    swarm.connect(n, topic, Group::MAIN);
    swarm
}

fn until(swarm: &mut Swarm, done: impl FnMut(&Swarm) -> bool) {
    assert!(
        swarm.run_until(PATIENCE, done).unwrap(),
        "it did not happen"
    );
}

fn plain() -> Subscription {
    Subscription::plain("t")
}

/// Three connections to this script, all messages received, and the ledgers asked for.
fn books(script: Script, messages: u64) -> Books {
    let mut swarm = swarm(serve(script), &plain(), 3);
    until(&mut swarm, |swarm| {
        swarm.counters().received == 3 * messages
    });
    swarm.ask_ledgers(1e6);
    until(&mut swarm, |swarm| swarm.unanswered() == 0);
    swarm.counters().books
}

#[test]
fn books_that_close_leave_no_residual() {
    let books = books(Script::honest(5), 5);
    assert_eq!(
        (
            books.answered,
            books.sum.delivered,
            books.received,
            books.residual
        ),
        (3, 15, 15, 0)
    );
}

#[test]
fn a_message_the_server_counts_and_nobody_received_is_a_residual() {
    let books = books(
        Script {
            delivered: Some(6),
            ..Script::honest(5)
        },
        5,
    );
    assert_eq!(books.residual, 3);
}

#[test]
fn a_message_received_and_not_counted_is_a_residual() {
    let books = books(
        Script {
            delivered: Some(3),
            ..Script::honest(5)
        },
        5,
    );
    assert_eq!(books.residual, 6);
}

#[test]
fn an_offset_that_comes_again_and_one_that_falls_are_noticed() {
    let steps = [1, 2, 2, 4, 3].map(Step::Msg).to_vec();
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        1,
    );
    until(&mut swarm, |swarm| swarm.counters().received == 5);
    assert_eq!(
        (swarm.counters().duplicates, swarm.counters().disorders),
        (1, 1)
    );
}

#[test]
fn an_offset_before_the_subscription_is_out_of_order() {
    let script = Script {
        offset: 7,
        ..Script::honest(1)
    };
    let mut swarm = swarm(serve(script), &plain(), 1);
    until(&mut swarm, |swarm| swarm.counters().received == 1);
    assert_eq!(swarm.counters().disorders, 1);
}

#[test]
fn what_a_gap_announces_is_lost_and_not_overdue() {
    let steps = vec![Step::Msg(1), Step::Gap { to: 4, count: 3 }, Step::Msg(5)];
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        2,
    );
    until(&mut swarm, |swarm| swarm.counters().received == 4);
    let window = swarm.take_window(Group::MAIN, Duration::ZERO);
    assert_eq!((window.received, window.lost, window.overdue), (4, 6, 0));
    let lost = swarm.counters().lost;
    let by_reason: Vec<_> = lost.iter().filter(|(_, count)| *count > 0).collect();
    assert_eq!(by_reason, [(GapReason::DropOldest, 6)]);
    assert_eq!(window.quantile_ms(0.5), Some(f64::INFINITY));
}

#[test]
fn what_others_have_received_and_one_has_not_is_overdue() {
    let addr = serve_each(vec![Script::honest(5), Script::honest(3)]);
    let mut swarm = swarm(addr, &plain(), 2);
    until(&mut swarm, |swarm| swarm.counters().received == 8);
    let window = swarm.take_window(Group::MAIN, Duration::ZERO);
    assert_eq!((window.received, window.overdue), (8, 2));
    assert_eq!(window.quantile_ms(0.99), Some(f64::INFINITY));
    let young = swarm.take_window(Group::MAIN, Duration::from_secs(3600));
    assert_eq!(
        young.overdue, 0,
        "what is not an hour old is not overdue by an hour"
    );
}

#[test]
fn in_another_epoch_offsets_and_books_begin_anew() {
    let gap = r#"{"op":"gap","topic":"t","from":null,"to":null,"count":null,"reason":"epoch","epoch":"f","offset":0}"#;
    let steps = vec![
        Step::Msg(1),
        Step::Msg(2),
        Step::Text(gap.into()),
        Step::Msg(1),
    ];
    let script = Script {
        steps,
        delivered: Some(1),
        ..Script::honest(0)
    };
    let mut swarm = swarm(serve(script), &plain(), 1);
    until(&mut swarm, |swarm| swarm.counters().received == 3);
    swarm.ask_ledgers(1e6);
    until(&mut swarm, |swarm| swarm.unanswered() == 0);
    let counters = swarm.counters();
    assert_eq!(
        (
            counters.offset_errors(),
            counters.books.residual,
            counters.gaps_uncounted
        ),
        (0, 0, 1)
    );
    assert_eq!(swarm.take_window(Group::MAIN, Duration::ZERO).overdue, 0);
}

#[test]
fn fields_that_are_not_the_servers_own_order_are_read_by_the_parser() {
    let other = r#"{"ts":1790000000123456,"offset":9,"data":1,"topic":"t","op":"msg"}"#;
    let steps = vec![
        Step::Text(other.into()),
        Step::Text("{\"op\":\"msg\"}".into()),
        Step::Text("nonsense".into()),
    ];
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        1,
    );
    until(&mut swarm, |swarm| swarm.counters().malformed == 2);
    assert_eq!(swarm.counters().received, 1);
}

fn msg(offset: i64, filler: usize) -> String {
    let data = "x".repeat(filler);
    format!(r#"{{"op":"msg","topic":"t","offset":{offset},"ts":1790000000123456,"data":"{data}"}}"#)
}

#[test]
fn a_frame_larger_than_the_shared_buffer_is_read_and_what_follows_it_too() {
    let steps = vec![
        Step::Text(msg(1, 1_000_000)),
        Step::Msg(2),
        Step::Text(msg(3, 300_000)),
        Step::Msg(4),
    ];
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        3,
    );
    until(&mut swarm, |swarm| swarm.counters().received == 12);
    let counters = swarm.counters();
    assert_eq!(
        (
            counters.offset_errors(),
            counters.malformed,
            counters.checked
        ),
        (0, 0, 12)
    );
}

#[test]
fn fragments_are_one_message_and_a_ping_between_them_is_answered() {
    let steps = vec![Step::Fragments(msg(1, 100), 3), Step::Msg(2)];
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        1,
    );
    until(&mut swarm, |swarm| swarm.counters().received == 2);
    assert_eq!((swarm.counters().pings, swarm.counters().malformed), (1, 0));
}

#[test]
fn pings_are_answered_and_a_close_is_counted_by_its_code() {
    let steps = vec![Step::Ping, Step::Msg(1), Step::Close(1012)];
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        2,
    );
    until(&mut swarm, |swarm| swarm.counters().closed_total() == 2);
    assert_eq!(swarm.counters().closed.get(&1012), Some(&2));
    assert_eq!((swarm.counters().pings, swarm.standing().held), (2, 0));
}

#[test]
fn a_binary_frame_ends_the_connection() {
    let steps = vec![Step::Binary];
    let mut swarm = swarm(
        serve(Script {
            steps,
            ..Script::honest(0)
        }),
        &plain(),
        1,
    );
    until(&mut swarm, |swarm| swarm.counters().closed_total() == 1);
    assert_eq!(
        swarm.counters().first_violation.as_deref(),
        Some("not a pubsub.v1 message")
    );
}

#[test]
fn a_refused_subscription_keeps_its_reason() {
    let script = Script {
        refuses: true,
        ..Script::honest(0)
    };
    let mut swarm = swarm(serve(script), &plain(), 2);
    until(&mut swarm, |swarm| swarm.counters().errors == 2);
    assert_eq!(
        swarm.counters().first_error.as_deref(),
        Some("limit: no room for t")
    );
    assert_eq!(
        (
            swarm.unsettled(),
            swarm.standing().subscribed,
            swarm.standing().open
        ),
        (0, 0, 2)
    );
}

#[test]
fn a_connect_that_nobody_takes_is_a_failure_with_its_reason() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let mut swarm = swarm(unused, &plain(), 2);
    until(&mut swarm, |swarm| swarm.counters().failed == 2);
    let why = swarm.counters().first_failure.clone().unwrap();
    assert_eq!(
        why,
        format!("cannot connect to {unused}: connection refused: does a server listen there?")
    );
    assert_eq!(
        swarm.counters().failure_causes.ranked(),
        [(why.as_str(), 2)]
    );
    assert!(swarm.is_empty());
}

#[test]
fn a_handshake_that_is_never_answered_runs_out_of_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = Target::parse(&format!("ws://{}/", silent.local_addr().unwrap())).unwrap();
    let options = Options {
        handshake: Duration::from_millis(30),
        ..Options::new(target)
    };
    let mut swarm = Swarm::new(options).unwrap();
    let topic = swarm.topic(&plain());
    swarm.connect(3, topic, Group::MAIN);
    until(&mut swarm, |swarm| swarm.counters().failed == 3);
    assert!(
        swarm
            .counters()
            .first_failure
            .as_ref()
            .unwrap()
            .contains("did not answer")
    );
}

#[test]
fn what_is_paused_is_not_read_until_it_is_resumed() {
    let mut swarm = swarm(serve(Script::honest(0)), &plain(), 1);
    let topic = swarm.topic(&plain());
    swarm.connect(2, topic, Group::APART);
    until(&mut swarm, |swarm| swarm.counters().subscribed == 3);
    swarm.pause(Group::APART);
    swarm.ask_ledgers(1e6);
    until(&mut swarm, |swarm| swarm.unanswered() == 0);
    assert_eq!(
        swarm.counters().books.answered,
        1,
        "those that are paused are not asked"
    );
    swarm.resume(Group::APART);
    swarm.ask_ledgers(1e6);
    until(&mut swarm, |swarm| swarm.unanswered() == 0);
    assert_eq!(swarm.counters().books.answered, 4);
}
