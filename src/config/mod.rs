//! Configuration: as typed (flags, environment, file) -> resolved, checked, immutable. Nothing is bound before it is checked.
pub mod resolved;
pub use resolved::*;
