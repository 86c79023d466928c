//! What a subscriber costs in memory that has stopped reading, above what all of them share.
//!
//! For each policy twice on a server of its own: with many who stand still, and with one, for whom ring, log and tables grow just
//! the same. Before the flow begins their sockets are filled at a pace that the server keeps up with: what it takes to deliver a flow
//! to so many is another matter, for which their ring grows as it does for those who read. `at_once` leaves that out: the flow itself
//! fills the sockets, of which the kernel's own memory is most of the work.
use super::logs::{Log, Node};
use crate::Asked;
use crate::child::Measured;
use crate::phase::{self, Audience, Source};
use crate::report::{Findings, Reach};
use pubsub_load::floor::TOPIC;
use pubsub_load::http;
use pubsub_load::measure::{self, Sample};
use pubsub_load::publisher::{Acks, Plan};
use pubsub_load::swarm::{Pace, Subscription};
use serde_json::json;
use std::time::Duration;

const STALLED: usize = 10_000;
const PER_S: f64 = 2000.0;

/// Fills the sockets of all in some seconds, with a message at a time for each.
const FILL_PER_S: f64 = 20.0;
/// Messages for half as much again as the kernel takes for one.
const FILL: Duration = Duration::from_secs(8);

/// Keys that take turns: conflation keeps the newest of each.
const KEYS: u64 = 1000;

const POLICIES: [&str; 4] = ["drop_oldest", "drop_newest", "conflate", "spill"];

/// The log is full soon, and its growth over before the end.
const RETAIN: &str = "1MiB";

/// What a connect has begun is over by then.
const REST: Duration = Duration::from_secs(3);

/// Time for an admin to answer.
const PATIENCE: Duration = Duration::from_secs(10);

const REACH: Reach = Reach::Most(100.0);

/// Who stands still, on which node, and what flows meanwhile.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub policy: &'a str,
    pub subscribers: usize,
    pub filled: Filled,
    pub log: Log,
    pub retain: &'a str,
    /// That publish.
    pub sessions: usize,
    pub per_s: f64,
    /// Of each publication; `None`: what makes a frame of the usual length.
    pub data_bytes: Option<usize>,
    pub flow: Duration,
}

/// What has grown while they stood still.
pub(super) struct Grown {
    before: Sample,
    after: Sample,
    /// After `/status` was asked, for which all that are behind are looked at.
    looked_at: Sample,
    pub closed: u64,
    /// Publications of the flow.
    pub published: u64,
    /// What the kernel holds for the connections, bytes.
    kernel: u64,
}

impl Grown {
    /// PSS of the tree.
    pub fn bytes(&self) -> f64 {
        self.until(&self.after)
    }

    /// The same after `/status`.
    pub fn once_looked_at(&self) -> f64 {
        self.until(&self.looked_at)
    }

    /// Of each process, for people.
    pub fn by_process(&self) -> Vec<String> {
        let grown = |process: &measure::Process| {
            let earlier = self
                .before
                .processes
                .iter()
                .find(|earlier| earlier.pid == process.pid)
                .map_or(0, |earlier| earlier.pss_bytes);
            let bytes = process.pss_bytes as f64 - earlier as f64;
            format!("{} {:.1} MB", process.role, mb(bytes))
        };
        self.after.processes.iter().map(grown).collect()
    }

    fn until(&self, later: &Sample) -> f64 {
        later.pss_bytes() as f64 - self.before.pss_bytes() as f64
    }
}

/// How their sockets come to be full.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Filled {
    Before,
    AtOnce,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    each_policy(asked, Filled::Before)
}

pub fn at_once(asked: &Asked) -> Result<Findings, String> {
    each_policy(asked, Filled::AtOnce)
}

fn each_policy(asked: &Asked, filled: Filled) -> Result<Findings, String> {
    let mut findings = Findings::default();
    for policy in POLICIES {
        eprintln!("fanout: {policy}");
        let case = |subscribers| Case {
            policy,
            subscribers,
            filled,
            log: Log::Memory,
            retain: RETAIN,
            sessions: 1,
            per_s: PER_S,
            data_bytes: None,
            flow: asked.stall,
        };
        let many = grown(asked, &case(STALLED))?;
        let one = grown(asked, &case(1))?;
        let per = |many: f64, one: f64| (many - one) / (STALLED - 1) as f64;
        for (when, many, one) in [
            ("", many.bytes(), one.bytes()),
            (
                ", once looked at",
                many.once_looked_at(),
                one.once_looked_at(),
            ),
        ] {
            let what = format!("{policy}: bytes per stalled subscriber{when}");
            match filled {
                Filled::Before => findings.judge(what, per(many, one), REACH, ""),
                Filled::AtOnce => findings.say(what, format!("{:.0}", per(many, one))),
            }
        }
        findings.say(
            format!("{policy}: grown with {STALLED}, with one; closed"),
            format!(
                "{:.1} MB, {:.1} MB; {}",
                mb(many.bytes()),
                mb(one.bytes()),
                many.closed
            ),
        );
        findings.say(
            format!("{policy}: TCP memory of the kernel per stalled subscriber"),
            format!(
                "{:.1} KB, both ends",
                many.kernel as f64 / 1024.0 / STALLED as f64
            ),
        );
        findings.keep(json!({"policy": policy, "stalled": STALLED, "seconds": asked.stall.as_secs_f64(), "grown": many.bytes(), "grown_with_one": one.bytes(), "closed": many.closed}));
    }
    Ok(findings)
}

/// Measures a case.
pub(super) fn grown(asked: &Asked, case: &Case<'_>) -> Result<Grown, String> {
    let node = Node::start(asked, case.log, case.retain)?;
    let server = &node.server;
    let mut audience = Audience::new(server, 4000.0)?;
    let stalled = audience.swarm.group(Pace::Stall);
    let subscription = Subscription {
        topic: TOPIC.to_owned(),
        settings: std::iter::once(("overflow".to_owned(), json!(case.policy))).collect(),
    };
    audience.join_as(case.subscribers, &subscription, stalled)?;
    audience.run_for(REST)?;
    let kernel = || measure::tcp_memory_bytes().unwrap_or(0);
    let tree = || measure::tree(server.pid()).map_err(|error| error.to_string());
    let (before, kernel_before) = (tree()?, kernel());
    let plan = |per_s, window| Plan {
        keys: KEYS,
        ..phase::plan(TOPIC, per_s, window, Acks::Unwanted)
    };
    if case.filled == Filled::Before {
        let source = Source::sessions(server, 1, plan(FILL_PER_S, FILL))?;
        source.finish(&mut audience)?;
    }
    let mut flow = plan(case.per_s, case.flow);
    flow.size = case.data_bytes.unwrap_or(flow.size);
    let source = Source::sessions(server, case.sessions, flow)?;
    audience.run_for(case.flow)?;
    let (after, kernel_after) = (tree()?, kernel());
    http::get(server.admin(), "/status", PATIENCE).map_err(|error| error.to_string())?;
    let looked_at = tree()?;
    let published = source.finish(&mut audience)?;
    let closed = audience.swarm.counters().closed_total();
    audience.leave()?;
    Ok(Grown {
        before,
        after,
        looked_at,
        closed,
        published,
        kernel: kernel_after.saturating_sub(kernel_before),
    })
}

fn mb(bytes: f64) -> f64 {
    bytes / f64::from(1 << 20)
}
