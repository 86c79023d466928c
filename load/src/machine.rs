//! What this machine is and what it allows, read from `/proc` once. What cannot be read is not known. Linux only.
use crate::record::{Limits, Machine};
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;
use std::fs;
use std::num::NonZeroUsize;

/// Bytes of a page as `tcp_mem` counts them.
const PAGE: u64 = 4096;

/// The machine.
pub fn machine() -> Machine {
    let name = uname();
    let (system, release) = (name.sysname(), name.release());
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    Machine {
        cores: cores as u64,
        cpu: read("/proc/cpuinfo").and_then(|text| cpu(&text)),
        memory_bytes: crate::measure::machine().ok().map(|(_, total, _)| total),
        kernel: format!("{} {}", system.to_string_lossy(), release.to_string_lossy()),
    }
}

/// What it allows now.
pub fn limits() -> Limits {
    let files = getrlimit(Resource::Nofile);
    Limits {
        files_soft: files.current,
        files_hard: files.maximum,
        somaxconn: read("/proc/sys/net/core/somaxconn")
            .and_then(|text| numbers(&text).map(|[n]| n)),
        tcp_mem_bytes: read("/proc/sys/net/ipv4/tcp_mem")
            .and_then(|text| numbers(&text))
            .map(|pages: [u64; 3]| pages.map(|pages| pages.saturating_mul(PAGE))),
        port_range: read("/proc/sys/net/ipv4/ip_local_port_range").and_then(|text| numbers(&text)),
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// The first processor's name; some architectures have none.
fn cpu(cpuinfo: &str) -> Option<String> {
    let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
    let (_, name) = fields.find(|(field, _)| field.trim() == "model name")?;
    let words: Vec<&str> = name.split_whitespace().collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// Exactly so many numbers.
fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let numbers: Result<Vec<u64>, _> = text.split_whitespace().map(str::parse).collect();
    numbers.ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_called_what_it_calls_itself() {
        let text = "processor\t: 0\nmodel\t\t: 106\nmodel name\t: Some  CPU @ 2.60GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(cpu(text).as_deref(), Some("Some CPU @ 2.60GHz"));
        assert_eq!(cpu("model name\t:\n"), None);
        assert_eq!(cpu("Features\t: fp asimd\n"), None);
    }

    #[test]
    fn a_setting_that_is_not_what_it_should_be_is_not_known() {
        assert_eq!(numbers("32768\t60999\n"), Some([32_768, 60_999]));
        assert_eq!(numbers::<2>("1 2 3"), None);
        assert_eq!(numbers::<1>("many"), None);
    }

    #[test]
    fn this_machine_has_cores_memory_and_limits() {
        let machine = machine();
        assert!(
            machine.cores > 0 && machine.memory_bytes > Some(0),
            "{machine:?}"
        );
        assert!(machine.kernel.starts_with("Linux "), "{machine:?}");
        let limits = limits();
        let (Some([first, last]), Some(tcp_mem)) = (limits.port_range, limits.tcp_mem_bytes) else {
            panic!("{limits:?}")
        };
        assert!(first <= last && tcp_mem.is_sorted(), "{limits:?}");
    }
}
