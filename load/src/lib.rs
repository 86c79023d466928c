//! Load generator for pubsub-server: very many subscribers on one thread, measured honestly.
//!
//! In reading order:
//! - [`args`], [`units`], [`target`]: the command line, as typed and as meant
//! - [`scenario`], [`deal`], [`schedule`]: what should happen when, decided beforehand; pure
//! - [`swarm`]: the subscribers
//! - [`publisher`]: publications at a fixed rate
//! - [`ramp`], [`publish`]: the commands
//! - [`measure`], [`http`]: what processes cost, and what a node says of itself
//! - [`floor`]: the least a server can cost, for comparison
//! - [`clock`], [`failure`], [`interrupt`]: time, errors, Ctrl-C
//!
//! The commands are thin: a bench or a test drives [`swarm::Swarm`] and [`publisher::Publisher`] itself.
pub mod args;
pub mod clock;
pub mod deal;
pub mod failure;
pub mod floor;
pub mod http;
pub mod interrupt;
pub mod measure;
pub mod publish;
pub mod publisher;
pub mod ramp;
pub mod scenario;
pub mod schedule;
pub mod swarm;
pub mod target;
pub mod units;
