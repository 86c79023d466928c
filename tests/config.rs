//! What is said, and with which exit code, when a node can't or shouldn't start; and which of several settings wins.
mod harness;

use harness::{Finished, Node, run_to_end, workers};
use serde_json::Value;
use std::fs;
use std::net::TcpListener;

const USAGE: i32 = 64;
const UNAVAILABLE: i32 = 69;

/// Fails unless the program ended with `code`, one line on stderr that has all of `words`, and nothing on stdout.
fn assert_refused(finished: &Finished, code: i32, words: &[&str]) {
    assert_eq!(finished.code, Some(code), "{finished:?}");
    assert_eq!(finished.stdout, "", "{finished:?}");
    let line = finished
        .stderr
        .strip_suffix('\n')
        .unwrap_or_else(|| panic!("a whole line: {finished:?}"));
    assert!(
        !line.contains('\n') && !line.is_empty(),
        "exactly one line: {finished:?}"
    );
    for word in words {
        assert!(line.contains(word), "{word} in {line:?}");
    }
}

#[tokio::test]
async fn a_wrong_setting_is_named_with_its_value_and_what_would_be_right() {
    for (arguments, words) in [
        (vec!["--workers", "0"], vec!["workers", "0", "1024"]),
        (vec!["--workers", "1025"], vec!["workers", "1025", "1024"]),
        (vec!["--workers", "many"], vec!["workers", "many"]),
        (
            vec!["--interval-ms", "100..10"],
            vec!["interval-ms", "100..10"],
        ),
        (vec!["--interval-ms", "soon"], vec!["interval-ms", "soon"]),
        (vec!["--listen", "here"], vec!["listen", "here"]),
        (vec!["--admin", "there"], vec!["admin", "there", "none"]),
        (
            vec!["--source", "rumours"],
            vec!["source", "rumours", "synthetic", "replay:", "none"],
        ),
        (vec!["--rows=-1"], vec!["rows", "-1"]),
        (vec!["--log", "paper"], vec!["log", "paper", "memory"]),
        (vec!["--retain", "lots"], vec!["retain", "lots"]),
        (vec!["--heartbeat", "5"], vec!["heartbeat", "5"]),
        (
            vec!["--publish", "some"],
            vec!["publish", "some", "loopback", "anyone", "nobody"],
        ),
        (vec!["--drain", "later"], vec!["drain", "later"]),
        (vec!["--no-such-flag"], vec!["--no-such-flag"]),
        (vec!["no-such-command"], vec!["no-such-command"]),
    ] {
        for command in [vec![], vec!["check"]] {
            if command == ["check"] && arguments == ["no-such-command"] {
                continue;
            }
            assert_refused(
                &run_to_end(&[command, arguments.clone()].concat(), &[]).await,
                USAGE,
                &words,
            );
        }
    }
}

#[tokio::test]
async fn what_is_not_yet_available_is_refused() {
    assert_refused(
        &run_to_end(&["--log", "kafka://127.0.0.1:9092"], &[]).await,
        USAGE,
        &["log", "memory", "disk"],
    );
}

#[tokio::test]
async fn a_wrong_file_is_named_with_the_place_in_it() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("node.toml");
    let path = file.to_str().expect("UTF-8");
    let missing = run_to_end(&["check", "--config", path], &[]).await;
    assert_refused(&missing, USAGE, &["node.toml"]);
    for (text, words) in [
        ("workers = 3\nworkers_ = 4\n", vec!["node.toml", "workers_"]),
        ("workers = 'three'\n", vec!["node.toml", "workers"]),
        ("workers = 0\n", vec!["workers", "0", "1024"]),
        ("workers = \n", vec!["node.toml", "1"]),
        (
            "[[defaults]]\npattern = 'a'\nrate = { mode = 'debounce', ms = 5 }\n",
            vec!["node.toml:3", "defaults.1.rate.max_wait_ms", "debounce"],
        ),
        (
            "[[defaults]]\npattern = 'a'\nmessages = 9\n[[most]]\npattern = '>'\nmessages = 8\n",
            vec!["node.toml:3", "defaults.1.messages", "most.1.messages", "8"],
        ),
    ] {
        fs::write(&file, text).expect("a file");
        assert_refused(
            &run_to_end(&["check", "--config", path], &[]).await,
            USAGE,
            &words,
        );
    }
}

