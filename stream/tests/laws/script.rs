//! Scripts: what one client and its socket do, what is published meanwhile, and the strategies that draw them.
use proptest::prelude::*;
use proptest::strategy::Union;
use serde_json::{Value, json};

use crate::drive::{Machine, Room, Transcript, World};

pub const TOPICS: [&str; 4] = ["t.a", "t.b", "t.c", "u.x"];
pub const KEYS: [Option<&str>; 4] = [None, Some("a"), Some("b"), Some("")];
/// Longer than any interval that is drawn, taken thrice.
pub const QUIET_US: u64 = 12_000_000;

/// One publication; topic and key by index.
#[derive(Debug, Clone, Copy)]
pub struct Pub {
    pub topic: usize,
    pub key: usize,
    pub size: usize,
}

#[derive(Debug, Clone)]
pub enum Step {
    Publish(Vec<Pub>),
    WaitUs(u64),
    Take(usize),
    TakeAll,
    Refuse,
    Credit(u64),
    Reconfigure(Value),
    Ledger,
}

#[derive(Debug, Clone)]
pub enum End {
    /// Everything is taken, time passes, then it unsubscribes.
    Quiet,
    /// It unsubscribes at once, with or without `drain`, and everything is taken then.
    Leave { drain: bool },
}

/// What one client does.
#[derive(Debug, Clone)]
pub struct Script {
    pub text: &'static str,
    /// `rate`, `batch`, `bound`, `overflow`, `credit`, each only where named.
    pub settings: Value,
    pub steps: Vec<Step>,
    pub end: End,
}

/// The publisher's JSON, `size` bytes long.
pub fn data(size: usize) -> String {
    match size {
        0..=2 => "1".repeat(size.max(1)),
        n => format!("\"{}\"", "x".repeat(n - 2)),
    }
}

pub fn subscribe(text: &str, settings: &Value, id: usize) -> Value {
    let mut command = settings.clone();
    command["op"] = "subscribe".into();
    command["topic"] = text.into();
    command["id"] = id.into();
    command
}

impl Script {
    /// Runs it on a machine of its own.
    pub fn run<M: Machine>(&self, machine: M) -> Transcript {
        let mut world = World::new(machine);
        let who = world.open();
        self.begin(&mut world, who);
        for (number, step) in self.steps.iter().enumerate() {
            self.step(&mut world, who, step, number);
        }
        self.end(&mut world, who);
        world.transcript(who)
    }

    pub fn begin<M: Machine>(&self, world: &mut World<M>, who: usize) {
        world.say(who, &subscribe(self.text, &self.settings, 1_000_000));
    }

    /// `number` names what the step asks for, so it must not come twice.
    pub fn step<M: Machine>(&self, world: &mut World<M>, who: usize, step: &Step, number: usize) {
        match step {
            Step::Publish(all) => publish(world, all),
            Step::WaitUs(us) => world.wait_us(*us),
            Step::Take(n) => world.set_room(who, Room::Bytes(*n)),
            Step::TakeAll => world.set_room(who, Room::All),
            Step::Refuse => world.set_room(who, Room::Bytes(0)),
            Step::Credit(n) => world.say(
                who,
                &json!({"op": "credit", "id": number, "topic": self.text, "n": n}),
            ),
            Step::Reconfigure(patch) => {
                let mut command = patch.clone();
                command["op"] = "reconfigure".into();
                command["topic"] = self.text.into();
                command["id"] = number.into();
                world.say(who, &command);
            }
            Step::Ledger => {
                world.say(
                    who,
                    &json!({"op": "ledger", "id": number, "topic": self.text}),
                );
            }
        }
    }

    pub fn end<M: Machine>(&self, world: &mut World<M>, who: usize) {
        let drain = match self.end {
            End::Quiet => {
                world.note_quiet(who);
                world.set_room(who, Room::All);
                // An `error` where there is no credit to give.
                world.say(
                    who,
                    &json!({"op": "credit", "id": 2_000_000, "topic": self.text, "n": 1_000_000}),
                );
                world.wait_us(QUIET_US);
                world.say(
                    who,
                    &json!({"op": "ledger", "id": 2_000_001, "topic": self.text}),
                );
                false
            }
            End::Leave { drain } => drain,
        };
        world.say(
            who,
            &json!({"op": "unsubscribe", "id": 2_000_002, "topic": self.text, "drain": drain}),
        );
        world.set_room(who, Room::All);
        world.wait_us(6_000_000);
        publish(
            world,
            &[Pub {
                topic: 0,
                key: 0,
                size: 1,
            }],
        );
        world.wait_us(6_000_000);
    }
}

