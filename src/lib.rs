//! Placeholder code map.
pub mod admin;
pub mod clock;
pub mod config;
pub mod hub;
pub mod link;
pub mod quotes;
pub mod supervisor;
pub mod telemetry;
pub mod worker;
