//! What the kernel says of one process.
//!
//! Owns reading `/proc/PID`. Must not contain: which processes a node has, or how it is shown. Driven by `status` and the metrics
//! page, on request.

use std::fs;
use std::path::PathBuf;

use rustix::param::{clock_ticks_per_second, page_size};

/// The numbers that Prometheus' clients call `process_*`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Process {
    /// Time on a CPU, user and system, seconds.
    pub cpu_seconds: f64,
    /// Resident memory, shared pages counted whole.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Threads.
    pub threads: u64,
    /// Open files; `None` when the kernel doesn't tell.
    pub open_files: Option<u64>,
    /// Files it may open; `None` when unlimited or not told.
    pub max_files: Option<u64>,
    /// When it began, seconds since the Unix epoch.
    pub start_seconds: f64,
}

impl Process {
    /// Reads a process' numbers; `None` when it is gone. Number 0 stands for no process.
    pub fn read(pid: u32) -> Option<Self> {
        if pid == 0 {
            return None;
        }
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let stat = Stat::parse(&fs::read_to_string(folder.join("stat")).ok()?)?;
        let ticks = clock_ticks_per_second() as f64;
        Some(Self {
            cpu_seconds: stat.cpu_ticks as f64 / ticks,
            resident_bytes: stat.resident_pages * page_size() as u64,
            virtual_bytes: stat.virtual_bytes,
            threads: stat.threads,
            open_files: open_files(&folder),
            max_files: fs::read_to_string(folder.join("limits"))
                .ok()
                .as_deref()
                .and_then(max_files),
            start_seconds: boot_seconds()? + stat.start_ticks as f64 / ticks,
        })
    }
}

/// Open files. Newer kernels say how many as the size of the folder; older ones must be counted.
fn open_files(folder: &std::path::Path) -> Option<u64> {
    let fd = folder.join("fd");
    match fs::metadata(&fd).ok()?.len() {
        0 => Some(fs::read_dir(&fd).ok()?.count() as u64),
        open => Some(open),
    }
}

fn max_files(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the machine began, seconds since the Unix epoch.
fn boot_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines()
        .find_map(|line| line.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

/// The fields of `/proc/PID/stat` that are wanted; proc(5) numbers them from 1.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may itself hold spaces and parentheses.
        let (_, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_confuses_nobody() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194560 9 0 0 0 30 12 0 0 20 0 3 0 555 1000000 77 18446744073709551615 1 1 0";
        let stat = Stat {
            cpu_ticks: 42,
            threads: 3,
            start_ticks: 555,
            virtual_bytes: 1_000_000,
            resident_pages: 77,
        };
        assert_eq!(Stat::parse(text), Some(stat));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_is_there_and_process_zero_is_not() {
        let me = Process::read(std::process::id()).unwrap();
        assert!(
            me.resident_bytes > 1 << 20 && me.virtual_bytes >= me.resident_bytes && me.threads >= 1
        );
        assert!(me.open_files.is_some_and(|open| open >= 3));
        assert!(me.start_seconds > 1e9);
        assert_eq!(Process::read(0), None);
    }

    #[test]
    fn the_limit_of_files_is_found() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 20000                files\n";
        assert_eq!(max_files(limits), Some(1024));
        assert_eq!(
            max_files("Max open files            unlimited            unlimited            files"),
            None
        );
    }
}
