//! From a resolved configuration to a node that is about to run.
//!
//! Owns the order in which run dir, addresses and shared memory are taken, and giving them back when a later one is refused. Must
//! not contain: starting processes. Driven by `main`.
//!
//! Law: nothing is logged here, so that a refusal is one line on stderr and nothing else.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use super::node::Node;
use super::run_dir::{RunDir, RunDirError};
use super::sockets::{self, SocketError};
use super::spawn::{self, Kit};
use crate::config::{Resolved, RunDir as Chosen};
use crate::link::paths;
use crate::telemetry::scoreboard::Scoreboard;

/// Why a node cannot begin.
#[derive(Debug, Error)]
pub enum BeginError {
    /// The run dir is not to be had.
    #[error(transparent)]
    RunDir(#[from] RunDirError),
    /// An address or socket is not to be had.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The machine refuses what every node needs.
    #[error("{0}: {1}")]
    Machine(&'static str, io::Error),
}

/// A node about to run, and the run dir to clear away when it has ended.
#[derive(Debug)]
pub struct Begun {
    /// The node.
    pub node: Node,
    /// Its run dir.
    pub run_dir: RunDir,
}

/// Takes everything a node needs, or nothing.
pub fn begin(resolved: Resolved) -> Result<Begun, BeginError> {
    let mut run_dir = None;
    match (take(resolved, &mut run_dir), run_dir) {
        (Ok(node), Some(run_dir)) => Ok(Begun { node, run_dir }),
        (Ok(_), None) => unreachable!("a node was taken without its run dir"),
        (Err(error), taken) => {
            if let Some(run_dir) = taken {
                run_dir.clear();
            }
            Err(error)
        }
    }
}

fn take(resolved: Resolved, taken: &mut Option<RunDir>) -> Result<Node, BeginError> {
    let machine = |what| move |error| BeginError::Machine(what, error);
    raise_file_limit().map_err(machine("the limit of open files cannot be raised"))?;
    let (listen_by, admin_by) = (resolved.origin("listen"), resolved.origin("admin"));
    let Resolved {
        mut config,
        run_dir: chosen,
        ..
    } = resolved;
    // Whoever has the run dir can be named; whoever has the port cannot. Only a port that is chosen must be bound first.
    if config.listen.port() != 0 || chosen == Chosen::Given {
        *taken = Some(RunDir::take(&config.run_dir)?);
    }
    let listener = sockets::tcp("listen", config.listen, listen_by)?;
    config.listen = listener.local_addr().map_err(machine("listen"))?;
    config.run_dir = chosen.of_port(&config.run_dir, config.listen.port());
    if taken.is_none() {
        *taken = Some(RunDir::take(&config.run_dir)?);
    }
    let admin = config
        .admin
        .map(|address| sockets::tcp("admin", address, admin_by))
        .transpose()?;
    if let Some(admin) = &admin {
        config.admin = Some(admin.local_addr().map_err(machine("admin"))?);
    }
    let hub = sockets::unix(&paths::hub(&config.run_dir))?;
    let ctl = sockets::unix(&paths::ctl(&config.run_dir))?;
    let (scoreboard, board_fd) = Scoreboard::create().map_err(machine("no shared memory"))?;
    let lock = taken
        .as_ref()
        .map(RunDir::role_lock)
        .transpose()
        .map_err(machine("no lock for the roles"))?;
    let kit = Kit {
        config: spawn::config_fd(&config).map_err(machine("no shared memory"))?,
        scoreboard: board_fd,
        listener,
        hub,
        admin,
        lock: lock
            .ok_or_else(|| machine("no lock for the roles")(io::ErrorKind::NotFound.into()))?,
    };
    Ok(Node {
        config,
        kit,
        scoreboard,
        ctl,
    })
}

/// The soft limit of open files goes up to the hard one; processes started later inherit it.
fn raise_file_limit() -> io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::args::{Parsed, parse};
    use crate::config::{Surroundings, load};
    use std::path::Path;

    fn resolved(base: &Path, words: &[&str]) -> Resolved {
        let here = Surroundings {
            run_base: base.to_owned(),
            env: std::collections::BTreeMap::new(),
            ..Surroundings::look()
        };
        let words = std::iter::once("pubsub-server")
            .chain(words.iter().copied())
            .map(std::ffi::OsString::from);
        let Ok(Parsed::Run(typed)) = parse(words) else {
            panic!("not a command line")
        };
        load(&typed.node, &here).unwrap()
    }

    #[test]
    fn a_chosen_port_names_the_run_dir() {
        let base = tempfile::tempdir().unwrap();
        let begun = begin(resolved(
            base.path(),
            &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        ))
        .unwrap();
        let config = &begun.node.config;
        assert_ne!((config.listen.port(), config.admin.unwrap().port()), (0, 0));
        assert_eq!(
            config.run_dir,
            base.path().join(format!("pubsub-{}", config.listen.port()))
        );
        assert!(paths::ctl(&config.run_dir).exists() && paths::hub(&config.run_dir).exists());
        begun.run_dir.clear();
        assert_eq!(base.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_refusal_gives_everything_back() {
        let base = tempfile::tempdir().unwrap();
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = taken.local_addr().unwrap().to_string();
        let words = ["--listen", "127.0.0.1:0", "--admin", &admin];
        let line = begin(resolved(base.path(), &words))
            .unwrap_err()
            .to_string();
        assert!(
            line.contains("admin") && line.contains("in use") && !line.contains('\n'),
            "{line}"
        );
        assert_eq!(base.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_second_node_on_the_run_dir_is_refused_by_name() {
        let base = tempfile::tempdir().unwrap();
        let dir = base.path().join("r").to_string_lossy().into_owned();
        let words = [
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "none",
            "--run-dir",
            &dir,
        ];
        let first = begin(resolved(base.path(), &words)).unwrap();
        let line = begin(resolved(base.path(), &words))
            .unwrap_err()
            .to_string();
        assert!(
            line.contains(&format!("supervisor {}", std::process::id())),
            "{line}"
        );
        assert!(
            paths::ctl(&first.node.config.run_dir).exists(),
            "the refused one took nothing away"
        );
    }
}
