//! Files of the kernel that a role waits for beside what its runtime knows: a timer that goes off to the nanosecond, and any file
//! watched for input alone.
//!
//! The runtime's own timers go off at whole milliseconds and wake the thread in between; its own sockets are watched for output too, so
//! that a peer which reads wakes the one that wrote. Where something happens thousands of times a second that is most of its cost. Must
//! not contain: what a role does when it is woken. Driven by the hub and the workers.
mod timer;
mod watched;

pub(crate) use timer::Timer;
pub(crate) use watched::Watched;
