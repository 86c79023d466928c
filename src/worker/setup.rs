//! How a worker begins.
//!
//! Owns the translation of the node's configuration into the engine's, and the order in which things are opened. Must not contain:
//! anything that happens later. Driven by [`run`](super::run).
use super::accept;
use super::connection::Connections;
use super::control::Control;
use super::drain::Drain;
use super::fanout::Slice;
use super::front::Front;
use super::gate::Accepts;
use super::hub_link::HubLink;
use super::linger::Lingerers;
use super::monitor::Monitor;
use super::poller::Poller;
use super::reader::Reader;
use super::upgrade::Handshakes;
use super::{Pace, Worker, WorkerArgs, WorkerError};
use crate::clock;
use crate::config::Config;
use crate::kernel::Timer;
use crate::kernel::Watched;
use crate::telemetry::scoreboard::{Method, State};
use pubsub_stream::{Defaults, Engine, Now};
use pubsub_wire::limits::BoundLimits;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::task::spawn_local;

const MS: u64 = 1_000_000;
/// Pieces of history asked of the hub at once: enough that one long answer does not hold up all, and few enough that what they bring
/// is small beside the rings.
const READS_IN_FLIGHT: usize = 16;

/// How long a worker waits for a hub's answer before it calls itself ready: one that is being started again has answered by
/// then, and one that stays away is no reason to hold back connections.
const READY_WITHOUT_HUB_NS: u64 = 1_000_000_000;

impl Worker {
    /// Opens everything and begins to accept.
    pub(super) fn start(args: WorkerArgs) -> Result<Self, WorkerError> {
        let now = clock::now();
        let config = Rc::new(args.config);
        let front = Front::new(Rc::clone(&config), args.scoreboard, args.slot, now.mono_ns);
        let engine = Engine::new(engine_config(&config, args.slot, args.generation, now));
        let hub = HubLink::new(&args.hub_path, args.slot, args.generation);
        let hub = hub.map_err(|source| WorkerError::HubPath {
            path: args.hub_path,
            source,
        })?;
        let control = Control::start(args.control, args.terminate, config.drain_ms)
            .map_err(WorkerError::Control)?;
        accept::prepare(&args.listener, &front).map_err(WorkerError::Listener)?;
        let listener = Watched::new(args.listener.into()).map_err(WorkerError::Listener)?;
        begin_slot(&front, now.mono_ns);
        Ok(Self {
            tally: Box::default(),
            reader: Reader::new(config.limits.frame_bytes),
            poller: Poller::new().map_err(WorkerError::Poller)?,
            accepting: Some(spawn_local(accept::serve(Rc::clone(&front), listener))),
            engine,
            front,
            handshakes: Handshakes::new(
                config.worker.handshakes as usize,
                config.worker.handshake_ms.saturating_mul(MS),
            ),
            connections: Connections::default(),
            lingerers: Lingerers::default(),
            hub,
            control,
            ready_by_ns: Some(now.mono_ns + READY_WITHOUT_HUB_NS),
            drain: Drain::Serving,
            timer: Timer::new().map_err(WorkerError::Poller)?,
            heartbeat_ns: now.mono_ns,
            monitor: Monitor::default(),
            fan_out: Slice::Done,
            pace: Pace::Hurry,
            followed: Pace::Wait,
        })
    }
}

/// The slot says from now on that this worker accepts.
fn begin_slot(front: &Front, now_ns: u64) {
    let slot = front.slot();
    slot.clear_gauges();
    slot.heartbeat_ns.store(now_ns, Relaxed);
    front.announce(Accepts::Yes);
    slot.state.store(State::Up as u32, Relaxed);
}

fn engine_config(config: &Config, slot: u32, generation: u32, now: Now) -> pubsub_stream::Config {
    let worker = &config.worker;
    pubsub_stream::Config {
        limits: config.limits,
        node: config.node.clone(),
        worker: slot,
        // Unique over the lives of slot and node, so that a line in a log names one session for good.
        session_prefix: format!("{:x}-{slot}-{generation}", now.wall_us / 1_000_000),
        heartbeat_ns: config.heartbeat_ms.saturating_mul(MS),
        write_stall_ns: config.write_stall_ms.saturating_mul(MS),
        control_bytes: worker.control_bytes,
        ring_bytes: worker.ring_bytes,
        commands_per_s: worker.commands_per_s,
        commands_burst: worker.commands_burst,
        publishes_per_s: worker.publishes_per_s,
        publish_bytes_per_s: worker.publish_bytes_per_s,
        pending_publishes: worker.pending_publishes,
        methods: methods(),
        calls_per_session: worker.calls_per_session,
        calls: worker.calls,
        defaults: defaults(config),
        most: most(config),
        cohorts: worker.cohorts,
        mode_hold_ns: worker.mode_hold_ms.saturating_mul(MS),
        publish_denied: publish_denied(config),
        read_bytes: worker.read_bytes,
        reads_in_flight: READS_IN_FLIGHT,
        seed: now.mono_ns ^ u64::from(slot) << 48,
    }
}

/// The methods that are counted apart; what is called otherwise is the last of all.
fn methods() -> Vec<&'static str> {
    let all = Method::ALL.iter().filter(|m| **m != Method::Other);
    all.map(|method| method.label()).collect()
}

/// What subscriptions have that do not name it.
fn defaults(config: &Config) -> Vec<Defaults> {
    let entries = config.defaults.iter().map(|entry| Defaults {
        pattern: entry.pattern.clone(),
        rate: entry.rate,
        batch: entry.batch,
        bound: entry.bound,
        overflow: entry.overflow,
    });
    entries.collect()
}

/// What subscriptions may ask for at most.
fn most(config: &Config) -> Vec<(String, BoundLimits)> {
    let entries = config.most.iter();
    entries
        .map(|entry| (entry.pattern.clone(), entry.bound))
        .collect()
}

/// What only the node publishes: executions always, quotes while a source makes them.
fn publish_denied(config: &Config) -> Vec<String> {
    let mut denied = vec!["execs".to_owned(), "execs.*".to_owned()];
    if !config.sources.is_empty() {
        denied.push("quotes.>".to_owned());
    }
    denied
}
