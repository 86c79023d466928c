//! Nodes whose log is in memory or on the disk of this checkout, for the scenes that compare them.
//!
//! Law: a folder goes after its node. It lies under `target`, since what is temporary is often no disk.
use crate::Asked;
use crate::child::{Measured, Pin, Server};
use crate::phase::{self, Own, doubts};
use crate::report::{Findings, median};
use pubsub_load::measure;
use pubsub_load::publisher::{Acks, Plan, Publisher};
use pubsub_load::target::Target;
use serde::Serialize;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use tempfile::TempDir;

/// Bytes of the `data` of what fills a log.
pub const DATA_BYTES: usize = 450;

/// Publications a second when a log is filled: what one worker takes with its answers.
const FILL_PER_S: f64 = 80_000.0;

/// 504 MB of data.
const FILL: Duration = Duration::from_secs(14);

/// A server takes 20,000 publications a second of one session.
const SESSIONS: usize = 8;

/// Time for a session to stand.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a node keeps what is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    Memory,
    /// Synced as it is by default.
    Disk,
    /// Synced before a publication is acknowledged.
    DiskAlways,
}

impl Log {
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::DiskAlways => "disk, synced always",
        }
    }
}

/// What a stretch of time took of both sides.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// CPU of the tree, cores.
    pub cores: f64,
    /// CPU of each process, cores.
    roles: Vec<(String, f64)>,
    /// Cores that the tree was kept waiting for, by others than itself.
    starved: f64,
    own: Own,
}

impl Cost {
    /// How long it was.
    pub fn seconds(&self) -> f64 {
        self.own.seconds
    }

    /// For people.
    pub fn roles(&self) -> String {
        let roles: Vec<String> = self
            .roles
            .iter()
            .map(|(role, cores)| format!("{role} {cores:.2}"))
            .collect();
        roles.join(", ")
    }

    /// Says what the bench itself took, and why the figures don't count, if they don't.
    pub fn judge<'a>(findings: &mut Findings, costs: impl Iterator<Item = &'a Self>) {
        let costs: Vec<&Self> = costs.collect();
        let of = |value: fn(&Self) -> f64| median(costs.iter().copied().map(value).collect());
        let (busy, starved) = (of(|cost| cost.own.busy), of(|cost| cost.own.starved));
        findings.say("the bench's own share of a core", format!("{busy:.2}"));
        findings.doubt(&doubts(of(|cost| cost.starved), busy, starved));
    }
}

/// A node and its log's folder.
pub struct Node {
    pub server: Server,
    pin: Pin,
    _folder: Option<TempDir>,
}

impl Node {
    /// One of one worker that keeps this many bytes.
    pub fn start(asked: &Asked, log: Log, retain: &str) -> Result<Self, String> {
        let kept = match log {
            Log::Memory => None,
            Log::Disk | Log::DiskAlways => Some(folder()?),
        };
        let spec = kept.as_ref().map_or("memory".to_owned(), |folder| {
            format!("disk:{}", folder.path().join("log").display())
        });
        let sync = match log {
            Log::DiskAlways => "log-sync = \"always\"\n",
            Log::Memory | Log::Disk => "",
        };
        let file = format!("log = \"{spec}\"\nretain = \"{retain}\"\n{sync}");
        Ok(Self {
            server: Server::configured(1, asked.pin, &file)?,
            pin: asked.pin,
            _folder: kept,
        })
    }

    /// Where its clients connect.
    pub fn target(&self) -> Result<Target, String> {
        Target::parse(&self.server.url()).map_err(|error| error.to_string())
    }

    /// Measures what something takes of this node and of this thread.
    pub fn cost<T>(&self, work: impl FnOnce() -> Result<T, String>) -> Result<(T, Cost), String> {
        let tree = || measure::tree(self.server.pid()).map_err(|error| error.to_string());
        let (before, own) = (tree()?, Own::begin());
        let done = work()?;
        let (after, own) = (tree()?, own.end());
        let share = |ns: u64| ns as f64 / 1e9 / own.seconds;
        let cores = share(after.cpu_ns_since(&before));
        let starved = share(after.starved_ns_since(&before));
        let roles = after.processes.iter().map(|process| {
            let cpu = process.cpu_ns.saturating_sub(before.cpu_ns_of(process.pid));
            (process.role.clone(), share(cpu))
        });
        let cost = Cost {
            cores,
            roles: roles.collect(),
            // On one core its processes wait for each other; others have at most what they leave.
            starved: match self.pin {
                Pin::Apart => starved.min((1.0 - cores).max(0.0)),
                Pin::Nowhere => starved,
            },
            own,
        };
        Ok((done, cost))
    }

    /// Publishes some 500 MB on a topic; how many were acknowledged, which are those that there are.
    pub fn fill(&self, topic: &str) -> Result<u64, String> {
        let mut publisher = self.publisher(SESSIONS)?;
        let plan = Plan {
            size: DATA_BYTES,
            ..phase::plan(topic, FILL_PER_S, FILL, Acks::Wanted)
        };
        let report = publisher
            .run(&plan, &AtomicBool::new(false))
            .map_err(|error| error.to_string())?;
        publisher.close();
        if report.unanswered() > 0 {
            return Err(format!("{} publications unanswered", report.unanswered()));
        }
        if report.refused > 0 {
            eprintln!("fanout: publications were refused: {:?}", report.refusals);
        }
        Ok(report.acknowledged)
    }

    /// Sessions that publish to it.
    pub fn publisher(&self, sessions: usize) -> Result<Publisher, String> {
        Publisher::connect(&self.target()?, sessions, PATIENCE).map_err(|error| error.to_string())
    }
}

/// A folder on the disk.
pub fn folder() -> Result<TempDir, String> {
    std::path::absolute(Path::new("target"))
        .and_then(tempfile::tempdir_in)
        .map_err(|error| format!("a folder for the log: {error}"))
}
