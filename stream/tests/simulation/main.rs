//! A seeded simulation of a whole worker engine: sessions, publications, partial writes at any byte, stalls, unsubscribes, a hub that
//! lags, forgets and restarts. A naive model of the log checks at every frame that a client receives what it was promised.
//!
//! `PUBSUB_SEED=7 cargo test -p pubsub-stream --test simulation` runs one seed; `PUBSUB_SEEDS=10000` as many from the first on.
#![allow(
    unreachable_pub,
    clippy::struct_excessive_bools,
    clippy::assigning_clones,
    reason = "a test's own modules"
)]
mod client;
mod hub;
mod settings;
mod world;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|v| {
        v.parse()
            .unwrap_or_else(|_| panic!("{name} must be a number, it is {v:?}"))
    })
}

#[test]
fn every_client_receives_what_it_was_promised() {
    let seeds = match number("PUBSUB_SEED") {
        Some(seed) => seed..seed + 1,
        None => 1..number("PUBSUB_SEEDS").unwrap_or(100) + 1,
    };
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| world::World::new(seed).run());
        if let Err(panic) = outcome {
            eprintln!(
                "failed; replay with: PUBSUB_SEED={seed} cargo test -p pubsub-stream --test simulation"
            );
            std::panic::resume_unwind(panic);
        }
    }
}
