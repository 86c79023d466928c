//! The one timer of the loop.
//!
//! Owns the runtime's timer and what it is set to. Must not contain: what a deadline means. Driven by the worker's loop.
//!
//! A deadline that moves away leaves the timer as it is: to be woken once in vain is cheaper than to set it anew at every turn.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep_until};

/// Set, or not.
#[derive(Debug, Default)]
pub(super) struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// What it is set to; 0 when it has gone off.
    set_ns: u64,
}

impl Timer {
    /// Goes off at `deadline_ns` at the latest.
    pub(super) fn arm(&mut self, deadline_ns: u64, now_ns: u64) {
        if self.set_ns != 0 && self.set_ns <= deadline_ns {
            return;
        }
        self.set_ns = deadline_ns;
        let at = Instant::now() + Duration::from_nanos(deadline_ns.saturating_sub(now_ns));
        match &mut self.sleep {
            Some(sleep) => sleep.as_mut().reset(at),
            none => *none = Some(Box::pin(sleep_until(at))),
        }
    }

    /// Ready when it has gone off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = self.sleep.as_mut().filter(|_| self.set_ns != 0) else {
            return Poll::Pending;
        };
        let gone_off = sleep.as_mut().poll(cx);
        if gone_off.is_ready() {
            self.set_ns = 0;
        }
        gone_off
    }
}
