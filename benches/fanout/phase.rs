//! One measured phase: subscribers that are there, publications at a rate, and what both sides cost meanwhile.
//!
//! Law: a figure counts only where the measured side had its cores and the subscribers' side had some to spare; [`doubts`] says where not.
use crate::child::{FloorChild, Measured};
use pubsub_load::clock;
use pubsub_load::floor;
use pubsub_load::measure;
use pubsub_load::publisher::{Acks, Plan, PublishError, Publisher, Report, Topics};
use pubsub_load::swarm::{Group, Options, Subscription, Swarm, SwarmError, Tally};
use pubsub_load::target::Target;
use serde::Serialize;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes of a message on the wire, its frame header included. The offset's digits make it a byte more or less.
pub const FRAME_BYTES: usize = 450;

/// Publications before the window that is measured: connections have grown their buffers and the caches are warm.
pub const WARM: Duration = Duration::from_secs(1);

/// Time for what was published to arrive when publishing has ended.
const ARRIVE: Duration = Duration::from_secs(10);

/// Receive buffer of those that will be stopped: a second of messages fills it.
const APART_RECEIVE_BYTES: usize = 16 * 1024;

/// How often things outside the swarm are looked at.
const SLICE: Duration = Duration::from_millis(20);

/// What a message that has not arrived must be older than to count as overdue in its window.
const OVERDUE: Duration = Duration::from_secs(2);

/// Cores that either side may have been kept waiting for before a figure is doubted.
const STARVED_MAX: f64 = 0.1;

/// Above this the subscribers' side has no core to spare, and may be the limit itself.
const BUSY_MAX: f64 = 0.9;

/// What comes of a publication.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FanOut {
    /// So many messages.
    To(usize),
    /// Fewer than there are subscribers: they asked for less than all of it.
    Thinned,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// Messages received in the window, per second.
    pub delivered_per_s: f64,
    /// CPU of the whole tree per message received, microseconds.
    pub cpu_us: f64,
    /// CPU of the whole tree, cores.
    pub cores: f64,
    /// Time that the tree was ready and had no core, cores: what others took of its own.
    pub starved: f64,
    /// CPU per role, cores.
    pub roles: Vec<(String, f64)>,
    /// Latency over expected deliveries, milliseconds; none: it never came.
    pub p50_ms: Option<f64>,
    /// The same.
    pub p99_ms: Option<f64>,
    /// The longest of what came.
    pub max_ms: Option<f64>,
    /// Expected from the beginning of publishing to its end, less what has arrived some time later.
    pub missing: u64,
    /// Announced as lost.
    pub lost: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Messages out of order or twice, or not as they should read.
    pub wrong: u64,
    /// PSS of the tree at the end of the window, bytes.
    pub pss_bytes: u64,
    /// The subscribers' own CPU per message, microseconds.
    pub own_cpu_us: f64,
    /// The subscribers' own loop lag, p99, milliseconds.
    pub own_lag_ms: f64,
    /// Share of a core that the subscribers took.
    pub own_busy: f64,
    /// Share of the time that the subscribers were ready and had no core.
    pub own_starved: f64,
    /// Publications made.
    pub published: u64,
    /// Publications due but not made, refused or unanswered.
    pub unpublished: u64,
}

impl Phase {
    /// Everything expected has arrived, in order, and nobody was closed.
    pub fn is_whole(&self) -> bool {
        self.missing == 0
            && self.lost == 0
            && self.closed == 0
            && self.wrong == 0
            && self.unpublished == 0
    }
}

/// Subscribers on this thread.
pub struct Audience {
    pub swarm: Swarm,
    /// How many there are.
    pub subscribers: usize,
}

impl Audience {
    /// Nobody yet.
    pub fn new(side: &dyn Measured, connects_per_s: f64) -> Result<Self, String> {
        let target = Target::parse(&side.url()).map_err(|error| error.to_string())?;
        let options = Options {
            connects_per_s,
            apart_receive_bytes: Some(APART_RECEIVE_BYTES),
            ..Options::new(target)
        };
        let swarm = Swarm::new(options).map_err(|error| error.to_string())?;
        Ok(Self {
            swarm,
            subscribers: 0,
        })
    }

    /// Connects and subscribes so many more to one topic, and waits until all stand.
    pub fn join(&mut self, n: usize, topic: &str, group: Group) -> Result<(), String> {
        self.join_as(n, &Subscription::plain(topic), group)
    }

    /// The same, with settings.
    pub fn join_as(
        &mut self,
        n: usize,
        subscription: &Subscription,
        group: Group,
    ) -> Result<(), String> {
        let id = self.swarm.topic(subscription);
        self.swarm.connect(n, id, group);
        self.settle(n)
    }

