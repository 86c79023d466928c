//! From what was typed to what is meant: flags over environment over file over defaults.
//!
//! Owns the order of sources and the defaults. Must not contain: any look at the machine (it comes as an argument), or rules
//! between settings (`check`). Driven by `load`.
//!
//! Laws: pure; the same inputs always give the same configuration or the same error; the value that counts is the one that is
//! read, so that an error names its origin.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use pubsub_sysctl::{Ends, Plan};

use super::file::File;
use super::given::{ConfigError, Given, Origin};
use super::resolved::{Config, PublishFrom, Source};
use super::setting::Typed;
use super::spec::{self, Expected};
use super::surroundings::Surroundings;
use super::{check, defaults, tables, units};

/// `--listen` when nobody says.
const LISTEN_PORT: u16 = 8124;
/// `--admin` when nobody says.
const ADMIN_PORT: u16 = 8125;
/// The scoreboard has as many slots.
const WORKERS: RangeInclusive<u64> = 1..=1024;
/// Longer pauses than an hour are no stream.
const INTERVAL_MS_MAX: u64 = 3_600_000;
/// So that a payload stays below a frame.
const ROWS: RangeInclusive<u64> = 1..=1000;
/// Shorter would be traffic for its own sake, longer would find nobody.
const PATIENCE_MS: RangeInclusive<u64> = 100..=3_600_000;
/// A stop that takes longer than an hour is none.
const DRAIN_MS: RangeInclusive<u64> = 0..=3_600_000;

/// The configuration as meant, and where each of it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// What the roles are handed, once the addresses are bound.
    pub config: Config,
    /// How the run dir was chosen.
    pub run_dir: RunDir,
    /// Origin of each setting that somebody gave; in the tables `limits.frame_bytes` and the like.
    pub origins: BTreeMap<String, Origin>,
}

/// How the run dir was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunDir {
    /// By the user.
    Given,
    /// By the port, which may be chosen only when it is bound.
    ByPort {
        /// The folder that all run dirs are in.
        base: PathBuf,
    },
}

impl RunDir {
    /// The run dir of the node on this port; `given` where the user chose.
    pub fn of_port(&self, given: &std::path::Path, port: u16) -> PathBuf {
        match self {
            Self::Given => given.to_owned(),
            Self::ByPort { base } => base.join(format!("pubsub-{port}")),
        }
    }
}

impl Resolved {
    /// Where a setting came from.
    pub fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    /// What a machine must carry so that this node has so many connections.
    pub fn plan(&self, connections: u64, ends: Ends) -> Plan {
        let worker = &self.config.worker;
        let workers = u64::from(self.config.workers);
        let retained = self.config.retain.iter().map(|retain| retain.bytes);
        let rings = workers.saturating_mul(worker.ring_bytes as u64);
        // Where nobody set it, it comes from the limit of open files, which is looked at by itself.
        let by_workers = match self.origin("worker.connections") {
            Origin::Default => u64::MAX,
            _ => workers * u64::from(worker.connections),
        };
        Plan {
            connections,
            ends,
            workers,
            budgets: retained.fold(rings, u64::saturating_add),
            allowed: Some(by_workers.min(worker.node_connections.into())),
        }
    }
}

/// Resolves and checks.
pub fn resolve(
    flags: &Typed,
    env: &Typed,
    file: &File,
    here: &Surroundings,
) -> Result<Resolved, ConfigError> {
    let mut pick = Picker {
        sources: [flags, env, &file.settings],
        origins: BTreeMap::new(),
    };
    pick.refuse_what_is_missing()?;
    let listen = pick
        .one("listen", spec::address)?
        .unwrap_or_else(|| (Ipv4Addr::LOCALHOST, LISTEN_PORT).into());
    let admin = pick.one("admin", spec::address_or_none)?;
    let admin = admin.unwrap_or_else(|| Some((Ipv4Addr::LOCALHOST, ADMIN_PORT).into()));
    let by_listen = if listen.ip().is_loopback() {
        PublishFrom::Loopback
    } else {
        PublishFrom::Nobody
    };
    let given_dir = pick.one("run-dir", |text| match text {
        "" => Err("a folder".to_owned()),
        _ => Ok(here.directory.join(text)),
    })?;
    let run_dir = match &given_dir {
        Some(_) => RunDir::Given,
        None => RunDir::ByPort {
            base: here.run_base.clone(),
        },
    };
    let workers = pick
        .one("workers", |text| whole(text, WORKERS))?
        .unwrap_or(u64::from(here.cores));
    let log = pick
        .one("log", |text| spec::log(text, &here.directory))?
        .unwrap_or(super::Log::Memory);
    let limits = tables::limits(file, &mut pick.origins)?;
    let most = defaults::most(file, limits.bound, &mut pick.origins)?;
    let defaults = defaults::defaults(file, limits.bound, &most, &mut pick.origins)?;
    let config = Config {
        workers: workers.min(*WORKERS.end()) as u32,
        listen,
        admin,
        sources: pick.sources(here)?,
        interval_ms: pick.one("interval-ms", interval)?.unwrap_or((10, 100)),
        rows: pick.one("rows", |text| whole(text, ROWS))?.unwrap_or(2) as u32,
        log_sync: pick
            .one("log-sync", spec::log_sync)?
            .unwrap_or(super::LogSync::Interval { ms: 100 }),
        retain: tables::retain(
            pick.one("retain", |text| spec::retain(">", text))?,
            file,
            &log,
            &mut pick.origins,
        )?,
        log,
        topics_max: tables::limit(file, "topics", 1..=100_000_000, 100_000, &mut pick.origins)?,
        keys_max: tables::limit(file, "keys", 1..=100_000_000, 1_000_000, &mut pick.origins)?,
        heartbeat_ms: pick
            .one("heartbeat", |text| time(text, PATIENCE_MS, "25s"))?
            .unwrap_or(25_000),
        write_stall_ms: pick
            .one("write-stall", |text| time(text, PATIENCE_MS, "120s"))?
            .unwrap_or(120_000),
        run_dir: given_dir.unwrap_or_else(|| run_dir.of_port(&here.run_base, listen.port())),
        log_format: pick
            .one("log-format", spec::log_format)?
            .unwrap_or(super::LogFormat::Text),
        publish: pick.one("publish", spec::publish)?.unwrap_or(by_listen),
        origins: pick.many("origins", spec::origin)?.unwrap_or_default(),
        drain_ms: pick
            .one("drain", |text| time(text, DRAIN_MS, "5s"))?
            .unwrap_or(5_000),
        node: pick
            .one("node", spec::node)?
            .unwrap_or_else(|| here.host.clone()),
        venue: pick
            .one("venue", spec::venue)?
            .unwrap_or(super::Venue::Paper),
        orders_max: tables::limit(file, "orders", 1..=10_000_000, 100_000, &mut pick.origins)?,
        echo: pick
            .one("echo", |text| {
                units::switch(text).ok_or_else(|| "true or false".to_owned())
            })?
            .unwrap_or(false),
        limits,
        worker: tables::worker(file, here.files, &mut pick.origins)?,
        defaults,
        most,
    };
    let resolved = Resolved {
        config,
        run_dir,
        origins: pick.origins,
    };
    check::check(&resolved, here)?;
    Ok(resolved)
}

