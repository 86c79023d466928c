//! What configuration takes from the machine.
//!
//! Owns the look at environment, host name, cores, folders, file limit and memory. Must not contain: what follows from them. Driven by
//! `main`, once; tests make their own.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use pubsub_sysctl::memory::Memory;
use rustix::process::{Resource, getrlimit};

use super::setting::SETTINGS;
use super::spec;

/// The machine and the user's session, as far as defaults come from them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surroundings {
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// Relative paths are under it.
    pub directory: PathBuf,
    /// Cores this process may use.
    pub cores: u32,
    /// Name of the machine, fit to be a node's name.
    pub host: String,
    /// Run dirs are made in it.
    pub run_base: PathBuf,
    /// Files one process may have open: the hard limit, to which the soft one is raised.
    pub files: u64,
    /// Memory for all processes of the node; `None` where nothing is told.
    pub memory: Option<Memory>,
}

impl Surroundings {
    /// Looks around.
    pub fn look() -> Self {
        // What is not UTF-8 is kept as far as it is, so that it is refused where it is read.
        let text = |(name, value): (OsString, OsString)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        };
        let host = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        Self {
            env: env::vars_os().map(text).collect(),
            directory: env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            cores: available_parallelism()
                .map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
            host: spec::node(&host).unwrap_or_else(|_| "node".to_owned()),
            run_base: run_base(env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from)),
            files: getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX),
            memory: Memory::look(Path::new("/")),
        }
    }

    /// Variables that begin like ours and are none: a typo, or a container platform's own.
    pub fn unknown_variables(&self) -> Vec<&str> {
        let known = |name: &str| {
            name == "PUBSUB_CONFIG" || SETTINGS.iter().any(|setting| setting.env.contains(&name))
        };
        self.env
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("PUBSUB_") && !known(name))
            .collect()
    }
}

/// The session's runtime folder where there is one, else the temp folder.
fn run_base(session: Option<PathBuf>) -> PathBuf {
    session
        .filter(|folder| folder.is_absolute() && Path::is_dir(folder))
        .unwrap_or_else(env::temp_dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_can_be_looked_at() {
        let here = Surroundings::look();
        assert!(here.cores >= 1 && here.files >= 64 && here.directory.is_absolute());
        assert!(here.memory.is_some_and(|memory| memory.bytes > 64 << 20));
        assert!(spec::node(&here.host).is_ok());
    }

    #[test]
    fn a_runtime_folder_that_is_not_there_is_passed_over() {
        assert_eq!(run_base(Some("/proc".into())), PathBuf::from("/proc"));
        assert_eq!(run_base(Some("/nowhere/at/all".into())), env::temp_dir());
        assert_eq!(run_base(Some("proc".into())), env::temp_dir());
        assert_eq!(run_base(None), env::temp_dir());
    }
}