    /// Waits until `n` more have subscribed.
    pub fn settle(&mut self, n: usize) -> Result<(), String> {
        self.subscribers += n;
        let all = self.subscribers as u64;
        let settled = self.swarm.run_until(Duration::from_secs(60), |swarm| {
            swarm.counters().subscribed >= all || swarm.counters().failed > 0
        });
        let counters = self.swarm.counters();
        match settled {
            Ok(true) if counters.subscribed >= all => Ok(()),
            Ok(_) => Err(format!(
                "{} of {all} subscribed: {:?} {:?} closed {:?}",
                counters.subscribed, counters.first_failure, counters.first_error, counters.closed
            )),
            Err(error) => Err(error.to_string()),
        }
    }

    /// All go, and are gone.
    pub fn leave(&mut self) -> Result<(), String> {
        self.swarm.leave(20_000.0);
        self.subscribers = 0;
        self.run_until(Duration::from_secs(30), Swarm::is_empty)
            .map(|_| ())
    }

    /// Works for this long.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), String> {
        self.swarm
            .run_for(duration)
            .map_err(|error: SwarmError| error.to_string())
    }

    /// Works until something is so.
    pub fn run_until(
        &mut self,
        limit: Duration,
        done: impl FnMut(&Swarm) -> bool,
    ) -> Result<bool, String> {
        self.swarm
            .run_until(limit, done)
            .map_err(|error| error.to_string())
    }
}

/// What publishes during a phase.
pub enum Source<'a> {
    /// The floor itself.
    Floor(&'a mut FloorChild),
    /// A thread of this process, to the server.
    Thread(Option<JoinHandle<Result<Report, PublishError>>>),
}

/// How much was published, once publishing has ended.
struct Published {
    made: u64,
    not_made: u64,
}

impl<'a> Source<'a> {
    /// The floor at this rate.
    pub fn floor(
        floor: &'a mut FloorChild,
        per_s: f64,
        per_write: usize,
        window: Duration,
    ) -> Self {
        let plan = floor::Plan {
            per_s,
            frame_bytes: FRAME_BYTES,
            per_write,
            duration: window + WARM,
        };
        floor.publish(plan);
        Self::Floor(floor)
    }

    /// Sessions that publish to the server on one topic.
    pub fn sessions(side: &dyn Measured, sessions: usize, mut plan: Plan) -> Result<Self, String> {
        let target = Target::parse(&side.url()).map_err(|error| error.to_string())?;
        plan.duration += WARM;
        let mut publisher =
            Publisher::connect(&target, sessions, ARRIVE).map_err(|error| error.to_string())?;
        Ok(Self::Thread(Some(std::thread::spawn(move || {
            let report = publisher.run(&plan, &AtomicBool::new(false));
            publisher.close();
            report
        }))))
    }

    /// Waits until publishing has ended, while the audience works on.
    fn published(&mut self, audience: &mut Audience) -> Result<Published, String> {
        loop {
            if let Some(published) = self.poll()? {
                return Ok(published);
            }
            audience.run_for(SLICE)?;
        }
    }

    /// Waits until publishing has ended; how many publications were made.
    pub fn finish(mut self, audience: &mut Audience) -> Result<u64, String> {
        self.published(audience).map(|published| published.made)
    }

    fn poll(&mut self) -> Result<Option<Published>, String> {
        match self {
            Self::Floor(floor) => Ok(floor.published().map(|sent| Published {
                made: sent.publications,
                not_made: 0,
            })),
            Self::Thread(thread) => match thread
                .take_if(|thread| thread.is_finished())
                .map(JoinHandle::join)
            {
                None => Ok(None),
                Some(Ok(Ok(report))) => {
                    if !report.refusals.is_empty() {
                        eprintln!("fanout: publications were refused: {:?}", report.refusals);
                    }
                    Ok(Some(Published {
                        made: report.sent,
                        not_made: report.unsent + report.refused,
                    }))
                }
                Some(Ok(Err(error))) => Err(error.to_string()),
                Some(Err(_)) => Err("the publishing thread panicked".to_owned()),
            },
        }
    }
}

/// A plan to one topic with frames of [`FRAME_BYTES`].
pub fn plan(topic: &str, per_s: f64, window: Duration, acks: Acks) -> Plan {
    let size = data_bytes(topic);
    Plan {
        topics: Topics::One(topic.to_owned()),
        per_s,
        size,
        keys: 0,
        acks,
        duration: window,
    }
}

/// Bytes of `data` that make a message on this topic [`FRAME_BYTES`] long on the wire when its offset has seven digits.
pub fn data_bytes(topic: &str) -> usize {
    let around = format!(
        r#"{{"op":"msg","topic":"{topic}","offset":1234567,"ts":1790000000123456,"data":}}"#
    );
    FRAME_BYTES - around.len() - 4
}

