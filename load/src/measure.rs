//! What processes cost: CPU, memory, wake-ups, read from `/proc`.
//!
//! A server is a tree of processes, and what one of them saves another may pay: everything here is of the whole tree. Memory is
//! PSS, since pages that several processes share are there once. CPU is the scheduler's own count in nanoseconds where the
//! kernel shows it. Linux only; a process that ends while it is looked at is left out.
use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Ticks per second of the times in `/proc/PID/stat`: part of Linux's interface, whatever the kernel's own clock.
const TICKS_PER_S: u64 = 100;

/// Bytes of a page as `/proc/net/sockstat` counts them.
const PAGE: u64 = 4096;

/// One process at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// What it was started as: the arguments after its name that are no options.
    pub role: String,
    /// CPU time of all its living threads, nanoseconds.
    pub cpu_ns: u64,
    /// Time that they were ready to run and had no core, nanoseconds: others had it.
    pub starved_ns: u64,
    /// Its share of the memory it has mapped, bytes; of another user's process its anonymous memory.
    pub pss_bytes: u64,
    /// How often its threads have waited for something.
    pub waits: u64,
}

/// A tree of processes at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sample {
    /// The root first, then by id.
    pub processes: Vec<Process>,
}

impl Sample {
    /// CPU time of all, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.processes.iter().map(|process| process.cpu_ns).sum()
    }

    /// Memory of all, bytes.
    pub fn pss_bytes(&self) -> u64 {
        self.processes.iter().map(|process| process.pss_bytes).sum()
    }

    /// Time without a core though ready since an earlier sample, nanoseconds.
    pub fn starved_ns_since(&self, earlier: &Self) -> u64 {
        let before = |pid| {
            earlier
                .processes
                .iter()
                .find(|process| process.pid == pid)
                .map_or(0, |process| process.starved_ns)
        };
        self.processes
            .iter()
            .map(|process| process.starved_ns.saturating_sub(before(process.pid)))
            .sum()
    }

    /// CPU time spent since an earlier sample, nanoseconds. A process that is new counts from its beginning, one that has ended
    /// is not seen.
    pub fn cpu_ns_since(&self, earlier: &Self) -> u64 {
        self.processes
            .iter()
            .map(|process| {
                process
                    .cpu_ns
                    .saturating_sub(earlier.cpu_ns_of(process.pid))
            })
            .sum()
    }

    /// CPU time of one of them, nanoseconds; 0 where it is not among them.
    pub fn cpu_ns_of(&self, pid: u32) -> u64 {
        self.processes
            .iter()
            .find(|process| process.pid == pid)
            .map_or(0, |process| process.cpu_ns)
    }
}

/// Samples a process and all its descendants.
pub fn tree(root: u32) -> io::Result<Sample> {
    let mut pids = descendants(root, &parents()?);
    pids.sort_unstable();
    let processes = std::iter::once(root)
        .chain(pids)
        .filter_map(|pid| process(pid).ok())
        .collect();
    Ok(Sample { processes })
}

/// CPU time only, of a process and all its descendants, nanoseconds: cheap enough to be asked often.
pub fn tree_cpu_ns(root: u32) -> io::Result<u64> {
    let pids = descendants(root, &parents()?);
    Ok(std::iter::once(root)
        .chain(pids)
        .filter_map(|pid| cpu_ns(pid).ok())
        .sum())
}

/// Time that the calling thread was ready to run and had no core, nanoseconds.
pub fn own_thread_starved_ns() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(text
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0))
}

/// Samples one process.
pub fn process(pid: u32) -> io::Result<Process> {
    let pss_bytes = pss_bytes(pid)?;
    let cmdline = fs::read(proc(pid).join("cmdline"))?;
    let (cpu_ns, starved_ns) = ran_and_starved(pid)?;
    Ok(Process {
        pid,
        role: role(&cmdline),
        cpu_ns,
        starved_ns,
        pss_bytes,
        waits: waits(pid)?,
    })
}

/// Its share of memory; of another user's process, which does not show it, the memory that is certainly its own.
fn pss_bytes(pid: u32) -> io::Result<u64> {
    let (text, name) = match fs::read_to_string(proc(pid).join("smaps_rollup")) {
        Ok(rollup) => (rollup, "Pss:"),
        Err(_) => (fs::read_to_string(proc(pid).join("status"))?, "RssAnon:"),
    };
    Ok(field(&text, name).unwrap_or(0) * 1024)
}

