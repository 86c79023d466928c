//! Where and how a run was made: the foot of its page. Pure.
use super::escape::Escaped;
use crate::number;
use crate::record::Run;
use std::fmt;

/// Command, machine, limits, versions, and what was told at the end.
pub(super) struct Footer<'a>(pub(super) &'a Run);

impl fmt::Display for Footer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        writeln!(
            f,
            "<footer><h2>How it was measured</h2><pre class=\"command\">{}</pre><dl>",
            Escaped(command(&run.command))
        )?;
        for (name, value) in [
            ("Versions", versions(run)),
            ("Machine of the generator", machine(run)),
            ("Its limits", limits(run)),
        ] {
            writeln!(f, "<dt>{name}</dt><dd>{}</dd>", Escaped(value))?;
        }
        let summary = run.verdict.summary.join("\n");
        writeln!(
            f,
            "</dl><details><summary>Summary as told at its end</summary><pre>{}</pre></details>\
             <p class=\"schema\">{} Record: {}.</p></footer>",
            Escaped(summary),
            latency(run),
            Escaped(&run.schema)
        )
    }
}

/// What is meant by it.
fn latency(run: &Run) -> &'static str {
    if run.asked.method.is_some() {
        "Latency is from when a call was due to the read that brought its answer; percentiles are over all calls, and one that was \
         refused, not made or is overdue took for ever."
    } else {
        "Latency is from the server's numbering of a message to the read that brought it; percentiles are over all messages expected, \
         and one that was lost or is overdue took for ever."
    }
}

/// As a shell takes it.
fn command(words: &[String]) -> String {
    let plain = |word: &&str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=%,+@".contains(c);
        !word.is_empty() && word.chars().all(is_plain)
    };
    let quoted = words.iter().map(|word| {
        Some(word.as_str()).filter(plain).map_or_else(
            || format!("'{}'", word.replace('\'', r"'\''")),
            str::to_owned,
        )
    });
    quoted.collect::<Vec<String>>().join(" ")
}

fn versions(run: &Run) -> String {
    let versions = &run.versions;
    let server = match (&versions.server, &versions.node) {
        (Some(version), Some(node)) => format!("pubsub-server {version} (node {node})"),
        (Some(version), None) => format!("pubsub-server {version}"),
        (None, _) => "server not known".to_owned(),
    };
    format!("pubsub-load {} · {server}", versions.tool)
}

fn machine(run: &Run) -> String {
    let machine = &run.machine;
    let cpu = machine.cpu.as_deref().unwrap_or("unnamed processor");
    let memory = machine
        .memory_bytes
        .map_or(number::UNKNOWN.to_owned(), |bytes| {
            number::bytes(bytes as f64)
        });
    let (cores, kernel) = (machine.cores, &machine.kernel);
    format!("{cores} cores of {cpu} · {memory} memory · {kernel}")
}

fn limits(run: &Run) -> String {
    let limits = &run.limits;
    let files = |limit: Option<u64>| limit.map_or("without limit".to_owned(), number::count);
    let mut told = vec![format!(
        "open files {} (hard {})",
        files(limits.files_soft),
        files(limits.files_hard)
    )];
    told.extend(limits.somaxconn.map(|most| format!("somaxconn {most}")));
    told.extend(limits.tcp_mem_bytes.map(|bytes| {
        let [low, pressure, most] = bytes.map(|bytes| number::bytes(bytes as f64));
        format!("tcp_mem {low}, {pressure}, {most}")
    }));
    told.extend(
        limits
            .port_range
            .map(|[first, last]| format!("local ports {first} to {last}")),
    );
    told.join(" · ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let words = [
            "ramp",
            "--topic",
            "quotes.*",
            "--settings",
            "{\"a\":1}",
            "it's",
            "",
        ];
        let words: Vec<String> = words.map(str::to_owned).to_vec();
        assert_eq!(
            command(&words),
            r#"ramp --topic 'quotes.*' --settings '{"a":1}' 'it'\''s' ''"#
        );
    }
}
