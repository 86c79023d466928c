//! The pure engine of a pubsub-server worker: who subscribes to what, what each is to receive next, and what gives when one is slow.
//!
//! The log is the queue. An entry is encoded once into a view's ring; a subscription is a cursor into it; nothing is queued per
//! subscriber. In reading order:
//!
//! - [`hub`]: what engine and hub tell each other
//! - `engine`: [`Engine`], its contract and its parts
//! - `ring`, `compact`: the entries of a view, and the newest of each key
//! - `view`, `views`: who reads a ring, and which rings an entry belongs to
//! - `subscription`, `cursor`, `history`: a cursor, its arithmetic, and how it reads what is older than the ring
//! - `session`: the control lane and the frame under way
//! - `command`, `publish`, `event`, `read`: inputs from clients and from the hub
//! - `visit`, `plan`, `write`, `policy`: whom to write to, what, what of it was taken, and what a refusal leads to
//! - `lifecycle`, `timer`: coming and going, and the clock's work
//!
//! No socket, file, clock, thread, lock, async or log is known here.
mod command;
mod compact;
mod config;
mod cursor;
mod engine;
mod event;
mod history;
pub mod hub;
mod lifecycle;
mod plan;
mod policy;
mod publish;
mod read;
mod ring;
mod session;
mod stats;
mod subscription;
mod timer;
mod view;
mod views;
mod visit;
mod write;

pub use config::{CloseHow, Closed, Config, Defaults, Now, Peer, SessionId, Slow};
pub use engine::Engine;
pub use plan::{PIECES_MAX, Piece};
pub use pubsub_wire::value::GoawayReason;
pub use stats::{HISTOGRAM_BUCKETS, Histogram, Stats};
