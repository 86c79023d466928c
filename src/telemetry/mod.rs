//! What is measured, where it is kept, and how it is named.
//!
//! - [`slots`]: the numbers of each process, as they lie in shared memory
//! - [`scoreboard`]: the mapping they lie in
//! - [`process`]: what the kernel says of a process
//! - [`quantile`]: percentiles of the histograms
//! - [`status`]: all of it as one object for people
//! - [`names`]: every metric's name
//! - [`logging`]: log lines
pub mod log_slot;
pub mod logging;
pub mod names;
pub mod process;
pub mod quantile;
pub mod scoreboard;
pub mod slots;
pub mod status;