#[tokio::test]
async fn check_prints_the_resolved_configuration_and_opens_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a bound port").to_string();
    let checked = run_to_end(&["check", "--listen", &address, "--workers", "7"], &[]).await;
    assert_eq!(
        (checked.code, checked.stderr.as_str()),
        (Some(0), ""),
        "{checked:?}"
    );
    assert!(
        checked.stdout.contains(&address) && checked.stdout.contains('7'),
        "{checked:?}"
    );
}

#[tokio::test]
async fn the_machine_is_held_against_connections_with_the_nodes_own_configuration() {
    let system = [
        "check",
        "--system",
        "--workers",
        "3",
        "--json",
        "--connections",
    ];
    // Some machine may have what one needs; none has what four thousand million need.
    for connections in ["1", "4000000000"] {
        let looked = run_to_end(&[&system[..], &[connections]].concat(), &[]).await;
        let report: Value = serde_json::from_str(&looked.stdout)
            .unwrap_or_else(|error| panic!("{error}: {looked:?}"));
        assert_eq!(report["workers"], 3);
        let short = report["items"].as_array().expect("items").iter();
        let short: Vec<&str> = short
            .filter(|item| item["verdict"] == "short")
            .filter_map(|item| item["name"].as_str())
            .collect();
        let (code, lines) = if short.is_empty() { (0, 0) } else { (69, 1) };
        assert_eq!(
            (looked.code, looked.stderr.lines().count()),
            (Some(code), lines),
            "{looked:?}"
        );
        assert!(
            short.iter().all(|name| looked.stderr.contains(name)),
            "{looked:?}"
        );
        assert_eq!(connections == "4000000000", short.contains(&"memory"));
    }
    let table = run_to_end(&[&system[..4], &["--connections", "5"]].concat(), &[]).await;
    assert!(table.stdout.contains("node, 3 workers"), "{table:?}");
    let alone = run_to_end(&["check", "--connections", "5"], &[]).await;
    assert_refused(&alone, 64, &["--connections", "--system"]);
}

#[tokio::test]
async fn more_memory_than_there_is_is_refused() {
    let asked = ["--workers", "2", "--retain", "1000TiB"];
    for command in [vec![], vec!["check"]] {
        assert_refused(
            &run_to_end(&[command, asked.to_vec()].concat(), &[]).await,
            USAGE,
            &["memory", "retain", "1000TiB", "64MiB", "2 workers", "lower"],
        );
    }
}

#[tokio::test]
async fn what_check_prints_is_a_file_that_means_the_same() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("node.toml");
    let path = file.to_str().expect("UTF-8");
    fs::write(
        &file,
        "[[defaults]]\npattern = 'news.>'\nrate = { mode = 'sample', ms = 100 }\nbatch = { ms = 50 }\nage_ms = '5s'\n\
         [[most]]\npattern = '>'\nmessages = 5000\n",
    )
    .expect("a file");
    let check = ["check", "--config", path];
    let resolved = |text: &str| toml::from_str::<toml::Table>(text).expect("TOML");
    let first = run_to_end(&check, &[]).await;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(first.stdout.contains("ms = 100"), "{first:?}");
    fs::write(&file, &first.stdout).expect("a file");
    let second = run_to_end(&check, &[]).await;
    assert_eq!(second.code, Some(0), "{second:?}");
    assert_eq!(resolved(&second.stdout), resolved(&first.stdout));
}

#[tokio::test]
async fn flags_win_over_environment_over_file_over_defaults() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("node.toml");
    fs::write(&file, "workers = 3\nnode = 'from-file'\nrows = 5\n").expect("a file");
    let path = file.to_str().expect("UTF-8");
    for (arguments, environment, expected) in [
        (vec!["--workers", "4"], vec![("PUBSUB_WORKERS", "5")], 4),
        (vec![], vec![("PUBSUB_WORKERS", "5")], 5),
        (vec![], vec![("MAX_THREADS", "6")], 6),
        (
            vec![],
            vec![("PUBSUB_WORKERS", "5"), ("MAX_THREADS", "6")],
            5,
        ),
        (vec![], vec![], 3),
    ] {
        let checked = run_to_end(
            &[vec!["check", "--config", path], arguments].concat(),
            &environment,
        )
        .await;
        assert_eq!(checked.code, Some(0), "{checked:?}");
        let resolved: toml::Table =
            toml::from_str(&checked.stdout).unwrap_or_else(|error| panic!("{error}: {checked:?}"));
        assert_eq!(
            resolved["workers"].as_integer(),
            Some(expected),
            "{environment:?}"
        );
        assert_eq!(resolved["node"].as_str(), Some("from-file"));
        assert_eq!(resolved["rows"].as_integer(), Some(5));
    }
}

