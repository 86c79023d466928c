//! The task of a source: pushes, and the pauses between them.
//!
//! Owns the pacing. Must not contain: what is published. One task per source, in the driver's `LocalSet`.
use super::drive::Shared;
use super::entry::Publication;
use super::settings::Refused;
use crate::clock;
use crate::kernel::Timer;
use crate::quotes::{Feed, Flow, SourceError};
use fastrand::Rng;
use pubsub_stream::Now;
use std::future::poll_fn;
use std::rc::Rc;
use tokio::task::yield_now;

/// Publications of a source without pauses that go into one turn: enough to make batching pay, and about 100 us.
const PUBLICATIONS_PER_TURN: usize = 128;

/// Runs a source until it has nothing more.
pub(super) async fn publish(
    shared: Rc<Shared>,
    mut feed: Feed,
    mut rng: Rng,
    mut timer: Timer,
    interval_ms: (u64, u64),
) {
    const MS_NS: u64 = 1_000_000;
    let (least, most) = (interval_ms.0 * MS_NS, interval_ms.1 * MS_NS);
    let mut refusals = Refusals::default();
    loop {
        let now = clock::now();
        let outcome = push_batch(&shared, &mut feed, now, most == 0, &mut refusals);
        shared.settle(now);
        match outcome {
            Ok(Flow::More) if most == 0 => yield_now().await,
            Ok(Flow::More) => {
                let pause_ns = rng.u64(least..=most);
                if let Err(error) = timer.arm(clock::mono_ns().saturating_add(pause_ns)) {
                    tracing::error!(%error, "a source has ended: its timer cannot be set");
                    return;
                }
                poll_fn(|cx| timer.poll(cx)).await;
            }
            Ok(Flow::Finished) => {
                tracing::info!("a source has published all it had");
                return;
            }
            Err(error) => {
                tracing::error!(%error, "a source has ended");
                return;
            }
        }
    }
}

/// One push, or, without pauses between them, as many as make a good turn.
fn push_batch(
    shared: &Shared,
    feed: &mut Feed,
    now: Now,
    is_unpaced: bool,
    refusals: &mut Refusals,
) -> Result<Flow, SourceError> {
    let mut hub = shared.hub.borrow_mut();
    let mut publications = 0;
    loop {
        let flow = feed.push(now.wall_us, &mut |topic, key, data| {
            publications += 1;
            if let Err(refused) = hub.publish(now, &Publication { topic, key, data }) {
                refusals.note(topic, refused);
            }
        })?;
        if flow == Flow::Finished || !is_unpaced || publications >= PUBLICATIONS_PER_TURN {
            return Ok(flow);
        }
    }
}

/// A source's publications that the hub refused: the first is a line in the log, all are counted by the hub.
#[derive(Debug, Default)]
struct Refusals {
    said: bool,
}

impl Refusals {
    fn note(&mut self, topic: &str, refused: Refused) {
        if !std::mem::replace(&mut self.said, true) {
            tracing::warn!(topic, why = %refused, "a source's publication was refused; more are only counted");
        }
    }
}
