//! Control groups.
//!
//! Owns finding the files of the process' group and of all around it, of either version. Must not contain: what is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of a group, by its name in version 2, and by controller and name in version 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Named {
    pub(crate) unified: &'static str,
    pub(crate) controller: &'static str,
    pub(crate) own: &'static str,
}

/// The numbers that the groups' files hold; a group without a limit has none.
pub(crate) fn numbers(root: &Path, named: Named) -> impl Iterator<Item = (PathBuf, u64)> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    files(&groups, named).into_iter().filter_map(move |file| {
        let number = fs::read_to_string(root.join(&file)).ok()?.trim().parse();
        Some((file, number.ok()?))
    })
}

/// The files that may hold a number, of the group that `/proc/self/cgroup` names and of those around it. Both versions are looked at:
/// either may be the one that counts. In a container the group may be named as from outside while only its own files are there:
/// then the outermost is the container's.
fn files(groups: &str, named: Named) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (base, name) = match controllers {
            "" => (PathBuf::from("sys/fs/cgroup"), named.unified),
            _ if controllers.split(',').any(|one| one == named.controller) => {
                (Path::new("sys/fs/cgroup").join(named.controller), named.own)
            }
            _ => continue,
        };
        let around = Path::new(path.trim_start_matches('/')).ancestors();
        files.extend(around.map(|group| base.join(group).join(name)));
    }
    files
}
