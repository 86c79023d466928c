//! What is measured, where it is kept, and how it is named.
pub mod scoreboard;
