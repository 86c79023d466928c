//! What memory holds, to the byte, and what is lost when it is short: the oldest entries, a batch of 64 at a time, until an eighth is
//! free again.
use pubsub_stream::Config;
use serde_json::{Value, json};

use crate::checker::{
    ANNOUNCED, ANSWERS, BATCHES, CLOSES, CONTENTS, CREDIT, Law, MODES, ORDER, REST, check,
};
use crate::corners::{came, closed};
use crate::drive::{Transcript, World};
use crate::script::{End, Pub, QUIET_US, Script, Step};
use crate::subject::{Subject, config};

fn world(ring_bytes: u64) -> World<Subject> {
    World::new(Subject::with(Config {
        ring_bytes: ring_bytes as usize,
        ..config()
    }))
}

fn client(text: &'static str, settings: Value) -> Script {
    Script {
        text,
        settings,
        steps: Vec::new(),
        end: End::Quiet,
    }
}

/// One that is there and has subscribed.
fn begin(world: &mut World<Subject>, script: &Script) -> usize {
    let who = world.open();
    script.begin(world, who);
    who
}

fn of(topic: usize, key: usize, size: usize) -> Step {
    Step::Publish(vec![Pub { topic, key, size }])
}

fn held(world: &World<Subject>) -> u64 {
    world.machine.stats().ring_bytes
}

/// Sizes of the first `n` messages of one topic, each `size` long.
fn sizes(n: usize, size: usize) -> Vec<u64> {
    let mut world = world(1 << 20);
    let script = client("t.a", json!({}));
    let who = begin(&mut world, &script);
    for number in 0..n {
        script.step(&mut world, who, &of(0, 0, size), number);
    }
    let seen = world.transcript(who);
    let messages = seen.received().filter(|f| f.value["op"] == "msg");
    messages.map(|f| f.bytes as u64).collect()
}

/// Those that know nothing of how much memory there is.
const LAWS: [Law; 9] = [
    ANSWERS, CONTENTS, BATCHES, MODES, CLOSES, ORDER, ANNOUNCED, REST, CREDIT,
];

/// The end of `who`, and what it saw.
fn end(world: &mut World<Subject>, script: &Script, who: usize) -> Transcript {
    script.end(world, who);
    let seen = world.transcript(who);
    if let Err(why) = check(&seen, script.text, &LAWS) {
        panic!("{why}");
    }
    seen
}

const N: usize = 200;

/// What one more than [`N`] messages take each, and the first [`N`] together.
fn room() -> (Vec<u64>, u64) {
    let sizes = sizes(N + 1, 1);
    let all = sizes[..N].iter().sum();
    (sizes, all)
}

/// [`N`] messages wait for one, after `first` was done to its socket, and use up all the memory there is.
fn filled(all: u64, first: &Step) -> (World<Subject>, Script, usize) {
    let mut world = world(all);
    let bound = json!({"messages": 1000, "bytes": 1 << 20});
    let script = client("t.a", json!({ "bound": bound }));
    let who = begin(&mut world, &script);
    script.step(&mut world, who, first, 0);
    for number in 0..N {
        script.step(&mut world, who, &of(0, 0, 1), number);
    }
    (world, script, who)
}

#[test]
fn the_oldest_leave_when_memory_is_passed_and_an_eighth_is_free_then() {
    let (sizes, all) = room();
    let (mut world, script, who) = filled(all, &Step::Refuse);
    assert_eq!(held(&world), all, "all of it is used");
    script.step(&mut world, who, &of(0, 0, 1), N);
    assert_eq!(held(&world), sizes[64..].iter().sum::<u64>());
    let came = came(&end(&mut world, &script, who));
    assert_eq!(came[..2], [json!(["memory", 1, 64]), json!(65)]);
    assert_eq!(came.len(), 1 + N + 1 - 64);
    let stats = world.machine.stats();
    assert_eq!((stats.lost_memory, stats.closed_slow), (64, 0));
}

#[test]
fn a_frame_under_way_takes_of_the_same_memory() {
    let (sizes, all) = room();
    let (mut world, script, who) = filled(all, &Step::Take(1));
    assert_eq!(
        held(&world),
        all - sizes[0],
        "the first is no more in the ring"
    );
    script.step(&mut world, who, &of(0, 0, 1), N);
    assert_eq!(held(&world), sizes[65..].iter().sum::<u64>());
    let came = came(&end(&mut world, &script, who));
    assert_eq!(came[..3], [json!(1), json!(["memory", 2, 65]), json!(66)]);
    assert_eq!(world.machine.stats().closed_slow, 0);
}

#[test]
fn the_oldest_of_all_topics_leave_first() {
    let sizes = sizes(3 * 64 + 1, 1);
    let all: u64 = sizes[..3 * 64].iter().sum();
    let mut world = world(all);
    let wide = json!({"bound": {"messages": 1000, "bytes": 1 << 20}});
    let scripts = [client("t.a", wide.clone()), client("t.b", wide)];
    let whos = scripts.each_ref().map(|s| begin(&mut world, s));
    for (script, who) in scripts.iter().zip(whos) {
        script.step(&mut world, who, &Step::Refuse, 0);
    }
    // The first 64 are of the second topic.
    for number in 0..=3 * 64 {
        let topic = usize::from(number < 64);
        scripts[0].step(&mut world, whos[0], &Step::WaitUs(1), number);
        scripts[0].step(&mut world, whos[0], &of(topic, 0, 1), number);
    }
    let lost = [0, 1].map(|i| came(&end(&mut world, &scripts[i], whos[i]))[0].clone());
    assert_eq!(lost, [json!(65), json!(["memory", 1, 64])]);
}

