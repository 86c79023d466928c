//! The command line, as typed; and what is meant by it, with the prototype's environment and the defaults filled in.
mod common;
mod orders;
mod settings;
mod slow;
mod subscribers;
mod told;

pub use slow::Slow;
pub use told::Told;

use crate::failure::Failure;
use crate::fleet::spread::Processes;
use crate::publisher::payload::{SIZE_MAX, SIZE_MIN};
use crate::scenario;
use crate::swarm::{CallPlan, Subscription};
use crate::target::Target;
use crate::threshold::Threshold;
use crate::units::{Rate, Span};
use clap::{Args, Parser, Subcommand};
use pubsub_sysctl::Asked;
use pubsub_wire::Limits;
use pubsub_wire::topic::check_topic;
use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

/// Between two steps, unless told otherwise.
const EVERY: Duration = Duration::from_secs(15);

/// The shortest line: to take one costs each process some milliseconds.
const LINE: Duration = Duration::from_millis(100);

/// What a process of the swarm is started as: for this program itself, and for nobody to type.
pub const MEMBER: &str = "member";

const EXAMPLES: &str = "\
Examples:
  pubsub-load                                      100 more connections every 15 s up to 10,000, then a minute's hold
  pubsub-load ramp --step 100 --every 2s --max 3000 --csv ramp.csv --json ramp.json --report ramp.html
  pubsub-load ramp --topic 'quotes.*' --settings '{\"overflow\":\"conflate\",\"bound\":{\"messages\":64}}'
  pubsub-load ramp --max 1000 --slow 5%:stall --slow 1%:read=2KB/s --slow 1%:pause=5s
  pubsub-load ramp --topic 'quotes.*' --settings '{\"rate\":{\"mode\":\"sample\",\"ms\":100}}' --settings '{\"credit\":100}'
  pubsub-load publish --topic news --rate 10000/s --size 450 --duration 10s
  pubsub-load doctor --connections 100000          has this machine what they need, and if not, what to change?

The connections are shared by processes of one thread each (--processes), and dealt out in turn to several --url.
With --slow, count, messages received, latencies, sizes, expected, lost and overdue of a line are of the healthy connections only;
the last columns have the slow ones, and all other columns are of all. At the end the slow ones read on, for 10 s at most,
then every subscription is asked for its ledger, and with --slow or --settings a table has what each group got. Staleness is the age
of the newest value a connection holds at the moment when the next one comes, weighted by how long it was held. A connection that
the policy 'disconnect' closes is counted with its close code: 4001, or 1006 where it was closed hard since it took nothing.

On a terminal the run is shown as it goes on; q or Ctrl-C ends it in order, once more leaves at once. Lines that would go to the
terminal itself follow at its end.

Exit codes: 0 done; 1 books that do not close, messages out of order, or a process of the swarm that was lost; 64 arguments;
69 no server there, or a limit of this machine; 70 a fault of this program; 99 a threshold missed, where the run itself is in order.
Environment of the 2012 prototype: OUTLIER_SIZE (10), INTERVAL_BETWEEN_NEW_CLIENTS_SECS (15).";

const SOAK: &str = "\
Examples:
  pubsub-load soak --connections 10000 --topic quotes.AAPL
  pubsub-load soak --connections 100000 --rate-of-connects 2000/s --duration 5m --every 30s --csv soak.csv

Connects at the rate until all stand, then stays for the duration with a line every --every. The summary says how fast they came about,
how many failed or were closed, what was lost, and what a connection costs in memory on both sides and in the kernel.";

/// Load generator for pubsub-server.
#[derive(Debug, Parser)]
#[command(name = "pubsub-load", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    ramp: RampArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Add connections step by step and measure (the default command)
    #[command(after_help = EXAMPLES)]
    Ramp(Box<RampArgs>),
    /// Connect once, at a steady rate, and stay: what very many connections cost, and whether any is lost
    #[command(after_help = SOAK)]
    Soak(Box<SoakArgs>),
    /// Call at a rate that waits for no answer, and measure the answers
    #[command(after_help = orders::EXAMPLES)]
    Orders(Box<orders::OrdersArgs>),
    /// Publish at a fixed rate and measure the acknowledgements
    Publish(PublishArgs),
    /// Hold the limits of this machine against what so many connections need; exit 69 when it is short
    Doctor(DoctorArgs),
    /// A process of the swarm; told what to do on its standard input
    #[command(name = MEMBER, hide = true)]
    Member,
}

