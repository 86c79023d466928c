//! The client against a server that is played by hand.
mod calls;
mod connection;
mod reconnect;
mod streams;
mod support;
#[cfg(feature = "tls")]
mod tls;
