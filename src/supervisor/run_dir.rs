//! The run dir: one node's folder of locks and sockets.
//!
//! Owns making it, taking it for this node alone, the names in it, and clearing it away. Must not contain: what is said on the
//! sockets. Driven by [`node`](super::node) and by `ctl`, which finds a node by it.
//!
//! Laws: a lock says who has the dir, never a process number in a file: `lock` is held by the supervisor alone, `roles.lock` by the
//! supervisor and every process it starts, so that a dir whose supervisor is gone is not taken while its workers still serve;
//! nobody else's dir and none that others can write to is used.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::process::geteuid;
use thiserror::Error;

use crate::link::{paths, peer};

/// Others may look, but not write.
const WRITABLE_BY_OTHERS: u32 = 0o022;
/// So often a lock is tried that its last owner clears away at the same moment.
const LOCK_TRIES: usize = 10;

/// Why a run dir is not to be had. Each text is one line.
#[derive(Debug, Error)]
pub enum RunDirError {
    /// It cannot be made or written to.
    #[error("run dir {path:?} cannot be used: {why}; choose another with --run-dir")]
    Unusable {
        /// The dir.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Another node has it.
    #[error(
        "run dir {path:?} belongs to a running node (supervisor {pid}): stop that (pubsub-server ctl stop), or choose another --run-dir"
    )]
    Taken {
        /// The dir.
        path: PathBuf,
        /// The supervisor's process.
        pid: String,
    },
    /// A node's supervisor died and its other processes serve on.
    #[error(
        "run dir {path:?}: its supervisor is gone, but processes of that node still serve ({pids}): stop those first, or choose another --run-dir"
    )]
    Orphans {
        /// The dir.
        path: PathBuf,
        /// Their numbers.
        pids: String,
    },
}

/// A run dir that is this node's.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    made: Made,
    lock: File,
    roles: File,
}

/// Whose the dir is to remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    ByUs,
    Before,
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

fn roles_path(dir: &Path) -> PathBuf {
    dir.join("roles.lock")
}

impl RunDir {
    /// Makes the dir if it is not there, and takes it.
    pub fn take(path: &Path) -> Result<Self, RunDirError> {
        let unusable = |error: io::Error| RunDirError::Unusable {
            path: path.to_owned(),
            why: error.to_string(),
        };
        let made = make(path)?;
        let Some(mut lock) = hold(&lock_path(path)).map_err(unusable)? else {
            return Err(RunDirError::Taken {
                path: path.to_owned(),
                pid: content(&lock_path(path)),
            });
        };
        let Some(roles) = hold(&roles_path(path)).map_err(unusable)? else {
            return Err(RunDirError::Orphans {
                path: path.to_owned(),
                pids: holders(&roles_path(path)),
            });
        };
        let note = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        note.map_err(unusable)?;
        for left_behind in [paths::ctl(path), paths::hub(path)] {
            match fs::remove_file(left_behind) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(unusable(error));
                }
                _ => {}
            }
        }
        Ok(Self {
            path: path.to_owned(),
            made,
            lock,
            roles,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A descriptor that holds `roles.lock` for as long as the process that has it lives.
    pub fn role_lock(&self) -> io::Result<OwnedFd> {
        Ok(self.roles.try_clone()?.into())
    }

    /// Clears the dir away, as far as nothing else is in it. Whoever waits for a lock sees that its file is gone and begins anew.
    pub fn clear(self) {
        for name in [paths::ctl, paths::hub, roles_path, lock_path] {
            // What cannot be removed is only litter.
            let _ = fs::remove_file(name(&self.path));
        }
        if self.made == Made::ByUs {
            let _ = fs::remove_dir(&self.path);
        }
        drop(self.lock);
    }
}

/// The run dirs under `base` in which a supervisor answers that is this user's or root's: in a folder of everybody's anybody may have one.
pub fn living(base: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("pubsub-"));
    let mut dirs: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    dirs.retain(|dir| {
        let socket = UnixStream::connect(paths::ctl(dir));
        let user = socket.and_then(|socket| peer::user_of(&socket));
        user.is_ok_and(peer::is_ours)
    });
    dirs.sort();
    dirs
}

/// Makes the dir, or sees that the one that is there is ours.
fn make(path: &Path) -> Result<Made, RunDirError> {
    let unusable = |why: String| RunDirError::Unusable {
        path: path.to_owned(),
        why,
    };
    let made = if path.exists() {
        Made::Before
    } else {
        Made::ByUs
    };
    if let Err(error) = DirBuilder::new().recursive(true).mode(0o700).create(path) {
        return Err(unusable(error.to_string()));
    }
    // Not followed: a link that somebody put there is not our dir.
    let found = fs::symlink_metadata(path).map_err(|error| unusable(error.to_string()))?;
    if !found.is_dir() {
        return Err(unusable("it is not a directory".to_owned()));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(unusable(format!("it belongs to user {}", found.uid())));
    }
    if found.mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(unusable(format!(
            "others can write to it (mode {:o}, 700 would be right)",
            found.mode() & 0o777
        )));
    }
    Ok(made)
}

/// Opens and locks a file; `None` when somebody else holds it. The descriptor is not inherited by accident.
fn hold(path: &Path) -> io::Result<Option<File>> {
    for _ in 0..LOCK_TRIES {
        let no_follow = OFlags::NOFOLLOW.bits() as i32;
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .mode(0o600)
            .custom_flags(no_follow)
            .open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        // The last owner may have removed the file between our opening and our locking it.
        if fs::metadata(path)
            .is_ok_and(|there| file.metadata().is_ok_and(|ours| ours.ino() == there.ino()))
        {
            return Ok(Some(file));
        }
    }
    Err(io::Error::other(format!(
        "{} keeps being removed",
        path.display()
    )))
}

