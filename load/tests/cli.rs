//! The program itself: its lines, its files, its exit codes.
mod support;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Output, Stdio};
use support::{Answer, Script, Step, serve};

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

/// Answers every connection with these bytes.
fn answers(bytes: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            let mut request = [0; 4096];
            if socket.read(&mut request).is_ok() {
                let _ = socket.write_all(bytes);
            }
        }
    });
    addr
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

#[test]
fn arguments_that_cannot_be_meant_are_one_line_and_sixty_four() {
    let line = fails_with(&ran(&["ramp", "--url", "localhost"]), 64);
    assert!(line.contains("--url localhost"), "{line}");
    fails_with(&ran(&["--every", "soon"]), 64);
    fails_with(&ran(&["dance"]), 64);
    let output = load(&["member"]).stdin(Stdio::null()).output().unwrap();
    let line = fails_with(&output, 64);
    assert!(line.contains("for pubsub-load itself"), "{line}");
    let line = fails_with(&ran(&["--slow", "5%:sleep"]), 64);
    assert!(line.contains("expected stall, read=RATE"), "{line}");
    let line = fails_with(&ran(&["--settings", "{\"topic\":\"x\"}"]), 64);
    assert!(line.contains("give it with --topic"), "{line}");
}

#[test]
fn the_doctor_names_what_is_short_in_one_line_and_sixty_nine() {
    let looked = ran(&["doctor", "--connections", "4000000000", "--workers", "7"]);
    let line = fails_with(&looked, 69);
    let table = String::from_utf8(looked.stdout).unwrap();
    assert!(line.contains("memory"), "{line}");
    assert!(
        table.contains("node, 7 workers") && table.contains("load generator"),
        "{table}"
    );
    fails_with(&ran(&["doctor", "--connections", "0"]), 64);
}

#[test]
fn nobody_there_is_one_line_and_sixty_nine() {
    let unused = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let line = fails_with(&quick_ramp(unused), 69);
    assert!(line.contains("connection refused"), "{line}");
    let line = fails_with(
        &ran(&["publish", "--topic", "t", "--url", &url(unused)]),
        69,
    );
    assert!(line.contains("connection refused"), "{line}");
}

#[test]
fn a_status_instead_of_an_upgrade_is_shown() {
    let addr = answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n");
    let line = fails_with(&quick_ramp(addr), 69);
    assert!(line.contains("HTTP 404 Not Found instead of 101"), "{line}");
}

#[test]
fn a_server_that_is_none_of_ours_is_told_by_what_it_answers() {
    let cases: [(&'static [u8], &str); 5] = [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "HTTP 200 OK instead of 101: is this a WebSocket address?",
        ),
        (
            b"HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\n\r\n",
            "it redirects",
        ),
        (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            "it does not let this client in",
        ),
        (b"\x15\x03\x01\x00\x02\x02\x46", "it speaks TLS"),
        (b"", "closed the connection before it answered the upgrade"),
    ];
    for (answer, part) in cases {
        let line = fails_with(&quick_ramp(answers(answer)), 69);
        assert!(line.contains(part), "{line}");
    }
}

#[test]
fn what_speaks_no_http_is_no_websocket() {
    let line = fails_with(&quick_ramp(answers(b"-ERR unknown command\r\n")), 69);
    assert!(line.contains("does not speak WebSocket"), "{line}");
}

#[test]
fn a_subscription_that_is_refused_ends_the_run_with_its_reason() {
    let addr = serve(Script {
        refuses: true,
        ..Script::honest(0)
    });
    let line = fails_with(&quick_ramp(addr), 69);
    assert!(line.contains("limit: no room for t"), "{line}");
}

#[test]
fn more_connections_than_files_says_how_many_are_possible() {
    let line = fails_with(&ran(&["--max", "99999999", "--topic", "t"]), 69);
    assert!(line.contains("ask for at most"), "{line}");
}

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
    assert_eq!(clients, ["5", "5", "5"], "{csv}");
    assert!(summary.contains("residual 0 (5 ledgers"), "{summary}");
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

#[test]
fn a_report_that_cannot_be_written_is_one_line_that_names_it() {
    let url = url(serve(Script::honest(1)));
    let quick = [
        "--url", &url, "--topic", "t", "--max", "1", "--every", "100ms", "--hold", "0s",
    ];
    for flag in ["--csv", "--hdr", "--json"] {
        let line = fails_with(
            &ran(&[quick.as_slice(), &[flag, "/nowhere/a"]].concat()),
            69,
        );
        assert!(
            line.contains(&format!("{flag} /nowhere/a: No such file")),
            "{line}"
        );
    }
    for flag in ["--csv", "--hdr"] {
        let line = fails_with(&ran(&[quick.as_slice(), &[flag, "/dev/full"]].concat()), 69);
        assert!(
            line.contains(&format!("{flag} /dev/full: No space left")),
            "{line}"
        );
    }
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = load(&quick).stdout(full).output().unwrap();
    let line = fails_with(&output, 69);
    assert!(line.contains("standard output: No space left"), "{line}");
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

/// A tenth of a second of calls, each connection every ten milliseconds.
fn orders(calls: Answer, further: &[&str]) -> Output {
    let url = url(serve(Script {
        calls,
        ..Script::honest(0)
    }));
    let arguments = [
        "orders",
        "--url",
        &url,
        "--connections",
        "3",
        "--every",
        "5..15ms",
        "--duration",
        "100ms",
        "--line",
        "100ms",
    ];
    ran(&[&arguments, further].concat())
}

#[test]
fn orders_are_called_and_every_answer_is_counted() {
    for method in ["order.echo", "order.submit"] {
        let output = orders(Answer::Right, &["--method", method, "--processes", "2"]);
        let summary = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{summary}");
        let counts = cells(
            &summary.replace(": ", "  ").replace(", ", "  "),
            "calls due ",
        );
        let due = &counts[0];
        assert_eq!(counts[1], format!("answered {due}"), "{summary}");
        assert!(due.parse::<u64>().unwrap() > 3, "{summary}");
    }
}

#[test]
fn an_answer_that_is_not_the_one_to_its_call_fails_the_run() {
    let output = orders(Answer::Wrong, &[]);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains("answers are not the answer to their call"),
        "{summary}"
    );
    assert_eq!(output.status.code(), Some(1), "{summary}");
}

#[test]
fn calls_that_are_refused_are_told_by_their_code() {
    let output = orders(Answer::Error("limit"), &["--threshold", "errors==0"]);
    let summary = String::from_utf8(output.stderr).unwrap();
    assert!(
        summary.contains("(limit ") && summary.contains("answered 0"),
        "{summary}"
    );
    assert_eq!(output.status.code(), Some(99), "{summary}");
    let line = fails_with(
        &orders(Answer::Error("unknown_method"), &["--csv", "/dev/null"]),
        69,
    );
    assert!(
        line.contains("the server refuses the calls: unknown_method: no"),
        "{line}"
    );
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
