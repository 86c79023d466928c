//! A worker as a thread, real sockets around it, and a hub made for these tests.
mod bad_input;
mod crowd;
mod ending;
mod harness;
mod talk;
