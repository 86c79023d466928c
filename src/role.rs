//! A process of the node that is not the supervisor: what it was handed, its signals, its runtime, its role.
//!
//! Owns the wiring, which is all that differs between a role in its own process and one that a test runs as a thread. Must not
//! contain: what a role does. Driven by `main`.
//!
//! Laws: a role has one thread; the supervisor alone decides when a role ends, as long as it lives: a signal meant for the whole
//! terminal or service doesn't reach past it. Only a worker may be asked by SIGTERM to drain for a restart.

use std::ffi::CString;
use std::io;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use pubsub_server::config::args::RoleCommand;
use pubsub_server::link::{control, paths};
use pubsub_server::supervisor::inherit::Inherited;
use pubsub_server::supervisor::signals::held_back;
use pubsub_server::telemetry::logging::{self, FILTER_VARIABLE, Filter};
use pubsub_server::worker::WorkerArgs;
use pubsub_server::{admin, hub, worker};
use rustix::process::getppid;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, info_span};

use crate::{FAULT, Failure, fault, usage};

type Terminated = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Plays a role to its end.
pub(crate) fn play(role: RoleCommand) -> Result<ExitCode, Failure> {
    let inherited = Inherited::take().map_err(usage)?;
    let filter = Filter::read(std::env::var(FILTER_VARIABLE).ok().as_deref()).map_err(fault)?;
    logging::init(inherited.config.log_format, filter).map_err(fault)?;
    end_at_a_panic();
    let (name, span) = match role {
        RoleCommand::Worker { slot, .. } => (format!("pubsub-w{slot}"), info_span!("worker", slot)),
        RoleCommand::Hub { .. } => ("pubsub-hub".to_owned(), info_span!("hub")),
        RoleCommand::Admin => ("pubsub-admin".to_owned(), info_span!("admin")),
    };
    // What `top` and `ps` show; the command line says the same in full.
    let _ = CString::new(name).map(|name| rustix::thread::set_name(&name));
    let _inside = span.entered();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fault)?;
    let catch = || runtime.block_on(async { Caught::all() });
    let caught = held_back(catch).map_err(fault)?.map_err(fault)?;
    let ended = runtime.block_on(begin(role, inherited, caught));
    Ok(ended.unwrap_or_else(|failure| {
        error!("{failure}");
        ExitCode::from(FAULT)
    }))
}

/// The signals of a role: none of them ends it by itself.
struct Caught {
    terminate: Signal,
    /// Never looked at: those that a terminal or service means for the supervisor.
    _others: [Signal; 4],
}

impl Caught {
    fn all() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            _others: [
                signal(SignalKind::interrupt())?,
                signal(SignalKind::hangup())?,
                signal(SignalKind::user_defined1())?,
                signal(SignalKind::user_defined2())?,
            ],
        })
    }
}

async fn begin(
    role: RoleCommand,
    inherited: Inherited,
    caught: Caught,
) -> Result<ExitCode, String> {
    let supervisor = getppid();
    let Caught {
        mut terminate,
        _others,
    } = caught;
    let Inherited {
        config,
        scoreboard,
        control,
        listener,
        lock: _lock,
    } = inherited;
    let only_when_orphaned = |mut terminate: Signal| async move {
        while terminate.recv().await.is_some() {
            if getppid() != supervisor {
                info!("SIGTERM, and no supervisor: ending");
                return;
            }
        }
    };
    match role {
        RoleCommand::Worker { slot, generation } => {
            let terminated: Terminated = Box::pin(async move {
                terminate.recv().await;
            });
            let args = WorkerArgs {
                hub_path: paths::hub(&config.run_dir),
                config,
                slot,
                generation,
                listener: listener.into(),
                scoreboard,
                control: Some(control),
                terminate: Some(terminated),
            };
            worker::run(args).await.map_err(|error| error.to_string())?;
        }
        RoleCommand::Hub { .. } => {
            let control = control::open(control).map_err(|error| error.to_string())?;
            tokio::select! {
                ran = hub::run(Arc::new(config), listener.into(), scoreboard, control) => ran.map_err(|error| error.to_string())?,
                () = only_when_orphaned(terminate) => {}
            }
        }
        RoleCommand::Admin => {
            let control = control::open(control).map_err(|error| error.to_string())?;
            tokio::select! {
                ran = admin::run(Arc::new(config), listener.into(), scoreboard, control) => ran.map_err(|error| error.to_string())?,
                () = only_when_orphaned(terminate) => {}
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A panic ends the process, wherever it is: half of a role would be worse than none, and the supervisor has another.
pub(crate) fn end_at_a_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture().to_string();
        let panic = panic.to_string();
        error!(panic, backtrace, "a fault of this program");
        std::process::exit(i32::from(FAULT));
    }));
}
