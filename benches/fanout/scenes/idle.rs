//! A node of ten workers with nothing to do.
use crate::Asked;
use crate::child::{Measured, Server};
use crate::report::Findings;
use pubsub_load::measure::{self, Sample};
use serde_json::json;
use std::time::Duration;

const WORKERS: u32 = 10;

/// Starting is over by then.
const REST: Duration = Duration::from_secs(5);

#[allow(clippy::disallowed_methods)] // doing nothing for a while is what is measured
pub fn run(asked: &Asked) -> Result<Findings, String> {
    let server = Server::start(WORKERS, asked.pin)?;
    let tree = || measure::tree(server.pid()).map_err(|error| error.to_string());
    std::thread::sleep(REST);
    let before = tree()?;
    std::thread::sleep(asked.window.max(Duration::from_secs(10)));
    let after = tree()?;
    let seconds = asked.window.max(Duration::from_secs(10)).as_secs_f64();
    let mut findings = Findings::default();
    findings.say(
        "PSS of the tree",
        format!("{:.1} MB", mb(after.pss_bytes())),
    );
    findings.say(
        "CPU of the tree",
        format!(
            "{:.3} % of a core",
            after.cpu_ns_since(&before) as f64 / 1e7 / seconds
        ),
    );
    for process in &after.processes {
        let of = |sample: &Sample| {
            sample
                .processes
                .iter()
                .find(|other| other.pid == process.pid)
                .cloned()
        };
        let Some(earlier) = of(&before) else { continue };
        let waits = process.waits.saturating_sub(earlier.waits) as f64 / seconds;
        let cpu = process.cpu_ns.saturating_sub(earlier.cpu_ns) as f64 / 1e3 / seconds;
        findings.say(
            format!("{}: PSS, wake-ups, CPU", process.role),
            format!(
                "{:.1} MB, {waits:.1}/s, {cpu:.0} us/s",
                mb(process.pss_bytes)
            ),
        );
        findings.keep(json!({"role": process.role, "pss_bytes": process.pss_bytes, "waits_per_s": waits, "cpu_us_per_s": cpu}));
    }
    Ok(findings)
}

fn mb(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
