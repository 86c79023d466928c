//! Orders: what a client may ask for, what becomes of it, and what is told about it.
//!
//! Owns the methods' parameters and results, who an order belongs to, and the venue. Must not contain: a socket, a clock, a session or
//! the log; whoever drives it brings the time, the quotes and a journal for the reports. Pure, so that its laws are tested without
//! anything around it.
//!
//! In reading order:
//! - [`fields`]: the fields of one JSON object, all that are wrong named at once
//! - [`params`]: what each method takes
//! - [`echo`]: the 2012 prototype's request, answered on the spot
//! - [`order`]: an order, its shape in results and reports
//! - [`recall`]: an order read back from what was told of it
//! - [`book`]: the orders that are known, each once
//! - [`venue`]: where they are filled: the paper venue
//! - [`desk`]: a call from its parameters to its report and its answer
//! - [`packed`]: a call as the worker hands it to the hub
pub mod book;
pub mod desk;
pub mod echo;
pub mod fields;
pub mod order;
pub mod packed;
pub mod params;
pub mod recall;
pub mod venue;

#[cfg(test)]
mod tests;
