//! The supervisor.
pub mod restart;
pub mod tree;
