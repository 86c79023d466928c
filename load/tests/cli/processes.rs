//! The processes that share a run.
use crate::support::{Script, serve};
use crate::{fails_with, load, quick_ramp_with, url, wait_for_lines};
use std::process::{Child, Command, Output, Stdio};

/// The processes that this one has started.
fn children(of: &Child) -> Vec<u32> {
    let processes = pubsub_load::measure::tree(of.id()).unwrap().processes;
    let children = processes.iter().map(|process| process.pid);
    children.filter(|pid| *pid != of.id()).collect()
}

fn pid(of: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(of.try_into().unwrap()).unwrap()
}

/// A run of four connections over two processes that lasts until it is ended, and its report.
fn long_run(dir: &std::path::Path) -> (Child, std::path::PathBuf) {
    let csv = dir.join("ramp.csv");
    let url = url(serve(Script::honest(2)));
    let arguments = [
        "ramp",
        "--url",
        &url,
        "--topic",
        "t",
        "--step",
        "4",
        "--every",
        "200ms",
        "--max",
        "4",
        "--hold",
        "1h",
        "--processes",
        "2",
        "--csv",
    ];
    let mut child = load(&arguments)
        .arg(&csv)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_lines(&csv, 2, &mut child);
    (child, csv)
}

/// The same program where a process may have so many open files.
fn limited_to(files: u32, arguments: &[&str]) -> Output {
    let script = format!("ulimit -n {files} && exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_pubsub-load")])
        .args(arguments);
    command.output().unwrap()
}

#[test]
fn a_limit_of_open_files_that_is_too_low_makes_more_processes_and_is_named() {
    let url = url(serve(Script::honest(1)));
    let twenty = [
        "--url", &url, "--topic", "t", "--step", "20", "--max", "20", "--every", "300ms", "--hold",
        "0s",
    ];
    let output = limited_to(80, &twenty);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(
        told.starts_with(
            "note: the connections are shared by 2 processes, since each may have 80 open files"
        ),
        "{told}"
    );
    assert!(told.contains("residual 0 (20 ledgers"), "{told}");
    let output = limited_to(80, &[twenty.as_slice(), &["--processes", "1"]].concat());
    let line = fails_with(&output, 69);
    assert!(
        line.contains("ask for at most 16") && line.contains("--processes auto"),
        "{line}"
    );
}

#[test]
fn connections_are_shared_by_processes_and_what_they_count_is_one() {
    let output = quick_ramp_with(serve(Script::honest(4)), &["--processes", "2"]);
    let (csv, summary) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{summary}");
    let last: Vec<&str> = csv.lines().last().unwrap().split(',').collect();
    assert_eq!((last[0], last[1], last[11]), ("3", "3", "12"), "{csv}");
    assert!(
        summary.contains("residual 0 (3 ledgers: delivered 12, received 12"),
        "{summary}"
    );
}

#[test]
fn a_process_that_is_killed_is_named_and_the_others_close_their_books() {
    let dir = tempfile::tempdir().unwrap();
    let (child, _) = long_run(dir.path());
    let members = children(&child);
    assert_eq!(members.len(), 2);
    rustix::process::kill_process(pid(members[0]), rustix::process::Signal::KILL).unwrap();
    rustix::process::kill_process(pid(child.id()), rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    let lost = format!(
        "LOST: a process of the swarm (pid {}, one of 2) was killed by signal 9; its 2 connections",
        members[0]
    );
    assert!(summary.contains(&lost), "{summary}");
    assert!(summary.contains("residual 0 (2 ledgers"), "{summary}");
    assert_eq!(output.status.code(), Some(1), "{summary}");
}

#[test]
fn no_process_outlives_the_one_that_started_it() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, _) = long_run(dir.path());
    let members: Vec<_> = children(&child).into_iter().map(pid).collect();
    let watched: Vec<_> = members
        .iter()
        .map(|pid| rustix::process::pidfd_open(*pid, rustix::process::PidfdFlags::empty()).unwrap())
        .collect();
    child.kill().unwrap();
    child.wait().unwrap();
    for member in &watched {
        let mut ended = [rustix::event::PollFd::new(
            member,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut ended, None).unwrap();
    }
}
