//! The messages between supervisor, hub and workers.
//!
//! - [`control`]: the supervisor and the processes it started
pub mod control;
