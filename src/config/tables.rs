//! The file's tables: limits, and retention by topic pattern.
//!
//! Owns their defaults and ranges. Must not contain: what is also a flag (`resolve`), or what subscriptions have by default
//! (`defaults`, which reads its tables with the functions here). Driven by `resolve`.
//!
//! Law: in a list of patterns the first that matches counts, so an entry behind `>` is refused: it could never act.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use pubsub_wire::Limits;
use pubsub_wire::limits::BoundLimits;
use pubsub_wire::topic::check_subscription;

use super::file::{File, Table};
use super::given::{ConfigError, Given, Origin};
use super::resolve::whole;
use super::resolved::{Log, Retain, WorkerLimits};
use super::spec::{self, Expected};
use super::units;

/// File descriptors a worker needs besides its connections: listener, epoll, hub link, timers, standard streams, and spare ones to
/// answer with before it closes.
pub(super) const FILES_RESERVED: u64 = 64;
/// What a log in memory keeps when nobody says.
const RETAIN_BYTES: u64 = 64 << 20;
/// What a log on disk keeps when nobody says.
const RETAIN_DISK_BYTES: u64 = 1 << 30;

type Origins = BTreeMap<String, Origin>;

/// Reads the values of one table.
struct Reader<'a> {
    name: &'static str,
    table: &'a Table,
    origins: &'a mut Origins,
}

impl Reader<'_> {
    fn read<T>(
        &mut self,
        key: &str,
        default: T,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Result<T, ConfigError> {
        let Some(given) = self.table.get(key) else {
            return Ok(default);
        };
        let name = format!("{}.{key}", self.name);
        let value = read(&given.text).map_err(|expected| given.wrong(&name, expected))?;
        self.origins.insert(name, given.origin.clone());
        Ok(value)
    }

    fn number(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        self.read(key, default, |text| whole(text, range.clone()))
    }

    fn bytes(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        self.read(key, default, |text| bytes_in(text, range.clone()))
    }

    fn millis(
        &mut self,
        key: &str,
        range: RangeInclusive<u64>,
        default: u64,
    ) -> Result<u64, ConfigError> {
        self.read(key, default, |text| millis_in(text, range.clone()))
    }
}

/// A size in a range.
pub(super) fn bytes_in(text: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    let (least, most) = (
        units::bytes_text(*range.start()),
        units::bytes_text(*range.end()),
    );
    units::bytes(text)
        .filter(|bytes| range.contains(bytes))
        .ok_or_else(|| format!("a size from {least} to {most}"))
}

/// Milliseconds in a range, as a number or with a unit.
pub(super) fn millis_in(text: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    let (least, most) = (range.start(), range.end());
    units::count(text)
        .or(units::millis(text))
        .filter(|millis| range.contains(millis))
        .ok_or_else(|| format!("milliseconds from {least} to {most}, or a time such as 10s"))
}

/// `[limits]` and `[limits.bound]`. Topics have no larger limits than the protocol's own.
pub(super) fn limits(file: &File, origins: &mut Origins) -> Result<Limits, ConfigError> {
    let usual = Limits::default();
    let mut own = Reader {
        name: "limits",
        table: &file.limits,
        origins,
    };
    let frame_bytes =
        own.bytes("frame_bytes", 1 << 10..=16 << 20, usual.frame_bytes as u64)? as usize;
    let topic_bytes = own.number(
        "topic_bytes",
        1..=usual.topic_bytes as u64,
        usual.topic_bytes as u64,
    )? as usize;
    let tokens = own.number("tokens", 1..=usual.tokens as u64, usual.tokens as u64)? as usize;
    let key_bytes = own.number("key_bytes", 1..=4096, usual.key_bytes as u64)? as usize;
    let id_bytes = own.number("id_bytes", 1..=1024, usual.id_bytes as u64)? as usize;
    let subscriptions =
        own.number("subscriptions", 1..=1_000_000, usual.subscriptions as u64)? as usize;
    let mut bound = Reader {
        name: "limits.bound",
        table: &file.bound,
        origins: own.origins,
    };
    let bound = BoundLimits {
        messages: bound.number("messages", 1..=100_000_000, usual.bound.messages)?,
        bytes: bound.bytes("bytes", 1 << 10..=1 << 40, usual.bound.bytes)?,
        age_ms: bound.millis("age_ms", 1..=86_400_000, usual.bound.age_ms)?,
    };
    Ok(Limits {
        frame_bytes,
        topic_bytes,
        tokens,
        key_bytes,
        id_bytes,
        subscriptions,
        bound,
    })
}

/// One of the node's own limits in `[limits]`.
pub(super) fn limit(
    file: &File,
    key: &str,
    range: RangeInclusive<u64>,
    default: u64,
    origins: &mut Origins,
) -> Result<u64, ConfigError> {
    Reader {
        name: "limits",
        table: &file.limits,
        origins,
    }
    .number(key, range, default)
}

