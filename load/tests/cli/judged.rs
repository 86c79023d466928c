//! What the summary says of a run, and the exit code that follows.
use crate::support::{Script, Step, serve};
use crate::{cells, quick_ramp, quick_ramp_with, ran, url};

#[test]
fn the_summary_has_a_column_for_each_group_of_connections() {
    let slow = [
        "--slow",
        "50%:stall",
        "--slow",
        "10%:read=2KB/s",
        "--max",
        "10",
        "--step",
        "10",
    ];
    let output = ran(&[
        [
            "ramp",
            "--url",
            &url(serve(Script::honest(4))),
            "--topic",
            "t",
        ]
        .as_slice(),
        ["--every", "300ms", "--hold", "0s"].as_slice(),
        slow.as_slice(),
    ]
    .concat());
    let (csv, summary) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert_eq!(output.status.code(), Some(0), "{summary}");
    let of = |name| cells(&summary, name);
    assert_eq!(of("subscribed"), ["4", "5", "1"]);
    assert_eq!(of("delivered"), ["16", "20", "4"]);
    assert_eq!(
        of("residual 0 "),
        ["(10 ledgers: delivered 40, received 40, lost 0, left out 0, pending 0)"]
    );
    let lines: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    let at = |name: &str| lines[0].iter().position(|column| *column == name).unwrap();
    assert_eq!(
        (lines[1][at("connected")], lines[1][at("slow connected")]),
        ("10", "6")
    );
}

#[test]
fn slow_connections_that_are_closed_do_not_fail_the_run() {
    let script = Script {
        steps: vec![Step::Msg(1), Step::Close(4001)],
        ..Script::honest(1)
    };
    let output = quick_ramp_with(serve(script), &["--slow", "100%:read=1KB/s"]);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{summary}");
    assert_eq!(cells(&summary, "closed"), ["0", "3 with 4001"]);
    assert_eq!(cells(&summary, "published"), ["-", "unknown"]);
    assert!(
        summary.contains("3 of 3 have no ledger")
            && summary.contains("3 ended before (they had received 3)"),
        "{summary}"
    );
}

#[test]
fn a_loss_that_is_never_announced_fails_the_run() {
    let script = Script {
        lost: 2,
        ..Script::honest(1)
    };
    let output = quick_ramp(serve(script));
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(summary.contains("WRONG: 6 messages were lost"), "{summary}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_residual_is_printed_and_fails_the_run() {
    let output = quick_ramp(serve(Script {
        delivered: Some(5),
        ..Script::honest(4)
    }));
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(summary.contains("residual 3"), "{summary}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn offsets_that_went_wrong_fail_the_run() {
    let steps = [1, 1].map(Step::Msg).to_vec();
    let output = quick_ramp(serve(Script {
        steps,
        delivered: Some(2),
        ..Script::honest(0)
    }));
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(summary.contains("WRONG: 3 offsets twice"), "{summary}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_threshold_that_is_missed_is_a_line_and_ninety_nine() {
    let addr = serve(Script::honest(4));
    let held = ["--threshold", "received==12,residual==0,p99<1h"];
    let output = quick_ramp_with(addr, &held);
    assert_eq!(output.status.code(), Some(0));
    let missed = [
        "--threshold",
        "residual==0,received>12",
        "--threshold",
        "failed!=0",
    ];
    let output = quick_ramp_with(addr, &missed);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(99), "{summary}");
    let lines: Vec<&str> = summary
        .lines()
        .filter(|line| line.starts_with("MISSED"))
        .collect();
    assert_eq!(
        lines,
        [
            "MISSED: received>12: it was 12",
            "MISSED: failed!=0: it was 0"
        ]
    );
}

#[test]
fn connections_that_are_not_up_at_the_end_make_it_no_measurement() {
    let script = Script {
        steps: vec![Step::Msg(1), Step::Close(1001)],
        ..Script::honest(1)
    };
    let output = quick_ramp_with(serve(script), &["--threshold", "invalid==0"]);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains("INVALID as a measurement of the server: only 0 of 3 connections were up"),
        "{summary}"
    );
    assert_eq!(output.status.code(), Some(99), "{summary}");
}
