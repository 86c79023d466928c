//! Settings that make no sense: refused with the field that is wrong, and everything stays as it was.
use serde_json::{Value, json};

use crate::drive::{Room, World};
use crate::script::subscribe;
use crate::subject::Subject;

/// What is wrong in `subscribe` and in `reconfigure` alike, and the field that is named.
fn wrong() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"rate": 5}), "rate"),
        (json!({"rate": {"mode": "sometimes", "ms": 5}}), "rate.mode"),
        (json!({"rate": {"mode": "sample", "ms": 0}}), "rate.ms"),
        (json!({"rate": {"mode": "sample", "ms": -1}}), "rate.ms"),
        (json!({"rate": {"mode": "sample", "ms": 1.5}}), "rate.ms"),
        (json!({"rate": {"mode": "sample", "ms": "5"}}), "rate.ms"),
        (
            json!({"rate": {"mode": "sample", "ms": 5, "max_wait_ms": 9}}),
            "rate.max_wait_ms",
        ),
        (
            json!({"rate": {"mode": "debounce", "ms": 5, "max_wait_ms": 0}}),
            "rate.max_wait_ms",
        ),
        (
            json!({"rate": {"mode": "sample", "ms": 5, "when": "never"}}),
            "rate.when",
        ),
        (
            json!({"rate": {"mode": "sample", "ms": 5, "every": 5}}),
            "rate.every",
        ),
        (json!({"rate": {"mode": "all", "ms": 5}}), "rate.ms"),
        (json!({"batch": []}), "batch"),
        (json!({"batch": {"ms": 0}}), "batch.ms"),
        (json!({"batch": {"messages": 0}}), "batch.messages"),
        (json!({"batch": {"bytes": 0}}), "batch.bytes"),
        (json!({"batch": {"bytes": true}}), "batch.bytes"),
        (json!({"batch": {"items": 5}}), "batch.items"),
        (json!({"bound": 5}), "bound"),
        (json!({"bound": {"messages": 0}}), "bound.messages"),
        (json!({"bound": {"bytes": 0}}), "bound.bytes"),
        (json!({"bound": {"age_ms": 0}}), "bound.age_ms"),
        (json!({"bound": {"messages": -4}}), "bound.messages"),
        (json!({"bound": {"age": 5}}), "bound.age"),
        (json!({"overflow": "drop"}), "overflow"),
        (json!({"overflow": 1}), "overflow"),
        (json!({"credit": -1}), "credit"),
        (json!({"credit": 1.5}), "credit"),
        (json!({"credit": "many"}), "credit"),
        (json!({"speed": 1}), "speed"),
    ]
}

/// What only a `subscribe` can get wrong: a `reconfigure` takes what is missing from what is in force.
fn incomplete() -> Vec<(Value, &'static str)> {
    vec![
        (json!({"rate": {"mode": "sample"}}), "rate.ms"),
        (json!({"rate": {"ms": 5}}), "rate.mode"),
        (
            json!({"rate": {"mode": "debounce", "ms": 5}}),
            "rate.max_wait_ms",
        ),
        (json!({"batch": {}}), "batch"),
        (json!({"from": "yesterday"}), "from"),
    ]
}

struct Bench {
    world: World<Subject>,
    who: usize,
    id: u64,
}

impl Bench {
    fn new() -> Self {
        let mut world = World::new(Subject::new());
        let who = world.open();
        Self {
            world,
            who,
            id: 100,
        }
    }

    /// The answer to a command.
    fn ask(&mut self, mut command: Value) -> Value {
        self.id += 1;
        command["id"] = self.id.into();
        self.world.say(self.who, &command);
        let seen = self.world.transcript(self.who);
        let answer = seen.received().find(|f| f.value["id"] == self.id);
        answer.expect("an answer").value.clone()
    }

    fn subscribe(&mut self, settings: &Value) -> Value {
        self.ask(subscribe("t.a", settings, 0))
    }

    fn reconfigure(&mut self, patch: &Value) -> Value {
        let mut command = patch.clone();
        command["op"] = "reconfigure".into();
        command["topic"] = "t.a".into();
        self.ask(command)
    }
}

#[track_caller]
fn assert_refused(answer: &Value, settings: &Value, field: &str) {
    assert_eq!(answer["op"], "error", "{settings}: {answer}");
    assert_eq!(answer["code"], "bad_field", "{settings}: {answer}");
    assert_eq!(answer["field"], field, "{settings}: {answer}");
}

#[test]
fn a_subscribe_with_wrong_settings_names_the_field_and_subscribes_nothing() {
    for (settings, field) in wrong().into_iter().chain(incomplete()) {
        let mut bench = Bench::new();
        let answer = bench.subscribe(&settings);
        assert_refused(&answer, &settings, field);
        let ledger = bench.ask(json!({"op": "ledger", "topic": "t.a"}));
        assert_eq!(ledger["code"], "not_subscribed", "{settings}");
        assert_eq!(bench.subscribe(&json!({}))["op"], "subscribed");
    }
}

