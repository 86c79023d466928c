//! The only reader of operating-system time.
//!
//! Monotonic time is `CLOCK_MONOTONIC` in nanoseconds, the same for all processes of this machine, so that a stamp of the hub
//! can be subtracted in a worker. Everything else takes `now` as an argument.
use pubsub_stream::Now;
use rustix::time::{ClockId, clock_gettime};

/// This moment on both clocks.
pub fn now() -> Now {
    Now {
        mono_ns: mono_ns(),
        wall_us: wall_us(),
    }
}

/// Nanoseconds of the machine's monotonic clock.
pub fn mono_ns() -> u64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec as u64 * 1_000_000_000 + t.tv_nsec as u64
}

/// Microseconds since the Unix epoch.
pub fn wall_us() -> u64 {
    let t = clock_gettime(ClockId::Realtime);
    t.tv_sec as u64 * 1_000_000 + t.tv_nsec as u64 / 1000
}

/// A later moment of the same turn, for the price of one clock: the wall clock goes along with the monotonic one.
pub fn advance(since: Now) -> Now {
    let mono_ns = mono_ns();
    let passed_us = mono_ns.saturating_sub(since.mono_ns) / 1000;
    Now {
        mono_ns,
        wall_us: since.wall_us + passed_us,
    }
}