/// Finds the value that counts.
struct Picker<'a> {
    /// The first that has a value wins.
    sources: [&'a Typed; 3],
    origins: BTreeMap<String, Origin>,
}

impl Picker<'_> {
    /// The value of a setting that takes one; in the file and on the command line the last of several is never seen, since both
    /// refuse a repeated key.
    fn one<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Result<Option<T>, ConfigError> {
        Ok(self.many(name, read)?.and_then(|mut values| values.pop()))
    }

    fn many<T>(
        &mut self,
        name: &str,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(values) = self.given(name) else {
            return Ok(None);
        };
        let read = values
            .iter()
            .map(|given| read(&given.text).map_err(|expected| given.wrong(name, expected)));
        let read = read.collect::<Result<Vec<T>, ConfigError>>()?;
        self.origins
            .insert(name.to_owned(), values[0].origin.clone());
        Ok(Some(read))
    }

    fn given(&self, name: &str) -> Option<Vec<Given>> {
        self.sources
            .iter()
            .find_map(|source| source.get(name))
            .map(<[Given]>::to_vec)
    }

    fn sources(&mut self, here: &Surroundings) -> Result<Vec<Source>, ConfigError> {
        let name = "source";
        let Some(read) = self.many(name, |text| spec::source(text, &here.directory))? else {
            return Ok(vec![Source::Synthetic]);
        };
        for (i, given) in self.given(name).unwrap_or_default().iter().enumerate() {
            if read[i].is_none() && read.len() > 1 {
                return Err(given.wrong(name, "none alone, or sources without it"));
            }
            if read[..i].contains(&read[i]) {
                return Err(given.wrong(name, "each source once"));
            }
        }
        Ok(read.into_iter().flatten().collect())
    }

    /// Settings of parts that this build lacks: refused, so that nobody believes they act.
    fn refuse_what_is_missing(&mut self) -> Result<(), ConfigError> {
        self.one("partitions", |_| {
            Err::<(), _>("nothing: this build has no kafka log yet".to_owned())
        })?;
        Ok(())
    }
}

/// A whole number in a range.
pub(super) fn whole(text: &str, range: RangeInclusive<u64>) -> Result<u64, Expected> {
    let expected = || format!("a whole number from {} to {}", range.start(), range.end());
    units::count(text)
        .filter(|number| range.contains(number))
        .ok_or_else(expected)
}

/// A time in a range, milliseconds.
fn time(text: &str, range: RangeInclusive<u64>, example: &str) -> Result<u64, Expected> {
    let (least, most) = (
        units::millis_text(*range.start()),
        units::millis_text(*range.end()),
    );
    let expected = || format!("a time from {least} to {most}, such as {example}");
    units::millis(text)
        .filter(|millis| range.contains(millis))
        .ok_or_else(expected)
}

fn interval(text: &str) -> Result<(u64, u64), Expected> {
    let expected =
        || format!("MIN..MAX in milliseconds, from 0 to {INTERVAL_MS_MAX}, such as 10..100");
    units::range(text)
        .filter(|(_, high)| *high <= INTERVAL_MS_MAX)
        .ok_or_else(expected)
}

#[cfg(test)]
#[path = "resolve_tests.rs"]
mod tests;
