//! The record that a run leaves: whole, as documented, without secrets.
mod support;

use pubsub_load::record::{End, Run, SCHEMA};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use support::{Answer, Script, Step, serve};

const DOCUMENT: &str = include_str!("../../docs/load-report.md");

fn load(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pubsub-load"));
    command.args(arguments);
    command
}

/// A ramp in two steps against a server of this script.
fn ramp(script: Script, further: &[&str]) -> Output {
    let url = format!("ws://{}/ws?token=hush", serve(script));
    let quick = [
        "--step", "2", "--max", "3", "--every", "300ms", "--hold", "0s",
    ];
    let arguments = [
        &["ramp", "--url", &url, "--topic", "t"],
        quick.as_slice(),
        further,
    ]
    .concat();
    load(&arguments).output().unwrap()
}

fn recorded(path: &Path) -> (Run, Value) {
    let text = std::fs::read_to_string(path).unwrap();
    (
        serde_json::from_str(&text).unwrap(),
        serde_json::from_str(&text).unwrap(),
    )
}

/// Names of all fields, but not of the tables whose names are data.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                if !matches!(name.as_str(), "lost" | "closed" | "settings" | "refused") {
                    fields(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

#[test]
fn a_run_leaves_its_lines_its_groups_and_its_verdict() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let steps = vec![Step::Msg(1), Step::Gap { to: 4, count: 3 }, Step::Msg(5)];
    let script = Script {
        steps,
        delivered: Some(2),
        lost: 3,
        ..Script::honest(0)
    };
    let further = ["--slow", "40%:stall", "--json", json.to_str().unwrap()];
    let output = ramp(script, &further);
    let summary = String::from_utf8(output.stderr).unwrap();
    let (run, value) = recorded(&json);
    assert_eq!((run.schema.as_str(), run.end), (SCHEMA, End::Planned));
    let csv = String::from_utf8(output.stdout).unwrap();
    assert_eq!(run.lines.len() + 1, csv.lines().count(), "{csv}");
    assert_eq!(run.lines[0].clients, 2);
    assert_eq!(run.lines.last().map(|line| line.clients), Some(3));
    let lost = |line: &pubsub_load::record::Line| line.lost.get("drop_oldest").copied();
    let lost: u64 = run.lines.iter().filter_map(lost).sum();
    assert!(
        lost >= 6 && lost.is_multiple_of(3),
        "of those that read: {lost}"
    );
    let names: Vec<&str> = run.groups.iter().map(|group| group.name.as_str()).collect();
    assert_eq!(names, ["healthy", "40%:stall"]);
    assert_eq!(run.verdict.books.residual, 0);
    assert_eq!(
        (run.verdict.books.drop_oldest, run.verdict.books.lost()),
        (9, 9)
    );
    let told: Vec<&str> = run.verdict.summary.iter().map(String::as_str).collect();
    assert!(summary.ends_with(&(told.join("\n") + "\n")), "{summary}");
    assert_eq!(Some(i32::from(run.verdict.code)), output.status.code());
    assert!(run.machine.cores > 0 && run.limits.port_range.is_some());
    assert_eq!(run.versions.tool, env!("CARGO_PKG_VERSION"));
    let mut names = BTreeSet::new();
    fields(&value, &mut names);
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| !DOCUMENT.contains(&format!("`{name}`")))
        .collect();
    assert!(
        missing.is_empty(),
        "not in docs/load-report.md: {missing:?}"
    );
    assert!(names.contains("p99_9") && names.contains("end_max"));
    assert!(run.lines.iter().all(|line| line.calls.is_none()) && run.verdict.calls.is_none());
}

