//! `pubsub-server ctl`: finding the node, asking it, saying what it said.
//!
//! Owns which node is meant and the words of failure. Must not contain: the wire of the control socket (`ctl`), or tables
//! (`show`). Driven by `main`.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::ctl::{Client, ConnectError};
use super::{run_dir, show};
use crate::config::Surroundings;
use crate::config::args::{CtlArgs, CtlCommand};
use crate::link::ctl::{Answer, Ask};
use crate::telemetry::status::Status;

/// Why nothing came of it. Each text is one line.
#[derive(Debug, Error)]
pub enum CtlError {
    /// There is none.
    #[error("no node runs here (none answers under {0:?}): start one, or name its --run-dir")]
    NoNode(PathBuf),
    /// There are several, and none was named.
    #[error("several nodes run here: name one with --run-dir: {}", .0.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(" "))]
    Several(Vec<PathBuf>),
    /// It does not answer.
    #[error("the node of run dir {path:?} does not answer: {error}")]
    Silent {
        /// Its run dir.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not to be asked.
    #[error("the node of run dir {path:?} is not asked: {error}; be that user, or root")]
    Stranger {
        /// Its run dir.
        path: PathBuf,
        /// Why.
        error: ConnectError,
    },
    /// It won't.
    #[error("refused: {0}")]
    Refused(String),
}

/// Does what was asked for; what to print on stdout.
pub fn run(args: &CtlArgs, here: &Surroundings) -> Result<String, CtlError> {
    let path = node(args.run_dir.as_deref(), here)?;
    let silent = |error| CtlError::Silent {
        path: path.clone(),
        error,
    };
    let mut client = Client::connect(&path).map_err(|error| match error {
        ConnectError::Io(error) => silent(error),
        ConnectError::Stranger { .. } => CtlError::Stranger {
            path: path.clone(),
            error,
        },
    })?;
    let answer = client.ask(&question(&args.command)).map_err(silent)?;
    match (answer, &args.command) {
        (Answer::Refused(why), _) => Err(CtlError::Refused(why)),
        (Answer::Done(what), CtlCommand::Stop) => {
            client.wait_for_end().map_err(silent)?;
            Ok(format!("{what}: stopped\n"))
        }
        (Answer::Done(what), _) => Ok(format!("{what}\n")),
        (Answer::Status(status), CtlCommand::Status { json: true }) => {
            Ok(format!("{}\n", status.get()))
        }
        (Answer::Status(status), _) => {
            let status: Status =
                serde_json::from_str(status.get()).map_err(|error| silent(error.into()))?;
            Ok(show::status(&status))
        }
        (Answer::Slow(rows), _) => Ok(show::slow(&rows)),
    }
}

fn question(command: &CtlCommand) -> Ask {
    match *command {
        CtlCommand::Status { .. } => Ask::Status,
        CtlCommand::Workers { n } => Ask::Workers { n },
        CtlCommand::Stop => Ask::Stop,
        CtlCommand::Drain => Ask::Drain,
        CtlCommand::Slow { n } => Ask::Slow { n: n as usize },
    }
}

/// The run dir that is named, else that of the only node that answers where run dirs are made.
fn node(named: Option<&Path>, here: &Surroundings) -> Result<PathBuf, CtlError> {
    let by_env = || {
        here.env
            .get("PUBSUB_RUN_DIR")
            .filter(|dir| !dir.is_empty())
            .map(PathBuf::from)
    };
    if let Some(named) = named.map(Path::to_owned).or_else(by_env) {
        return Ok(here.directory.join(named));
    }
    let mut living = run_dir::living(&here.run_base);
    match (living.pop(), living.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => Err(CtlError::Several(
            living.into_iter().chain([last]).collect(),
        )),
        (None, _) => Err(CtlError::NoNode(here.run_base.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::paths;
    use std::os::unix::net::UnixListener;

    fn here(base: &Path) -> Surroundings {
        Surroundings {
            run_base: base.to_owned(),
            env: std::collections::BTreeMap::new(),
            ..Surroundings::look()
        }
    }

    fn run_dir_of(base: &Path, port: u16) -> (PathBuf, UnixListener) {
        let dir = base.join(format!("pubsub-{port}"));
        std::fs::create_dir(&dir).unwrap();
        let listener = UnixListener::bind(paths::ctl(&dir)).unwrap();
        (dir, listener)
    }

    #[test]
    fn the_only_node_is_meant_and_of_several_one_must_be_named() {
        let base = tempfile::tempdir().unwrap();
        let mut here = here(base.path());
        assert!(
            node(None, &here)
                .unwrap_err()
                .to_string()
                .starts_with("no node runs here")
        );
        let (first, _first) = run_dir_of(base.path(), 1);
        assert_eq!(node(None, &here).unwrap(), first);
        let (second, _second) = run_dir_of(base.path(), 2);
        let line = node(None, &here).unwrap_err().to_string();
        assert!(
            line.ends_with(&format!("{} {}", first.display(), second.display())),
            "{line}"
        );
        assert_eq!(node(Some(&second), &here).unwrap(), second);
        here.env.insert(
            "PUBSUB_RUN_DIR".to_owned(),
            first.to_string_lossy().into_owned(),
        );
        assert_eq!(node(None, &here).unwrap(), first);
    }

    #[test]
    fn a_node_that_is_not_there_is_said_not_to_answer() {
        let base = tempfile::tempdir().unwrap();
        let args = CtlArgs {
            run_dir: Some(base.path().to_owned()),
            command: CtlCommand::Stop,
        };
        assert!(
            run(&args, &here(base.path()))
                .unwrap_err()
                .to_string()
                .contains("does not answer")
        );
    }
}
