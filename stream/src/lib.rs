//! The pure engine of a pubsub-server worker: who subscribes to what, what each is to receive next, and what gives when one is slow.
//!
//! The log is the queue. An entry is encoded once into a view's ring; a subscription is a cursor into it; nothing is queued per
//! subscriber. In reading order:
//!
//! - [`hub`]: what engine and hub tell each other
//! - `engine`: [`Engine`], its contract and its parts
//! - `ring`, `compact`: consecutive entries, and the newest of each key
//! - `view`, `views`: what of the log belongs together, and which views an entry belongs to
//! - `cohort`, `terms`, `operator`: subscriptions that read one ring, what acts before it, and how
//! - `derive`: how publications get into rings
//! - `subscription`, `cursor`: a cursor, its accounts, its losses
//! - `backlog`, `relocate`: what is pending when a subscription goes from one cohort to another
//! - `history`, `read`, `replay`: how it reads what is older than the ring
//! - `session`, `partials`: the control lane and the frame under way
//! - `calls`: questions to services of the node
//! - `command`, `settings`, `reconfigure`, `leave`, `publish`, `event`: inputs from clients and from the hub
//! - `visit`, `plan`, `walk`, `write`: whom to write to, what, and what of it was taken
//! - `park`, `policy`, `hole`, `step`: what a refusal leads to, and what comes next
//! - `lifecycle`, `timer`, `deadlines`: coming and going, and the clock's work
//!
//! No socket, file, clock, thread, lock, async or log is known here.
mod backlog;
mod calls;
mod cohort;
mod command;
mod compact;
mod config;
mod cursor;
mod deadlines;
mod derive;
mod engine;
mod event;
mod history;
mod hole;
pub mod hub;
mod leave;
mod lifecycle;
mod operator;
mod park;
mod partials;
mod plan;
mod policy;
mod publish;
mod read;
mod reconfigure;
mod relocate;
mod replay;
mod ring;
mod session;
mod settings;
mod stats;
mod step;
mod subscription;
mod terms;
mod timer;
mod view;
mod views;
mod visit;
mod walk;
mod write;

pub use calls::{Answer, Called};
pub use config::{CloseHow, Closed, Config, Defaults, Now, Peer, SessionId, Slow};
pub use engine::Engine;
pub use plan::{PIECES_MAX, Piece};
pub use pubsub_wire::value::GoawayReason;
pub use stats::{HISTOGRAM_BUCKETS, Histogram, Outcomes, Stats};
