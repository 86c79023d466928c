//! Connections that read slowly or not at all, and what is said of them.
mod support;

use pubsub_load::clock;
use pubsub_load::swarm::{Group, Options, Pace, Subscription, Swarm};
use pubsub_load::target::Target;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::Duration;
use support::{Script, Step, serve, serve_each};

/// Far longer than anything here takes; what is waited for is always an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// Small beside one message of [`large`].
const RECEIVE_BYTES: usize = 4096;

/// One connection that reads whatever comes, then one of this pace; both have subscribed.
fn pair(addr: SocketAddr, pace: Pace) -> (Swarm, Group) {
    let target = Target::parse(&format!("ws://{addr}/ws")).unwrap();
    let mut swarm = Swarm::new(Options {
        apart_receive_bytes: Some(RECEIVE_BYTES),
        ..Options::new(target)
    })
    .unwrap();
    let slow = swarm.group(pace);
    let topic = swarm.topic(&Subscription::plain("t"));
    for (group, subscribed) in [(Group::MAIN, 1), (slow, 2)] {
        swarm.connect(1, topic, group);
        until(&mut swarm, |swarm| {
            swarm.counters().subscribed == subscribed
        });
    }
    (swarm, slow)
}

fn until(swarm: &mut Swarm, done: impl FnMut(&Swarm) -> bool) {
    assert!(
        swarm.run_until(PATIENCE, done).unwrap(),
        "it did not happen"
    );
}

/// Messages of 100 KB.
fn large(messages: i64) -> Script {
    let pad = "x".repeat(100_000);
    let msg = |offset| {
        let ts = clock::wall_us();
        let text =
            format!(r#"{{"op":"msg","topic":"t","offset":{offset},"ts":{ts},"data":"{pad}"}}"#);
        Step::Text(text)
    };
    Script {
        steps: (1..=messages).map(msg).collect(),
        ..Script::honest(messages)
    }
}

fn ledgers(swarm: &mut Swarm) {
    swarm.ask_ledgers(1e6);
    until(swarm, |swarm| swarm.unanswered() == 0);
}

#[test]
fn a_group_reads_at_another_pace_once_it_is_told_to() {
    let (mut swarm, slow) = pair(serve(large(20)), Pace::Stall);
    until(&mut swarm, |swarm| swarm.received(Group::MAIN) == 20);
    assert_eq!(swarm.received(slow), 0);
    let per_s = NonZeroU64::new(10_000_000).unwrap();
    swarm.set_pace(slow, Pace::Read(per_s));
    until(&mut swarm, |swarm| swarm.received(slow) > 0);
    swarm.set_pace(slow, Pace::Full);
    until(&mut swarm, |swarm| swarm.received(slow) == 20);
}

#[test]
fn one_that_stalls_reads_nothing_until_it_is_to_read_on() {
    let (mut swarm, slow) = pair(serve(large(20)), Pace::Stall);
    until(&mut swarm, |swarm| swarm.received(Group::MAIN) == 20);
    assert_eq!(swarm.received(slow), 0);
    assert_eq!(
        swarm.take_staleness(slow).at_end_ms(1.0),
        None,
        "it holds nothing"
    );
    assert!(swarm.take_staleness(Group::MAIN).at_end_ms(1.0).is_some());
    assert_eq!(swarm.older_than(slow, 1), 1);
    swarm.read_on();
    until(&mut swarm, |swarm| swarm.received(slow) == 20);
    assert_eq!(swarm.older_than(slow, 1), 0);
    ledgers(&mut swarm);
    for group in [Group::MAIN, slow] {
        let account = swarm.account(group);
        assert_eq!((account.received, account.unbooked()), (20, 0));
        assert_eq!(
            (account.books.sum.delivered, account.books.residual),
            (20, 0)
        );
    }
}

#[test]
fn one_that_reads_slowly_gets_everything_in_the_end() {
    let per_s = NonZeroU64::new(10_000_000).unwrap();
    let (mut swarm, slow) = pair(serve(large(10)), Pace::Read(per_s));
    until(&mut swarm, |swarm| swarm.received(slow) == 10);
    assert_eq!(swarm.counters().offset_errors(), 0);
    assert!(swarm.take_staleness(slow).during_ms(0.5).is_some());
}

#[test]
fn one_that_pauses_gets_everything_in_the_end() {
    let pause = Pace::Pause(Duration::from_millis(5));
    let (mut swarm, slow) = pair(serve(large(10)), pause);
    until(&mut swarm, |swarm| swarm.received(slow) == 10);
    assert_eq!(swarm.counters().offset_errors(), 0);
}

#[test]
fn one_that_is_closed_is_counted_in_its_group_and_has_no_ledger() {
    let closed = Script {
        steps: vec![Step::Msg(1), Step::Close(4001)],
        ..Script::honest(1)
    };
    let addr = serve_each(vec![Script::honest(1), closed]);
    let per_s = NonZeroU64::new(100_000).unwrap();
    let (mut swarm, slow) = pair(addr, Pace::Read(per_s));
    until(&mut swarm, |swarm| swarm.counters().closed_total() == 1);
    let account = swarm.account(slow);
    assert_eq!(account.closed.get(&4001), Some(&1));
    assert_eq!((account.ended_unbooked, account.received_unbooked), (1, 1));
    assert!(swarm.account(Group::MAIN).closed.is_empty());
    ledgers(&mut swarm);
    assert_eq!(swarm.account(slow).unbooked(), 1);
    assert_eq!(swarm.counters().books.unanswered, 0, "nobody asked it");
}

#[test]
fn one_that_stalls_notices_the_close_once_it_reads_on() {
    let closed = Script {
        steps: vec![Step::Msg(1), Step::Close(4001)],
        ..large(1)
    };
    let addr = serve_each(vec![Script::honest(1), closed]);
    let (mut swarm, slow) = pair(addr, Pace::Stall);
    swarm.read_on();
    until(&mut swarm, |swarm| swarm.counters().closed_total() == 1);
    assert_eq!(swarm.account(slow).closed.get(&4001), Some(&1));
}

#[test]
fn one_that_stalls_notices_at_once_that_the_server_is_gone() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || support::subscribe_and_go(socket));
        }
    });
    let target = Target::parse(&format!("ws://{addr}/ws")).unwrap();
    let mut swarm = Swarm::new(Options::new(target)).unwrap();
    let slow = swarm.group(Pace::Stall);
    let topic = swarm.topic(&Subscription::plain("t"));
    swarm.connect(1, topic, slow);
    until(&mut swarm, |swarm| swarm.counters().closed_total() == 1);
    assert_eq!(swarm.account(slow).closed.get(&1006), Some(&1));
}
