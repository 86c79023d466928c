//! What is measured, where it is kept, and how it is named.
//!
//! - [`slots`]: the numbers of each process, as they lie in shared memory
//! - [`scoreboard`]: the mapping they lie in
pub mod scoreboard;
pub mod slots;