/// The process that listens on this address, and of several the one the others descend from.
pub fn listener(addr: SocketAddr) -> Option<u32> {
    let inode = listening_inode(addr)?;
    let link = PathBuf::from(format!("socket:[{inode}]"));
    let holders: Vec<u32> = all_pids().ok()?.filter(|pid| holds(*pid, &link)).collect();
    let parents = parents().ok()?;
    let is_child = |pid: &u32| {
        parents
            .get(pid)
            .is_some_and(|parent| holders.contains(parent))
    };
    holders.iter().copied().find(|pid| !is_child(pid))
}

/// Addresses over IPv4 that a process and its descendants listen on.
pub fn listening(root: u32) -> io::Result<Vec<SocketAddr>> {
    let table = fs::read_to_string("/proc/net/tcp")?;
    let mut pids = descendants(root, &parents()?);
    pids.push(root);
    let held: Vec<PathBuf> = pids.into_iter().flat_map(files).collect();
    let is_held = |inode: &u64| held.contains(&PathBuf::from(format!("socket:[{inode}]")));
    Ok(listeners(&table)
        .filter(|(_, inode)| is_held(inode))
        .map(|(addr, _)| addr)
        .collect())
}

/// Kernel memory of all TCP sockets of this machine, bytes; none of it is in anybody's PSS.
pub fn tcp_memory_bytes() -> io::Result<u64> {
    Ok(tcp_pages(&fs::read_to_string("/proc/net/sockstat")?).unwrap_or(0) * PAGE)
}

/// Load of the machine, memory in all and memory in use: minutes' average, bytes, bytes.
pub fn machine() -> io::Result<(f64, u64, u64)> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load
        .split(' ')
        .next()
        .and_then(|first| first.parse().ok())
        .unwrap_or(0.0);
    let memory = fs::read_to_string("/proc/meminfo")?;
    let total = field(&memory, "MemTotal:").unwrap_or(0) * 1024;
    let free = field(&memory, "MemAvailable:").unwrap_or(0) * 1024;
    Ok((load, total, total.saturating_sub(free)))
}

fn proc(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

fn all_pids() -> io::Result<impl Iterator<Item = u32>> {
    let entries = fs::read_dir("/proc")?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

fn parents() -> io::Result<HashMap<u32, u32>> {
    let parent = |pid| parent(&fs::read_to_string(proc(pid).join("stat")).ok()?);
    Ok(all_pids()?
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect())
}

fn descendants(root: u32, parents: &HashMap<u32, u32>) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(
            parents
                .iter()
                .filter(|(pid, of)| **of == parent && **pid != root)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.split_off(1)
}

fn cpu_ns(pid: u32) -> io::Result<u64> {
    ran_and_starved(pid).map(|(ran, _)| ran)
}

/// `/proc/PID/task/TID/schedstat`: nanoseconds on a core, nanoseconds ready without one. Without it, the coarser ticks.
fn ran_and_starved(pid: u32) -> io::Result<(u64, u64)> {
    let (mut ran, mut starved) = (0, 0);
    for thread in threads(pid)? {
        let Ok(text) = fs::read_to_string(thread.join("schedstat")) else {
            let ticks = ticks(&fs::read_to_string(proc(pid).join("stat"))?).unwrap_or(0);
            return Ok((ticks * (1_000_000_000 / TICKS_PER_S), 0));
        };
        let mut numbers = text
            .split_whitespace()
            .map(|word| word.parse().unwrap_or(0));
        ran += numbers.next().unwrap_or(0);
        starved += numbers.next().unwrap_or(0);
    }
    Ok((ran, starved))
}

fn waits(pid: u32) -> io::Result<u64> {
    let of = |thread: PathBuf| {
        field(
            &fs::read_to_string(thread.join("status")).ok()?,
            "voluntary_ctxt_switches:",
        )
    };
    Ok(threads(pid)?.into_iter().filter_map(of).sum())
}

fn threads(pid: u32) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(proc(pid).join("task"))?
        .map(|entry| Ok(entry?.path()))
        .collect()
}

fn holds(pid: u32, link: &Path) -> bool {
    files(pid).any(|to| to == link)
}

/// What the open files of a process are.
fn files(pid: u32) -> impl Iterator<Item = PathBuf> {
    let files = fs::read_dir(proc(pid).join("fd")).into_iter().flatten();
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok())
}

fn listening_inode(addr: SocketAddr) -> Option<u64> {
    let inode = |table: &str| inode(&fs::read_to_string(table).ok()?, addr.port());
    inode("/proc/net/tcp").or_else(|| inode("/proc/net/tcp6"))
}

