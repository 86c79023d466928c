//! The client crate against real nodes: its examples, and connections that are cut.
#[path = "../harness/mod.rs"]
mod harness;

mod cuts;
mod examples;