#[test]
fn what_was_passed_before_a_hole_is_given_back_while_the_hole_is_open() {
    let sizes = sizes(10, 50);
    let mut world = world(1 << 20);
    let settings = json!({"overflow": "drop_newest", "bound": {"messages": 5}});
    let script = client("t.a", settings);
    let who = begin(&mut world, &script);
    script.step(&mut world, who, &Step::Refuse, 0);
    for number in 0..10 {
        script.step(&mut world, who, &of(0, 0, 50), number);
    }
    let all: u64 = sizes.iter().sum();
    assert_eq!(held(&world), all);
    // Its mode is told before: the first goes out whole, and of the second a part.
    let room = sizes[0] + sizes[1];
    script.step(&mut world, who, &Step::Take(room as usize), 10);
    assert_eq!(
        world.transcript(who).received().last().unwrap().value["offset"],
        1
    );
    assert_eq!(held(&world), all - room);
    let came = came(&end(&mut world, &script, who));
    let told = json!([1, 2, 3, 4, 5, ["drop_newest", 6, 10]]);
    assert_eq!(Value::from(came), told);
    assert_eq!(held(&world), 0, "nobody is there any more");
}

#[test]
fn those_who_refuse_longest_give_back_the_frames_that_wait_for_them() {
    let size = sizes(1, 1000)[0];
    // What is read from the log is in no ring; nine and a half of it fit.
    let mut world = world(size * 19 / 2);
    let script = client("t.a", json!({"from": {"recent": 1}, "credit": 0}));
    let early = client("t.b", json!({}));
    let early_who = begin(&mut world, &early);
    early.step(&mut world, early_who, &Step::Refuse, 0);
    early.step(&mut world, early_who, &of(1, 0, 1), 1);
    let mut all = Vec::new();
    for number in 0..10 {
        assert_eq!(world.machine.stats().closed_slow, 0);
        // Each reads another message, so that they share no frame.
        script.step(&mut world, early_who, &of(0, 0, 1000), number);
        let who = begin(&mut world, &script);
        script.step(&mut world, who, &Step::WaitUs(1000), 0);
        script.step(&mut world, who, &Step::Take(1), 1);
        script.step(&mut world, who, &Step::Credit(1), 2);
        all.push(who);
    }
    // Until an eighth is free again; who refuses and keeps no frame has nothing to give back.
    let is_closed = |who: usize| closed(&world.transcript(who)).is_some();
    let closed: Vec<usize> = (0..10).filter(|i| is_closed(all[*i])).collect();
    assert_eq!(closed, [0, 1]);
    assert!(!is_closed(early_who));
    assert_eq!(world.machine.stats().closed_slow, 2);
}

#[test]
fn the_rate_that_holds_most_lets_go_when_memory_is_short() {
    let sample = |ms: u64| json!({"rate": {"mode": "sample", "ms": ms}});
    let mut world = world(7000);
    let scripts = [client("t.a", sample(5000)), client("t.b", sample(5000))];
    let whos = scripts.each_ref().map(|s| begin(&mut world, s));
    for key in 0..4 {
        if key < 2 {
            scripts[0].step(&mut world, whos[0], &of(0, key, 1000), key);
        }
        scripts[1].step(&mut world, whos[1], &of(1, key, 1000), key);
    }
    let before = held(&world);
    assert!((6000..7000).contains(&before), "{before}");
    scripts[0].step(&mut world, whos[0], &of(0, 2, 1000), 10);
    assert!(held(&world) < before, "{} B", held(&world));
    world.wait_us(QUIET_US);
    let came = [0, 1].map(|i| came(&end(&mut world, &scripts[i], whos[i])));
    assert_eq!(Value::from(came[0].clone()), json!([1, 3, 7]));
    assert_eq!(
        Value::from(came[1].clone()),
        json!([["memory", null, null]])
    );
}

