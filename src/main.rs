//! Arguments -> configuration -> the role this process plays.
//!
//! Owns the exit codes and the one line on stderr that goes with 64 and 69. Must not contain: anything that a role does; what this
//! process is, is decided here and nowhere else.
mod role;

use std::fmt::Display;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;

use mimalloc::MiMalloc;
use pubsub_server::config::args::{CheckArgs, Command, CtlArgs, LogArgs, NodeArgs, Parsed, parse};
use pubsub_server::config::{Config, Log, Resolved, Source, Surroundings, load, print};
use pubsub_server::hub::log::disk::folder::{self, FolderError};
use pubsub_server::hub::log::tool::{self, ToolError, Verdict};
use pubsub_server::quotes;
use pubsub_server::supervisor::begin::{BeginError, begin};
use pubsub_server::supervisor::command::{self, CtlError};
use pubsub_server::supervisor::signals::{Signals, held_back};
use pubsub_server::supervisor::tree::Outcome;
use pubsub_server::telemetry::logging::{self, FILTER_VARIABLE, Filter};
use pubsub_sysctl::Machine;
use tracing::{error, info, warn};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `EX_USAGE` of sysexits.h: usage or configuration.
const USAGE: u8 = 64;
/// `EX_DATAERR`: the folder of a log is damaged.
const DAMAGED: u8 = 65;
/// `EX_UNAVAILABLE`: a needed port, lock or directory is not to be had.
const UNAVAILABLE: u8 = 69;
/// `EX_SOFTWARE`: a fault of its own.
const FAULT: u8 = 70;

/// Fewer connections may wait to be accepted than a storm of reconnects brings.
const SOMAXCONN_LOW: u64 = 4096;

/// Why a process ends before or instead of doing what it is for.
struct Failure {
    code: u8,
    line: String,
}

fn usage(error: impl Display) -> Failure {
    Failure {
        code: USAGE,
        line: error.to_string(),
    }
}

fn fault(error: impl Display) -> Failure {
    Failure {
        code: FAULT,
        line: error.to_string(),
    }
}

fn main() -> ExitCode {
    let done = match parse(std::env::args_os()) {
        Ok(Parsed::Show(text)) => say(&text),
        Ok(Parsed::Run(typed)) => match typed.command {
            None => run(&typed.node),
            Some(Command::Check(args)) => check(&args),
            Some(Command::Ctl(ctl)) => control(&ctl),
            Some(Command::Log(log)) => look_into_log(&log),
            Some(Command::Role(role)) => role::play(role.role),
        },
        Err(refused) => Err(usage(refused)),
    };
    match done {
        Ok(code) => code,
        Err(failure) => {
            // Nobody may be there to read it.
            let _ = writeln!(io::stderr(), "pubsub-server: {}", failure.line);
            ExitCode::from(failure.code)
        }
    }
}

/// Runs a node until it is told to stop.
fn run(args: &NodeArgs) -> Result<ExitCode, Failure> {
    let here = Surroundings::look();
    let (resolved, filter) = resolve(args, &here)?;
    if args.print_config {
        return say(&print::toml(&resolved));
    }
    // Where the system gives huge pages unasked, thirteen small processes would be large ones; those started from here inherit it.
    // A kernel without the switch only makes them larger.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fault)?;
    // Heard from before anything is taken on, so that no signal leaves a run dir behind.
    let listen = || runtime.block_on(async { Signals::listen() });
    let signals = held_back(listen).flatten().map_err(fault)?;
    if let Log::Disk { folder } = &resolved.config.log {
        folder::probe(folder).map_err(|error| Failure {
            code: UNAVAILABLE,
            line: error.to_string(),
        })?;
    }
    let begun = begin(resolved).map_err(|error| match error {
        BeginError::Machine(..) => fault(error),
        BeginError::RunDir(_) | BeginError::Socket(_) => Failure {
            code: UNAVAILABLE,
            line: error.to_string(),
        },
    })?;
    logging::init(begun.node.config.log_format, filter).map_err(fault)?;
    role::end_at_a_panic();
    say_what_is_worth_knowing(&begun.node.config, &here);
    let outcome = runtime.block_on(begun.node.run(signals));
    begun.run_dir.clear();
    match outcome {
        Outcome::Stopped => {
            info!("stopped");
            Ok(ExitCode::SUCCESS)
        }
        Outcome::NeverReady(role) => {
            error!(
                ?role,
                "never became ready: it kept ending; the lines above say why"
            );
            Ok(ExitCode::from(FAULT))
        }
    }
}

