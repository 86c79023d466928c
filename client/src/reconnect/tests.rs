//! What is decided after each way a connection or an attempt can end.
use super::*;
use proptest::prelude::*;
use pubsub_wire::close;
use pubsub_wire::value::GoawayReason;

fn endpoint(name: &str) -> Endpoint {
    Endpoint::parse(&format!("ws://{name}")).unwrap()
}

fn policy_of(settings: Reconnect, names: &[&str]) -> Policy {
    let endpoints: Vec<Endpoint> = names.iter().map(|name| endpoint(name)).collect();
    let first = endpoints[0].clone();
    Policy::new(settings, Endpoints::new(endpoints, 8), first, 1)
}

fn connected(now: Instant) -> Policy {
    let mut policy = policy_of(Reconnect::default(), &["a"]);
    policy.handle_connected(now);
    policy
}

fn remote(code: u16) -> Closed {
    Closed::Remote {
        code,
        reason: String::new(),
    }
}

fn status(status: u16, seconds: Option<u64>) -> ConnectError {
    ConnectError::Refused {
        status,
        retry_after: seconds.map(Duration::from_secs),
    }
}

fn wait(decision: &Decision) -> Option<Duration> {
    match decision {
        Decision::Retry { wait, .. } => Some(*wait),
        Decision::GiveUp => None,
    }
}

fn host(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Retry { endpoint, .. } => Some(endpoint.host()),
        Decision::GiveUp => None,
    }
}

fn goaway(retry_after_ms: u64) -> Goaway {
    Goaway {
        reason: GoawayReason::Restart,
        retry_after_ms,
        endpoints: vec!["ws://b".into()],
    }
}

#[test]
fn codes_that_say_do_not_return_are_obeyed_and_the_others_lead_back() {
    let now = Instant::now();
    let never = [
        close::NORMAL,
        close::POLICY,
        close::PROTOCOL_ERROR,
        close::UNSUPPORTED,
        close::INVALID_UTF8,
    ];
    for code in never {
        assert_eq!(
            connected(now).handle_closed(now, &remote(code)),
            Decision::GiveUp
        );
    }
    let violation = Closed::Violation { why: String::new() };
    for closed in [violation, Closed::Local] {
        assert_eq!(connected(now).handle_closed(now, &closed), Decision::GiveUp);
    }
    let again = [
        close::SHUTDOWN,
        close::TOO_BIG,
        close::INTERNAL,
        close::RESTART,
        close::SLOW_CONSUMER,
        close::HEARTBEAT,
        close::CONTROL_OVERFLOW,
        1005,
        4999,
    ];
    let shortest = Reconnect::default().min_wait;
    for closed in again.map(remote).into_iter().chain([Closed::lost("cut")]) {
        let wait = wait(&connected(now).handle_closed(now, &closed));
        assert!(
            wait.is_some_and(|wait| wait <= shortest),
            "{closed}: {wait:?}"
        );
    }
}

#[test]
fn a_full_server_is_left_alone_for_longer() {
    let now = Instant::now();
    let mut longest = [Duration::ZERO; 2];
    for seed in 0..50 {
        let mut policy = connected(now);
        policy.backoff = Backoff::new(policy.settings.min_wait, policy.settings.max_wait, seed);
        let closed = wait(&policy.handle_closed(now, &remote(close::OVERLOADED)));
        let refused = wait(&policy.handle_refused(now, &status(503, None)));
        longest[0] = longest[0].max(closed.unwrap());
        longest[1] = longest[1].max(refused.unwrap());
    }
    assert!(
        longest.iter().all(|wait| *wait > Duration::from_secs(15)),
        "{longest:?}"
    );
}

#[test]
fn the_time_a_server_names_is_kept_and_bounded() {
    let now = Instant::now();
    for closed in [
        remote(close::RESTART),
        remote(close::SHUTDOWN),
        Closed::lost("cut"),
    ] {
        let mut policy = connected(now);
        policy.handle_goaway(now, &goaway(3_000));
        let closing = now + Duration::from_secs(1);
        let decision = policy.handle_closed(closing, &closed);
        assert_eq!(wait(&decision), Some(Duration::from_secs(2)));
        assert_eq!(host(&decision), Some("b"), "which goaway named");
    }
    let mut policy = connected(now);
    policy.handle_goaway(now, &goaway(u64::MAX));
    let decision = policy.handle_closed(now, &remote(close::RESTART));
    assert_eq!(wait(&decision), Some(Duration::from_secs(600)));

    let refused = connected(now).handle_refused(now, &status(503, Some(7)));
    let range = Duration::from_secs(7)..=Duration::from_millis(7_250);
    assert!(range.contains(&wait(&refused).unwrap()), "{refused:?}");
}

