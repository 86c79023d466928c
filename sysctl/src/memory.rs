//! How much memory there is for the node.
//!
//! Owns reading what the machine has and what its control groups leave of that. Must not contain: how much is needed (`check`).
//! Driven by who asks.
//!
//! Laws: the least of the machine's memory and of the limits of the process' group and of all groups around it; what cannot be read
//! limits nothing.

use std::fs;
use std::path::{Path, PathBuf};

/// Memory for all processes of a node, and what sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// In total, not what is free now.
    pub bytes: u64,
    /// Whose it is.
    pub of: Holder,
}

/// What sets how much memory there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// What is built in.
    Machine,
    /// The limit of a control group (a container, a systemd unit), which is less.
    Group,
}

impl Memory {
    /// Looks at the machine whose files are under `root`; `None` where nothing is told.
    pub fn look(root: &Path) -> Option<Self> {
        let text = |file: &Path| fs::read_to_string(root.join(file)).ok();
        let machine = text(Path::new("proc/meminfo"))
            .as_deref()
            .and_then(total)
            .map(|bytes| Self {
                bytes,
                of: Holder::Machine,
            });
        let groups = text(Path::new("proc/self/cgroup")).unwrap_or_default();
        let limits = limit_files(&groups)
            .into_iter()
            .filter_map(|file| text(&file)?.trim().parse().ok());
        let group = limits.min().map(|bytes| Self {
            bytes,
            of: Holder::Group,
        });
        // Of equals the first: a group without a limit says so with a number beyond any machine.
        machine
            .into_iter()
            .chain(group)
            .min_by_key(|memory| memory.bytes)
    }
}

/// `MemTotal` of `/proc/meminfo`, which counts in KiB whatever it says.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The files that may hold a limit, of the group that `/proc/self/cgroup` names and of those around it. Both versions are looked at:
/// either may be the one that counts memory. In a container the group may be named as from outside while only its own files are
/// there: then the outermost is the container's.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (_, Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let (base, name) = match controllers {
            "" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let around = Path::new(path.trim_start_matches('/')).ancestors();
        files.extend(around.map(|group| Path::new(base).join(group).join(name)));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of these files.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn looked(files: &[(&str, &str)]) -> Option<(u64, Holder)> {
        Memory::look(machine(files).path()).map(|memory| (memory.bytes, memory.of))
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       24684096 kB\nMemFree:        23069772 kB\n",
    );
    const TOTAL: u64 = 24_684_096 * 1024;

    #[test]
    fn without_a_limit_it_is_what_the_machine_has() {
        let unlimited = [
            MEMINFO,
            ("proc/self/cgroup", "9:memory,cpu:/a\n0::/b\n"),
            (
                "sys/fs/cgroup/memory/a/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/b/memory.max", "max\n"),
        ];
        for files in [&unlimited[..1], &unlimited[..2], &unlimited] {
            assert_eq!(looked(files), Some((TOTAL, Holder::Machine)));
        }
    }

    #[test]
    fn the_least_of_the_groups_around_counts() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "0::/system.slice/node.service\n"),
            (
                "sys/fs/cgroup/system.slice/node.service/memory.max",
                "max\n",
            ),
            ("sys/fs/cgroup/system.slice/memory.max", "4096000\n"),
            ("sys/fs/cgroup/memory.max", "8192000\n"),
        ];
        assert_eq!(looked(&files), Some((4_096_000, Holder::Group)));
    }

    #[test]
    fn a_group_named_as_from_outside_is_the_outermost_that_is_seen() {
        let files = [
            MEMINFO,
            ("proc/self/cgroup", "4:cpu:/x\n3:memory:/docker/4e72\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "512000\n"),
        ];
        assert_eq!(looked(&files), Some((512_000, Holder::Group)));
    }

    #[test]
    fn what_cannot_be_read_limits_nothing() {
        assert_eq!(looked(&[]), None);
        let strange = [
            ("proc/meminfo", "MemTotal: much\n"),
            ("proc/self/cgroup", "memory\n\n0:\n"),
        ];
        assert_eq!(looked(&strange), None);
    }
}
