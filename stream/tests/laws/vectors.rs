//! The operators' exact times, as vectors: what is published when, and what comes when. `end` is an `unsubscribe`.
use serde_json::{Value, json};

use crate::checker::items;
use crate::drive::{Machine, World};
use crate::model::Model;
use crate::script::subscribe;
use crate::subject::Subject;

/// At a time in milliseconds: a key and a value.
type Given<'a> = (u64, &'a str, u64);
/// At a time in milliseconds: the values of one frame.
type Came = (u64, Vec<u64>);

/// Plays a vector from a moment that lies on every grid.
fn play<M: Machine>(
    machine: M,
    settings: &Value,
    given: &[Given<'_>],
    end: Option<u64>,
) -> Vec<Came> {
    const GRID_US: u64 = 60_000_000;
    let mut world = World::new(machine);
    let who = world.open();
    world.wait_us(GRID_US - world.now.wall_us % GRID_US);
    let zero_ns = world.now.mono_ns;
    let at = |world: &mut World<M>, ms: u64| {
        world.wait_us((zero_ns + ms * 1_000_000 - world.now.mono_ns) / 1000);
    };
    world.say(who, &subscribe("t.a", settings, 1));
    for (ms, key, value) in given {
        at(&mut world, *ms);
        world.publish_all([("t.a", Some(*key), value.to_string())]);
    }
    if let Some(ms) = end {
        at(&mut world, ms);
        world.say(who, &json!({"op": "unsubscribe", "id": 2, "topic": "t.a"}));
    }
    world.wait_us(10_000_000);
    let seen = world.transcript(who);
    let refused = seen.received().find(|f| f.value["op"] == "error");
    assert!(refused.is_none(), "{refused:?}");
    let values = |frame: &Value| {
        items(frame)
            .iter()
            .filter_map(|i| i["data"].as_u64())
            .collect::<Vec<_>>()
    };
    let frames = seen.received().map(|f| {
        (
            (f.whole_ns.saturating_sub(zero_ns)) / 1_000_000,
            values(&f.value),
        )
    });
    frames.filter(|(_, values)| !values.is_empty()).collect()
}

/// Model and engine keep the vector.
fn assert_vector(
    settings: &Value,
    given: &[Given<'_>],
    end: Option<u64>,
    expected: &[(u64, &[u64])],
) {
    let expected: Vec<Came> = expected
        .iter()
        .map(|(ms, values)| (*ms, values.to_vec()))
        .collect();
    assert_eq!(
        play(Model::new(), settings, given, end),
        expected,
        "the model"
    );
    assert_eq!(
        play(Subject::new(), settings, given, end),
        expected,
        "the engine"
    );
}

fn rate(mode: &str, ms: u64) -> Value {
    json!({"rate": {"mode": mode, "ms": ms}})
}

#[test]
fn sample_releases_the_newest_at_each_tick_and_nothing_when_nothing_is_new() {
    let given = [(1000, "k", 1), (2000, "k", 2)];
    assert_vector(
        &rate("sample", 400),
        &given,
        Some(3000),
        &[(1200, &[1]), (2000, &[2])],
    );
    let given = [(10, "a", 1), (20, "b", 2), (30, "a", 3), (450, "b", 4)];
    assert_vector(
        &rate("sample", 400),
        &given,
        None,
        &[(400, &[2]), (400, &[3]), (800, &[4])],
    );
}

#[test]
fn sample_is_flushed_by_an_unsubscribe_between_two_ticks() {
    assert_vector(
        &rate("sample", 400),
        &[(450, "k", 1)],
        Some(500),
        &[(500, &[1])],
    );
}

#[test]
fn throttle_first_lets_the_first_through_and_loses_the_rest() {
    let given = [(100, "k", 1), (300, "k", 2), (900, "k", 3), (905, "k", 4)];
    assert_vector(
        &rate("throttle_first", 400),
        &given,
        Some(1000),
        &[(100, &[1]), (900, &[3])],
    );
    assert_vector(
        &rate("throttle_first", 400),
        &given,
        None,
        &[(100, &[1]), (900, &[3])],
    );
}

#[test]
fn throttle_releases_at_once_then_the_newest_at_each_interval_and_the_last_always() {
    let given = [
        (0, "k", 1),
        (0, "k", 2),
        (0, "k", 3),
        (1500, "k", 4),
        (1600, "k", 5),
        (5000, "k", 6),
    ];
    let expected: &[(u64, &[u64])] = &[(0, &[1]), (1000, &[3]), (2000, &[5]), (5000, &[6])];
    assert_vector(&rate("throttle", 1000), &given, None, expected);
    let given = [(0, "k", 1), (100, "k", 2), (200, "other", 3)];
    assert_vector(
        &rate("throttle", 1000),
        &given,
        Some(500),
        &[(0, &[1]), (200, &[3]), (500, &[2])],
    );
}

#[test]
fn debounce_releases_the_newest_once_it_is_quiet() {
    let settings = json!({"rate": {"mode": "debounce", "ms": 400, "max_wait_ms": 5000}});
    let given = [(100, "k", 1), (400, "k", 2), (900, "k", 3), (999, "k", 4)];
    assert_vector(&settings, &given, Some(1000), &[(800, &[2]), (1000, &[4])]);
}

#[test]
fn debounce_waits_no_longer_than_its_longest_wait() {
    let settings = json!({"rate": {"mode": "debounce", "ms": 100, "max_wait_ms": 250}});
    let given = [
        (0, "k", 1),
        (90, "k", 2),
        (180, "k", 3),
        (240, "k", 4),
        (300, "k", 5),
    ];
    assert_vector(&settings, &given, None, &[(250, &[4]), (400, &[5])]);
}

#[test]
fn a_batch_is_due_by_count_by_time_since_its_first_and_at_the_end() {
    let settings = json!({"batch": {"ms": 100, "messages": 2}});
    let given = [
        (10, "k", 1),
        (90, "k", 2),
        (110, "k", 3),
        (190, "k", 4),
        (210, "k", 5),
    ];
    assert_vector(
        &settings,
        &given,
        Some(250),
        &[(90, &[1, 2]), (190, &[3, 4]), (250, &[5])],
    );
    assert_vector(
        &settings,
        &given,
        None,
        &[(90, &[1, 2]), (190, &[3, 4]), (310, &[5])],
    );
}

#[test]
fn a_batch_by_bytes_closes_before_the_item_that_would_make_it_larger() {
    let given = [(0, "k", 1), (1, "k", 2), (2, "k", 3), (3, "k", 4)];
    // What is as large as it may be waits for nothing.
    let alone: &[(u64, &[u64])] = &[(0, &[1]), (1, &[2]), (2, &[3]), (3, &[4])];
    assert_vector(&json!({"batch": {"bytes": 1}}), &given, Some(9), alone);
    // `{"op":"batch","topic":"t.a","items":[` and `]}` are 39 bytes, an item 67 and a comma, the header 4.
    for (bytes, expected) in [
        (
            177,
            [(1, &[1][..]), (2, &[2]), (3, &[3]), (9, &[4])].as_slice(),
        ),
        (178, &[(1, &[1, 2]), (3, &[3, 4])]),
        (179, &[(2, &[1, 2]), (9, &[3, 4])]),
    ] {
        let settings = json!({"batch": {"bytes": bytes}});
        assert_vector(&settings, &given, Some(9), expected);
    }
}

#[test]
fn a_burst_is_a_debounce_and_a_batch() {
    let settings =
        json!({"rate": {"mode": "debounce", "ms": 50, "max_wait_ms": 200}, "batch": {"ms": 30}});
    let given = [
        (0, "a", 1),
        (5, "a", 2),
        (10, "b", 3),
        (20, "c", 4),
        (300, "a", 5),
    ];
    assert_vector(&settings, &given, None, &[(85, &[2, 3, 4]), (380, &[5])]);
    assert_vector(
        &settings,
        &given,
        Some(310),
        &[(85, &[2, 3, 4]), (310, &[5])],
    );
}

#[test]
fn a_rate_that_acts_only_when_behind_leaves_one_that_keeps_up_alone() {
    let settings = json!({"rate": {"mode": "sample", "ms": 400, "when": "behind"}});
    assert_vector(
        &settings,
        &[(10, "k", 1), (20, "k", 2)],
        None,
        &[(10, &[1]), (20, &[2])],
    );
}
