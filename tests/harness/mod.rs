//! What the system tests share: a real node in a directory of its own, and clients of several degrees of politeness.
//!
//! Laws: every node listens on port 0 and is stopped with all its processes when its `Node` goes, also when the test
//! panics; only processes that carry the node's mark are ever signalled; a test waits for frames, lines, exits and
//! states, never for time. [`PATIENCE`] ends a test that hangs and takes part in no assertion.
// Each test crate uses its own part of this.
#![allow(dead_code, unreachable_pub, unused_imports)]

mod disk;
mod http;
mod node;
mod raw;
mod socket;

pub use disk::on_small_disk;
pub use http::{Response, http_get, http_request};
pub use node::{Finished, Node, looks, pid_of, process_rss_bytes, run_to_end, worker, workers};
pub use raw::{Raw, masked_frame, upgrade_request};
pub use socket::{Closing, Socket, offset, residual};

use std::future::Future;
use std::time::Duration;

/// After this a test is taken to hang. Generous, because the whole suite may share two slow cores with a compiler.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What `event` gives, or a failure that names what was waited for.
pub async fn within_patience<T>(what: &str, event: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, event).await;
    outcome.unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}
