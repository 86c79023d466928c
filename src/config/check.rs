//! Rules between settings.
//!
//! Owns what no single value can break. Must not contain: the range of one value (`resolve`, `tables`), or I/O. Driven by
//! `resolve`, last.

use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;

use pubsub_sysctl::memory::{Holder, Memory};

use super::given::{ConfigError, Given, Origin};
use super::resolve::Resolved;
use super::resolved::Log;
use super::surroundings::Surroundings;
use super::tables::FILES_RESERVED;
use super::units;

/// Longest path of a Unix socket (`sun_path` without its zero).
const SOCKET_PATH_BYTES: usize = 107;
/// The longest name in a run dir.
const SOCKET_NAME: &str = "/ctl.sock";

/// Sums of memory are shown in it.
const MIB: u64 = 1 << 20;

/// Refuses what does not fit together.
pub(super) fn check(resolved: &Resolved, here: &Surroundings) -> Result<(), ConfigError> {
    addresses(resolved)?;
    run_dir(resolved)?;
    files(resolved, here)?;
    frames(resolved)?;
    memory(resolved, here.memory)
}

fn addresses(resolved: &Resolved) -> Result<(), ConfigError> {
    let (listen, admin) = (resolved.config.listen, resolved.config.admin);
    let same = |admin: SocketAddr| {
        let overlap = admin.ip() == listen.ip()
            || admin.ip().is_unspecified()
            || listen.ip().is_unspecified();
        admin.port() == listen.port() && admin.port() != 0 && overlap
    };
    match admin.filter(|admin| same(*admin)) {
        Some(admin) => Err(wrong(
            resolved,
            "admin",
            &admin,
            format!("another port than listen's {listen}"),
        )),
        None => Ok(()),
    }
}

fn run_dir(resolved: &Resolved) -> Result<(), ConfigError> {
    let path = &resolved.config.run_dir;
    let most = SOCKET_PATH_BYTES - SOCKET_NAME.len();
    if path.as_os_str().as_bytes().len() > most {
        let expected = format!("a path of at most {most} bytes, since sockets are made in it");
        return Err(wrong(resolved, "run-dir", &path.display(), expected));
    }
    Ok(())
}

fn files(resolved: &Resolved, here: &Surroundings) -> Result<(), ConfigError> {
    let connections = resolved.config.worker.connections;
    if u64::from(connections) + FILES_RESERVED > here.files.max(FILES_RESERVED + 1) {
        let expected = format!(
            "at most {}: a process may open {} files here (ulimit -Hn, LimitNOFILE=)",
            here.files.saturating_sub(FILES_RESERVED),
            here.files
        );
        return Err(wrong(
            resolved,
            "worker.connections",
            &connections,
            expected,
        ));
    }
    Ok(())
}

fn frames(resolved: &Resolved) -> Result<(), ConfigError> {
    let config = &resolved.config;
    let frame = config.limits.frame_bytes;
    if (config.worker.publish_bytes_per_s as usize) < frame {
        let expected = format!(
            "at least limits.frame_bytes, which is {frame}: no such publication would ever pass"
        );
        return Err(wrong(
            resolved,
            "worker.publish_bytes_per_s",
            &config.worker.publish_bytes_per_s,
            expected,
        ));
    }
    if config.worker.ring_bytes < frame {
        let expected = format!("at least limits.frame_bytes, which is {frame}");
        return Err(wrong(
            resolved,
            "worker.ring_bytes",
            &config.worker.ring_bytes,
            expected,
        ));
    }
    Ok(())
}

/// The log and the workers' budgets must fit, since both will be used up in time.
fn memory(resolved: &Resolved, memory: Option<Memory>) -> Result<(), ConfigError> {
    let Some(Memory { bytes: have, of }) = memory else {
        return Ok(());
    };
    let config = &resolved.config;
    let log = match config.log {
        Log::Memory => config
            .retain
            .iter()
            .fold(0_u64, |sum, retain| sum.saturating_add(retain.bytes)),
        // What is not on the disk alone is little.
        Log::Disk { .. } => 0,
    };
    let ring = config.worker.ring_bytes as u64;
    let rings = ring.saturating_mul(config.workers.into());
    let need = log.saturating_add(rings);
    if need <= have {
        return Ok(());
    }
    let lower = match (log > have, rings > have) {
        (true, false) => "retain",
        (false, true) => "worker.ring_bytes or workers",
        (true, true) => "retain, and worker.ring_bytes or workers",
        (false, false) => "worker.ring_bytes, workers or retain",
    };
    let there = match of {
        Holder::Machine => "the machine has",
        Holder::Group => "its control group allows",
    };
    let named = |field: &str| match resolved.origin(field) {
        Origin::Default => field.to_owned(),
        origin => format!("{field}, from {origin}"),
    };
    // What is needed is rounded up and what is there down, so that the one is never shown as the other.
    Err(ConfigError::Machine(format!(
        "the node needs {}MiB of memory: {} for the log ({}), and {} ({}) for each of {} workers ({}); {there} {}MiB: lower {lower}",
        need.div_ceil(MIB),
        units::bytes_text(log),
        named("retain"),
        units::bytes_text(ring),
        named("worker.ring_bytes"),
        config.workers,
        named("workers"),
        have / MIB,
    )))
}

fn wrong(resolved: &Resolved, field: &str, value: &dyn ToString, expected: String) -> ConfigError {
    Given {
        text: value.to_string(),
        origin: resolved.origin(field),
    }
    .wrong(field, expected)
}