#[test]
fn a_reconfigure_with_wrong_settings_names_the_field_and_changes_nothing() {
    let good = [
        json!({}),
        json!({
            "rate": {"mode": "debounce", "ms": 20, "max_wait_ms": 50, "when": "behind"},
            "batch": {"ms": 10, "messages": 5}, "bound": {"messages": 7, "age_ms": 400},
            "overflow": "conflate", "credit": 9
        }),
    ];
    for good in good {
        let mut bench = Bench::new();
        let settings = bench.subscribe(&good)["settings"].clone();
        assert!(settings.is_object(), "{good} is allowed");
        for (patch, field) in wrong() {
            // Beside what would be right, had it come alone.
            let mut patch = patch;
            for (name, value) in [
                ("bound", json!({"messages": 3})),
                ("overflow", json!("disconnect")),
            ] {
                if patch.get(name).is_none() {
                    patch[name] = value;
                }
            }
            assert_refused(&bench.reconfigure(&patch), &patch, field);
            let now = bench.reconfigure(&json!({"bound": {"bytes": settings["bound"]["bytes"]}}));
            assert_eq!(now["settings"], settings, "after {patch}");
        }
    }
}

#[test]
fn a_reconfigure_whose_outcome_makes_no_sense_names_the_field() {
    let mut bench = Bench::new();
    let settings =
        bench.subscribe(&json!({"rate": {"mode": "sample", "ms": 20}}))["settings"].clone();
    let senseless = [
        (json!({"rate": {"mode": "debounce"}}), "rate.max_wait_ms"),
        (json!({"rate": {"ms": null}}), "rate.ms"),
        (json!({"rate": {"mode": null}}), "rate.mode"),
        (json!({"rate": {"max_wait_ms": 5}}), "rate.max_wait_ms"),
        (json!({"rate": {"mode": "all", "ms": 5}}), "rate.ms"),
        (json!({"topic": "t.b"}), ""),
        (json!({"from": "last"}), "from"),
    ];
    for (patch, field) in senseless {
        let answer = if field.is_empty() {
            let answer = bench.ask(json!({"op": "reconfigure", "topic": "t.b"}));
            assert_eq!(answer["code"], "not_subscribed", "{answer}");
            continue;
        } else {
            bench.reconfigure(&patch)
        };
        assert_refused(&answer, &patch, field);
        assert_eq!(
            bench.reconfigure(&json!({"credit": null}))["settings"],
            settings,
            "after {patch}"
        );
    }
}

#[test]
fn a_bound_above_the_limits_is_clamped_and_null_is_the_default() {
    let mut bench = Bench::new();
    let answer = bench.subscribe(
        &json!({"bound": {"messages": 1_000_000, "bytes": 1_u64 << 40, "age_ms": 100_000_000}}),
    );
    let most = json!({"messages": 100_000, "bytes": 64 << 20, "age_ms": 600_000});
    assert_eq!(answer["settings"]["bound"], most);
    let answer = bench.reconfigure(&json!({"bound": {"messages": null, "age_ms": 5}}));
    assert_eq!(
        answer["settings"]["bound"],
        json!({"messages": 1024, "bytes": 64 << 20, "age_ms": 5})
    );
    let answer = bench.reconfigure(&json!({"bound": null}));
    assert_eq!(
        answer["settings"]["bound"],
        json!({"messages": 1024, "bytes": 1 << 20, "age_ms": 30_000})
    );
}

#[test]
fn credit_that_cannot_be_given_is_refused() {
    let mut bench = Bench::new();
    bench.subscribe(&json!({}));
    let credit = |n: Value| json!({"op": "credit", "topic": "t.a", "n": n});
    assert_refused(&bench.ask(credit(5.into())), &json!("no credit"), "credit");
    bench.reconfigure(&json!({"credit": 0}));
    for n in [json!(0), json!(-1), json!(1.5), json!("5"), Value::Null] {
        assert_refused(&bench.ask(credit(n.clone())), &n, "n");
    }
    bench.reconfigure(&json!({"credit": null}));
    assert_refused(&bench.ask(credit(5.into())), &json!("lifted"), "credit");
}

#[test]
fn a_text_is_taken_until_it_is_unsubscribed() {
    let mut bench = Bench::new();
    bench.subscribe(&json!({}));
    assert_eq!(bench.subscribe(&json!({}))["code"], "already_subscribed");
    bench.world.set_room(bench.who, Room::Bytes(0));
    bench.world.publish_all([("t.a", None, "1".to_owned())]);
    let leave = json!({"op": "unsubscribe", "id": 7, "topic": "t.a", "drain": true});
    bench.world.say(bench.who, &leave);
    for (id, wait_us) in [(8, 0), (9, 4_900_000), (10, 200_000)] {
        bench.world.wait_us(wait_us);
        let again = subscribe("t.a", &json!({}), id);
        bench.world.say(bench.who, &again);
    }
    bench.world.set_room(bench.who, Room::All);
    let seen = bench.world.transcript(bench.who);
    let answer = |id: u64| seen.received().find(|f| f.value["id"] == id);
    let answer = |id: u64| &answer(id).expect("an answer").value;
    assert_eq!(answer(8)["code"], "already_subscribed");
    assert_eq!(answer(9)["code"], "already_subscribed");
    assert_eq!(answer(7)["op"], "unsubscribed");
    assert_eq!(answer(10)["op"], "subscribed");
}

#[test]
fn a_drain_waits_for_what_credit_covers_and_no_longer() {
    let mut bench = Bench::new();
    bench.subscribe(&json!({"credit": 0}));
    bench.world.publish_all([("t.a", None, "1".to_owned())]);
    let left = bench.ask(json!({"op": "unsubscribe", "topic": "t.a", "drain": true}));
    assert_eq!(left["op"], "unsubscribed");
    assert_eq!(left["ledger"]["pending"]["memory"], 1);
}
