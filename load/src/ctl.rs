//! A node's control socket, asked the one question that a load run has: which process is the root of it.
//!
//! Owns where the socket of a port is looked for, and the question. Must not contain: what else a node can be told, or how a process is
//! found without it ([`node`](crate::node)). Driven once, before a run.
//!
//! A node keeps the socket in its run dir, `pubsub-PORT` in the session's runtime folder or, without one, in the temp folder; told to have
//! it elsewhere, it is not found here. Only the same user and root are answered, and only their nodes are asked: in a temp folder anybody
//! may have a socket of that name.
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use rustix::process::geteuid;
use serde::Deserialize;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// Time for an answer, of which a node needs a fraction.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer read: a status has a few hundred bytes for each worker.
const ANSWER_MAX: u64 = 1 << 20;

/// Why a control socket does not say who the server is.
#[derive(Debug, Error)]
pub enum CtlError {
    /// There is nothing to ask.
    #[error("there is no control socket {0}")]
    None(PathBuf),
    /// Nobody, or somebody who does not answer.
    #[error("the control socket {path} does not answer: {error}")]
    Silent {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Another user's: what it would say can't be relied on.
    #[error(
        "the control socket {path} is user {user}'s, neither this user's nor root's, and is not asked"
    )]
    Foreign {
        /// Which.
        path: PathBuf,
        /// Whose.
        user: u32,
    },
    /// Somebody else, or a node that does not tell.
    #[error("the control socket {0} does not say which process it is")]
    Strange(PathBuf),
    /// A node with the same name for its run dir.
    #[error("the node of the control socket {path} listens on {listen}")]
    Elsewhere {
        /// Which.
        path: PathBuf,
        /// Where that node is.
        listen: SocketAddr,
    },
}

/// Which process a node is, and where.
#[derive(Deserialize)]
struct Root {
    listen: SocketAddr,
    pid: u32,
}

#[derive(Deserialize)]
struct Answer {
    status: Root,
}

/// The root of the node that listens there, as it says itself.
pub fn root(addr: SocketAddr) -> Result<u32, CtlError> {
    let session = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    root_in(&run_base(session), addr)
}

/// Where run dirs are, unless a node was told otherwise.
fn run_base(session: Option<PathBuf>) -> PathBuf {
    session
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .unwrap_or_else(std::env::temp_dir)
}

fn root_in(base: &Path, addr: SocketAddr) -> Result<u32, CtlError> {
    let path = base.join(format!("pubsub-{}/ctl.sock", addr.port()));
    let answer = match connect(&path) {
        Ok((socket, user)) if is_ours(user) => ask(socket),
        Ok((_, user)) => return Err(CtlError::Foreign { path, user }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(CtlError::None(path)),
        Err(error) => Err(error),
    };
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return Err(CtlError::Silent { path, error }),
    };
    let Ok(Answer { status }) = serde_json::from_slice(&answer) else {
        return Err(CtlError::Strange(path));
    };
    let Root { listen, pid } = status;
    let everywhere = listen.ip().is_unspecified();
    if listen.port() == addr.port() && (everywhere || listen.ip() == addr.ip()) {
        Ok(pid)
    } else {
        Err(CtlError::Elsewhere { path, listen })
    }
}

/// A connection, and which user listens there.
fn connect(path: &Path) -> io::Result<(UnixStream, u32)> {
    let socket = UnixStream::connect(path)?;
    let user = getsockopt(&socket, PeerCredentials)?.uid();
    Ok((socket, user))
}

/// This user's, or root's.
fn is_ours(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// The answer to how the node is doing, one line.
fn ask(mut socket: UnixStream) -> io::Result<Vec<u8>> {
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.write_all(b"{\"ctl\":\"status\"}\n")?;
    let mut answer = Vec::new();
    BufReader::new(socket.take(ANSWER_MAX)).read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Uid;
    use rustix::thread::set_thread_res_uid;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    /// What is made of this answer of the node of port 8124.
    fn said(answer: &'static str) -> Result<u32, String> {
        let base = tempfile::tempdir().unwrap();
        let run_dir = base.path().join("pubsub-8124");
        std::fs::create_dir(&run_dir).unwrap();
        let listener = UnixListener::bind(run_dir.join("ctl.sock")).unwrap();
        let node = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut question = String::new();
            BufReader::new(&socket).read_line(&mut question).unwrap();
            socket.write_all(answer.as_bytes()).unwrap();
            question
        });
        let root = root_in(base.path(), "127.0.0.1:8124".parse().unwrap());
        assert_eq!(node.join().unwrap(), "{\"ctl\":\"status\"}\n");
        root.map_err(|error| error.to_string())
    }

    #[test]
    fn a_node_says_which_process_it_is() {
        for listen in ["127.0.0.1:8124", "0.0.0.0:8124", "[::]:8124"] {
            let answer =
                format!("{{\"status\":{{\"node\":\"n\",\"listen\":\"{listen}\",\"pid\":77}}}}\n");
            assert_eq!(said(answer.leak()), Ok(77), "{listen}");
        }
    }

    #[test]
    fn whoever_does_not_say_it_is_told_by_what_it_does() {
        for (answer, part) in [
            ("", "does not answer: "),
            ("{\"refused\":\"no\"}\n", "does not say which process"),
            ("hello\n", "does not say which process"),
            (
                "{\"status\":{\"listen\":\"127.0.0.1:9\",\"pid\":7}}\n",
                "listens on 127.0.0.1:9",
            ),
            (
                "{\"status\":{\"listen\":\"192.0.2.1:8124\",\"pid\":7}}\n",
                "listens on 192.0.2.1:8124",
            ),
        ] {
            let error = said(answer).unwrap_err();
            assert!(error.contains(part), "{answer:?}: {error}");
        }
    }

    #[test]
    fn a_socket_that_is_not_there_or_that_nobody_listens_on_says_so() {
        let base = tempfile::tempdir().unwrap();
        let asked = || root_in(base.path(), "127.0.0.1:8124".parse().unwrap());
        assert!(matches!(asked(), Err(CtlError::None(_))));
        let run_dir = base.path().join("pubsub-8124");
        std::fs::create_dir(&run_dir).unwrap();
        drop(UnixListener::bind(run_dir.join("ctl.sock")).unwrap());
        assert!(matches!(asked(), Err(CtlError::Silent { .. })));
    }

    #[test]
    fn another_users_socket_is_not_asked() {
        let base = tempfile::tempdir().unwrap();
        let run_dir = base.path().join("pubsub-8124");
        std::fs::create_dir(&run_dir).unwrap();
        std::fs::set_permissions(&run_dir, Permissions::from_mode(0o777)).unwrap();
        let listen = || {
            // Of this thread alone.
            set_thread_res_uid(None::<Uid>, Uid::from_raw(4711), None::<Uid>).ok()?;
            Some(UnixListener::bind(run_dir.join("ctl.sock")).unwrap())
        };
        let listener = std::thread::scope(|scope| scope.spawn(listen).join().unwrap());
        let said = root_in(base.path(), "127.0.0.1:8124".parse().unwrap());
        if listener.is_some() {
            assert!(matches!(said, Err(CtlError::Foreign { user: 4711, .. })));
        } else {
            assert!(!geteuid().is_root(), "only root may become another user");
        }
    }

    #[test]
    fn a_session_without_a_runtime_folder_has_the_temp_folder() {
        assert_eq!(run_base(Some("/proc".into())), PathBuf::from("/proc"));
        for session in [None, Some("proc".into()), Some("/nowhere/at/all".into())] {
            assert_eq!(run_base(session), std::env::temp_dir());
        }
    }
}
