//! What a role finds when it begins: the other end of [`spawn`](super::spawn).
//!
//! Owns taking the inherited descriptors. Must not contain: what a role does with them. Driven by `main`, before anything else, in a
//! process that was started as a role.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use command_fds::inherited::{init_inherited_fds, take_fd_ownership};
use thiserror::Error;

use super::spawn::fds;
use crate::config::Config;
use crate::telemetry::scoreboard::Scoreboard;

/// More than any configuration takes: a wrong descriptor is refused before it fills the memory.
const CONFIG_BYTES_MAX: usize = 8 << 20;

/// Why a process cannot be a role: it was not started by a supervisor of this build.
#[derive(Debug, Error)]
pub enum InheritError {
    /// A descriptor is not there.
    #[error("descriptor {0} was not handed over: roles are started by a supervisor, not by hand")]
    Missing(i32),
    /// What is there is not what it should be.
    #[error("descriptor {0} is not what a supervisor hands over: {1}")]
    Wrong(i32, io::Error),
}

/// Everything a role was handed.
#[derive(Debug)]
pub struct Inherited {
    /// Resolved configuration.
    pub config: Config,
    /// The node's scoreboard.
    pub scoreboard: Arc<Scoreboard>,
    /// This role's end of the control pipe.
    pub control: UnixStream,
    /// What it accepts from: TCP for a worker and admin, Unix for the hub.
    pub listener: OwnedFd,
    /// Never read: a lock is held as long as it is open.
    pub lock: OwnedFd,
}

impl Inherited {
    /// Takes what was handed over.
    ///
    /// Call it before anything else in the process opens a descriptor or starts a thread.
    pub fn take() -> Result<Self, InheritError> {
        // SAFETY: `main` calls this first of all in a process started as a role: beyond the standard streams nothing has opened or
        // owns a descriptor yet. A second call is refused by the callee.
        unsafe { init_inherited_fds() }.map_err(|error| InheritError::Wrong(-1, error))?;
        let take = |fd| take_fd_ownership(fd).map_err(|_| InheritError::Missing(fd));
        let config = read_config(take(fds::CONFIG)?)
            .map_err(|error| InheritError::Wrong(fds::CONFIG, error))?;
        let scoreboard = take(fds::SCOREBOARD)?;
        let scoreboard = Scoreboard::open(scoreboard.as_fd());
        Ok(Self {
            config,
            scoreboard: Arc::new(
                scoreboard.map_err(|error| InheritError::Wrong(fds::SCOREBOARD, error))?,
            ),
            listener: take(fds::LISTENER)?,
            control: take(fds::CONTROL)?.into(),
            lock: take(fds::LOCK)?,
        })
    }
}

/// Read by position: all roles share one descriptor and so one offset.
fn read_config(fd: OwnedFd) -> io::Result<Config> {
    let file = std::fs::File::from(fd);
    let size = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if size > CONFIG_BYTES_MAX {
        return Err(io::Error::other(format!(
            "{size} bytes are no configuration"
        )));
    }
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(serde_json::from_slice(&bytes)?)
}