#[test]
fn a_server_that_shuts_us_out_is_left_for_another_and_the_last_ends_it() {
    let now = Instant::now();
    for code in [400, 401, 403, 404] {
        let mut policy = policy_of(Reconnect::default(), &["a", "b"]);
        let decision = policy.handle_refused(now, &status(code, None));
        assert_eq!(host(&decision), Some("b"));
        let decision = policy.handle_refused(now, &status(500, None));
        assert_eq!(host(&decision), Some("b"), "a is barred");
        let decision = policy.handle_refused(now, &status(code, None));
        assert_eq!(decision, Decision::GiveUp);
    }
}

#[test]
fn attempts_are_counted_from_the_loss_and_limited() {
    let now = Instant::now();
    let settings = Reconnect::default().attempts(2);
    let mut policy = policy_of(settings, &["a"]);
    for _ in 0..2 {
        policy.handle_connected(now);
        let first = policy.handle_closed(now, &Closed::lost("cut"));
        assert!(matches!(first, Decision::Retry { attempt: 1, .. }));
        let second = policy.handle_refused(now, &status(500, None));
        assert!(matches!(second, Decision::Retry { attempt: 2, .. }));
    }
    assert_eq!(
        policy.handle_refused(now, &status(500, None)),
        Decision::GiveUp
    );
    let mut never = policy_of(Reconnect::never(), &["a"]);
    never.handle_connected(now);
    assert_eq!(
        never.handle_closed(now, &Closed::lost("cut")),
        Decision::GiveUp
    );
}

#[test]
fn an_outage_is_given_up_after_its_time() {
    let now = Instant::now();
    let settings = Reconnect::default().give_up_after(Duration::from_secs(60));
    let mut policy = policy_of(settings, &["a"]);
    policy.handle_connected(now);
    assert!(wait(&policy.handle_closed(now, &Closed::lost("cut"))).is_some());
    let then = now + Duration::from_secs(50);
    let decision = policy.handle_refused(then, &status(503, Some(20)));
    assert_eq!(decision, Decision::GiveUp, "it would be too late");
}

#[test]
fn waits_begin_anew_only_after_a_connection_that_lasted() {
    let now = Instant::now();
    let settings = Reconnect::default().min_wait(Duration::from_millis(1));
    let failures = |policy: &mut Policy| policy.backoff.next_wait();
    let mut policy = policy_of(settings, &["a"]);
    for _ in 0..20 {
        policy.handle_connected(now);
        policy.handle_closed(now + Duration::from_secs(1), &Closed::lost("cut"));
    }
    let waits: Vec<Duration> = (0..20).map(|_| failures(&mut policy)).collect();
    assert!(
        waits.iter().any(|wait| *wait > Duration::from_secs(1)),
        "{waits:?}"
    );
    policy.handle_connected(now);
    let decision = policy.handle_closed(now + Duration::from_secs(5), &Closed::lost("cut"));
    assert!(
        wait(&decision) <= Some(Duration::from_millis(1)),
        "{decision:?}"
    );
}

proptest! {
    #[test]
    fn no_wait_is_longer_than_what_is_set_and_what_is_obeyed(
        ends in prop::collection::vec((0..6_u8, 0..u64::MAX), 0..60), seed: u64
    ) {
        let now = Instant::now();
        let settings = Reconnect::default();
        let endpoints = Endpoints::new(vec![endpoint("a"), endpoint("b")], 4);
        let mut policy = Policy::new(settings, endpoints, endpoint("a"), seed);
        for (end, time) in ends {
            let decision = match end {
                0 => policy.handle_closed(now, &Closed::lost("cut")),
                1 => policy.handle_closed(now, &remote(close::OVERLOADED)),
                2 => policy.handle_refused(now, &status(503, Some(time))),
                3 => policy.handle_refused(now, &status(502, None)),
                4 => {
                    policy.handle_connected(now);
                    continue;
                }
                _ => {
                    policy.handle_goaway(now, &goaway(time));
                    continue;
                }
            };
            let wait = wait(&decision);
            prop_assert!(wait.is_some_and(|wait| wait <= settings.obeyed + settings.max_wait));
        }
    }
}
