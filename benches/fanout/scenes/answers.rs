//! Answers on a connection whose data lane is full: they overtake the data at the next frame boundary.
//!
//! A subscriber is fed more than it reads, so that its lane never empties. It stops, asks, and reads on once the server has the
//! answer ready: from then on the socket takes bytes, and the answer may take no longer than on a connection without data. What the
//! kernel held when it asked comes first; of the lane nothing may come before the answer but the rest of the frame under way.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::phase::{self, FRAME_BYTES, Own, doubts};
use crate::report::{Findings, Reach};
use crate::sockets;
use crate::talk::Talk;
use pubsub_load::clock;
use pubsub_load::floor::TOPIC;
use pubsub_load::measure;
use pubsub_load::publisher::{Acks, Publisher};
use pubsub_load::target::Target;
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What fills the lane: far more than is read in the time between two questions.
const PER_S: f64 = 10_000.0;

/// Questions of a kind, in a round and on either connection.
const ASKED: usize = 100;

/// Every how manieth answer's place in the stream is compared with what the kernel held.
const PLACED: usize = 10;

/// Receive buffer of both connections: full within the time between two questions, and large enough to be offered as one window, so that
/// what the server's kernel holds comes in one go.
const RECEIVE_BYTES: usize = 64 * 1024;

/// Between two looks at what the kernel has: when it stays the same, no more goes in.
const LOOK: Duration = Duration::from_millis(4);

/// The same where every byte counts: what has come is in the sender's queue too until it is acknowledged, 40 ms later at most.
const LOOK_CLOSELY: Duration = Duration::from_millis(60);

/// Time for a question to reach the hub and for the answer to reach the lane.
const READY: Duration = Duration::from_millis(10);

const P99_REACH: Reach = Reach::Most(2.0);

/// The frame under way, and no other.
const BETWEEN_REACH: Reach = Reach::Most(FRAME_BYTES as f64);

/// A command and what its answer begins with.
type Question = fn(u64, &str) -> (String, String);

