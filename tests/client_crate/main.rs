//! The client crate against real nodes: its calls, its examples, connections that are cut, nodes that go.
#[path = "../harness/mod.rs"]
mod harness;

mod calls;
mod cuts;
mod examples;
mod outages;
