//! Configuration: as typed (flags, environment, file) -> resolved, checked, immutable. Nothing is bound before it is checked.
//!
//! In reading order:
//! - [`args`]: the command line
//! - [`setting`]: the one name of each setting, and what flags and environment gave
//! - [`file`](mod@file): the TOML file
//! - [`given`]: a value with its origin, and the error that names both
//! - [`resolve`]: flags over environment over file over defaults; `tables` is its part for the file's tables, `defaults` for
//!   what subscriptions have and may ask for
//! - `check`: rules between settings
//! - [`resolved`]: what is meant, as every role is handed it
//! - [`print`](mod@print): the same as a file again
//! - [`units`] and [`spec`]: how single values are written
//! - [`surroundings`] and [`load`](mod@load): the places that look at the machine
pub mod args;
mod check;
mod defaults;
pub mod file;
pub mod given;
pub mod load;
pub mod print;
pub mod resolve;
pub mod resolved;
pub mod setting;
pub mod spec;
pub mod surroundings;
mod tables;
pub mod units;

pub use given::ConfigError;
pub use load::load;
pub use resolve::{Resolved, RunDir};
pub use resolved::*;
pub use surroundings::Surroundings;
