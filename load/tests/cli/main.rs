//! The program itself: its lines, its files, its exit codes. Here is what its tests share; each file beside this one has a subject.
#[path = "../support/mod.rs"]
mod support;

mod judged;
mod orders;
mod processes;
mod refused;
mod runs;

use std::net::SocketAddr;
use std::process::{Child, Command, Output};

fn load(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pubsub-load"));
    command
        .args(arguments)
        .env_remove("OUTLIER_SIZE")
        .env_remove("INTERVAL_BETWEEN_NEW_CLIENTS_SECS");
    command
}

fn ran(arguments: &[&str]) -> Output {
    load(arguments).output().unwrap()
}

fn url(addr: SocketAddr) -> String {
    format!("ws://{addr}/ws")
}

/// One line on standard error, nothing on standard output but a header, this exit code.
fn fails_with(output: &Output, code: i32) -> String {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    assert!(line.starts_with("pubsub-load: "), "{line}");
    line
}

const QUICK: [&str; 6] = ["--max", "3", "--every", "300ms", "--hold", "0s"];

fn quick_ramp(addr: SocketAddr) -> Output {
    quick_ramp_with(addr, &[])
}

fn quick_ramp_with(addr: SocketAddr, further: &[&str]) -> Output {
    let url = url(addr);
    ran(&[
        &["ramp", "--url", &url, "--topic", "t", "--step", "2"],
        QUICK.as_slice(),
        further,
    ]
    .concat())
}

/// The cells of a line of the summary's table: no value holds two spaces.
fn cells(summary: &str, name: &str) -> Vec<String> {
    let line = summary.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no line {name}: {summary}"))
        .split("  ")
        .map(|cell| cell.trim().to_owned())
        .filter(|cell| !cell.is_empty())
        .collect()
}

/// Reads a report until it has so many lines; the process must live meanwhile.
fn wait_for_lines(csv: &std::path::Path, lines: usize, child: &mut Child) {
    while std::fs::read_to_string(csv)
        .unwrap_or_default()
        .lines()
        .count()
        < lines
    {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
}
