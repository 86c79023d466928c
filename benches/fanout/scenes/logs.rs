//! Nodes whose log is in memory or on the disk of this checkout, for the scenes that compare them.
//!
//! Law: a folder goes after its node. It lies under `target`, since what is temporary is often no disk.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase;
use pubsub_load::publisher::{Acks, Plan, Publisher, Report};
use pubsub_load::target::Target;
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

/// A node and its log's folder.
pub struct Node {
    pub server: Server,
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
            _folder: kept,
        })
    }

    pub fn target(&self) -> Result<Target, String> {
        Target::parse(&self.server.url()).map_err(|error| error.to_string())
    }

    /// Publishes some 500 MB on a topic; how many publications, all of which are acknowledged.
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
        match report {
            Report {
                sent, acknowledged, ..
            } if sent == acknowledged => Ok(sent),
            _ => Err(format!(
                "{} of {} acknowledged: {:?}",
                report.acknowledged, report.sent, report.refusals
            )),
        }
    }

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
