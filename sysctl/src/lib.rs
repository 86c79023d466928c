//! What a machine has for pubsub-server.
//!
//! - [`memory`]: how much memory there is
pub mod memory;
