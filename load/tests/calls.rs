//! Connections that call: what is counted of answers, of errors, and of what is never answered.
mod support;

use pubsub_load::swarm::{CallPlan, Counters, Group, Method, Options, Swarm};
use pubsub_load::target::Target;
use std::num::NonZeroUsize;
use std::time::Duration;
use support::{Answer, Script, serve};

/// Far longer than anything here takes; what is waited for is always an event.
const PATIENCE: Duration = Duration::from_secs(60);

const IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(3).unwrap();

/// Two connections that call every millisecond and are answered like this.
fn calling(method: Method, calls: Answer) -> Swarm {
    let script = Script {
        calls,
        ..Script::honest(0)
    };
    let target = Target::parse(&format!("ws://{}/ws", serve(script))).unwrap();
    let mut swarm = Swarm::new(Options::new(target)).unwrap();
    let plan = CallPlan {
        method,
        every_ns: 1_000_000..=1_000_000,
        in_flight: IN_FLIGHT,
        deadline_ms: None,
    };
    let calls = swarm.calls_at(0, plan);
    swarm.connect(2, calls, Group::MAIN);
    swarm
}

fn until(swarm: &mut Swarm, done: impl Fn(&Counters) -> bool) {
    let done = |swarm: &Swarm| done(swarm.counters());
    assert!(
        swarm.run_until(PATIENCE, done).unwrap(),
        "it did not happen"
    );
}

#[test]
fn answers_are_compared_with_their_calls_and_have_a_latency() {
    let submit = Method::Submit {
        symbol: "AAPL".to_owned(),
        run: "r".to_owned(),
    };
    for method in [Method::Echo { rows: 2 }, submit] {
        let mut swarm = calling(method, Answer::Right);
        until(&mut swarm, |counters| counters.calls.answered >= 20);
        let tally = swarm.take_window(Group::MAIN, PATIENCE);
        let calls = &swarm.counters().calls;
        assert_eq!((calls.wrong, calls.refused_total()), (0, 0));
        assert_eq!(tally.received, calls.answered);
        assert!(tally.max_ms().is_some());
    }
}

#[test]
fn an_answer_to_another_call_is_wrong() {
    let mut swarm = calling(Method::Echo { rows: 1 }, Answer::Wrong);
    until(&mut swarm, |counters| counters.calls.wrong >= 2);
    assert_eq!(swarm.counters().calls.answered, 0);
}

#[test]
fn errors_are_counted_by_their_code_and_have_no_latency() {
    let mut swarm = calling(Method::Echo { rows: 1 }, Answer::Error("limit"));
    until(&mut swarm, |counters| counters.calls.refused_total() >= 5);
    let calls = &swarm.counters().calls;
    // A call that is not made since others wait for their error is lost as well.
    let lost = calls.refused["limit"] + calls.skipped;
    let tally = swarm.take_window(Group::MAIN, PATIENCE);
    assert_eq!((tally.received, tally.lost), (0, lost));
    assert_eq!(tally.quantile_ms(0.5), Some(f64::INFINITY));
}

#[test]
fn what_would_be_too_many_unanswered_is_counted_and_what_is_never_answered_too() {
    let mut swarm = calling(Method::Echo { rows: 1 }, Answer::None);
    let made = 2 * IN_FLIGHT.get() as u64;
    until(&mut swarm, |counters| {
        counters.calls.skipped >= 10 && counters.calls.made == made
    });
    assert_eq!(swarm.calls_open(), 2 * IN_FLIGHT.get());
    let overdue = swarm.take_window(Group::MAIN, Duration::ZERO).overdue;
    assert_eq!(overdue, 2 * IN_FLIGHT.get() as u64);
    swarm.stop_calls();
    swarm.give_calls_up();
    let calls = &swarm.counters().calls;
    assert_eq!((calls.made, calls.unanswered), (overdue, overdue));
}
