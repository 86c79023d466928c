//! One deadline that may be unset.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

/// Goes off once after it was set.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    pub(super) fn after(wait: Duration) -> Self {
        Self(Some(Box::pin(sleep(wait))))
    }

    /// An alarm that is set already stays as it is.
    pub(super) fn set_if_unset(&mut self, after: Duration) {
        self.0.get_or_insert_with(|| Box::pin(sleep(after)));
    }

    /// Goes off at `at` or before, so that a deadline which moves away with every frame costs nothing.
    pub(super) fn aim(&mut self, at: Option<std::time::Instant>) {
        let at = at.map(Instant::from_std);
        match (at, &mut self.0) {
            (None, set) => *set = None,
            (Some(at), Some(sleep)) if sleep.deadline() > at => sleep.as_mut().reset(at),
            (Some(_), Some(_)) => {}
            (Some(at), unset) => *unset = Some(Box::pin(sleep_until(at))),
        }
    }

    /// Whether it has gone off; it is unset then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(sleep) = &mut self.0 else {
            return false;
        };
        let gone_off = matches!(sleep.as_mut().poll(cx), Poll::Ready(()));
        if gone_off {
            self.0 = None;
        }
        gone_off
    }
}
