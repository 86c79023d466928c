//! The swarm against real sockets: the floor in a thread of this process.
use pubsub_load::floor::{Floor, Plan, TOPIC};
use pubsub_load::swarm::{Group, Options, Subscription, Swarm};
use pubsub_load::target::Target;
use std::sync::mpsc;
use std::time::Duration;

/// Far longer than anything here takes; what is waited for is always an event.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn every_message_of_the_floor_arrives_once_and_in_order() {
    const SUBSCRIBERS: usize = 300;
    let duration = Duration::from_millis(500);
    let plan = Plan {
        per_s: 400.0,
        frame_bytes: 450,
        per_write: 1,
        duration,
    };
    let mut floor = Floor::bind().unwrap();
    let url = format!("ws://{}/ws", floor.addr().unwrap());
    let (go, gone) = mpsc::channel();
    let (done, sent) = mpsc::channel();
    let server = std::thread::spawn(move || {
        floor.accept(SUBSCRIBERS).unwrap();
        gone.recv().unwrap();
        done.send(floor.run(plan).unwrap()).unwrap();
        gone.recv().unwrap();
    });

    let target = Target::parse(&url).unwrap();
    let options = Options {
        check_every: 7,
        sources: 3,
        ..Options::new(target)
    };
    let mut swarm = Swarm::new(options).unwrap();
    let topic = swarm.topic(&Subscription::plain(TOPIC));
    swarm.connect(SUBSCRIBERS, topic, Group::MAIN);
    let subscribed = |swarm: &Swarm| swarm.counters().subscribed == SUBSCRIBERS as u64;
    assert!(swarm.run_until(PATIENCE, subscribed).unwrap());
    assert_eq!(swarm.standing().subscribed, SUBSCRIBERS);

    go.send(()).unwrap();
    let expected = loop {
        swarm.run_for(Duration::from_millis(10)).unwrap();
        if let Ok(sent) = sent.try_recv() {
            break sent;
        }
    };
    let arrived = |swarm: &Swarm| swarm.received(Group::MAIN) >= expected.frames;
    assert!(swarm.run_until(PATIENCE, arrived).unwrap());
    assert_eq!(expected.frames, expected.publications * SUBSCRIBERS as u64);
    let window = swarm.take_window(Group::MAIN, Duration::ZERO);
    assert_eq!(
        (window.received, window.overdue, window.lost),
        (expected.frames, 0, 0)
    );
    assert!(window.quantile_ms(1.0).unwrap().is_finite());
    let counters = swarm.counters();
    assert_eq!(
        (
            counters.offset_errors(),
            counters.malformed,
            counters.failed
        ),
        (0, 0, 0)
    );
    assert_eq!(counters.checked, expected.frames / 7);

    swarm.leave(1e6);
    assert!(
        swarm
            .run_until(PATIENCE, |swarm| swarm.standing().open == 0)
            .unwrap()
    );
    go.send(()).unwrap();
    server.join().unwrap();
    assert!(swarm.run_until(PATIENCE, Swarm::is_empty).unwrap());
    assert_eq!(swarm.counters().closed_total(), 0);
}
