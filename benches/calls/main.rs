//! Calls in a closed loop, measured from outside: `order.echo` and `order.submit` beside the same server's bare WebSocket echo, and
//! beside an echo by uWebSockets.
//!
//! `cargo bench --bench calls -- [OPTIONS]`. One worker, so many connections, each with one call under way: the next is sent when the
//! answer is there. All kinds take turns in one run and the middle of the rounds counts, since absolute times move from hour to hour.
//! Cost is CPU time of the server's whole tree of processes per reply, so what the hub spends on an order counts too.
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time")]
// A binary has no outside: `pub` marks what a room offers to the others.
#![allow(unreachable_pub)]

#[allow(
    dead_code,
    reason = "shared with the bench of the fan-out, which uses all"
)]
#[path = "../fanout/child.rs"]
mod child;
mod line;
mod peer;
#[allow(
    dead_code,
    reason = "shared with the bench of the fan-out, which uses all"
)]
#[path = "../fanout/report.rs"]
mod report;
mod talk;

use child::{Measured, Pin, Server};
use line::{Cost, Lines};
use peer::Peer;
use report::{Findings, Reach, Table, median};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use talk::{Talk, quote};

/// As in the load tool.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// No call is refused for coming too fast, and the echo is there.
const CONFIG: &str = "echo = true\n[worker]\ncommands_per_s = 1000000\n";

const USAGE: &str = "\
cargo bench --bench calls -- [--rounds 5] [--seconds 2] [--connections 100] [--rows 2] [--pin] [--peer DIR] [--json FILE]
--rounds: of all kinds; --seconds: of each window; --rows: executions in one order.echo
--pin: servers on core 0, clients on core 1
--peer: where uWebSockets.js is installed (default: .cache/uws), to be compared with. Upstream distributes it by GitHub alone:
  npm install --prefix .cache/uws uNetworking/uWebSockets.js#v20.52.0
and the registry has an older one as others have published it again:
  npm install --prefix .cache/uws @trufflesuite/uws-js-unofficial@20.30.0-unofficial.0
Without either the echo of npm's ws takes its place, and the report says so.";

/// What the command line asks for.
struct Asked {
    rounds: usize,
    window: Duration,
    connections: usize,
    rows: usize,
    pin: Pin,
    peer: PathBuf,
    json: Option<PathBuf>,
}

impl Asked {
    fn from(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut asked = Self {
            rounds: 5,
            window: Duration::from_secs(2),
            connections: 100,
            rows: 2,
            pin: Pin::Nowhere,
            peer: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".cache/uws"),
            json: None,
        };
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => asked.rounds = number(&value()?)?,
                "--seconds" => asked.window = Duration::from_secs(number(&value()?)? as u64),
                "--connections" => asked.connections = number(&value()?)?,
                "--rows" => asked.rows = number(&value()?)?,
                "--pin" => asked.pin = Pin::Apart,
                "--peer" => asked.peer = value()?.into(),
                "--json" => asked.json = Some(value()?.into()),
                _ => return Err(format!("{argument}: no such option\n{USAGE}")),
            }
        }
        Ok(asked)
    }
}

fn number(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or(format!("{text}: expected a whole number above 0"))
}

fn main() -> ExitCode {
    let done = Asked::from(std::env::args().skip(1)).and_then(|asked| run(&asked));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("calls: {why}");
            ExitCode::FAILURE
        }
    }
}

/// Something that is called in a loop, and what it cost, round by round.
struct Kind {
    name: String,
    lines: Lines,
    rounds: Vec<Cost>,
}

impl Kind {
    fn median(&self, value: impl Fn(&Cost) -> f64) -> f64 {
        median(self.rounds.iter().map(value).collect())
    }
}

fn run(asked: &Asked) -> Result<(), String> {
    let server = Server::configured(1, asked.pin, CONFIG)?;
    let peer = Peer::start(&asked.peer, asked.pin)?;
    quote(&server.url())?;
    let mut kinds = kinds(asked, &server, &peer)?;
    for round in 0..asked.rounds {
        eprintln!("calls: round {} of {}", round + 1, asked.rounds);
        for turn in 0..kinds.len() {
            let at = (round + turn) % kinds.len();
            let cost = kinds[at].lines.run(asked.window)?;
            kinds[at].rounds.push(cost);
        }
    }
    let mut table = Table::new(asked.pin);
    let what = format!(
        "{} connections in a closed loop, one worker; {} of {} s",
        asked.connections,
        asked.rounds,
        asked.window.as_secs()
    );
    table.add("calls", &what, Ok(found(&kinds, &peer)));
    println!("{table}");
    match &asked.json {
        Some(file) => std::fs::write(file, table.json())
            .map_err(|error| format!("{}: {error}", file.display())),
        None => Ok(()),
    }
}

/// For each of the two methods: the call, the bare echo of the same text, and that of the peer.
fn kinds(asked: &Asked, server: &Server, peer: &Peer) -> Result<Vec<Kind>, String> {
    let echo = server.url().replace("/ws", "/echo");
    let mut kinds = Vec::new();
    for (talk, method) in [
        (Talk::Echo { rows: asked.rows }, "order.echo"),
        (Talk::Submit, "order.submit"),
    ] {
        let ways = [
            (
                method.to_owned(),
                server.url(),
                server.pid(),
                line::Answer::Reply,
            ),
            (
                format!("bare echo of {method}"),
                echo.clone(),
                server.pid(),
                line::Answer::Same,
            ),
            (
                format!("{} echo of {method}", peer.name()),
                peer.url(),
                peer.pid(),
                line::Answer::Same,
            ),
        ];
        for (name, url, pid, answer) in ways {
            let lines = Lines::connect(&url, asked.connections, talk, answer, pid)?;
            kinds.push(Kind {
                name,
                lines,
                rounds: Vec::new(),
            });
        }
    }
    Ok(kinds)
}

fn found(kinds: &[Kind], peer: &Peer) -> Findings {
    let mut findings = Findings::default();
    for kind in kinds {
        findings.say(
            format!("{}: CPU per reply, replies/s", kind.name),
            format!(
                "{:.2} us, {:.0}/s, {:.2} cores",
                kind.median(Cost::cpu_us),
                kind.median(Cost::per_s),
                kind.median(Cost::cores)
            ),
        );
    }
    // Replies a CPU second, one over the other: the costs the other way round.
    let ratio = |of: &Kind, to: &Kind| {
        let rounds = of.rounds.iter().zip(&to.rounds);
        median(rounds.map(|(of, to)| to.cpu_us() / of.cpu_us()).collect())
    };
    for (three, least) in kinds.chunks(3).zip([0.9, 0.6]) {
        let [call, bare, foreign] = three else {
            continue;
        };
        let what = format!("{}: replies a core, of the bare echo's", call.name);
        findings.judge(what, ratio(call, bare), Reach::Least(least), "");
        findings.say(
            format!(
                "{}: replies a core, of the echo's by {}",
                call.name,
                peer.name()
            ),
            format!("{:.2}", ratio(call, foreign)),
        );
    }
    findings.doubt(&doubts(kinds, peer));
    findings
}

fn doubts(kinds: &[Kind], peer: &Peer) -> Vec<String> {
    let mut doubts = Vec::new();
    let starved = median(
        kinds
            .iter()
            .map(|kind| kind.median(Cost::starved))
            .collect(),
    );
    if starved > 0.2 {
        doubts.push(format!(
            "others kept the servers off their cores for {:.0} % of the time: only ratios hold",
            starved * 100.0
        ));
    }
    doubts.extend(peer.shortcoming());
    doubts
}
