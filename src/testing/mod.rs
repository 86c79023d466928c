//! A real node inside a test: hub and workers as threads of the test's process, on a free port, for as long as a value lives.
//!
//! For those who write clients: it is the server itself, with everything but the processes (no supervisor, no admin role), so that a
//! test against it needs neither an installed program nor a fixed port. Any number of nodes can run beside each other.
//!
//! Have it as a dependency of your tests, with its feature:
//!
//! ```toml
//! [dev-dependencies]
//! pubsub-server = { version = "0.1", features = ["testing"] }
//! ```
//!
//! ```
//! use pubsub_server::testing::Node;
//! use tungstenite::Message;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::start()?;
//! let (mut client, _) = tungstenite::connect(node.url())?;
//! assert!(client.read()?.to_string().contains("welcome"));
//! client.send(Message::text(r#"{"op":"subscribe","topic":"news"}"#))?;
//! client.send(Message::text(r#"{"op":"publish","id":1,"topic":"news","data":{"n":1}}"#))?;
//! let news = loop {
//!     // It is subscribed and acknowledged besides.
//!     let text = client.read()?.to_string();
//!     if text.contains(r#""op":"msg""#) {
//!         break text;
//!     }
//! };
//! assert!(news.ends_with(r#""data":{"n":1}}"#));
//! node.stop()?;
//! # Ok(())
//! # }
//! ```
//!
//! In reading order: [`Builder`] says what a node is like, [`Node`] is one that runs, `role` is one of its threads.
//!
//! Laws: a node that is dropped or stopped has ended: its threads are joined, its sockets closed and its files gone, but for what the
//! first runtime of a process opens once and for all. Nothing of the process is changed: no signal, no limit, no global. A role that
//! does not end within [`PATIENCE`] is reported and left.
mod builder;
mod node;
mod role;

pub use crate::config::{Config, PublishFrom, Retain, Source, Venue, WorkerLimits};
pub use builder::Builder;
pub use node::{Counts, Node};
pub use pubsub_wire::Limits;

use crate::config::ConfigError;
use std::io;
use std::time::Duration;

/// How long a role may take to become ready, and to end.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no node, or why it did not end as it should.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// What it should be like cannot be.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The machine refuses something.
    #[error("{0}: {1}")]
    Machine(&'static str, #[source] io::Error),
    /// A role has ended by a fault.
    #[error("{role} has failed: {why}")]
    Failed {
        /// Which.
        role: String,
        /// How.
        why: String,
    },
    /// A role did not answer in time.
    #[error("{role} did not {what} within {} s", PATIENCE.as_secs())]
    Late {
        /// Which.
        role: String,
        /// What it did not do.
        what: &'static str,
    },
}
