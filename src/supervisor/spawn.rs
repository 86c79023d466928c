//! Starting one process of the node.
//!
//! Owns what a process inherits: descriptors at fixed numbers, its own process group, an environment without our settings, and the
//! role's command line. Must not contain: when to start one (`tree`). Driven by [`node`](super::node) on one side and
//! [`inherit`](super::inherit) on the other, which agree on [`fds`].
//!
//! Laws: the program is the very file this supervisor runs, also after another was installed over it; a process inherits what is
//! named here and nothing else; no setting reaches it but the resolved configuration.

use std::ffi::OsStr;
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
use crate::config::setting::SETTINGS;

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
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_setting(name)) {
        command.env_remove(name);
    }
    if let Role::Worker(_) = role {
        // What a burst of connects leaves behind goes back to the system at once: it would double the cost of an idle connection.
        command.env("MIMALLOC_PURGE_DELAY", "0");
    }
    command.fd_mappings(mappings).map_err(io::Error::other)?;
    Ok((command, ours))
}

/// Whether a variable is one of those that settings are read from.
fn is_setting(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("PUBSUB_") || SETTINGS.iter().any(|setting| setting.env.contains(&&*name))
}

fn arguments(role: Role, generation: u32) -> Vec<String> {
    let generation = generation.to_string();
    let words = match role {
        Role::Hub => vec!["hub".to_owned(), "--generation".to_owned(), generation],
        Role::Admin => vec!["admin".to_owned()],
        Role::Worker(slot) => [
            "worker",
            "--slot",
            &slot.to_string(),
            "--generation",
            &generation,
        ]
        .map(str::to_owned)
        .to_vec(),
    };
    std::iter::once("role".to_owned()).chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::{Command as Typed, Parsed, RoleCommand, parse};
    use std::ffi::OsString;

    #[test]
    fn a_role_reads_what_it_is_started_with() {
        let read = |role, generation| {
            let words =
                std::iter::once("pubsub-server".to_owned()).chain(arguments(role, generation));
            let Ok(Parsed::Run(typed)) = parse(words.map(OsString::from)) else {
                panic!("{role} is not understood")
            };
            let Some(Typed::Role(role)) = typed.command else {
                panic!("{role} is no role")
            };
            role.role
        };
        assert_eq!(
            read(Role::Worker(1023), 7),
            RoleCommand::Worker {
                slot: 1023,
                generation: 7
            }
        );
        assert_eq!(read(Role::Hub, 3), RoleCommand::Hub { generation: 3 });
        assert_eq!(read(Role::Admin, 1), RoleCommand::Admin);
    }

    #[test]
    fn no_setting_reaches_a_role_by_the_environment() {
        for name in [
            "PUBSUB_WORKERS",
            "PUBSUB_CONFIG",
            "PUBSUB_ANYTHING",
            "MAX_THREADS",
            "MAX_ROWS",
        ] {
            assert!(is_setting(OsStr::new(name)), "{name}");
        }
        for name in ["RUST_LOG", "PATH", "TZ", "MAX_OTHER"] {
            assert!(!is_setting(OsStr::new(name)), "{name}");
        }
    }

    #[test]
    fn the_configuration_that_is_handed_over_cannot_be_changed() {
        let nothing = crate::config::setting::Typed::default();
        let here = crate::config::Surroundings::look();
        let file = crate::config::file::File::default();
        let config = crate::config::resolve::resolve(&nothing, &nothing, &file, &here)
            .unwrap()
            .config;
        let fd = config_fd(&config).unwrap();
        assert!(rustix::io::pwrite(&fd, b"x", 0).is_err());
        assert!(rustix::fs::ftruncate(&fd, 0).is_err());
        let mut bytes = vec![0; 1 << 16];
        let read = rustix::io::pread(&fd, &mut bytes, 0).unwrap();
        assert_eq!(
            serde_json::from_slice::<Config>(&bytes[..read]).unwrap(),
            config
        );
    }
}