#[derive(Debug, Clone, Args)]
struct DoctorArgs {
    #[command(flatten)]
    asked: Asked,
    /// Workers of the node [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    workers: Option<u32>,
}

#[derive(Debug, Clone, Args)]
struct RampArgs {
    /// Connections added in a step
    #[arg(long, value_name = "N", default_value = "100")]
    step: NonZeroUsize,
    /// Time from step to step; each has a line in the report [default: 15s]
    #[arg(long, value_name = "TIME")]
    every: Option<Span>,
    /// Connections at the end
    #[arg(long, value_name = "N", default_value = "10000")]
    max: NonZeroUsize,
    /// Time with all of them, after the last step
    #[arg(long, value_name = "TIME", default_value = "60s")]
    hold: Span,
    #[command(flatten)]
    subscribers: subscribers::SubscriberArgs,
    #[command(flatten)]
    common: common::CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct SoakArgs {
    /// Connections
    #[arg(long, value_name = "N")]
    connections: NonZeroUsize,
    /// Time with all of them, from the moment when the last one is to have been begun
    #[arg(long, value_name = "TIME", default_value = "10m")]
    duration: Span,
    /// Time from line to line in the report [default: 15s]
    #[arg(long, value_name = "TIME")]
    every: Option<Span>,
    #[command(flatten)]
    subscribers: subscribers::SubscriberArgs,
    #[command(flatten)]
    common: common::CommonArgs,
}

#[derive(Debug, Clone, Args)]
struct PublishArgs {
    /// Where to connect
    #[arg(long, default_value = "ws://127.0.0.1:8124/ws")]
    url: String,
    /// Topic to publish on
    #[arg(long)]
    topic: String,
    /// Publications per second, to 100000/s
    #[arg(long, default_value = "50/s")]
    rate: Rate,
    /// Bytes of data: JSON with a sequence number
    #[arg(long, value_name = "BYTES", default_value = "450")]
    size: usize,
    /// How long
    #[arg(long, value_name = "TIME", default_value = "10s")]
    duration: Span,
    /// Keys k0, k1… that take turns; none without it
    #[arg(long, value_name = "N", default_value = "0")]
    key_count: u64,
    /// Sessions that share the rate [default: one for every 10,000 publications a second]
    #[arg(long, value_name = "N")]
    sessions: Option<NonZeroUsize>,
}

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Task {
    /// Ramp up.
    Ramp(Box<Ramp>),
    /// Publish.
    Publish(Box<Publish>),
    /// Look at the machine.
    Doctor(Doctor),
    /// Be a process of the swarm.
    Member,
}

/// A look at the machine as meant.
#[derive(Debug, Clone, Copy)]
pub struct Doctor {
    /// For what.
    pub asked: Asked,
    /// Workers of the node; `None`: one per core.
    pub workers: Option<u32>,
}

/// A ramp as meant; a soak is one of a single step.
#[derive(Debug, Clone)]
pub struct Ramp {
    /// Where to, in turn.
    pub targets: Vec<Target>,
    /// What happens when.
    pub plan: scenario::Plan,
    /// What connections subscribe to, in turn.
    pub subscriptions: Vec<Subscription>,
    /// What they call instead of subscribing.
    pub calls: Option<CallPlan>,
    /// Which of them read slowly.
    pub slow: Vec<Slow>,
    /// Connections begun per second.
    pub connects_per_s: f64,
    /// Source addresses; `None`: as many as are needed.
    pub sources: Option<usize>,
    /// Processes.
    pub processes: Processes,
    /// Where the report goes; `None`: standard output.
    pub csv: Option<PathBuf>,
    /// Where the log of histograms goes.
    pub hdr: Option<PathBuf>,
    /// What it must hold.
    pub thresholds: Vec<Threshold>,
    /// The server's process.
    pub server: ServerPid,
    /// Outliers remembered per line.
    pub outliers: usize,
    /// Loop lag above which a measurement is invalid.
    pub lag_max: Duration,
    /// How it is told.
    pub told: Told,
}

impl Ramp {
    /// What its connections are for, in a word: the topic, or the method that they call.
    pub fn subject(&self) -> &str {
        let topic = self.subscriptions.first().map(|first| first.topic.as_str());
        let method = self.calls.as_ref().map(|calls| calls.method.name());
        method.or(topic).unwrap_or_default()
    }
}

/// How the server's process is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPid {
    /// As its control socket says, or whoever listens on the port.
    Auto,
    /// This one.
    Pid(u32),
    /// Not at all.
    None,
}

