//! The hub: one per node; numbers publications, keeps the log, and hands each worker what its sessions asked for.
//!
//! Owns the order of publications. Must not contain: sessions, subscriptions or their policies; those are the workers'. Started by
//! the supervisor as a process of its own, or by a test as a thread: everything it needs is an argument of [`run`].
//!
//! In reading order:
//! - [`entry`]: one publication as the bytes of its link frame
//! - [`topics`]: names and numbers
//! - [`log`]: the contract of a log, the one in memory and the one on disk
//! - [`newest`]: the newest value of every key
//! - [`interest`]: who wants which topics; `patterns` finds which patterns a new topic matches
//! - [`worker`]: what is kept of one worker: cursor, outbox, what waits
//! - [`settings`]: limits, refusals, counters
//! - [`core`]: the pure state machine; `deliver` moves cursors that are behind, `plan` and `read` answer for history
//! - `save` fills the log's checkpoints with newest values and orders, `restore` reads them again, and what the log has behind them
//! - `held` keeps answers until the log is ready for them
//! - `orders` lends the log to the order desk, `quoted` what quotes say
//! - [`drive`]: sockets and time around it; `pipe` is the socket of a link, `feed` runs the sources
//! - [`record`]: its numbers on the scoreboard
pub mod core;
mod deliver;
pub mod drive;
pub mod entry;
mod feed;
mod held;
pub mod interest;
pub mod log;
pub mod newest;
mod orders;
mod patterns;
mod pipe;
mod plan;
mod quoted;
mod read;
pub mod record;
mod restore;
mod save;
pub mod settings;
pub mod topics;
pub mod worker;

pub use drive::{HubError, run};

#[cfg(test)]
mod tests;
