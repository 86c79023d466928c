//! `pubsub-load`: arguments, the command they name, and an exit code.
use pubsub_load::args::{self, Task};
use pubsub_load::failure::Failure;
use pubsub_load::interrupt::Interrupt;
use pubsub_load::{publish, ramp};
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
    }
}

fn told(failure: &Failure) -> ExitCode {
    eprintln!("pubsub-load: {failure}");
    failure.code.into()
}
