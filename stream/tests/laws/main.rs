//! Laws of the engine under any settings: rates, batches, bounds, policies, credit and changes of all of them.
//!
//! `drive` steps virtual time and sockets; `script` draws what happens; `subject` is the engine and `model` a naive one in its
//! place; `checker` holds the laws that need no prediction. `laws` runs them over the engine, `equal` compares engine and model frame
//! by frame, `cohorts` compares subscribers with each other, `corners` are short scripts in which rules meet, `bounds` are the exact
//! marks at which bounds act, `allowance` holds the memory that is held against what is needed and what is allowed, `memory` is what
//! is lost when it is short, `vectors` are the operators' exact times, `bad_settings` what is refused.
//! `faults` shows that the checker finds what it is there to find.
//!
//! Every run draws the same cases, from a fixed seed: `PROPTEST_RNG_SEED=7 PROPTEST_CASES=10000 cargo test -p pubsub-stream --test laws`
//! looks at others, and at more. What fails prints how to replay it.
#![allow(
    unreachable_pub,
    clippy::struct_excessive_bools,
    reason = "a test's own modules"
)]
mod allowance;
mod bad_settings;
mod bounds;
mod changes;
mod checker;
mod cohorts;
mod corners;
mod counts;
mod drive;
mod equal;
mod fail_fast;
mod faults;
mod laws;
mod losses;
mod memory;
mod model;
mod replays;
mod script;
mod subject;
mod vectors;
mod waits;