fn content(path: &Path) -> String {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(32).read_to_string(&mut text));
    match (read, text.trim()) {
        (Ok(_), pid) if !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit()) => {
            pid.to_owned()
        }
        _ => "unknown".to_owned(),
    }
}

/// The processes that have a file open, for the message only.
fn holders(path: &Path) -> String {
    let Ok(path) = fs::canonicalize(path) else {
        return "unknown".to_owned();
    };
    let open = |pid: &str| {
        let files = fs::read_dir(format!("/proc/{pid}/fd"))
            .into_iter()
            .flatten()
            .flatten();
        files
            .into_iter()
            .any(|file| fs::read_link(file.path()).is_ok_and(|target| target == path))
    };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = all.filter_map(|entry| entry.file_name().into_string().ok());
    let numbers = pids.filter(|pid| {
        pid.bytes().all(|b| b.is_ascii_digit()) && *pid != std::process::id().to_string()
    });
    let found: Vec<String> = numbers.filter(|pid| open(pid)).collect();
    if found.is_empty() {
        "unknown".to_owned()
    } else {
        format!("processes {}", found.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::tempdir;

    fn refusal(path: &Path) -> String {
        let line = RunDir::take(path).unwrap_err().to_string();
        assert!(!line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn a_dir_is_made_for_its_owner_alone_and_cleared_away() {
        let base = tempdir().unwrap();
        let path = base.path().join("a/pubsub-1");
        let taken = RunDir::take(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_eq!(content(&lock_path(&path)), std::process::id().to_string());
        taken.clear();
        assert!(!path.exists());
    }

    #[test]
    fn a_dir_that_was_there_before_stays_and_is_left_empty() {
        let base = tempdir().unwrap();
        RunDir::take(base.path()).unwrap().clear();
        assert_eq!(base.path().read_dir().unwrap().count(), 0);
    }

    #[test]
    fn a_dir_that_is_taken_says_by_whom() {
        let base = tempdir().unwrap();
        let path = base.path().join("r");
        let taken = RunDir::take(&path).unwrap();
        let line = refusal(&path);
        assert!(
            line.contains(&format!("(supervisor {})", std::process::id())),
            "{line}"
        );
        drop(taken);
        RunDir::take(&path).unwrap().clear();
    }

    #[test]
    fn a_dir_whose_roles_still_live_is_not_taken() {
        let base = tempdir().unwrap();
        let path = base.path().join("r");
        let taken = RunDir::take(&path).unwrap();
        let role = taken.role_lock().unwrap();
        drop(taken);
        assert!(
            refusal(&path)
                .contains("its supervisor is gone, but processes of that node still serve")
        );
        drop(role);
        RunDir::take(&path).unwrap();
    }

    #[test]
    fn sockets_left_behind_are_replaced() {
        let base = tempdir().unwrap();
        let path = base.path().join("r");
        drop(RunDir::take(&path).unwrap());
        drop(std::os::unix::net::UnixListener::bind(paths::ctl(&path)).unwrap());
        let taken = RunDir::take(&path).unwrap();
        assert!(!paths::ctl(taken.path()).exists());
    }

    #[test]
    fn a_dir_that_cannot_be_trusted_is_refused() {
        let base = tempdir().unwrap();
        let open = base.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(refusal(&open).contains("others can write to it (mode 777, 700 would be right)"));
        let file = base.path().join("file");
        File::create(&file).unwrap();
        assert!(refusal(&file).contains("cannot be used"));
        let link = base.path().join("link");
        std::os::unix::fs::symlink(base.path(), &link).unwrap();
        assert!(refusal(&link).contains("not a directory"));
        assert!(refusal(Path::new("/proc/nothing/here")).contains("cannot be used"));
    }

    #[test]
    fn a_lock_that_is_a_link_is_not_followed() {
        let base = tempdir().unwrap();
        let path = base.path().join("r");
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", lock_path(&path)).unwrap();
        assert!(refusal(&path).contains("cannot be used"));
    }

    #[test]
    fn nodes_that_answer_are_found() {
        let base = tempdir().unwrap();
        let (live, dead, other) = (
            base.path().join("pubsub-1"),
            base.path().join("pubsub-2"),
            base.path().join("x"),
        );
        for dir in [&live, &dead, &other] {
            fs::create_dir(dir).unwrap();
        }
        let _live = std::os::unix::net::UnixListener::bind(paths::ctl(&live)).unwrap();
        let _other = std::os::unix::net::UnixListener::bind(paths::ctl(&other)).unwrap();
        drop(std::os::unix::net::UnixListener::bind(paths::ctl(&dead)).unwrap());
        assert_eq!(living(base.path()), [live]);
    }

    #[test]
    fn nodes_of_strangers_are_not_found() {
        let base = tempdir().unwrap();
        let dir = base.path().join("pubsub-1");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        let bind = || std::os::unix::net::UnixListener::bind(paths::ctl(&dir)).unwrap();
        let listener = peer::told::as_user(4711, bind);
        // Only root may become another user, and it could connect.
        assert_eq!(listener.is_some(), geteuid().is_root());
        assert!(listener.is_none() || UnixStream::connect(paths::ctl(&dir)).is_ok());
        assert!(living(base.path()).is_empty());
    }
}
