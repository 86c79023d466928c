//! What the hub lost, and where its log began anew, while something waits before it: told in its place.
use serde_json::{Value, json};

use crate::corners::{came, publish};
use crate::drive::World;
use crate::script::{End, QUIET_US, Script, Step};
use crate::subject::Subject;

/// One who subscribes, and what it has done until now.
struct One {
    world: World<Subject>,
    script: Script,
    number: usize,
}

impl One {
    fn new(settings: Value) -> Self {
        let script = Script {
            text: "t.a",
            settings,
            steps: Vec::new(),
            end: End::Quiet,
        };
        let mut world = World::new(Subject::new());
        let who = world.open();
        script.begin(&mut world, who);
        Self {
            world,
            script,
            number: 0,
        }
    }

    fn step(&mut self, step: &Step) {
        self.script.step(&mut self.world, 0, step, self.number);
        self.number += 1;
    }

    fn change(&mut self, settings: Value) {
        self.step(&Step::Reconfigure(settings));
    }

    /// What comes when the socket takes all; the ledgers of when it still refused, and of when all is quiet.
    fn end(mut self) -> (Value, [Value; 2]) {
        self.step(&Step::Ledger);
        self.step(&Step::TakeAll);
        self.world.wait_us(QUIET_US);
        self.step(&Step::Ledger);
        let all = self.ledgers().try_into().expect("two ledgers");
        (came(&self.world.transcript(0)).into(), all)
    }

    fn ledgers(&self) -> Vec<Value> {
        let seen = self.world.transcript(0);
        let ledgers = seen.received().filter(|f| f.value["op"] == "ledger");
        ledgers.map(|f| short(&f.value["ledger"])).collect()
    }
}

/// A ledger without what is zero.
fn short(ledger: &Value) -> Value {
    let mut all = json!({});
    let fields = ledger.as_object().into_iter().flatten();
    for (name, value) in fields {
        let inner = value.as_object().into_iter().flatten();
        let own = value.as_u64().map(|n| (name, n)).into_iter();
        for (name, n) in own.chain(inner.filter_map(|(name, n)| Some((name, n.as_u64()?)))) {
            if n > 0 {
                all[name] = n.into();
            }
        }
    }
    all
}

fn hole() -> One {
    let mut one = One::new(json!({"bound": {"messages": 2}, "overflow": "drop_newest"}));
    one.step(&Step::Refuse);
    one.step(&publish(&[0]));
    one.step(&publish(&[0, 0, 0]));
    one
}

/// Nothing, one that stands in another ring from then on, and one whose policy is another.
fn changes() -> [Option<Value>; 3] {
    [
        None,
        Some(json!({"batch": {"ms": 20}})),
        Some(json!({"overflow": "drop_oldest"})),
    ]
}

/// What comes of it for each of the [`changes`] when something is lost while a hole is open.
fn assert_inside_a_hole(
    lose: impl Fn(&mut World<Subject>),
    expected: impl Iterator<Item = (Value, [Value; 2])>,
) {
    for (change, expected) in changes().into_iter().zip(expected) {
        let mut one = hole();
        lose(&mut one.world);
        one.step(&publish(&[0, 0]));
        if let Some(change) = change {
            one.change(change);
        }
        one.step(&publish(&[0]));
        assert_eq!(one.end(), expected);
    }
}

#[test]
fn a_loss_of_the_hub_inside_a_hole_is_told_between_its_parts() {
    let expected = [
        json!([
            1,
            2,
            ["drop_newest", 3, 4],
            ["retention", 5, 6],
            ["drop_newest", 7, 9]
        ]),
        json!([
            1,
            2,
            ["drop_newest", 3, 4],
            ["retention", 5, 6],
            ["drop_newest", 7, 8],
            9
        ]),
        json!([
            ["drop_oldest", 1, 1],
            2,
            ["drop_newest", 3, 4],
            ["retention", 5, 6],
            ["drop_newest", 7, 8],
            9
        ]),
    ];
    let ledgers = [
        [
            json!({"published": 7, "drop_newest": 5, "memory": 2}),
            json!({"published": 9, "delivered": 2, "drop_newest": 5, "retention": 2}),
        ],
        [
            json!({"published": 7, "drop_newest": 4, "memory": 3}),
            json!({"published": 9, "delivered": 3, "drop_newest": 4, "retention": 2}),
        ],
        [
            json!({"published": 7, "drop_newest": 4, "drop_oldest": 1, "memory": 2}),
            json!({"published": 9, "delivered": 2, "drop_newest": 4, "drop_oldest": 1, "retention": 2}),
        ],
    ];
    assert_inside_a_hole(|world| world.lose(2), expected.into_iter().zip(ledgers));
}

#[test]
fn an_epoch_that_ends_inside_a_hole_is_told_between_its_parts() {
    let expected = [
        json!([1, 2, ["epoch", null, null], ["drop_newest", 5, 7]]),
        json!([1, 2, ["epoch", null, null], ["drop_newest", 5, 6], 7]),
        json!([
            ["drop_oldest", 1, 1],
            2,
            ["epoch", null, null],
            ["drop_newest", 5, 6],
            7
        ]),
    ];
    let ledgers = [
        [
            json!({"published": 4, "drop_newest": 2, "memory": 2}),
            json!({"published": 3, "drop_newest": 3}),
        ],
        [
            json!({"published": 4, "drop_newest": 2, "memory": 2}),
            json!({"published": 3, "delivered": 1, "drop_newest": 2}),
        ],
        [
            json!({"published": 4, "drop_newest": 2, "drop_oldest": 1, "memory": 1}),
            json!({"published": 3, "delivered": 1, "drop_newest": 2}),
        ],
    ];
    assert_inside_a_hole(
        |world| world.begin_epoch("f"),
        expected.into_iter().zip(ledgers),
    );
}

