//! Messages and frames of the pubsub.v1 protocol, shared by server and client.
//!
//! Pure: bytes in, values out, and back. No socket, clock or log here.
//!
//! - [`topic`]: names, patterns, and which pattern matches which name
//! - [`limits`]: the sizes a node allows, told in `welcome`
//! - [`command`]: what a client sends, parsed strictly
//! - [`value`]: settings, ledgers, gaps: the values both directions share
//! - [`codes`]: error codes and WebSocket close codes
//! - [`frame`]: whole server frames, built once
//! - [`encode`]: what either side sends, written without serde on the hot path
//! - [`server`]: what a server sends, as a client reads it
pub mod codes;
pub mod command;
pub mod encode;
pub mod frame;
pub mod limits;
pub mod server;
mod text;
pub mod topic;
pub mod value;

pub use codes::{ErrorCode, close};
pub use command::{Command, CommandError, Id, Request};
pub use limits::Limits;
