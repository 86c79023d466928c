//! The command `doctor`: what so many connections need of this machine, and what it has.
use crate::args::Doctor;
use crate::failure::Failure;
use pubsub_sysctl::{Machine, Plan, check};
use std::io::{self, Write as _};
use std::path::Path;
use std::thread::available_parallelism;

/// Looks and tells.
pub fn run(doctor: &Doctor) -> Result<u8, Failure> {
    let asked = &doctor.asked;
    let cores = || available_parallelism().map_or(1, |cores| cores.get() as u64);
    let workers = doctor.workers.map_or_else(cores, u64::from);
    let plan = Plan::usual(asked.connections(), asked.ends(), workers);
    let report = check(&Machine::look(Path::new("/")), &plan);
    let mut stdout = io::stdout().lock();
    match stdout.write_all(report.text(asked.form()).as_bytes()) {
        // Nobody reads on (`| head`): the exit code says it too.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(Failure::fault(error));
        }
        _ => {}
    }
    report
        .shortage()
        .map_or(Ok(0), |line| Err(Failure::unavailable(line)))
}
