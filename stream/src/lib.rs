//! Placeholder for the engine: signatures only, so that its drivers can be written beside it.
pub mod engine;
pub mod hub;
pub use engine::*;
