//! Load generator for pubsub-server: very many subscribers, measured honestly.
//!
//! In reading order:
//! - [`args`], [`units`], [`target`]: the command line, as typed and as meant
//! - [`scenario`], [`deal`], [`schedule`]: what should happen when, decided beforehand; pure
//! - [`swarm`]: the subscribers of one process
//! - [`fleet`]: the processes, and who coordinates them
//! - [`publisher`]: publications at a fixed rate
//! - [`ramp`], [`publish`]: the commands
//! - [`doctor`]: whether the machine has what so many connections need
//! - [`threshold`]: what a run must hold; pure. [`hdr`]: its latencies for other tools
//! - [`record`]: a whole run as data; pure. [`report`]: the same as a page, [`number`] as people read it; pure
//! - [`output`], [`aside`]: the files it is left in. [`view`]: a run as it goes on, on a terminal
//! - [`measure`], [`machine`]: what processes cost, what the machine is. [`ctl`], [`http`], [`node`]: what a node says of itself
//! - [`floor`]: the least a server can cost, for comparison
//! - [`clock`], [`failure`], [`interrupt`]: time, errors, Ctrl-C
//!
//! The commands are thin: a bench or a test drives [`swarm::Swarm`] and [`publisher::Publisher`] itself.
pub mod args;
pub mod aside;
pub mod clock;
pub mod ctl;
pub mod deal;
pub mod doctor;
pub mod failure;
pub mod fleet;
pub mod floor;
pub mod hdr;
pub mod http;
pub mod interrupt;
pub mod machine;
pub mod measure;
pub mod node;
pub mod number;
pub mod output;
pub mod publish;
pub mod publisher;
pub mod ramp;
pub mod record;
pub mod report;
pub mod scenario;
pub mod schedule;
pub mod swarm;
pub mod target;
pub mod threshold;
pub mod units;
pub mod view;
