//! A timer.
//!
//! Owns a kernel timer and what it is set to. Must not contain: what a deadline means. Driven by a worker's loop and by the hub's sources.
//!
//! It goes off at the nanosecond asked for and at no other time; the runtime's own timers go off at whole milliseconds and wake
//! the thread in between, to sort themselves. A deadline that moves away leaves it as it is: to be woken once in vain is cheaper
//! than to set it anew at every turn.
use super::watched::Watched;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::task::{Context, Poll};

const NEVER: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};
const SECOND_NS: u64 = 1_000_000_000;

/// Set, or not.
#[derive(Debug)]
pub(crate) struct Timer {
    file: Watched,
    /// What it is set to; 0 when it has gone off.
    set_ns: u64,
}

impl Timer {
    /// Call it inside the runtime that is to watch it.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            file: Watched::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?,
            set_ns: 0,
        })
    }

    /// Goes off at `deadline_ns` of the monotonic clock at the latest; at once when that is past.
    pub(crate) fn arm(&mut self, deadline_ns: u64) -> io::Result<()> {
        // Zero would switch it off.
        let deadline_ns = deadline_ns.max(1);
        if self.set_ns != 0 && self.set_ns <= deadline_ns {
            return Ok(());
        }
        let at = Itimerspec {
            it_interval: NEVER,
            it_value: Timespec {
                tv_sec: (deadline_ns / SECOND_NS) as i64,
                tv_nsec: (deadline_ns % SECOND_NS) as i64,
            },
        };
        timerfd_settime(&self.file, TimerfdTimerFlags::ABSTIME, &at)?;
        self.set_ns = deadline_ns;
        Ok(())
    }

    /// Ready when it has gone off.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.file.poll_readable(cx) {
            Poll::Ready(Ok(mut ready)) => {
                // What it counted is of no interest; setting it anew forgets that.
                ready.clear_ready();
                self.set_ns = 0;
                Poll::Ready(())
            }
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use std::future::poll_fn;

    #[test]
    fn it_goes_off_at_its_deadline_and_again_when_it_is_set_again() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let mut timer = Timer::new().expect("a timer");
            for _ in 0..3 {
                let deadline_ns = clock::mono_ns() + 1_000_000;
                timer.arm(deadline_ns).expect("set");
                poll_fn(|cx| timer.poll(cx)).await;
                assert!(clock::mono_ns() >= deadline_ns);
            }
            // Long past, and a deadline behind one that is set changes nothing.
            timer.arm(0).expect("set");
            timer.arm(u64::MAX).expect("set");
            poll_fn(|cx| timer.poll(cx)).await;
        });
    }
}
