//! A seeded simulation of a whole worker engine: sessions, publications, partial writes at any byte, stalls, unsubscribes, a hub that
//! lags, forgets and restarts. A naive model of the log checks at every frame that a client receives what it was promised.
//!
//! `PUBSUB_SEED=7 cargo test -p pubsub-stream --test simulation` runs one seed; `PUBSUB_SEEDS=10000` as many from the first on, and
//! `PUBSUB_SEEDS=5001..10000` those between. With `--profile checked` a seed takes about 60 ms.
#![allow(
    unreachable_pub,
    clippy::struct_excessive_bools,
    clippy::assigning_clones,
    reason = "a test's own modules"
)]
mod client;
#[path = "../laws/fail_fast.rs"]
mod fail_fast;
mod hub;
mod settings;
mod world;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| {
        v.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, it is {v:?}"))
    })
}

/// The seeds to run.
fn seeds() -> std::ops::RangeInclusive<u64> {
    if let Some(seed) = number("PUBSUB_SEED") {
        return seed..=seed;
    }
    let named = std::env::var("PUBSUB_SEEDS").unwrap_or("100".into());
    let (first, last) = named.split_once("..").unwrap_or(("1", &named));
    let parse = |n: &str| {
        n.parse().unwrap_or_else(|_| {
            panic!("PUBSUB_SEEDS must be a number or a range as 1..100, it is {named:?}")
        })
    };
    parse(first)..=parse(last)
}

/// All are run before the test fails, so that one run finds all that fail.
#[test]
fn every_client_receives_what_it_was_promised() {
    fail_fast::arm();
    let mut failed = Vec::new();
    for seed in seeds() {
        if std::panic::catch_unwind(|| world::World::new(seed).run()).is_err() {
            eprintln!(
                "failed; replay with: PUBSUB_SEED={seed} cargo test -p pubsub-stream --test simulation"
            );
            failed.push(seed);
        }
    }
    assert!(failed.is_empty(), "these seeds failed: {failed:?}");
}
