//! The messages between supervisor, hub and workers.
//!
//! - [`control`]: the supervisor and the processes it started
//! - [`ctl`]: a running node and whoever asks it
pub mod control;
pub mod ctl;
