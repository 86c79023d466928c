//! Load generator for pubsub-server: very many subscribers on one thread, measured honestly.
//!
//! - [`schedule`]: what should happen when, decided beforehand; pure
//! - [`swarm`]: the subscribers
//! - [`publisher`]: publications at a fixed rate
//! - [`target`]: where they connect to
//! - [`floor`]: the least a server can cost, for comparison
//! - [`measure`]: what processes cost
//! - [`clock`]: the only reader of clocks
pub mod clock;
pub mod floor;
pub mod measure;
pub mod publisher;
pub mod schedule;
pub mod swarm;
pub mod target;