/// `[worker]`; `files` is what one process may have open.
pub(super) fn worker(
    file: &File,
    files: u64,
    origins: &mut Origins,
) -> Result<WorkerLimits, ConfigError> {
    let million = 1_000_000;
    let all_files = files.saturating_sub(FILES_RESERVED).clamp(1, million);
    let usual = WorkerLimits::default();
    let (header, control, ring) = (
        usual.header_bytes as u64,
        usual.control_bytes as u64,
        usual.ring_bytes as u64,
    );
    let mut own = Reader {
        name: "worker",
        table: &file.worker,
        origins,
    };
    Ok(WorkerLimits {
        connections: own.number("connections", 1..=million, all_files)? as u32,
        node_connections: own.number(
            "node_connections",
            1..=1_000_000_000,
            usual.node_connections.into(),
        )? as u32,
        per_address: own.number("per_address", 1..=million, usual.per_address.into())? as u32,
        handshakes: own.number("handshakes", 1..=100_000, usual.handshakes.into())? as u32,
        handshake_ms: own.millis("handshake_ms", 100..=600_000, usual.handshake_ms)?,
        header_bytes: own.bytes("header_bytes", 1 << 10..=1 << 20, header)? as usize,
        commands_per_s: own.number("commands_per_s", 1..=million, usual.commands_per_s.into())?
            as u32,
        commands_burst: own.number("commands_burst", 1..=million, usual.commands_burst.into())?
            as u32,
        publishes_per_s: own.number(
            "publishes_per_s",
            1..=10 * million,
            usual.publishes_per_s.into(),
        )? as u32,
        publish_bytes_per_s: own.bytes(
            "publish_bytes_per_s",
            1 << 10..=1 << 31,
            usual.publish_bytes_per_s.into(),
        )? as u32,
        pending_publishes: own.number(
            "pending_publishes",
            1..=million,
            usual.pending_publishes as u64,
        )? as usize,
        calls_per_session: own.number(
            "calls_per_session",
            1..=100_000,
            usual.calls_per_session.into(),
        )? as u32,
        calls: own.number("calls", 1..=million, usual.calls as u64)? as usize,
        control_bytes: own.bytes("control_bytes", 4 << 10..=16 << 20, control)? as usize,
        ring_bytes: own.bytes("ring_bytes", 1 << 20..=1 << 40, ring)? as usize,
        read_bytes: own.bytes("read_bytes", 4 << 10..=64 << 20, usual.read_bytes.into())? as u32,
        send_buffer_bytes: own.bytes(
            "send_buffer_bytes",
            0..=1 << 30,
            usual.send_buffer_bytes as u64,
        )? as usize,
        notsent_lowat_bytes: own.bytes(
            "notsent_lowat_bytes",
            0..=1 << 30,
            usual.notsent_lowat_bytes.into(),
        )? as u32,
        cohorts: own.number("cohorts", 1..=million, usual.cohorts as u64)? as usize,
        mode_hold_ms: own.millis("mode_hold_ms", 0..=600_000, usual.mode_hold_ms)?,
    })
}

/// `[[retain]]`, the first match wins, `>` last; `all` is what a flag, the environment or the file's one value says for `>`.
pub(super) fn retain(
    all: Option<Retain>,
    file: &File,
    log: &Log,
    origins: &mut Origins,
) -> Result<Vec<Retain>, ConfigError> {
    let mut list = Vec::new();
    let mut by_file = None;
    for (i, (origin, table)) in file.retain.iter().enumerate() {
        let name = format!("retain.{}", i + 1);
        let pattern = pattern(&name, table, origin, by_file.is_some())?;
        let size = required(&name, "size", table, origin)?;
        let read = Retain {
            bytes: spec::retain_bytes(&size.text)
                .map_err(|expected| size.wrong(&format!("{name}.size"), expected))?,
            age_ms: optional(&name, "age", table, spec::retain_age)?,
            count: optional(&name, "count", table, spec::retain_count)?,
            pattern,
        };
        origins.insert(format!("retain {}", read.pattern), origin.clone());
        if read.pattern == ">" {
            by_file = Some(read);
        } else {
            list.push(read);
        }
    }
    let built_in = || Retain {
        pattern: ">".to_owned(),
        bytes: match log {
            Log::Memory => RETAIN_BYTES,
            Log::Disk { .. } => RETAIN_DISK_BYTES,
        },
        age_ms: None,
        count: None,
    };
    list.push(all.or(by_file).unwrap_or_else(built_in));
    Ok(list)
}

/// The value of a key, if it is there.
pub(super) fn optional<T>(
    name: &str,
    key: &str,
    table: &Table,
    read: impl Fn(&str) -> Result<T, Expected>,
) -> Result<Option<T>, ConfigError> {
    let Some(given) = table.get(key) else {
        return Ok(None);
    };
    read(&given.text)
        .map(Some)
        .map_err(|expected| given.wrong(&format!("{name}.{key}"), expected))
}

/// A key that must be there.
pub(super) fn required<'a>(
    name: &str,
    key: &str,
    table: &'a Table,
    origin: &Origin,
) -> Result<&'a Given, ConfigError> {
    let missing = || {
        Given {
            text: String::new(),
            origin: origin.clone(),
        }
        .wrong(&format!("{name}.{key}"), "it to be there")
    };
    table.get(key).ok_or_else(missing)
}

/// The pattern of an entry; refused when it stands behind `>`.
pub(super) fn pattern(
    name: &str,
    table: &Table,
    origin: &Origin,
    behind_all: bool,
) -> Result<String, ConfigError> {
    let given = required(name, "pattern", table, origin)?;
    let field = format!("{name}.pattern");
    check_subscription(&given.text, &Limits::default()).map_err(|error| {
        given.wrong(
            &field,
            format!("a topic or pattern such as quotes.>: {error}"),
        )
    })?;
    if behind_all {
        return Err(given.wrong(
            &field,
            "it before the pattern \">\": the first match counts, so it would never act",
        ));
    }
    Ok(given.text.clone())
}
