//! `pubsub-load publish`: publications at a fixed rate, and what became of them.
use crate::args::Publish;
use crate::failure::{Failure, exit};
use crate::interrupt::Interrupt;
use crate::publisher::{PublishError, Publisher, Report};
use hdrhistogram::Histogram;
use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Time for a session to come about.
const PATIENCE: Duration = Duration::from_secs(10);

/// Time between two looks at Ctrl-C.
const SLICE: Duration = Duration::from_millis(50);

/// Publishes as asked; the exit code.
pub fn run(asked: &Publish, interrupt: &mut Interrupt) -> Result<u8, Failure> {
    let mut publisher =
        Publisher::connect(&asked.target, asked.sessions, PATIENCE).map_err(failure)?;
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let publishing = scope.spawn(|| {
            let report = publisher.run(&asked.plan, &stop);
            publisher.close();
            report
        });
        while !publishing.is_finished() {
            if interrupt.came() {
                stop.store(true, Ordering::Relaxed);
                interrupt.let_go();
            }
            std::thread::sleep(SLICE);
        }
        publishing.join()
    });
    let report = report
        .map_err(|_| Failure::fault("the publishing thread panicked"))?
        .map_err(failure)?;
    write!(io::stdout(), "{}", Summary(&report))
        .map_err(|error| Failure::unavailable(format!("standard output: {error}")))?;
    let whole = report.refused == 0 && report.unsent == 0 && report.unanswered() == 0;
    Ok(if whole { 0 } else { exit::WRONG })
}

fn failure(error: PublishError) -> Failure {
    match error {
        PublishError::System(_) => Failure::fault(error),
        PublishError::Connect(_) | PublishError::Lost(_) => Failure::unavailable(error),
    }
}

/// What a person wants to know of it.
struct Summary<'a>(&'a Report);

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = self.0;
        let seconds = report.elapsed.as_secs_f64();
        let per_s = if seconds > 0.0 {
            report.sent as f64 / seconds
        } else {
            0.0
        };
        writeln!(
            f,
            "sent {} in {seconds:.2} s ({per_s:.0}/s), not sent {}",
            report.sent, report.unsent
        )?;
        let (acknowledged, refused) = (report.acknowledged, report.refused);
        writeln!(
            f,
            "acknowledged {acknowledged}, refused {refused}, unanswered {}",
            report.unanswered()
        )?;
        writeln!(f, "acknowledged after: {}", quantiles(&report.ack_us))?;
        writeln!(f, "sent late by: {}", quantiles(&report.late_us))?;
        for (refusal, n) in &report.refusals {
            writeln!(f, "refused {n}: {refusal}")?;
        }
        if report.sessions_lost > 0 {
            writeln!(
                f,
                "{} sessions were closed by the server",
                report.sessions_lost
            )?;
        }
        Ok(())
    }
}

fn quantiles(us: &Histogram<u64>) -> String {
    if us.is_empty() {
        return "-".to_owned();
    }
    let ms = |quantile: f64| us.value_at_quantile(quantile) as f64 / 1000.0;
    format!(
        "p50 {:.3} ms, p90 {:.3} ms, p99 {:.3} ms, p99.9 {:.3} ms, max {:.3} ms",
        ms(0.5),
        ms(0.9),
        ms(0.99),
        ms(0.999),
        us.max() as f64 / 1000.0
    )
}
