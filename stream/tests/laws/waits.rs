//! What waits while a socket refuses: what the ledger says of it then, how old it is, and whom it is for.
use serde_json::json;

use crate::corners::{came, closed, publish, run};
use crate::drive::World;
use crate::script::{End, Pub, Script, Step, subscribe};
use crate::subject::Subject;

const BEGUN_NS: u64 = 1_000_000_000;

#[test]
fn what_the_ring_let_go_of_because_it_was_superseded_waits_no_longer() {
    let settings = json!({"bound": {"messages": 2}, "overflow": "conflate"});
    let steps = vec![Step::Refuse, publish(&[1]), publish(&[1; 5]), Step::Ledger];
    let seen = run(settings, steps, End::Quiet);
    assert_eq!(came(&seen), [json!(6)]);
    let first = seen.received().find(|f| f.value["op"] == "ledger").unwrap();
    let ledger = &first.value["ledger"];
    assert_eq!(ledger["conflated"], 4);
    assert_eq!(ledger["pending"]["memory"], 2);
}

#[test]
fn a_batch_under_way_is_as_old_as_its_first_message() {
    for credit in [json!({}), json!({"credit": 100})] {
        let mut settings = credit;
        settings["batch"] = json!({"ms": 20});
        settings["bound"] = json!({"age_ms": 30});
        settings["overflow"] = "disconnect".into();
        let steps = vec![
            Step::Take(1),
            publish(&[0]),
            Step::WaitUs(10_000),
            publish(&[0]),
            Step::WaitUs(1_000_000),
        ];
        let seen = run(settings, steps, End::Quiet);
        assert_eq!(closed(&seen), Some(BEGUN_NS + 30_000_001));
    }
}

#[test]
fn a_socket_that_refuses_bounds_every_subscription_of_its_session() {
    for slow in ["t.a", "t.b"] {
        let settings = json!({"bound": {"messages": 2}, "overflow": "disconnect"});
        let script = Script {
            text: "t.a",
            settings,
            steps: Vec::new(),
            end: End::Quiet,
        };
        let mut world = World::new(Subject::new());
        let who = world.open();
        script.begin(&mut world, who);
        world.say(who, &subscribe("t.b", &script.settings, 2_000_000));
        script.step(&mut world, who, &Step::Refuse, 0);
        let both = [0, 1].map(|topic| Pub {
            topic,
            key: 0,
            size: 1,
        });
        script.step(&mut world, who, &Step::Publish(both.to_vec()), 1);
        // Both are to be written again, of which nearly nothing is taken.
        script.step(&mut world, who, &Step::Take(1), 4);
        let topic = usize::from(slow == "t.b");
        for n in 2..4 {
            assert_eq!(closed(&world.transcript(who)), None, "{slow}");
            script.step(
                &mut world,
                who,
                &Step::Publish(vec![Pub {
                    topic,
                    key: 0,
                    size: 1,
                }]),
                n,
            );
        }
        assert_eq!(closed(&world.transcript(who)), Some(BEGUN_NS), "{slow}");
    }
}