const QUESTIONS: [(&str, Question); 3] = [
    ("ping", |id, _| {
        (
            format!(r#"{{"op":"ping","id":{id}}}"#),
            format!(r#"{{"op":"pong","id":{id},"#),
        )
    }),
    ("ledger", |id, topic| {
        (
            format!(r#"{{"op":"ledger","id":{id},"topic":"{topic}"}}"#),
            format!(r#"{{"op":"ledger","id":{id},"#),
        )
    }),
    ("publish", |id, _| {
        (
            format!(r#"{{"op":"publish","id":{id},"topic":"elsewhere","data":{id}}}"#),
            format!(r#"{{"op":"published","id":{id},"#),
        )
    }),
];

/// What came of the questions of one kind.
#[derive(Default)]
struct Answers {
    busy_ms: Vec<f64>,
    idle_ms: Vec<f64>,
    /// Bytes between what the kernel held and the answer.
    between: Vec<u64>,
    held: Vec<u64>,
}

/// Both connections, and where they are connected to.
struct Pair {
    busy: Talk,
    idle: Talk,
    port: u16,
    id: u64,
}

pub fn run(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(1, asked.pin)?;
    let target = Target::parse(&server.url()).map_err(|error| error.to_string())?;
    let mut pair = Pair {
        busy: subscribed(&target, TOPIC)?,
        idle: subscribed(&target, "quiet")?,
        port: server.port(),
        id: 10,
    };
    let mut publisher = Publisher::connect(&target, 1, Duration::from_secs(10))
        .map_err(|error| error.to_string())?;
    let plan = phase::plan(TOPIC, PER_S, Duration::from_secs(3600), Acks::Unwanted);
    let stop = AtomicBool::new(false);
    let mut answers = QUESTIONS.map(|_| Answers::default());
    let tree = || measure::tree(server.pid()).map_err(|error| error.to_string());
    let (before, own) = (tree()?, Own::begin());
    std::thread::scope(|scope| {
        let publishing = scope.spawn(|| publisher.run(&plan, &stop));
        let done = ask_all(asked, &mut pair, &mut answers);
        stop.store(true, Ordering::Relaxed);
        publishing
            .join()
            .map_err(|_| "the publishing thread panicked".to_owned())?
            .map_err(|error| error.to_string())?;
        done
    })?;
    let (after, own) = (tree()?, own.end());
    let mut findings = Findings::default();
    for ((name, _), answers) in QUESTIONS.iter().zip(&mut answers) {
        judge(&mut findings, name, answers);
    }
    let starved = after.starved_ns_since(&before) as f64 / 1e9 / own.seconds;
    findings.doubt(&doubts(starved, own.busy, own.starved));
    Ok(findings)
}

fn ask_all(
    asked: &Asked,
    pair: &mut Pair,
    answers: &mut [Answers; QUESTIONS.len()],
) -> Result<(), String> {
    std::thread::sleep(phase::WARM);
    for round in 0..asked.pairs {
        eprintln!("fanout: round {} of {}", round + 1, asked.pairs);
        for ((_, question), answers) in QUESTIONS.iter().zip(&mut *answers) {
            for number in 0..ASKED {
                ask_busy(pair, *question, answers, number % PLACED == 0)?;
                ask_idle(pair, *question, answers)?;
            }
        }
    }
    Ok(())
}

fn subscribed(target: &Target, topic: &str) -> Result<Talk, String> {
    let mut talk = Talk::connect(target, RECEIVE_BYTES)?;
    talk.say(&format!(r#"{{"op":"subscribe","id":1,"topic":"{topic}"}}"#))?;
    talk.hear(r#"{"op":"subscribed","#)?;
    Ok(talk)
}

/// Asks while the kernel takes nothing, and reads on.
fn ask_busy(
    pair: &mut Pair,
    question: Question,
    answers: &mut Answers,
    placed: bool,
) -> Result<(), String> {
    if placed {
        come_to_rest(LOOK_CLOSELY, || held(pair));
    } else {
        come_to_rest(LOOK, || pair.busy.unread());
    }
    let in_kernel = placed.then(|| held(pair));
    pair.id += 1;
    let (command, answer) = question(pair.id, TOPIC);
    pair.busy.say(&command)?;
    std::thread::sleep(READY);
    // What went into the kernel after all was no lane's fault.
    let in_kernel = in_kernel.filter(|bytes| *bytes == held(pair));
    let end = in_kernel.map(|bytes| pair.busy.place() + bytes);
    answers.held.extend(in_kernel);
    let begun = clock::mono_ns();
    let place = pair.busy.hear(&answer)?;
    answers
        .busy_ms
        .push((clock::mono_ns() - begun) as f64 / 1e6);
    answers
        .between
        .extend(end.map(|end| place.saturating_sub(end)));
    Ok(())
}

fn ask_idle(pair: &mut Pair, question: Question, answers: &mut Answers) -> Result<(), String> {
    pair.id += 1;
    let (command, answer) = question(pair.id, "quiet");
    let begun = clock::mono_ns();
    pair.idle.say(&command)?;
    pair.idle.hear(&answer)?;
    answers
        .idle_ms
        .push((clock::mono_ns() - begun) as f64 / 1e6);
    Ok(())
}

/// Waits until a number stays what it is, and is one.
fn come_to_rest(look: Duration, number: impl Fn() -> u64) {
    let mut last = 0;
    loop {
        std::thread::sleep(look);
        let now = number();
        if now > 0 && now == last {
            return;
        }
        last = now;
    }
}

/// Bytes that both kernels hold for the busy connection.
fn held(pair: &Pair) -> u64 {
    let sending = sockets::queues(pair.port, Some(pair.busy.port()));
    pair.busy.unread() + sending.iter().map(|queue| queue.send).sum::<u64>()
}

fn judge(findings: &mut Findings, name: &str, answers: &mut Answers) {
    let [busy, idle] = [&mut answers.busy_ms, &mut answers.idle_ms].map(|times| {
        times.sort_by(f64::total_cmp);
        [0.5, 0.99].map(|part| times[(times.len() as f64 * part) as usize])
    });
    findings.judge(
        format!("{name}: p99 with a full data lane / idle"),
        busy[1] / idle[1],
        P99_REACH,
        &format!(
            "{:.3} ms, {:.3} ms (p50 {:.3} ms, {:.3} ms)",
            busy[1], idle[1], busy[0], idle[0]
        ),
    );
    let most = |bytes: &[u64]| bytes.iter().copied().max().unwrap_or(0);
    if answers.between.is_empty() {
        findings.say("INVALID", "the kernel never stood still while it was asked");
        return;
    }
    findings.judge(
        format!("{name}: bytes of the lane before the answer, at most"),
        most(&answers.between) as f64,
        BETWEEN_REACH,
        &format!(
            "{} answers; the kernels held up to {} bytes",
            answers.between.len(),
            most(&answers.held)
        ),
    );
    findings.keep(json!({"question": name, "busy_ms": answers.busy_ms, "idle_ms": answers.idle_ms, "between": answers.between, "held": answers.held}));
}
