//! A node that runs.
//!
//! Owns what a supervisor owns otherwise: the listener, the shared memory, the roles. Must not contain: what a node is like
//! (`builder`), or restarts: a role that fails is reported when the node ends.

use super::role::Role;
use super::{Builder, NodeError};
use crate::config::Config;
use crate::link::control::{self, DrainReason, Order};
use crate::link::paths;
use crate::telemetry::scoreboard::Scoreboard;
use crate::worker::{self, WorkerArgs};
use crate::{clock, hub};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tempfile::TempDir;

/// A node on threads of this process. It ends with the value.
#[derive(Debug)]
#[must_use = "a node ends when it is dropped"]
pub struct Node {
    address: SocketAddr,
    url: String,
    scoreboard: Arc<Scoreboard>,
    /// The workers, then the hub: so they end.
    roles: Vec<Role>,
    /// The hub's socket is in it.
    _folder: TempDir,
}

/// What a node has and has done; some tenths of a second old.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections open.
    pub connections: u64,
    /// Subscriptions open.
    pub subscriptions: u64,
    /// Of them, those that are behind.
    pub behind: u64,
    /// Publications numbered.
    pub published: u64,
    /// Messages handed whole to the kernel.
    pub delivered: u64,
}

impl Node {
    /// Starts a node as it usually is in a test: see [`Builder`].
    pub fn start() -> Result<Self, NodeError> {
        Self::builder().start()
    }

    /// Says what the node is to be like.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where clients connect: `ws://127.0.0.1:PORT/ws`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has and has done.
    pub fn counts(&self) -> Counts {
        let board = &self.scoreboard;
        let hub = board.hub();
        let mut counts = Counts {
            published: hub.published.load(Relaxed),
            ..Counts::default()
        };
        for slot in (0..board.workers()).map(|slot| board.worker(slot)) {
            counts.connections += slot.connections.load(Relaxed);
            counts.subscriptions += slot.subscriptions.load(Relaxed);
            counts.behind += slot.behind.load(Relaxed);
            counts.delivered += slot.delivered.load(Relaxed);
        }
        counts
    }

    /// Stops at once, as a node does that is killed: connections end without a word. Says what went wrong with a role meanwhile.
    pub fn stop(mut self) -> Result<(), NodeError> {
        self.end(&Order::Stop, Duration::ZERO)
    }

    /// Stops as a node does on SIGTERM: clients are told to go and when to come back, closes are spread over the window, and who
    /// doesn't go is cut at its end. Comes back at the end, so that the clients must be elsewhere: on other threads or tasks of a
    /// runtime that goes on.
    pub fn drain(mut self, window: Duration) -> Result<(), NodeError> {
        self.scoreboard.node().draining.store(1, Relaxed);
        let drain = Order::Drain {
            reason: DrainReason::Shutdown,
            window_ms: u64::try_from(window.as_millis()).unwrap_or(u64::MAX),
        };
        self.end(&drain, window)
    }

    /// Starts a node of this configuration.
    pub(super) fn run(config: Config) -> Result<Self, NodeError> {
        let machine = |what| move |error| NodeError::Machine(what, error);
        let listener = TcpListener::bind(config.listen).map_err(machine("no port to listen on"))?;
        let address = listener.local_addr().map_err(machine("no address"))?;
        let folder = tempfile::Builder::new().prefix("pubsub-").tempdir();
        let folder = folder.map_err(machine("no folder for the hub's socket"))?;
        let config = Config {
            listen: address,
            run_dir: folder.path().to_owned(),
            ..config
        };
        let (scoreboard, _) = Scoreboard::create().map_err(machine("no shared memory"))?;
        let told = scoreboard.node();
        told.workers.store(config.workers, Relaxed);
        told.workers_ever.store(config.workers, Relaxed);
        told.started_wall_us.store(clock::wall_us(), Relaxed);
        let mut node = Self {
            address,
            url: format!("ws://{address}/ws"),
            scoreboard: Arc::new(scoreboard),
            roles: Vec::new(),
            _folder: folder,
        };
        node.begin(&Arc::new(config), &listener)
            .map_err(machine("no thread"))?;
        let ready = node.roles.iter_mut().try_for_each(Role::wait_ready);
        if let Err(early) = ready {
            // The end says why, if it was by a fault.
            node.end(&Order::Stop, Duration::ZERO)?;
            return Err(early);
        }
        Ok(node)
    }

    /// Starts the roles; whatever has begun ends with this value if a later one cannot.
    fn begin(&mut self, config: &Arc<Config>, listener: &TcpListener) -> io::Result<()> {
        let hub_path = paths::hub(&config.run_dir);
        let of_hub = UnixListener::bind(&hub_path)?;
        for slot in 0..config.workers {
            let (config, listener) = (Config::clone(config), listener.try_clone()?);
            let (hub_path, scoreboard) = (hub_path.clone(), Arc::clone(&self.scoreboard));
            let play = move |control| async move {
                let args = WorkerArgs {
                    config,
                    slot,
                    generation: 0,
                    listener,
                    hub_path,
                    scoreboard,
                    control: Some(control),
                    terminate: None,
                };
                worker::run(args).await.map_err(|error| error.to_string())
            };
            self.roles.push(Role::start(format!("w{slot}"), play)?);
        }
        let (config, scoreboard) = (Arc::clone(config), Arc::clone(&self.scoreboard));
        let play = move |control| async move {
            let control = control::open(control).map_err(|error| error.to_string())?;
            let ran = hub::run(config, of_hub, scoreboard, control).await;
            ran.map_err(|error| error.to_string())
        };
        self.roles.push(Role::start("hub".to_owned(), play)?);
        Ok(())
    }

    /// Ends the workers as told, then the hub. The first fault is reported, but none is in the way of the others' end.
    fn end(&mut self, order: &Order, window: Duration) -> Result<(), NodeError> {
        let mut workers = std::mem::take(&mut self.roles);
        let mut hub = workers.pop();
        for worker in &mut workers {
            worker.tell(order);
        }
        let mut ends: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.wait_end(window))
            .collect();
        if let Some(hub) = &mut hub {
            hub.tell(&Order::Stop);
        }
        ends.extend(hub.map(|hub| hub.wait_end(Duration::ZERO)));
        ends.into_iter().collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.end(&Order::Stop, Duration::ZERO);
    }
}