/// `/proc/net/tcp`: local address in the second column, state in the fourth (0A: listening), inode in the tenth.
fn inode(table: &str, port: u16) -> Option<u64> {
    let port = format!(":{port:04X}");
    table.lines().skip(1).find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let listens = columns.get(1)?.ends_with(&port) && *columns.get(3)? == "0A";
        listens.then(|| columns.get(9)?.parse().ok()).flatten()
    })
}

/// Listening sockets of the table of IPv4: where they are to be reached from this machine, and their inodes.
fn listeners(table: &str) -> impl Iterator<Item = (SocketAddr, u64)> {
    table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = columns.get(1)?.split_once(':')?;
        // The address is in the machine's own order of bytes.
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let address = if address.is_unspecified() {
            Ipv4Addr::LOCALHOST
        } else {
            address
        };
        let port = u16::from_str_radix(port, 16).ok()?;
        let inode = columns.get(9)?.parse().ok()?;
        let addr = SocketAddr::new(IpAddr::V4(address), port);
        (*columns.get(3)? == "0A").then_some((addr, inode))
    })
}

/// `/proc/PID/stat` after the name, which may hold anything but ends at the last parenthesis.
fn stat_fields(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
}

fn parent(stat: &str) -> Option<u32> {
    stat_fields(stat).nth(1)?.parse().ok()
}

fn ticks(stat: &str) -> Option<u64> {
    let (user, system) = (stat_fields(stat).nth(11)?, stat_fields(stat).nth(12)?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

fn first_number(text: &str) -> Option<u64> {
    text.split_whitespace().next()?.parse().ok()
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| first_number(line.strip_prefix(name)?))
}

fn tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

fn role(cmdline: &[u8]) -> String {
    let mut words = cmdline
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy);
    let name = words.next().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default().to_owned();
    let plain: Vec<_> = words
        .take_while(|word| !word.starts_with('-'))
        .filter(|word| !word.is_empty())
        .collect();
    if plain.is_empty() {
        name
    } else {
        plain.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_hides_nothing() {
        let stat = "77 (a) b (c)) S 12 77 77 0 -1 4194560 9 8 7 6 250 50 1 2 20 0 1 0 99 1 2";
        assert_eq!((parent(stat), ticks(stat)), (Some(12), Some(300)));
    }

    #[test]
    fn socket_memory_is_counted_in_pages() {
        let text =
            "sockets: used 15\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 143\nUDP: inuse 0 mem 7\n";
        assert_eq!(tcp_pages(text), Some(143));
    }

    #[test]
    fn only_a_listening_socket_is_a_listener() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            0: 0100007F:1FBC 0100007F:8000 01 00000000:00000000 00:00000000 00000000 0 0 111 1\n\
            1: 0100007F:1FBC 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 222 1\n";
        assert_eq!((inode(table, 8124), inode(table, 8125)), (Some(222), None));
        let listeners: Vec<_> = listeners(table).collect();
        assert_eq!(listeners, [("127.0.0.1:8124".parse().unwrap(), 222)]);
    }

    #[test]
    fn descendants_are_found_over_generations() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (9, 8)]);
        let mut found = descendants(2, &parents);
        found.sort_unstable();
        assert_eq!(found, [3, 4]);
    }

    #[test]
    fn a_role_is_what_comes_before_the_options() {
        assert_eq!(
            role(b"/usr/bin/pubsub-server\0role\0worker\0--slot\x003\0"),
            "role worker"
        );
        assert_eq!(
            role(b"/usr/bin/pubsub-server\0--workers\x002\0"),
            "pubsub-server"
        );
    }

    #[test]
    fn this_process_has_cpu_time_memory_and_its_own_listeners() {
        let me = std::process::id();
        let sample = tree(me).unwrap();
        assert!(sample.cpu_ns() > 0 && sample.pss_bytes() > 0);
        assert_eq!(sample.processes[0].pid, me);
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(listener(socket.local_addr().unwrap()), Some(me));
    }

    #[test]
    fn a_new_process_counts_from_its_beginning() {
        let process = |pid, cpu_ns| Process {
            pid,
            role: String::new(),
            cpu_ns,
            starved_ns: 0,
            pss_bytes: 0,
            waits: 0,
        };
        let earlier = Sample {
            processes: vec![process(1, 100), process(2, 50)],
        };
        let later = Sample {
            processes: vec![process(1, 130), process(3, 7)],
        };
        assert_eq!(later.cpu_ns_since(&earlier), 37);
    }
}
