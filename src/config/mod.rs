//! Configuration: as typed (flags, environment, file) -> resolved, checked, immutable. Nothing is bound before it is checked.
//!
//! - [`args`]: the command line
//! - [`setting`]: the one name of each setting, and what flags and environment gave
//! - [`file`]: the TOML file
//! - [`given`]: a value with its origin, and the error that names both
//! - [`units`]: sizes, times, ranges
pub mod args;
pub mod file;
pub mod given;
pub mod resolved;
pub mod setting;
pub mod units;

pub use resolved::*;
