//! How much memory there is for the node.
//!
//! Owns reading what the machine has and what its control groups leave of that. Must not contain: how much is needed (`check`).
//! Driven by who asks.
//!
//! Laws: the least of the machine's memory and of the limits of the process' group and of all groups around it; what cannot be read
//! limits nothing.

use crate::group::{self, Named};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What a group may take.
const LIMIT: Named = Named {
    unified: "memory.max",
    controller: "memory",
    own: "memory.limit_in_bytes",
};

/// What it has taken.
const USED: Named = Named {
    unified: "memory.current",
    controller: "memory",
    own: "memory.usage_in_bytes",
};

/// Memory for all processes of a node, and what sets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// So much of it.
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
    /// All that there is, free or not, on the machine whose files are under `root`; `None` where nothing is told.
    pub fn look(root: &Path) -> Option<Self> {
        let text = |file: &Path| fs::read_to_string(root.join(file)).ok();
        let machine = text(Path::new("proc/meminfo"))
            .as_deref()
            .and_then(|text| meminfo(text, "MemTotal:"))
            .map(|bytes| Self {
                bytes,
                of: Holder::Machine,
            });
        let limits = group::numbers(root, LIMIT).map(|(_, bytes)| bytes);
        let group = limits.min().map(|bytes| Self {
            bytes,
            of: Holder::Group,
        });
        least(machine, group)
    }

    /// What is free now, or can be had at once: the least of what the machine has available and of what each group around still
    /// allows. The cache of files counts against a group until it is needed, so that a group has at least this.
    pub fn available(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join("proc/meminfo")).ok();
        let machine = text
            .as_deref()
            .and_then(|text| meminfo(text, "MemAvailable:"))
            .map(|bytes| Self {
                bytes,
                of: Holder::Machine,
            });
        let used: HashMap<PathBuf, u64> = group::numbers(root, USED)
            .filter_map(|(file, bytes)| Some((file.parent()?.to_owned(), bytes)))
            .collect();
        let left = group::numbers(root, LIMIT).map(|(file, limit)| {
            let used = file.parent().and_then(|group| used.get(group));
            limit.saturating_sub(used.copied().unwrap_or(0))
        });
        let group = left.min().map(|bytes| Self {
            bytes,
            of: Holder::Group,
        });
        least(machine, group)
    }
}

/// Of equals the machine's: a group without a limit says so with a number beyond any machine.
fn least(machine: Option<Memory>, group: Option<Memory>) -> Option<Memory> {
    machine
        .into_iter()
        .chain(group)
        .min_by_key(|memory| memory.bytes)
}

/// A line of `/proc/meminfo`, which counts in KiB whatever it says.
fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    kib.checked_mul(1024)
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
    fn what_is_available_is_the_least_that_is_left_of_any_limit() {
        let files = [
            ("proc/meminfo", "MemTotal: 4000 kB\nMemAvailable: 3000 kB\n"),
            ("proc/self/cgroup", "0::/a/b\n"),
            ("sys/fs/cgroup/a/b/memory.max", "2000000\n"),
            ("sys/fs/cgroup/a/b/memory.current", "100000\n"),
            ("sys/fs/cgroup/a/memory.max", "2500000\n"),
            ("sys/fs/cgroup/a/memory.current", "2400000\n"),
        ];
        let available = |files: &[_]| Memory::available(machine(files).path());
        let group = |bytes| {
            let of = Holder::Group;
            Some(Memory { bytes, of })
        };
        assert_eq!(available(&files), group(100_000));
        assert_eq!(available(&files[..4]), group(1_900_000));
        let of = Holder::Machine;
        let bytes = 3000 * 1024;
        assert_eq!(available(&files[..2]), Some(Memory { bytes, of }));
        assert_eq!(available(&[]), None);
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
