//! The client against a server that is played by hand.
mod connection;
mod streams;
mod support;