#[test]
fn calls_are_recorded_by_what_became_of_them_and_thresholds_by_whether_they_were_met() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("run.json");
    let url = format!(
        "ws://{}/ws",
        serve(Script {
            calls: Answer::Error("limit"),
            ..Script::honest(0)
        })
    );
    let quick = [
        "--every",
        "5..15ms",
        "--duration",
        "100ms",
        "--line",
        "100ms",
    ];
    let output = load(&["orders", "--url", &url, "--connections", "3"])
        .args(quick)
        .args(["--threshold", "errors==0,p99<1h,connected==3", "--json"])
        .arg(&json)
        .output()
        .unwrap();
    let (run, value) = recorded(&json);
    let calls = run.verdict.calls.as_ref().unwrap();
    assert_eq!(output.status.code(), Some(99), "{calls:?}");
    assert!(calls.due > 0 && calls.answered == 0, "{calls:?}");
    assert_eq!(calls.failed, calls.due, "{calls:?}");
    let of_lines = run.lines.iter().filter_map(|line| line.calls.as_ref());
    let limited: u64 = of_lines
        .filter_map(|calls| calls.refused.get("limit"))
        .sum();
    assert!(
        limited > 0 && limited <= calls.refused["limit"],
        "{calls:?}"
    );
    let thresholds = value["verdict"]["thresholds"].as_array().unwrap();
    let told: Vec<_> = thresholds
        .iter()
        .map(|of| (&of["condition"], &of["met"]))
        .collect();
    assert_eq!(told[0], (&"errors==0".into(), &false.into()));
    assert_eq!(told[1], (&"p99<1h".into(), &false.into()));
    assert_eq!(told[2], (&"connected==3".into(), &true.into()));
    assert_eq!(
        (&thresholds[1]["got"], &thresholds[1]["unit"]),
        (&"never".into(), &"ms".into())
    );
    let csv = String::from_utf8(output.stdout).unwrap();
    let line: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    let [due, p50, p99, failed] = line[line.len() - 4..] else {
        panic!("{csv}")
    };
    assert_eq!((p50, p99), ("inf", "inf"), "{csv}");
    assert!(
        due.parse::<u64>().unwrap() > 0 && failed.parse::<u64>().unwrap() > 0,
        "{csv}"
    );
    let mut names = BTreeSet::new();
    fields(&value, &mut names);
    names.retain(|name| !DOCUMENT.contains(&format!("`{name}`")));
    assert!(names.is_empty(), "not in docs/load-report.md: {names:?}");
}

#[test]
fn no_secret_of_a_url_is_left_anywhere() {
    let dir = tempfile::tempdir().unwrap();
    let (json, report) = (dir.path().join("run.json"), dir.path().join("run.html"));
    let [json_name, report_name] = [&json, &report].map(|path| path.to_str().unwrap());
    ramp(
        Script::honest(1),
        &["--json", json_name, "--report", report_name],
    );
    for path in [&json, &report] {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(!text.contains("hush") && text.contains("/ws?***"), "{text}");
    }
    let (run, _) = recorded(&json);
    assert!(
        run.asked.urls[0].ends_with("/ws?***"),
        "{:?}",
        run.asked.urls
    );
    assert!(run.command.iter().any(|word| word.ends_with("/ws?***")));
}

#[test]
fn the_page_is_that_of_the_record() {
    let dir = tempfile::tempdir().unwrap();
    let (json, report) = (dir.path().join("run.json"), dir.path().join("run.html"));
    let [json_name, report_name] = [&json, &report].map(|path| path.to_str().unwrap());
    ramp(
        Script::honest(3),
        &["--json", json_name, "--report", report_name],
    );
    let (run, _) = recorded(&json);
    let page = std::fs::read_to_string(&report).unwrap();
    assert_eq!(page, pubsub_load::report::html(&run));
}

#[test]
fn an_interrupted_run_leaves_a_whole_record_with_the_lines_until_then() {
    let dir = tempfile::tempdir().unwrap();
    let (csv, json) = (dir.path().join("run.csv"), dir.path().join("run.json"));
    let url = format!("ws://{}/ws", serve(Script::honest(2)));
    let arguments = [
        "ramp", "--url", &url, "--topic", "t", "--every", "200ms", "--hold", "1h",
    ];
    let mut child = load(&arguments)
        .args(["--step", "1", "--max", "1", "--csv"])
        .arg(&csv)
        .arg("--json")
        .arg(&json)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = || {
        std::fs::read_to_string(&csv)
            .unwrap_or_default()
            .lines()
            .count()
    };
    while lines() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    assert!(!json.exists(), "it is there when it is whole");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait_with_output().unwrap().status.success());
    let (run, _) = recorded(&json);
    assert_eq!((run.end, run.lines.len() + 1), (End::Interrupted, lines()));
    assert_eq!(run.verdict.books.ledgers, 1);
}

#[test]
fn a_place_where_nothing_can_be_written_is_known_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let json = dir.path().join("no/run.json");
    let output = ramp(Script::honest(1), &["--json", json.to_str().unwrap()]);
    let line = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), line.lines().count()),
        (Some(69), 1),
        "{line}"
    );
    assert!(
        line.contains("--json") && line.contains("No such file"),
        "{line}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_full_disk_at_the_end_is_told_after_the_summary() {
    let output = ramp(Script::honest(1), &["--json", "/dev/full"]);
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{text}");
    let last = text.lines().last().unwrap();
    assert!(text.contains("residual 0"), "{text}");
    assert!(
        last.starts_with("pubsub-load: --json /dev/full: No space left"),
        "{text}"
    );
}
