//! The client crate against real nodes: its examples, connections that are cut, nodes that go.
#[path = "../harness/mod.rs"]
mod harness;

mod cuts;
mod examples;
mod outages;