pub fn publish<M: Machine>(world: &mut World<M>, all: &[Pub]) {
    world.publish_all(
        all.iter()
            .map(|p| (TOPICS[p.topic], KEYS[p.key], data(p.size))),
    );
}

/// What settings are drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub rates: &'static [&'static str],
    pub batches: bool,
    pub overflows: &'static [&'static str],
    pub credit: bool,
    pub ages: bool,
    pub bytes: bool,
    pub behind: bool,
}

pub const RATES: &[&str] = &["sample", "throttle", "throttle_first", "debounce"];
pub const OVERFLOWS: &[&str] = &[
    "drop_oldest",
    "drop_newest",
    "conflate",
    "disconnect",
    "spill",
];

/// Everything there is.
pub const ANY: Draw = Draw {
    rates: RATES,
    batches: true,
    overflows: OVERFLOWS,
    credit: true,
    ages: true,
    bytes: true,
    behind: true,
};

/// No operator, no credit, no age: a bound, a policy and a socket.
pub const PLAIN: Draw = Draw {
    rates: &[],
    batches: false,
    overflows: &["drop_oldest", "conflate", "disconnect"],
    credit: false,
    ages: false,
    bytes: true,
    behind: false,
};

fn millis() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(1_u64),
        Just(10),
        Just(40),
        Just(100),
        Just(400),
        1_u64..1000
    ]
}

/// A rate, or null.
pub fn rate(draw: Draw) -> BoxedStrategy<Value> {
    if draw.rates.is_empty() {
        return Just(Value::Null).boxed();
    }
    let one = (
        proptest::sample::select(draw.rates),
        millis(),
        millis(),
        proptest::bool::weighted(0.25),
    )
        .prop_map(move |(mode, ms, more, behind)| {
            let mut rate = json!({"mode": mode, "ms": ms});
            if mode == "debounce" {
                rate["max_wait_ms"] = (ms + more).into();
            }
            if behind && draw.behind {
                rate["when"] = "behind".into();
            }
            rate
        });
    prop_oneof![1 => Just(Value::Null), 3 => one].boxed()
}

/// A batch, or null.
pub fn batch(draw: Draw) -> BoxedStrategy<Value> {
    if !draw.batches {
        return Just(Value::Null).boxed();
    }
    let fields = (
        proptest::option::of(millis()),
        proptest::option::of(1_u64..6),
        proptest::option::weighted(0.3, 100_u64..1200),
    );
    let one = fields.prop_map(|(ms, messages, bytes)| {
        let mut batch = json!({});
        for (name, value) in [("ms", ms), ("messages", messages), ("bytes", bytes)] {
            if let Some(value) = value {
                batch[name] = value.into();
            }
        }
        if batch == json!({}) {
            Value::Null
        } else {
            batch
        }
    });
    prop_oneof![1 => Just(Value::Null), 1 => one].boxed()
}

pub fn bound(draw: Draw) -> BoxedStrategy<Value> {
    let messages = prop_oneof![1_u64..9, Just(1), Just(40)];
    let bytes = 60_u64..3000;
    let age = proptest::sample::select(vec![1_u64, 20, 100, 1000, 20_000]);
    (
        proptest::option::weighted(0.8, messages),
        proptest::option::weighted(0.3, bytes),
        proptest::option::weighted(0.4, age),
    )
        .prop_map(move |(messages, bytes, age)| {
            let mut bound = json!({});
            let fields = [
                ("messages", messages),
                ("bytes", bytes.filter(|_| draw.bytes)),
                ("age_ms", age.filter(|_| draw.ages)),
            ];
            for (name, value) in fields {
                if let Some(value) = value {
                    bound[name] = value.into();
                }
            }
            bound
        })
        .boxed()
}

fn credit(draw: Draw) -> BoxedStrategy<Value> {
    if !draw.credit {
        return Just(Value::Null).boxed();
    }
    prop_oneof![
        2 => Just(Value::Null),
        1 => (0_u64..12).prop_map(Value::from),
    ]
    .boxed()
}

