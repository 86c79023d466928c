//! The only reader of clocks in this crate.
//!
//! Wall time is what a server stamps into `ts`, so latency is a difference of wall times of one machine; everything that is
//! planned or paced uses the monotonic clock. CPU clocks are the generator's own.
use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of the monotonic clock.
pub fn mono_ns() -> u64 {
    ns(clock_gettime(ClockId::Monotonic))
}

/// Microseconds since the Unix epoch, the unit of `ts`.
pub fn wall_us() -> u64 {
    ns(clock_gettime(ClockId::Realtime)) / 1000
}

/// CPU time of the calling thread, nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    ns(clock_gettime(ClockId::ThreadCPUTime))
}

/// CPU time of this process with all its threads, nanoseconds.
pub fn process_cpu_ns() -> u64 {
    ns(clock_gettime(ClockId::ProcessCPUTime))
}

/// A duration as the system calls take it.
pub(crate) fn timespec(ns: u64) -> Timespec {
    Timespec {
        tv_sec: (ns / 1_000_000_000) as i64,
        tv_nsec: (ns % 1_000_000_000) as _,
    }
}

fn ns(t: Timespec) -> u64 {
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}