/// Publishing as meant.
#[derive(Debug, Clone)]
pub struct Publish {
    /// Where to.
    pub target: Target,
    /// What and how fast.
    pub plan: crate::publisher::Plan,
    /// Over how many sessions.
    pub sessions: usize,
}

/// Reads the arguments; `Err(None)`: help or version was asked for and has been printed.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Task, Option<Failure>> {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = arguments.iter().map(|word| word.to_string_lossy().into());
    let command: Vec<String> = command.collect();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            return Err(Some(Failure::usage(first_paragraph(&error.to_string()))));
        }
        Err(asked) => {
            // Help that nobody reads is no failure.
            let _ = asked.print();
            return Err(None);
        }
    };
    let task = match cli.command {
        Some(Command::Doctor(DoctorArgs { asked, workers })) => {
            Ok(Task::Doctor(Doctor { asked, workers }))
        }
        Some(Command::Publish(publish)) => publish
            .meant()
            .map(|publish| Task::Publish(Box::new(publish))),
        Some(Command::Member) => Ok(Task::Member),
        Some(Command::Ramp(ramp)) => ramp
            .meant(command, environment)
            .map(|ramp| Task::Ramp(Box::new(ramp))),
        Some(Command::Soak(soak)) => soak
            .meant(command, environment)
            .map(|soak| Task::Ramp(Box::new(soak))),
        Some(Command::Orders(orders)) => orders.meant(&environment).map(|mut orders| {
            orders.told.command = command;
            Task::Ramp(Box::new(orders))
        }),
        None => cli
            .ramp
            .meant(command, environment)
            .map(|ramp| Task::Ramp(Box::new(ramp))),
    };
    task.map_err(Some)
}

/// What is wrong, without the usage that follows it.
fn first_paragraph(text: &str) -> String {
    let lines: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).collect();
    let text = lines.join("\n");
    text.strip_prefix("error: ").unwrap_or(&text).to_owned()
}