/// Checks the configuration and prints it resolved; or holds the machine against it.
fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let (resolved, _) = resolve(&args.node, &Surroundings::look())?;
    let Some(asked) = args.system().map_err(usage)? else {
        return say(&print::toml(&resolved));
    };
    let report = pubsub_sysctl::check(
        &Machine::look(Path::new("/")),
        &resolved.plan(asked.connections(), asked.ends()),
    );
    let said = say(&report.text(asked.form()))?;
    match report.shortage() {
        None => Ok(said),
        Some(line) => Err(Failure {
            code: UNAVAILABLE,
            line,
        }),
    }
}

/// Everything that can be refused without touching the machine, and the files that the configuration names.
fn resolve(args: &NodeArgs, here: &Surroundings) -> Result<(Resolved, Filter), Failure> {
    let resolved = load(args, here).map_err(usage)?;
    let filter = Filter::read(here.env.get(FILTER_VARIABLE).map(String::as_str)).map_err(usage)?;
    for source in &resolved.config.sources {
        if let Source::Replay { file, .. } = source {
            let origin = resolved.origin("source");
            quotes::check(file)
                .map_err(|error| usage(format!("source (from {origin}): {error}")))?;
        }
    }
    Ok((resolved, filter))
}

fn control(args: &CtlArgs) -> Result<ExitCode, Failure> {
    let text = command::run(args, &Surroundings::look()).map_err(|error| match error {
        CtlError::Several(_) => usage(error),
        CtlError::NoNode(_) | CtlError::Silent { .. } | CtlError::Stranger { .. } => Failure {
            code: UNAVAILABLE,
            line: error.to_string(),
        },
        CtlError::Refused(_) => fault(error),
    })?;
    say(&text)
}

/// Looks into the folder of a log; a reader that has gone (`| head`) is no fault.
fn look_into_log(args: &LogArgs) -> Result<ExitCode, Failure> {
    let mut stdout = io::BufWriter::new(io::stdout().lock());
    let looked = tool::run(args, &mut stdout, &mut io::stderr());
    let flushed = stdout.flush().map_err(ToolError::Write);
    match looked.and_then(|verdict| flushed.map(|()| verdict)) {
        Ok(Verdict::Whole) => Ok(ExitCode::SUCCESS),
        Ok(Verdict::Damaged) => Ok(ExitCode::from(DAMAGED)),
        Err(ToolError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Err(Failure {
            code: match error {
                ToolError::Folder(FolderError::Damaged { .. }) => DAMAGED,
                ToolError::Folder(_) | ToolError::Read { .. } => UNAVAILABLE,
                ToolError::Write(_) => FAULT,
            },
            line: error.to_string(),
        }),
    }
}

/// Prints on stdout; a reader that has gone (`| head`) is no fault.
fn say(text: &str) -> Result<ExitCode, Failure> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(fault(error)),
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// What an operator would want to know of this machine before the clients come.
fn say_what_is_worth_knowing(config: &Config, here: &Surroundings) {
    let (worker, workers) = (config.worker.connections, config.workers);
    let node =
        u64::from(config.worker.node_connections).min(u64::from(worker) * u64::from(workers));
    info!(
        files = here.files,
        worker, node, "connections that the limit of open files and the configuration allow"
    );
    let waiting = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    if let Some(somaxconn) = waiting.filter(|waiting: &u64| *waiting < SOMAXCONN_LOW) {
        warn!(
            somaxconn,
            "few connections may wait to be accepted: raise net.core.somaxconn"
        );
    }
    for variable in here.unknown_variables() {
        warn!(variable, "no setting has this environment variable");
    }
}
