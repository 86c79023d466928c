//! What a node in a test is like.
//!
//! Owns the defaults: those of a node, but with one worker, a port that the system chooses, no admin role and no source, so that
//! nothing is published that the test doesn't publish. Must not contain: starting anything.

use super::{Node, NodeError};
use crate::config::file::File;
use crate::config::resolve::resolve;
use crate::config::setting::Typed;
use crate::config::{Config, PublishFrom, Source, Surroundings, Venue, WorkerLimits};
use pubsub_wire::Limits;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;

type Change = Box<dyn FnOnce(&mut Config) + Send>;

/// A node about to be started.
#[derive(Default)]
#[must_use = "a builder does nothing until it is started"]
pub struct Builder {
    changes: Vec<Change>,
}

impl Builder {
    /// Worker threads; 1 unless said.
    pub fn workers(self, workers: NonZeroU32) -> Self {
        self.configure(move |config| config.workers = workers.get())
    }

    /// Where clients connect; a free port of 127.0.0.1 unless said.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.configure(move |config| config.listen = address)
    }

    /// One more thing that publishes inside the node; nothing does unless said.
    pub fn source(self, source: Source) -> Self {
        self.configure(move |config| config.sources.push(source))
    }

    /// The pause between two pushes of a source, milliseconds, drawn anew each time: 10 to 100 unless said.
    pub fn interval_ms(self, least: u64, most: u64) -> Self {
        self.configure(move |config| config.interval_ms = (least.min(most), most))
    }

    /// Who may publish and call; who connects over loopback unless said.
    pub fn publish(self, publish: PublishFrom) -> Self {
        self.configure(move |config| config.publish = publish)
    }

    /// Where orders are filled; by the paper venue unless said.
    pub fn venue(self, venue: Venue) -> Self {
        self.configure(move |config| config.venue = venue)
    }

    /// Limits of a connection, as told in `welcome`.
    pub fn limits(self, limits: Limits) -> Self {
        self.configure(move |config| config.limits = limits)
    }

    /// Limits of a worker.
    pub fn worker_limits(self, worker: WorkerLimits) -> Self {
        self.configure(move |config| config.worker = worker)
    }

    /// Anything else of the configuration, after what was said before. It is not checked again: a test may want what a node would
    /// refuse.
    pub fn configure(mut self, change: impl FnOnce(&mut Config) + Send + 'static) -> Self {
        self.changes.push(Box::new(change));
        self
    }

    /// Starts it, and comes back when clients can connect and publish.
    pub fn start(self) -> Result<Node, NodeError> {
        let mut config = usual()?;
        for change in self.changes {
            change(&mut config);
        }
        Node::run(config)
    }
}

/// What a node is like when nobody says, whatever the environment of this process holds.
fn usual() -> Result<Config, NodeError> {
    let here = Surroundings {
        env: BTreeMap::new(),
        cores: 1,
        memory: None,
        ..Surroundings::look()
    };
    let nothing = Typed::default();
    let resolved = resolve(&nothing, &nothing, &File::default(), &here)?;
    Ok(Config {
        listen: (Ipv4Addr::LOCALHOST, 0).into(),
        admin: None,
        sources: Vec::new(),
        ..resolved.config
    })
}