#[test]
fn one_that_conflates_and_was_overtaken_goes_on_among_the_newest_of_each_key() {
    const BEFORE: usize = 20;
    const N: usize = 120;
    let most: u64 = sizes(N, 1)[BEFORE..N - 1].iter().sum();
    let mut world = world(most);
    let script = client("t.a", json!({"overflow": "conflate"}));
    let late = client("t.a", json!({"overflow": "conflate", "from": "earliest"}));
    let who = begin(&mut world, &script);
    for number in 0..BEFORE {
        script.step(&mut world, who, &of(0, 0, 1), number);
    }
    // Another is in the middle of history all the while, and stands in no ring yet.
    let other = world.open();
    late.step(&mut world, other, &Step::Refuse, 0);
    late.begin(&mut world, other);
    assert_eq!(world.machine.stats().replaying, 1);
    // All at once, before anything is written; the last of those that leave is the newest of its key. The last of all come when
    // they have left.
    let last_gone = BEFORE + 64;
    let all = (BEFORE + 1..=N).map(|number| Pub {
        topic: 0,
        key: if number == last_gone { 2 } else { 1 },
        size: 1,
    });
    script.step(&mut world, who, &Step::Publish(all.collect()), N);
    let came_to_it = came(&end(&mut world, &script, who));
    let expected: Vec<usize> = (1..=BEFORE).chain(last_gone..=N).collect();
    assert_eq!(Value::from(came_to_it), json!(expected));
    assert_eq!(world.machine.stats().lost_memory, 0);
    late.end(&mut world, other);
    let came_to_other = came(&world.transcript(other));
    assert_eq!(came_to_other[0], json!(1));
    assert!(came_to_other.contains(&json!(N)));
}

#[test]
fn one_without_credit_gives_back_what_it_has_read_of_history_and_reads_it_when_credit_comes() {
    // Slices may take an eighth before they are given back: one of these is too much.
    let mut world = world(4000);
    let writer = client("t.a", json!({}));
    let source = begin(&mut world, &writer);
    writer.step(&mut world, source, &of(0, 0, 1000), 0);
    let script = client("t.a", json!({"from": "earliest", "credit": 0}));
    let who = begin(&mut world, &script);
    assert!(came(&world.transcript(who)).is_empty());
    // A socket that takes again makes no difference without credit.
    script.step(&mut world, who, &Step::Refuse, 1);
    script.step(&mut world, who, &Step::Ledger, 2);
    script.step(&mut world, who, &Step::TakeAll, 3);
    assert!(came(&world.transcript(who)).is_empty());
    script.step(&mut world, who, &Step::Credit(1), 4);
    assert_eq!(came(&world.transcript(who)), [json!(1)]);
}

#[test]
fn no_more_leaves_than_must() {
    // All of one size: when the last of them comes, 64 less are seven eighths to the byte.
    const ALL: usize = 505;
    let of_one_size = |number: usize| of(0, 0, 20 - (number + 1).to_string().len());
    let mut sizer = world(1 << 20);
    let script = client("t.a", json!({}));
    let who = begin(&mut sizer, &script);
    script.step(&mut sizer, who, &Step::Refuse, 0);
    script.step(&mut sizer, who, &of_one_size(0), 1);
    let size = held(&sizer);
    let mut world = world(size * (ALL as u64 - 1));
    let bound = json!({"messages": 1000, "bytes": 1 << 20});
    let script = client("t.a", json!({ "bound": bound }));
    let who = begin(&mut world, &script);
    script.step(&mut world, who, &Step::Refuse, 0);
    for number in 0..ALL {
        assert_eq!(held(&world), size * number as u64);
        script.step(&mut world, who, &of_one_size(number), number);
    }
    assert_eq!(held(&world), size * (ALL as u64 - 64));
    let came = came(&end(&mut world, &script, who));
    assert_eq!(came[..2], [json!(["memory", 1, 64]), json!(65)]);
}

#[test]
fn frames_that_wait_may_use_all_the_memory_there_is() {
    let size = sizes(10, 1000)[9];
    let mut world = world(size * 8);
    let script = client("t.a", json!({"from": {"recent": 1}, "credit": 0}));
    let early = world.open();
    for number in 0..9 {
        script.step(&mut world, early, &of(3, 0, 1), number);
    }
    let wait_for_rest = |world: &mut World<Subject>| {
        // Each reads another message, so that they share no frame.
        script.step(world, early, &of(0, 0, 1000), 0);
        let who = begin(world, &script);
        script.step(world, who, &Step::WaitUs(1000), 0);
        script.step(world, who, &Step::Take(1), 1);
        script.step(world, who, &Step::Credit(1), 2);
    };
    for _ in 0..8 {
        wait_for_rest(&mut world);
    }
    assert_eq!(held(&world), 0, "rings give before anybody is ended");
    assert_eq!(world.machine.stats().closed_slow, 0);
    // One more is too much: an eighth is free again when two are gone.
    wait_for_rest(&mut world);
    assert_eq!(world.machine.stats().closed_slow, 2);
}

#[test]
fn one_that_conflates_is_told_when_memory_takes_the_newest_of_a_key() {
    let mut world = world(sizes(1, 1000)[0] + sizes(1, 1)[0] + 1);
    let settings = json!({"overflow": "conflate", "bound": {"messages": 2}});
    let script = client("t.a", settings);
    let who = begin(&mut world, &script);
    script.step(&mut world, who, &Step::Refuse, 0);
    // The last of its key, which nothing supersedes; what follows supersedes each other.
    script.step(&mut world, who, &of(0, 1, 1000), 1);
    for number in 2..7 {
        script.step(&mut world, who, &of(0, 2, 1), number);
    }
    let came = came(&end(&mut world, &script, who));
    assert_eq!(Value::from(came), json!([["memory", 1, 4], 6]));
    assert_eq!(world.machine.stats().lost_memory, 4);
}