/// Runs one phase; `root` is the measured tree's first process.
pub fn measure(
    root: u32,
    audience: &mut Audience,
    mut source: Source<'_>,
    fan_out: FanOut,
    window: Duration,
) -> Result<Phase, String> {
    let closed_before = audience.swarm.counters().closed_total();
    let wrong_before = wrong(audience);
    audience.run_for(WARM)?;
    let mut whole = audience.swarm.take_window(Group::MAIN, OVERDUE);
    audience.swarm.take_lag();

    let before = tree(root)?;
    let own = Own::begin();
    audience.run_for(window)?;
    let after = tree(root)?;
    let own = own.end();
    let tally = audience.swarm.take_window(Group::MAIN, OVERDUE);
    let lag = audience.swarm.take_lag();
    whole.add(&tally);

    let published = source.published(audience)?;
    let expected = match fan_out {
        FanOut::To(subscribers) => published.made * subscribers as u64,
        FanOut::Thinned => 0,
    };
    let arrived =
        |tally: &Tally, swarm: &Swarm| tally.received + tally.lost + swarm.received(Group::MAIN);
    audience.run_until(ARRIVE, |swarm| arrived(&whole, swarm) >= expected)?;
    whole.add(&audience.swarm.take_window(Group::MAIN, Duration::ZERO));

    let seconds = own.seconds;
    let cpu_ns = after.cpu_ns_since(&before) as f64;
    let received = tally.received.max(1) as f64;
    Ok(Phase {
        delivered_per_s: tally.received as f64 / seconds,
        cpu_us: cpu_ns / received / 1000.0,
        cores: cpu_ns / 1e9 / seconds,
        starved: after.starved_ns_since(&before) as f64 / 1e9 / seconds,
        roles: roles(&before, &after, seconds),
        p50_ms: tally.quantile_ms(0.5).filter(|ms| ms.is_finite()),
        p99_ms: tally.quantile_ms(0.99).filter(|ms| ms.is_finite()),
        max_ms: tally.max_ms(),
        missing: expected.saturating_sub(whole.received + whole.lost),
        lost: whole.lost,
        closed: audience.swarm.counters().closed_total() - closed_before,
        wrong: wrong(audience) - wrong_before,
        pss_bytes: after.pss_bytes(),
        own_cpu_us: own.busy * seconds * 1e6 / received,
        own_lag_ms: lag.quantile_ms(0.99),
        own_busy: own.busy,
        own_starved: own.starved,
        published: published.made,
        unpublished: published.not_made,
    })
}

/// What this thread itself took of a stretch of time, and was kept from.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Own {
    /// How long it was.
    pub seconds: f64,
    /// Share of a core that it took.
    pub busy: f64,
    /// Share of the time that it was ready and had no core.
    pub starved: f64,
}

/// A stretch under way: when it began, and what the clocks of this thread said then, all in nanoseconds.
pub struct OwnBegun {
    at_ns: u64,
    cpu: u64,
    starved: u64,
}

impl Own {
    /// Begins a stretch.
    pub fn begin() -> OwnBegun {
        OwnBegun {
            at_ns: clock::mono_ns(),
            cpu: clock::thread_cpu_ns(),
            starved: starved_ns(),
        }
    }
}

impl OwnBegun {
    /// Ends it.
    pub fn end(&self) -> Own {
        let ns = (clock::mono_ns() - self.at_ns) as f64;
        Own {
            seconds: ns / 1e9,
            busy: (clock::thread_cpu_ns() - self.cpu) as f64 / ns,
            starved: starved_ns().saturating_sub(self.starved) as f64 / ns,
        }
    }
}

/// Where the kernel doesn't tell, nobody is known to have been kept waiting.
fn starved_ns() -> u64 {
    measure::own_thread_starved_ns().unwrap_or(0)
}

/// Why figures of such phases don't count, if they don't: cores that the measured side was kept waiting for, and the subscribers' own
/// share of a core, taken and kept from.
pub fn doubts(starved: f64, own_busy: f64, own_starved: f64) -> Vec<String> {
    let mut doubts = Vec::new();
    if own_busy > BUSY_MAX {
        doubts.push(format!(
            "the subscribers' side was full: {own_busy:.2} of its core"
        ));
    }
    if starved > STARVED_MAX {
        doubts.push(format!(
            "others took the server's cores: it waited for {starved:.2} of one"
        ));
    }
    if own_starved > STARVED_MAX {
        doubts.push(format!(
            "others took the subscribers' core: they waited for {own_starved:.2} of it"
        ));
    }
    doubts
}

fn wrong(audience: &Audience) -> u64 {
    let counters = audience.swarm.counters();
    counters.offset_errors() + counters.malformed
}

fn tree(root: u32) -> Result<measure::Sample, String> {
    measure::tree(root).map_err(|error| format!("/proc of the server: {error}"))
}

/// CPU per role between two samples, cores.
fn roles(before: &measure::Sample, after: &measure::Sample, seconds: f64) -> Vec<(String, f64)> {
    let mut roles: Vec<(String, f64)> = Vec::new();
    for process in &after.processes {
        let one = |sample: &measure::Sample| measure::Sample {
            processes: sample
                .processes
                .iter()
                .filter(|other| other.pid == process.pid)
                .cloned()
                .collect(),
        };
        let cores = one(after).cpu_ns_since(&one(before)) as f64 / 1e9 / seconds;
        match roles.iter_mut().find(|(role, _)| *role == process.role) {
            Some((_, sum)) => *sum += cores,
            None => roles.push((process.role.clone(), cores)),
        }
    }
    roles
}
