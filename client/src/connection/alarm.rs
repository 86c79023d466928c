//! One deadline that may be unset.
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Sleep, sleep};

/// Goes off once after it was set.
#[derive(Debug, Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// An alarm that is set already stays as it is.
    pub(super) fn set_if_unset(&mut self, after: Duration) {
        self.0.get_or_insert_with(|| Box::pin(sleep(after)));
    }

    pub(super) fn unset(&mut self) {
        self.0 = None;
    }

    /// Whether it has gone off; it is unset then.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(sleep) = &mut self.0 else {
            return false;
        };
        let gone_off = matches!(sleep.as_mut().poll(cx), Poll::Ready(()));
        if gone_off {
            self.unset();
        }
        gone_off
    }
}
