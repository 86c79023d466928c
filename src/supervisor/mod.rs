//! The supervisor: binds, starts the other processes, keeps every place filled, takes commands. No data passes through it.
//!
//! In reading order:
//! - [`node`]: the driver; [`process`] is one process, [`signals`] are what it hears
//! - [`tree`]: what is to run, as a pure state machine; [`restart`] is its patience
//! - [`begin`]: everything that can be refused, before a process is started
//! - [`run_dir`] and [`sockets`]: what a node takes of the machine
//! - [`spawn`] and [`inherit`]: the two ends of starting a role
//! - [`ctl`]: the control socket and its client; [`questions`] are those that workers answer
//! - [`command`]: `pubsub-server ctl`; [`show`] has its tables
//! - [`watch`]: workers that hang
pub mod begin;
pub mod command;
pub mod ctl;
pub mod inherit;
pub mod node;
pub mod process;
pub mod questions;
pub mod restart;
pub mod run_dir;
pub mod show;
pub mod signals;
pub mod sockets;
pub mod spawn;
pub mod tree;
pub mod watch;
