//! What a run does and leaves, command by command.
use crate::support::{Script, serve};
use crate::{cells, load, quick_ramp, quick_ramp_with, ran, url, wait_for_lines};
use std::process::Stdio;

#[test]
fn a_ramp_writes_a_line_for_each_step_and_closes_its_books() {
    let output = quick_ramp(serve(Script::honest(4)));
    let (csv, summary) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{summary}");
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(lines.len(), 3, "{csv}");
    assert_eq!(
        (lines[0][0], lines[0][11]),
        ("clients", "messages received")
    );
    assert_eq!((lines[1][0], lines[2][0]), ("2", "3"));
    assert!(lines.iter().all(|line| line.len() == lines[0].len()));
    assert!(
        summary.contains("residual 0 (3 ledgers: delivered 12, received 12"),
        "{summary}"
    );
}

#[test]
fn several_settings_are_dealt_out_and_credit_is_given_again() {
    let settings = [
        "--settings",
        "{\"credit\":2}",
        "--settings",
        "{\"overflow\":\"spill\"}",
    ];
    let output = quick_ramp_with(serve(Script::honest(9)), &settings);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert_eq!(cells(&summary, "delivered"), ["27"]);
}

#[test]
fn an_interrupt_ends_the_ramp_with_whole_lines_and_a_summary() {
    let dir = tempfile::tempdir().unwrap();
    let csv = dir.path().join("ramp.csv");
    let url = url(serve(Script::honest(2)));
    let arguments = [
        "ramp", "--url", &url, "--topic", "t", "--step", "2", "--every", "200ms", "--max", "4",
        "--hold", "1h", "--csv",
    ];
    let mut child = load(&arguments)
        .arg(&csv)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Three lines: the second step has ended. The ramp says it in its report only.
    wait_for_lines(&csv, 3, &mut child);
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    assert!(summary.starts_with("received 8, "), "{summary}");
    assert!(summary.contains("residual 0 (4 ledgers"), "{summary}");
    assert_eq!(output.status.code(), Some(0), "{summary}");
    let report = std::fs::read_to_string(&csv).unwrap();
    assert!(report.ends_with('\n'));
    let columns: Vec<usize> = report.lines().map(|line| line.split(',').count()).collect();
    assert!(
        columns.len() >= 4 && columns.iter().all(|n| *n == columns[0]),
        "{report}"
    );
}

#[test]
fn a_soak_has_a_line_for_each_interval_and_closes_its_books() {
    let url = url(serve(Script::honest(4)));
    let output = ran(&[
        "soak",
        "--url",
        &url,
        "--topic",
        "t",
        "--connections",
        "5",
        "--duration",
        "600ms",
        "--every",
        "300ms",
    ]);
    let (csv, summary) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{summary}");
    let clients: Vec<&str> = csv
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').next())
        .collect();
    assert_eq!(clients, ["5", "5"], "{csv}");
    assert!(summary.contains("residual 0 (5 ledgers"), "{summary}");
}

#[test]
fn connections_are_dealt_out_to_several_servers() {
    let urls = [1, 3].map(|messages| url(serve(Script::honest(messages))));
    let output = ran(&[
        &[
            "ramp", "--topic", "t", "--step", "4", "--url", &urls[0], "--url", &urls[1],
        ],
        ["--max", "4", "--every", "300ms", "--hold", "0s"].as_slice(),
    ]
    .concat());
    let summary = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert!(
        summary.contains("residual 0 (4 ledgers: delivered 8, received 8"),
        "{summary}"
    );
}

#[test]
fn publishing_says_what_was_sent_and_acknowledged() {
    let url = url(serve(Script::honest(0)));
    let output = ran(&[
        "publish",
        "--url",
        &url,
        "--topic",
        "t",
        "--rate",
        "500/s",
        "--duration",
        "400ms",
        "--size",
        "100",
        "--sessions",
        "2",
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{text} {}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.starts_with("sent 200 in "), "{text}");
    assert!(
        text.contains("acknowledged 200, refused 0, unanswered 0"),
        "{text}"
    );
}

#[test]
fn latencies_are_left_for_other_tools_with_a_line_for_each_line_and_group() {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("latency.hdr");
    let hdr = ["--slow", "50%:pause=1ms", "--hdr", path.to_str().unwrap()];
    let output = quick_ramp_with(serve(Script::honest(4)), &hdr);
    assert_eq!(output.status.code(), Some(0));
    let text = std::fs::read(&path).unwrap();
    let tags: Vec<String> = IntervalLogIterator::new(&text)
        .filter_map(|entry| match entry.unwrap() {
            LogEntry::Interval(interval) => Some(interval.tag().unwrap().as_str().to_owned()),
            _ => None,
        })
        .collect();
    let line = ["healthy", "50%:pause=1ms"];
    assert_eq!(tags, [line, line].concat());
}
