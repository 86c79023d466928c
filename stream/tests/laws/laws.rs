//! The laws over the engine, a test each: any settings, any socket, any moment.
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestCaseResult, TestRunner};

use crate::checker::{
    AGE, ALL, ANNOUNCED, ANSWERS, BATCHES, CLOSES, CONTENTS, CREDIT, GAPS, LEDGER, Law, MODES,
    NEWEST, ORDER, REST, WINDOW, check,
};
use crate::script::{ANY, Acts, Draw, PLAIN, RATES, Script, script};
use crate::subject::Subject;

pub const ALL_ACTS: Acts = Acts {
    socket: true,
    parts: true,
    reconfigure: true,
    wait_us: 2_000_000,
};
const FIXED: Acts = Acts {
    reconfigure: false,
    ..ALL_ACTS
};

/// Cases of a law unless the environment says otherwise: what a debug build looks at in a minute.
const CASES: u32 = 256;
/// Steps towards a smaller script that fails too: one that panics leaves its backtrace in memory at each.
const SHRINKS_MAX: u32 = 2048;
/// What they are drawn from unless the environment says otherwise: a red run is red again, and a green one green.
const SEED: u64 = 1;

/// None is kept on disk: a failure prints its script, and how it is found again.
fn config() -> ProptestConfig {
    let said = ProptestConfig::default();
    let cases = std::env::var_os("PROPTEST_CASES").map_or(CASES, |_| said.cases);
    let rng_seed = match said.rng_seed {
        RngSeed::Random => RngSeed::Fixed(SEED),
        fixed @ RngSeed::Fixed(_) => fixed,
    };
    ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: SHRINKS_MAX,
        cases,
        rng_seed,
        ..said
    }
}

/// Runs scripts and fails with the smallest that breaks one of the laws, and what its client saw.
pub fn hold(strategy: impl Strategy<Value = Script>, laws: &[Law]) {
    each(strategy, |script| {
        let seen = script.run(Subject::new());
        check(&seen, script.text, laws).map_err(TestCaseError::fail)
    });
}

pub fn each<S: Strategy>(strategy: S, test: impl Fn(&S::Value) -> TestCaseResult) {
    crate::fail_fast::arm();
    let config = config();
    let (seed, cases) = (config.rng_seed, config.cases);
    let outcome = TestRunner::new(config).run(&strategy, |value| test(&value));
    if let Err(failure) = outcome {
        let name = std::thread::current().name().unwrap_or("").to_owned();
        panic!(
            "{failure}\nto replay: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases} cargo test -p pubsub-stream --test laws -- \
             --exact {name}"
        );
    }
}

#[test]
fn the_ledger_closes_at_every_instant() {
    hold(script(ANY, ALL_ACTS), &[LEDGER, REST]);
}

#[test]
fn nothing_comes_twice_and_order_is_kept() {
    hold(script(ANY, ALL_ACTS), &[ORDER, CONTENTS]);
}

#[test]
fn a_gap_names_exactly_what_was_lost() {
    let lossy = Draw {
        overflows: &["drop_oldest", "drop_newest"],
        ..ANY
    };
    hold(script(lossy, ALL_ACTS), &[GAPS, ANNOUNCED]);
    hold(
        script(Draw { rates: &[], ..ANY }, ALL_ACTS),
        &[GAPS, ANNOUNCED],
    );
}

#[test]
fn after_quiet_the_newest_of_every_key_has_arrived() {
    let holding = Draw {
        rates: &["sample", "throttle", "debounce"],
        ..ANY
    };
    hold(script(holding, ALL_ACTS), &[NEWEST]);
    hold(
        script(
            Draw {
                overflows: &["conflate"],
                ..holding
            },
            FIXED,
        ),
        &[NEWEST],
    );
}

#[test]
fn reconfigure_at_any_point_loses_no_position_and_no_count() {
    let keeping = Draw {
        overflows: &["conflate", "spill"],
        ..ANY
    };
    hold(script(keeping, ALL_ACTS), &ALL);
    hold(
        script(ANY, ALL_ACTS),
        &[ANSWERS, ORDER, LEDGER, REST, ANNOUNCED],
    );
}

#[test]
fn a_bound_is_never_exceeded_after_a_refused_write() {
    hold(
        script(
            Draw {
                rates: &[],
                batches: false,
                ..ANY
            },
            ALL_ACTS,
        ),
        &[WINDOW, AGE, CLOSES],
    );
    hold(script(ANY, FIXED), &[WINDOW, AGE, CLOSES]);
}

#[test]
fn credit_is_never_exceeded() {
    hold(script(ANY, ALL_ACTS), &[CREDIT]);
}

#[test]
fn with_batch_every_message_comes_in_a_batch_within_its_limits() {
    hold(
        script(
            Draw {
                credit: false,
                ..ANY
            },
            ALL_ACTS,
        ),
        &[BATCHES, CONTENTS],
    );
    hold(script(ANY, FIXED), &[BATCHES, CONTENTS]);
}

#[test]
fn modes_alternate_and_end_live() {
    hold(script(ANY, ALL_ACTS), &[MODES]);
    hold(
        script(
            Draw {
                credit: false,
                ..ANY
            },
            FIXED,
        ),
        &[MODES],
    );
}

#[test]
fn spill_delivers_every_entry_once_and_in_order() {
    let spilling = Draw {
        rates: &[],
        overflows: &["spill"],
        ..ANY
    };
    hold(script(spilling, FIXED), &ALL);
    hold(script(spilling, ALL_ACTS), &ALL);
}

#[test]
fn every_law_holds_for_bounds_and_sockets_alone() {
    hold(script(PLAIN, FIXED), &ALL);
}

#[test]
fn every_law_holds_for_every_rate_on_any_socket() {
    hold(
        script(
            Draw {
                batches: false,
                credit: false,
                rates: RATES,
                ..ANY
            },
            FIXED,
        ),
        &ALL,
    );
}
