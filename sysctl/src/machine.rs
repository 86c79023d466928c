//! What a machine has.
//!
//! Owns reading it from files under a root, `/` or a copy. Must not contain: how much is needed (`need`). Driven by both programs,
//! once.
//!
//! Law: what cannot be read is `None`, never a number made up.

use crate::group::{self, Named};
use crate::memory::Memory;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The settings that connections depend on.
const SETTINGS: [&str; 13] = [
    "fs.file-max",
    "fs.file-nr",
    "fs.nr_open",
    "net.core.netdev_max_backlog",
    "net.core.somaxconn",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_max",
];

/// How many processes a group may have.
const PIDS_LIMIT: Named = Named {
    unified: "pids.max",
    controller: "pids",
    own: "pids.max",
};

/// How many it has.
const PIDS_USED: Named = Named {
    unified: "pids.current",
    controller: "pids",
    own: "pids.current",
};

/// A limit of this process, which its children inherit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// As it is.
    pub soft: u64,
    /// To which the process may raise it.
    pub hard: u64,
}

/// What a machine has.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// Open files of a process.
    pub files: Option<Limit>,
    /// Processes that may be started yet.
    pub processes: Option<u64>,
    /// Memory that can be had now.
    pub memory: Option<Memory>,
    settings: BTreeMap<&'static str, Vec<u64>>,
}

impl Machine {
    /// Looks at the machine whose files are under `root`.
    pub fn look(root: &Path) -> Self {
        let text = |file: &str| fs::read_to_string(root.join(file)).ok();
        let setting = |name: &'static str| {
            let text = text(&format!("proc/sys/{}", name.replace('.', "/")))?;
            let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
            Some((name, numbers.ok()?))
        };
        Self {
            files: text("proc/self/limits").as_deref().and_then(open_files),
            processes: processes(root),
            memory: Memory::available(root),
            settings: SETTINGS.into_iter().filter_map(setting).collect(),
        }
    }

    /// A number of a setting; some have several.
    pub fn setting(&self, name: &str, at: usize) -> Option<u64> {
        self.settings.get(name)?.get(at).copied()
    }
}

/// A line such as `Max open files            1024                 20000                files`.
fn open_files(limits: &str) -> Option<Limit> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers = line.split_whitespace().map(|number| match number {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    });
    Some(Limit {
        soft: numbers.next()??,
        hard: numbers.next()??,
    })
}

/// The least that any group around still allows; `u64::MAX` where there are groups and none limits.
fn processes(root: &Path) -> Option<u64> {
    let used: BTreeMap<_, _> = group::numbers(root, PIDS_USED)
        .filter_map(|(file, number)| Some((file.parent()?.to_owned(), number)))
        .collect();
    let left = group::numbers(root, PIDS_LIMIT).map(|(file, limit)| {
        let used = file.parent().and_then(|group| used.get(group));
        limit.saturating_sub(used.copied().unwrap_or(0))
    });
    let seen = root.join("proc/self/cgroup").exists();
    left.min().or_else(|| seen.then_some(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(files: &[(&str, &str)]) -> Machine {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Machine::look(root.path())
    }

    #[test]
    fn everything_is_read_from_under_the_root() {
        let machine = look(&[
            (
                "proc/self/limits",
                "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 unlimited            files\n",
            ),
            ("proc/sys/net/core/somaxconn", "4096\n"),
            ("proc/sys/net/ipv4/tcp_mem", "287898\t383866\t575796\n"),
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/pids.max", "100\n"),
            ("sys/fs/cgroup/a/pids.current", "30\n"),
        ]);
        let (soft, hard) = (1024, u64::MAX);
        assert_eq!(machine.files, Some(Limit { soft, hard }));
        assert_eq!(machine.processes, Some(70));
        assert_eq!(machine.setting("net.core.somaxconn", 0), Some(4096));
        assert_eq!(machine.setting("net.ipv4.tcp_mem", 2), Some(575_796));
        assert_eq!(machine.setting("net.ipv4.tcp_mem", 3), None);
    }

    #[test]
    fn what_is_not_there_or_no_number_is_unknown() {
        let nothing = look(&[]);
        assert_eq!((nothing.files, nothing.processes), (None, None));
        let strange = look(&[
            ("proc/self/limits", "Max open files many more\n"),
            ("proc/sys/net/core/somaxconn", "some\n"),
            ("proc/self/cgroup", "0::/a\n"),
            ("sys/fs/cgroup/a/pids.max", "max\n"),
        ]);
        assert_eq!((strange.files, strange.processes), (None, Some(u64::MAX)));
        assert_eq!(strange.setting("net.core.somaxconn", 0), None);
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let machine = Machine::look(Path::new("/"));
        assert!(machine.files.is_some_and(|files| files.hard >= 64));
        assert!(machine.setting("net.core.somaxconn", 0).is_some());
        assert!(machine.memory.is_some());
    }
}
