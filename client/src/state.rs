//! How a client stands with its servers, to be asked and to be watched.
use crate::event::Closed;
use std::time::Duration;
use tokio::sync::watch;

/// How a client stands with its servers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Connected and welcomed.
    #[non_exhaustive]
    Connected {
        /// The URL.
        endpoint: String,
    },
    /// The connection is lost; another will be tried.
    #[non_exhaustive]
    Reconnecting {
        /// Which attempt since the loss comes next, from 1.
        attempt: u32,
        /// What ended the connection or the attempt before.
        why: String,
        /// How long after this state began it is made.
        retry_in: Duration,
    },
    /// It is over.
    Closed(Closed),
}

/// The states of a client, one after the other. One who reads slowly sees the newest only.
#[derive(Debug, Clone)]
#[must_use = "states are seen by asking for the next"]
pub struct States(watch::Receiver<State>);

impl States {
    pub(crate) fn new(mut states: watch::Receiver<State>) -> Self {
        states.mark_changed();
        Self(states)
    }

    /// The present state at first, and then each time the next; `None` after [`State::Closed`].
    pub async fn next(&mut self) -> Option<State> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }
}
