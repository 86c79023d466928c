//! Starting one process of the node.
//!
//! Owns what a process inherits: descriptors at fixed numbers, its own process group, an environment without our settings, and the
//! role's command line. Must not contain: when to start one (`tree`). Driven by [`node`](super::node) on one side and
//! [`inherit`](super::inherit) on the other, which agree on [`fds`].
//!
//! Laws: the program is the very file this supervisor runs, also after another was installed over it; a process inherits what is
//! named here and nothing else; no setting reaches it but the resolved configuration.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use super::tree::Role;
use crate::config::Config;

/// Descriptors of a role.
pub mod fds {
    /// The resolved configuration: a sealed memfd, JSON.
    pub const CONFIG: i32 = 3;
    /// The scoreboard's memfd.
    pub const SCOREBOARD: i32 = 4;
    /// What it accepts from: clients (worker), workers (hub), HTTP (admin).
    pub const LISTENER: i32 = 5;
    /// The control pipe to the supervisor.
    pub const CONTROL: i32 = 6;
    /// Holds `roles.lock` as long as the process lives; nobody reads it.
    pub const LOCK: i32 = 7;
}

/// What every role is handed.
#[derive(Debug)]
pub struct Kit {
    /// Resolved configuration.
    pub config: OwnedFd,
    /// Scoreboard.
    pub scoreboard: OwnedFd,
    /// Clients' listener.
    pub listener: TcpListener,
    /// Hub's listener.
    pub hub: UnixListener,
    /// Admin's listener.
    pub admin: Option<TcpListener>,
    /// Descriptor of `roles.lock`.
    pub lock: OwnedFd,
}

/// The configuration as a descriptor that nobody can change.
pub fn config_fd(config: &Config) -> io::Result<OwnedFd> {
    let fd = memfd_create(
        "pubsub-config",
        MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
    )?;
    let mut rest = &serde_json::to_vec(config)?[..];
    while !rest.is_empty() {
        let written = rustix::io::write(&fd, rest)?;
        rest = &rest[written..];
    }
    fcntl_add_seals(
        &fd,
        SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL,
    )?;
    Ok(fd)
}

/// The command that starts a role, and this side of its control pipe.
pub fn command(kit: &Kit, role: Role, generation: u32) -> io::Result<(Command, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    let listener = match (role, &kit.admin) {
        (Role::Worker(_), _) => kit.listener.as_fd(),
        (Role::Hub, _) => kit.hub.as_fd(),
        (Role::Admin, Some(admin)) => admin.as_fd(),
        (Role::Admin, None) => return Err(io::Error::other("there is no admin address")),
    };
    let map = |fd: io::Result<OwnedFd>, child_fd| {
        Ok::<_, io::Error>(FdMapping {
            parent_fd: fd?,
            child_fd,
        })
    };
    let mappings = vec![
        map(kit.config.try_clone(), fds::CONFIG)?,
        map(kit.scoreboard.try_clone(), fds::SCOREBOARD)?,
        map(listener.try_clone_to_owned(), fds::LISTENER)?,
        map(Ok(theirs.into()), fds::CONTROL)?,
        map(kit.lock.try_clone(), fds::LOCK)?,
    ];
    // The link is resolved in the child, where it is the same file: also one that was since replaced or removed.
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("pubsub-server")
        .args(arguments(role, generation));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .process_group(0);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PUBSUB_") || text == "MAX_THREADS" || text == "MAX_ROWS" {
            command.env_remove(name);
        }
    }
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    Ok((command, ours))
}

fn arguments(role: Role, generation: u32) -> Vec<String> {
    let generation = generation.to_string();
    let words: Vec<&str> = match role {
        Role::Hub => vec!["role", "hub", "--generation", &generation],
        Role::Admin => vec!["role", "admin"],
        Role::Worker(slot) => {
            let slot = slot.to_string();
            return [
                "role",
                "worker",
                "--slot",
                &slot,
                "--generation",
                &generation,
            ]
            .map(str::to_owned)
            .to_vec();
        }
    };
    words.into_iter().map(str::to_owned).collect()
}