/// Settings as a `subscribe` names them: what is null is not named.
pub fn settings(draw: Draw) -> impl Strategy<Value = Value> {
    (
        rate(draw),
        batch(draw),
        bound(draw),
        proptest::sample::select(draw.overflows),
        credit(draw),
    )
        .prop_map(|(rate, batch, bound, overflow, credit)| {
            let mut settings = json!({"bound": bound, "overflow": overflow});
            for (name, value) in [("rate", rate), ("batch", batch), ("credit", credit)] {
                if !value.is_null() {
                    settings[name] = value;
                }
            }
            settings
        })
}

/// Any field, set or taken back; some of them make no sense together and are refused.
pub fn patch(draw: Draw) -> impl Strategy<Value = Value> {
    let overflow = proptest::sample::select(draw.overflows).prop_map(Value::from);
    let mut fields: Vec<BoxedStrategy<(&'static str, Value)>> = vec![
        prop_oneof![4 => bound(draw), 1 => Just(Value::Null)]
            .prop_map(|v| ("bound", v))
            .boxed(),
        overflow.prop_map(|v| ("overflow", v)).boxed(),
    ];
    if !draw.rates.is_empty() {
        fields.push(rate(draw).prop_map(|v| ("rate", v)).boxed());
        let part = millis().prop_map(|ms| ("rate", json!({"ms": ms})));
        fields.push(part.boxed());
    }
    if draw.batches {
        fields.push(batch(draw).prop_map(|v| ("batch", v)).boxed());
        let part = Just(("batch", json!({"messages": null, "ms": 20})));
        fields.push(part.boxed());
    }
    if draw.credit {
        fields.push(credit(draw).prop_map(|v| ("credit", v)).boxed());
    }
    proptest::collection::vec(Union::new(fields), 1..3).prop_map(|all| {
        let mut patch = json!({});
        for (name, value) in all {
            patch[name] = value;
        }
        patch
    })
}

pub fn publication() -> impl Strategy<Value = Pub> {
    let topic = prop_oneof![4 => Just(0_usize), 2 => Just(1), 1 => Just(2), 1 => Just(3)];
    let key = prop_oneof![2 => Just(0_usize), 2 => Just(1), 1 => Just(2), 1 => Just(3)];
    let size = prop_oneof![1_usize..12, 1_usize..300];
    (topic, key, size).prop_map(|(topic, key, size)| Pub { topic, key, size })
}

/// Which steps are drawn beside publications and time.
#[derive(Debug, Clone, Copy)]
pub struct Acts {
    pub socket: bool,
    /// Sockets may take a part of a frame.
    pub parts: bool,
    pub reconfigure: bool,
    /// The longest wait.
    pub wait_us: u64,
}

pub fn step(draw: Draw, acts: Acts) -> BoxedStrategy<Step> {
    let wait = prop_oneof![
        Just(1_000_u64),
        Just(10_000),
        Just(100_000),
        1..acts.wait_us
    ];
    let some = proptest::collection::vec(publication(), 1..5);
    let mut all: Vec<(u32, BoxedStrategy<Step>)> = vec![
        (8, some.prop_map(Step::Publish).boxed()),
        (5, wait.prop_map(Step::WaitUs).boxed()),
        (1, Just(Step::Ledger).boxed()),
    ];
    if acts.socket {
        let bytes = prop_oneof![1_usize..80, 1_usize..1500];
        all.push((2, Just(Step::Refuse).boxed()));
        if acts.parts {
            all.push((2, bytes.prop_map(Step::Take).boxed()));
        }
        all.push((1, Just(Step::TakeAll).boxed()));
    }
    if draw.credit {
        all.push((
            1,
            prop_oneof![1_u64..5, Just(u64::MAX >> 12)]
                .prop_map(Step::Credit)
                .boxed(),
        ));
    }
    if acts.reconfigure {
        all.push((1, patch(draw).prop_map(Step::Reconfigure).boxed()));
    }
    Union::new_weighted(all).boxed()
}

pub fn script(draw: Draw, acts: Acts) -> impl Strategy<Value = Script> {
    let end = prop_oneof![
        3 => Just(End::Quiet),
        1 => Just(End::Leave { drain: false }),
        1 => Just(End::Leave { drain: true }),
    ];
    (
        proptest::sample::select(vec!["t.a", "t.*", ">"]),
        settings(draw),
        proptest::collection::vec(step(draw, acts), 1..50),
        end,
    )
        .prop_map(|(text, settings, steps, end)| Script {
            text,
            settings,
            steps,
            end,
        })
}
