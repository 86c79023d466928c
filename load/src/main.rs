//! `pubsub-load`: arguments, the command they name, and an exit code.
use pubsub_load::args::{self, Task};
use pubsub_load::failure::Failure;
use pubsub_load::interrupt::Interrupt;
use pubsub_load::{doctor, failure, fleet, publish, ramp};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// A subscriber owns bytes while a frame is incomplete: at a million messages a second that is an allocator's work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match args::read(std::env::args_os(), |name| std::env::var(name).ok()) {
        Ok(task) => match run(&task) {
            Ok(code) => code.into(),
            Err(failure) => told(&failure),
        },
        Err(None) => ExitCode::SUCCESS,
        Err(Some(failure)) => told(&failure),
    }
}

fn run(task: &Task) -> Result<u8, Failure> {
    let mut interrupt = Interrupt::hold()?;
    match task {
        Task::Ramp(asked) => ramp::run(asked, &mut interrupt),
        Task::Publish(asked) => publish::run(asked, &mut interrupt),
        Task::Doctor(asked) => doctor::run(asked),
        Task::Member => member(),
    }
}

/// Signals stay held back: an interrupt goes to the whole group of processes, and how a run ends is its coordinator's to say.
fn member() -> Result<u8, Failure> {
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(Failure::fault)?;
    match fleet::member::serve(UnixStream::from(socket)) {
        Err(fleet::member::MemberError::Socket(error)) => Err(Failure::usage(format!(
            "member: standard input is no coordinator ({error}): this command is for pubsub-load itself"
        ))),
        // Whoever ordered it has been told, or is gone.
        Err(_) => Ok(failure::exit::FAULT),
        Ok(()) => Ok(0),
    }
}

fn told(failure: &Failure) -> ExitCode {
    // A terminal that is gone takes nothing, and the code is what is left to say.
    let _ = writeln!(std::io::stderr(), "pubsub-load: {failure}");
    failure.code.into()
}