#[tokio::test]
async fn an_address_in_use_is_unavailable() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("a bound port").to_string();
    let folder = tempfile::tempdir().expect("a directory");
    let run_dir = folder.path().to_str().expect("UTF-8");
    let listen = [
        "--run-dir",
        run_dir,
        "--listen",
        &address,
        "--admin",
        "127.0.0.1:0",
    ];
    assert_refused(
        &run_to_end(&listen, &[]).await,
        UNAVAILABLE,
        &[&address, "listen"],
    );
    let admin = [
        "--run-dir",
        run_dir,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        &address,
    ];
    assert_refused(
        &run_to_end(&admin, &[]).await,
        UNAVAILABLE,
        &[&address, "admin"],
    );
}

#[tokio::test]
async fn a_run_directory_that_cannot_be_written_is_unavailable() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("a-file");
    fs::write(&file, "").expect("a file");
    let below = file.join("run");
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--run-dir",
        below.to_str().expect("UTF-8"),
    ];
    assert_refused(
        &run_to_end(&arguments, &[]).await,
        UNAVAILABLE,
        &["a-file", "run"],
    );
}

#[tokio::test]
async fn a_second_node_on_a_living_ones_run_directory_is_unavailable() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let run_dir = node.run_dir();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
        "--run-dir",
        run_dir.to_str().expect("UTF-8"),
    ];
    assert_refused(&run_to_end(&arguments, &[]).await, UNAVAILABLE, &["run"]);
    assert_eq!(
        workers(&node.status().await).len(),
        1,
        "the first has not noticed"
    );
}

#[tokio::test]
async fn a_replay_file_is_checked_before_a_port_is_bound() {
    let folder = tempfile::tempdir().expect("a directory");
    let file = folder.path().join("prices.csv");
    let source = format!("replay:{}", file.display());
    let arguments = [
        "--source",
        &source,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
    ];
    assert_refused(&run_to_end(&arguments, &[]).await, USAGE, &["prices.csv"]);
    for (text, words) in [
        (
            "time,symbol\n2020-01-01,AAPL\n",
            vec!["prices.csv", "1", "price"],
        ),
        (
            "time,symbol,price\n2020-01-01,AAPL,1.5\n2020-01-02,AAPL,dear\n",
            vec!["prices.csv", "3", "dear"],
        ),
        (
            "time,symbol,price\n2020-01-01,AAPL,1.5\n2020-01-02,A B,1.5\n",
            vec!["prices.csv", "3", "A B"],
        ),
        (
            "time,symbol,price\n2020-01-01,AAPL\n",
            vec!["prices.csv", "2"],
        ),
        ("", vec!["prices.csv"]),
    ] {
        fs::write(&file, text).expect("a file");
        assert_refused(&run_to_end(&arguments, &[]).await, USAGE, &words);
    }
    fs::write(folder.path().join("prices.csv.gz"), b"no gzip at all").expect("a file");
    let source = format!("{source}.gz");
    let arguments = [
        "--source",
        &source,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "none",
    ];
    assert_refused(
        &run_to_end(&arguments, &[]).await,
        USAGE,
        &["prices.csv.gz"],
    );
}

#[tokio::test]
async fn help_and_version_are_no_errors() {
    let version = run_to_end(&["--version"], &[]).await;
    assert_eq!(version.code, Some(0));
    assert!(
        version.stdout.contains(env!("CARGO_PKG_VERSION")),
        "{version:?}"
    );
    let help = run_to_end(&["--help"], &[]).await;
    assert_eq!(help.code, Some(0));
    for flag in [
        "--workers",
        "--listen",
        "--admin",
        "--source",
        "--interval-ms",
        "--rows",
        "--log",
        "--retain",
        "--heartbeat",
        "--write-stall",
        "--run-dir",
        "--config",
        "--log-format",
        "--print-config",
        "--publish",
        "--origins",
        "--drain",
        "--node",
        "--echo",
    ] {
        assert!(help.stdout.contains(flag), "{flag} in --help");
    }
}

#[tokio::test]
async fn json_logs_are_one_object_a_line_on_stderr() {
    let mut node =
        Node::start(&["--workers", "1", "--source", "none", "--log-format", "json"]).await;
    node.signal(node.pid, rustix::process::Signal::TERM);
    node.exited().await;
    let log = node.log();
    assert!(!log.is_empty());
    for line in log.lines() {
        let event: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event.is_object());
    }
}
