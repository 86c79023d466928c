//! What keeps a swarm from coming about. Each text is one line for the user.
use super::upgrade::UpgradeError;
use crate::fleet::PROCESSES_MAX;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::time::Duration;
use thiserror::Error;

/// Why one connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// Nobody listens, or the kernel gives up.
    #[error("cannot connect to {addr}: {}", said(*.why))]
    Refused {
        /// Where to.
        addr: SocketAddr,
        /// What the kernel says.
        why: Errno,
    },
    /// The other end of the connection is no pubsub-server, or does not want it.
    #[error("{addr} {why}")]
    Upgrade {
        /// Where to.
        addr: SocketAddr,
        /// What it answered.
        why: UpgradeError,
    },
    /// It ended before the handshake was done.
    #[error(
        "{addr} closed the connection before it answered the upgrade: is it a WebSocket server without TLS?"
    )]
    Closed {
        /// Where to.
        addr: SocketAddr,
    },
    /// No answer in time.
    #[error("{addr} did not answer the upgrade within {after:?}")]
    Timeout {
        /// Where to.
        addr: SocketAddr,
        /// How long it had.
        after: Duration,
    },
}

fn said(why: Errno) -> String {
    match why {
        Errno::CONNREFUSED => "connection refused: does a server listen there?".to_owned(),
        Errno::ADDRNOTAVAIL => {
            "no local port is free: raise net.ipv4.ip_local_port_range or --source-addresses"
                .to_owned()
        }
        Errno::MFILE => {
            "too many open files: raise the limit (ulimit -n) or ask for fewer connections"
                .to_owned()
        }
        other => std::io::Error::from(other).to_string(),
    }
}

/// Why a swarm cannot be made or go on.
#[derive(Debug, Error)]
pub enum SwarmError {
    /// The kernel refuses what the loop itself needs.
    #[error("{what}: {why}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the kernel says.
        why: std::io::Error,
    },
    /// More connections than these processes may have files.
    #[error(
        "{wanted} connections need as many open files, but {} may have {limit}: ask for at most {possible}, raise the limit \
         (LimitNOFILE= of the unit, nofile in /etc/security/limits.conf){}", who(*.processes), more(*.processes)
    )]
    Files {
        /// Connections asked for.
        wanted: usize,
        /// Processes that would share them.
        processes: usize,
        /// Connections possible.
        possible: usize,
        /// The hard limit of each process.
        limit: u64,
    },
}

fn who(processes: usize) -> String {
    match processes {
        1 => "a process".to_owned(),
        n => format!("each of {n} processes"),
    }
}

fn more(processes: usize) -> &'static str {
    if processes < PROCESSES_MAX {
        ", or spread them over more processes with --processes auto"
    } else {
        ""
    }
}

impl SwarmError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |why| Self::System {
            what,
            why: why.into(),
        }
    }
}