impl RampArgs {
    fn meant(
        self,
        command: Vec<String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Ramp, Failure> {
        let plan = scenario::Plan {
            step: self.step.get(),
            every: every(self.every, &environment)?,
            max: self.max.get(),
            hold: self.hold.0,
        };
        let (subscriptions, slow) = self.subscribers.meant()?;
        let mut ramp = self.common.meant(plan, subscriptions, slow, &environment)?;
        ramp.told.command = command;
        Ok(ramp)
    }
}

impl SoakArgs {
    fn meant(
        self,
        command: Vec<String>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Ramp, Failure> {
        let every = every(self.every, &environment)?;
        let max = self.connections.get();
        let rate = self.common.rate_of_connects;
        let plan = scenario::Plan::soak(max, rate, every, self.duration.0);
        let (subscriptions, slow) = self.subscribers.meant()?;
        let mut ramp = self.common.meant(plan, subscriptions, slow, &environment)?;
        ramp.told.command = command;
        Ok(ramp)
    }
}

/// Time from line to line.
fn every(
    typed: Option<Span>,
    environment: &impl Fn(&str) -> Option<String>,
) -> Result<Duration, Failure> {
    let every = match typed {
        Some(span) => span.0,
        None => from_environment(environment, "INTERVAL_BETWEEN_NEW_CLIENTS_SECS")?
            .map_or(EVERY, Duration::from_secs),
    };
    if every < LINE {
        return Err(Failure::usage(format!(
            "--every {every:?}: expected at least {LINE:?}"
        )));
    }
    Ok(every)
}

impl PublishArgs {
    fn meant(self) -> Result<Publish, Failure> {
        check_topic(&self.topic, &Limits::default())
            .map_err(|error| Failure::usage(format!("--topic {:?}: {error}", self.topic)))?;
        if !(SIZE_MIN..=SIZE_MAX).contains(&self.size) {
            return Err(Failure::usage(format!(
                "--size {}: expected {SIZE_MIN} to {SIZE_MAX} bytes",
                self.size
            )));
        }
        let plan = crate::publisher::Plan {
            topics: crate::publisher::Topics::One(self.topic),
            per_s: self.rate.0,
            size: self.size,
            keys: self.key_count,
            acks: crate::publisher::Acks::Wanted,
            duration: self.duration.0,
        };
        // Half of what a server takes of one session by default.
        let sessions = self.sessions.map_or_else(
            || (self.rate.0 / 10_000.0).ceil() as usize,
            NonZeroUsize::get,
        );
        Ok(Publish {
            target: target(&self.url)?,
            plan,
            sessions: sessions.max(1),
        })
    }
}

fn target(url: &str) -> Result<Target, Failure> {
    Target::parse(url).map_err(Failure::usage)
}

fn server_pid(text: &str) -> Result<ServerPid, Failure> {
    match text {
        "auto" => Ok(ServerPid::Auto),
        "none" => Ok(ServerPid::None),
        number => number.parse().map(ServerPid::Pid).map_err(|_| {
            Failure::usage(format!(
                "--server-pid {number:?}: expected a process id, auto or none"
            ))
        }),
    }
}

fn from_environment(
    environment: &impl Fn(&str) -> Option<String>,
    name: &str,
) -> Result<Option<u64>, Failure> {
    let Some(text) = environment(name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => Err(Failure::usage(format!(
            "{name}={text:?} in the environment: expected a whole number above 0"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_with(
        arguments: &str,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Task, Failure> {
        let arguments = std::iter::once("pubsub-load")
            .chain(arguments.split_whitespace())
            .map(Into::into);
        read(arguments, environment).map_err(|failure| failure.expect("no help was asked for"))
    }

    fn ramp(arguments: &str) -> Ramp {
        match read_with(arguments, |_| None) {
            Ok(Task::Ramp(ramp)) => *ramp,
            other => panic!("{other:?}"),
        }
    }

    fn refused(arguments: &str) -> String {
        let failure = read_with(arguments, |_| None).unwrap_err();
        assert_eq!(failure.code, 64);
        let text = failure.to_string();
        assert!(!text.contains('\n'), "{text}");
        text
    }

    #[test]
    fn the_ramp_is_what_is_done_when_nothing_is_named() {
        let plan = ramp("").plan;
        assert_eq!(
            (
                plan.step,
                plan.every.as_secs(),
                plan.max,
                plan.hold.as_secs()
            ),
            (100, 15, 10_000, 60)
        );
        assert_eq!(ramp("--step 7").plan.step, ramp("ramp --step 7").plan.step);
    }

    #[test]
    fn the_prototypes_environment_holds_where_no_flag_does() {
        let environment = |name: &str| match name {
            "INTERVAL_BETWEEN_NEW_CLIENTS_SECS" => Some("3".to_owned()),
            "OUTLIER_SIZE" => Some("4".to_owned()),
            _ => None,
        };
        let Ok(Task::Ramp(ramp)) = read_with("ramp", environment) else {
            panic!()
        };
        assert_eq!((ramp.plan.every.as_secs(), ramp.outliers), (3, 4));
        let Ok(Task::Ramp(ramp)) = read_with("ramp --every 2s", environment) else {
            panic!()
        };
        assert_eq!(ramp.plan.every.as_secs(), 2);
        let failure = read_with("ramp", |_| Some("soon".to_owned())).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("INTERVAL_BETWEEN_NEW_CLIENTS_SECS=\"soon\""),
            "{failure}"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_in_one_line_that_names_it() {
        for (arguments, part) in [
            ("--url 127.0.0.1:1", "--url"),
            ("--step 0", "--step"),
            ("--every 5", "--every"),
            ("--every 0s", "--every"),
            ("--topic a..b", "--topic"),
            ("--settings []", "--settings"),
            ("--settings {} --settings {", "--settings"),
            ("--slow 5:stall", "--slow"),
            ("--slow 60%:stall --slow 50%:pause=1s", "110%"),
            ("--server-pid me", "--server-pid"),
            ("--processes none", "--processes"),
            ("--source-addresses 70000", "--source-addresses"),
            ("--url ws://127.0.0.1:1/ --url wss://127.0.0.1:1/", "TLS"),
            ("--threshold p98<1s", "expected one of p50"),
            ("--threshold p99<100", "expected a time"),
            ("soak", "--connections"),
            ("orders --rows 11", "--rows"),
            ("orders --every 300..50ms", "--every"),
            ("orders --every 0s", "--every"),
            ("orders --line 1ms", "--line"),
            ("orders --method order.nothing", "--method"),
            ("orders --deadline 10us", "--deadline"),
            ("orders --topic t", "--topic"),
            ("soak --connections 0", "--connections"),
            ("--nonsense", "--nonsense"),
            ("publish --rate 5/s", "--topic"),
            ("publish --topic a.*", "--topic"),
            ("publish --topic a --size 3", "--size"),
            ("publish --topic a --rate 0", "--rate"),
        ] {
            let text = refused(arguments);
            assert!(text.contains(part), "{arguments}: {text}");
        }
    }

    #[test]
    fn a_soak_is_a_ramp_of_one_step_that_lasts_from_the_last_connect_on() {
        let soak =
            ramp("soak --connections 4000 --rate-of-connects 1000/s --duration 60s --every 5s");
        assert_eq!((soak.plan.step, soak.plan.max), (4000, 4000));
        assert_eq!(soak.plan.duration().as_secs(), 64);
    }

    #[test]
    fn orders_are_calls_whose_pauses_are_drawn_from_a_range() {
        let orders = ramp("orders --connections 7 --every 50..300ms --rows 3");
        let calls = orders.calls.unwrap();
        assert_eq!(calls.every_ns, 50_000_000..=300_000_000);
        assert_eq!(calls.method, crate::swarm::Method::Echo { rows: 3 });
        assert_eq!((orders.plan.max, orders.subscriptions.len()), (7, 0));
        assert!(ramp("").calls.is_none());
    }

    #[test]
    fn connections_have_as_many_places_to_go_as_there_are_addresses() {
        let targets = ramp("--url ws://127.0.0.1:1/a --url ws://127.0.0.1:2/b").targets;
        let paths: Vec<&str> = targets.iter().map(|target| target.path.as_str()).collect();
        assert_eq!(paths, ["/a", "/b"]);
        assert_eq!(ramp("").targets[0].path, "/ws");
    }

    #[test]
    fn the_former_name_of_the_source_addresses_holds() {
        assert_eq!(ramp("--sources 3").sources, Some(3));
        assert_eq!(ramp("--source-addresses 3").sources, Some(3));
    }

    #[test]
    fn sessions_are_as_many_as_the_rate_needs() {
        let sessions =
            |rate: &str| match read_with(&format!("publish --topic t --rate {rate}"), |_| None) {
                Ok(Task::Publish(publish)) => publish.sessions,
                other => panic!("{other:?}"),
            };
        assert_eq!(
            (sessions("50/s"), sessions("10000/s"), sessions("100000/s")),
            (1, 1, 10)
        );
    }
}
