//! The hub.
pub mod core;
mod deliver;
pub mod entry;
pub mod interest;
pub mod log;
pub mod newest;
mod read;
pub mod topics;
pub mod worker;
