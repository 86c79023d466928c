//! What a session meets that no law predicts: heartbeats, closes, the control lane, rates, turns, and what the hub says in which order.
//! Time is an argument.
#![allow(unreachable_pub, reason = "a test's own modules")]
mod answers;
mod bench;
mod calls;
mod closes;
mod commands;
mod flushes;
mod holes;
mod hub;
mod lags;
mod memory;
mod moves;
mod reads;
mod starts;
mod turns;
