//! What the supervisor binds: the clients' listener, admin's, the hub's, the control socket.
//!
//! Owns the options of each and the one line that says why one cannot be had. Must not contain: accepting (the roles do). Driven
//! by [`node`](super::node), before any process is started.
//!
//! Laws: one listener for all workers, so that a dead worker's queue is everybody's and loses nothing; no `SO_REUSEPORT`, so that a
//! second node on the port is refused and not silently given half of the clients.

use std::fs::{Permissions, set_permissions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use socket2::{Domain, Protocol, Socket, Type};
use thiserror::Error;

use crate::config::given::Origin;

/// Connections that may wait to be accepted. The kernel caps it at `net.core.somaxconn`, which is where to set it.
pub const BACKLOG: i32 = 65_535;

/// An address or path that is not to be had. The text is one line.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A TCP address.
    #[error("{field} = \"{address}\" (from {origin}): {why}")]
    Address {
        /// `listen` or `admin`.
        field: &'static str,
        /// The address.
        address: SocketAddr,
        /// Who asked for it.
        origin: Origin,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// A socket in the run dir.
    #[error("socket {path:?} cannot be made: {why}; choose another --run-dir")]
    Path {
        /// Where.
        path: std::path::PathBuf,
        /// What is wrong.
        why: io::Error,
    },
}

/// Binds a TCP listener that any number of processes can accept from.
pub fn tcp(
    field: &'static str,
    address: SocketAddr,
    origin: Origin,
) -> Result<TcpListener, SocketError> {
    bind(address).map_err(|error| {
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("the address is in use: stop what listens there, or choose another --{field}")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no such address: choose one of its own, or 0.0.0.0, with --{field}")
            }
            io::ErrorKind::PermissionDenied => {
                format!("not permitted: choose a port above 1023 with --{field}, or give the right to bind lower ones")
            }
            _ => format!("cannot be bound: {error}"),
        };
        SocketError::Address { field, address, origin, why }
    })
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )?;
    // A restart need not wait for the last node's connections to leave TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Binds a Unix listener that only this user can connect to.
pub fn unix(path: &Path) -> Result<UnixListener, SocketError> {
    let bound = UnixListener::bind(path).and_then(|listener| {
        set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|why| SocketError::Path {
        path: path.to_owned(),
        why,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_port_that_is_taken_is_refused_in_one_line() {
        let first = tcp("listen", "127.0.0.1:0".parse().unwrap(), Origin::Default).unwrap();
        let taken = first.local_addr().unwrap();
        let line = tcp("listen", taken, Origin::Flag("listen"))
            .unwrap_err()
            .to_string();
        let wanted = format!(
            "listen = \"{taken}\" (from --listen): the address is in use: stop what listens there, or choose another --listen"
        );
        assert_eq!(line, wanted);
    }

    #[test]
    fn an_address_of_another_machine_is_refused() {
        let line = tcp("admin", "192.0.2.1:0".parse().unwrap(), Origin::Default)
            .unwrap_err()
            .to_string();
        assert!(line.contains("this machine has no such address"), "{line}");
    }

    #[test]
    fn a_socket_in_the_run_dir_is_for_its_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = unix(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(
            unix(&path)
                .unwrap_err()
                .to_string()
                .contains("choose another --run-dir")
        );
    }
}
