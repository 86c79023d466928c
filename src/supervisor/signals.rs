//! Signals to the supervisor.
//!
//! Owns which there are and what they wish, and catching them without losing one. Must not contain: what is done about it. Driven by [`node`](super::node);
//! the roles catch theirs by it too.
//!
//! Law: of those that this build can do nothing about none ends the node; each is answered by a log line.

use std::io;

use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Runs `install`, which catches signals, while all of them are held back; then lets all through.
///
/// A signal that came between the kernel's handler and its listener would otherwise be lost. And one that was blocked when this
/// process was started would stay blocked, also in every process it starts.
pub fn held_back<T>(install: impl FnOnce() -> T) -> io::Result<T> {
    SigSet::all().thread_set_mask()?;
    let installed = install();
    SigSet::empty().thread_set_mask()?;
    Ok(installed)
}

/// What a signal wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Drain and stop; a second one: at once.
    Stop,
    /// Nothing that this build can do.
    Nothing,
}

/// The signals that are listened to.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    roll: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            roll: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one.
    pub async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => {
                info!("SIGTERM: stopping");
                Wish::Stop
            }
            _ = self.interrupt.recv() => {
                info!("SIGINT: stopping");
                Wish::Stop
            }
            _ = self.hang_up.recv() => {
                warn!("SIGHUP: no setting of this build can be reloaded while it runs; the node goes on as it is");
                Wish::Nothing
            }
            _ = self.roll.recv() => {
                warn!("SIGUSR2: this build cannot roll its workers yet; the node goes on as it is");
                Wish::Nothing
            }
        }
    }
}