#[test]
fn what_a_rate_left_out_is_counted_with_the_epoch_it_is_of() {
    for changed in 0..4 {
        let mut one = One::new(json!({"rate": {"mode": "sample", "ms": 1000}}));
        one.step(&Step::Refuse);
        let change = |one: &mut One, at: usize| {
            if at == changed {
                one.change(json!({"rate": {"ms": 500}}));
                one.step(&publish(&[0, 0]));
                one.change(json!({"rate": {"ms": 1000}}));
            }
        };
        one.step(&publish(&[0, 0]));
        change(&mut one, 0);
        one.step(&publish(&[0, 0]));
        one.world.begin_epoch("f");
        one.step(&publish(&[0, 0, 0]));
        change(&mut one, 1);
        one.step(&publish(&[0, 0]));
        one.world.begin_epoch("g");
        one.step(&publish(&[0, 0, 0, 0]));
        change(&mut one, 2);
        one.step(&publish(&[0, 0]));
        // A little at a time, and a ledger before each.
        for _ in 0..60 {
            one.step(&Step::Ledger);
            one.step(&Step::Take(400));
        }
        one.step(&Step::TakeAll);
        let mut told: Vec<(u64, u64)> = Vec::new();
        for ledger in one.ledgers() {
            let of = |name: &str| ledger[name].as_u64().unwrap_or(0);
            let (published, filtered) = (of("published"), of("filtered_by_rate"));
            assert_eq!(
                published,
                filtered + of("delivered") + of("memory"),
                "{ledger}"
            );
            told.push((published, filtered));
        }
        told.dedup();
        let mut expected = [(4, 3), (5, 4), (6, 5)];
        if let Some((published, filtered)) = expected.get_mut(changed) {
            // What was held at a change waits on: of two more, one.
            *published += 2;
            *filtered = *published - 3;
        }
        assert_eq!(told, expected, "{changed}");
    }
}

#[test]
fn what_is_told_before_the_end_of_an_epoch_names_that_epoch() {
    for change in [None, Some(json!({"batch": {"ms": 20}}))] {
        let mut one = One::new(json!({}));
        one.step(&Step::Refuse);
        one.step(&publish(&[0]));
        if let Some(change) = change {
            one.change(change);
        }
        one.world.begin_epoch("f");
        one.step(&Step::Ledger);
        one.step(&Step::TakeAll);
        one.step(&Step::Ledger);
        let seen = one.world.transcript(0);
        let ledgers = seen.received().filter(|f| f.value["op"] == "ledger");
        let epochs: Vec<&Value> = ledgers.map(|f| &f.value["epoch"]).collect();
        assert_eq!(epochs, ["e", "f"]);
    }
}

#[test]
fn what_waits_of_a_former_epoch_is_lost_to_one_that_goes_back_to_the_log() {
    let rate = json!({"mode": "sample", "ms": 1000});
    let all = json!([["epoch", null, null], 4, 5, 6]);
    // The smaller bound acts before, by the policy that was.
    let fewer = json!([["epoch", null, null], ["drop_oldest", 4, 4], 5, 6]);
    for (settings, change, expected) in [
        (json!({}), json!({"batch": {"ms": 20}}), &all),
        (
            json!({"overflow": "conflate"}),
            json!({"overflow": "drop_oldest"}),
            &all,
        ),
        (json!({"rate": rate}), json!({"rate": null}), &fewer),
    ] {
        let mut one = One::new(settings);
        one.step(&Step::Refuse);
        one.step(&publish(&[1]));
        one.step(&publish(&[2, 1]));
        one.change(change);
        one.world.begin_epoch("f");
        one.step(&publish(&[0, 0]));
        one.change(json!({"overflow": "spill", "bound": {"messages": 1}}));
        one.step(&publish(&[0]));
        let (came, [_, last]) = one.end();
        assert_eq!(came, *expected);
        assert_eq!(last["published"], 3);
    }
}

#[test]
fn a_loss_is_told_to_one_for_whom_a_rate_holds_nothing_yet() {
    for refuses in [false, true] {
        let mut first = One::new(json!({"rate": {"mode": "throttle", "ms": 1000}}));
        first.step(&publish(&[0, 0]));
        // What the rate still holds is older than its start.
        let second = first.world.open();
        first.script.begin(&mut first.world, second);
        if refuses {
            first
                .script
                .step(&mut first.world, second, &Step::Refuse, 10);
        }
        first.world.lose(2);
        first
            .script
            .step(&mut first.world, second, &publish(&[0]), 11);
        first
            .script
            .step(&mut first.world, second, &Step::Ledger, 12);
        first
            .script
            .step(&mut first.world, second, &Step::TakeAll, 13);
        first.world.wait_us(QUIET_US);
        let told = [0, second].map(|who| Value::from(came(&first.world.transcript(who))));
        let lost = json!(["retention", 3, 4]);
        assert_eq!(told, [json!([1, 2, lost, 5]), json!([lost, 5])]);
    }
}
