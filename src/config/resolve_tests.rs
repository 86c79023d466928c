//! What resolving promises: precedence, defaults, every refusal, and that printing loses nothing.

use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use super::*;
use crate::config::args::{Parsed, parse};
use crate::config::print;
use crate::config::{Log, LogFormat};
use pubsub_sysctl::memory::{Holder, Memory};

const PATTERNS: &[&str] = &["a", "a.*", "a.>", "quotes.>", "quotes.*", "*.>", ">"];
const DEFAULT_LINES: &[&str] = &[
    "messages = 7",
    "bytes = 70001",
    "age_ms = '2s'",
    "overflow = 'spill'",
    "rate = { mode = 'throttle', ms = 5 }",
    "batch = { messages = 2 }",
];
const MOST_LINES: &[&str] = &["messages = 5000", "bytes = '512KiB'", "age_ms = 2000"];

fn here() -> Surroundings {
    Surroundings {
        env: BTreeMap::new(),
        directory: PathBuf::from("/home/u"),
        cores: 6,
        host: "box".to_owned(),
        run_base: PathBuf::from("/run/user/7"),
        files: 20_000,
        memory: Some(Memory {
            bytes: 1 << 30,
            of: Holder::Machine,
        }),
    }
}

fn with(words: &[&str], env: &[(&str, &str)], file: &str) -> Result<Resolved, String> {
    let words = std::iter::once("pubsub-server")
        .chain(words.iter().copied())
        .map(std::ffi::OsString::from);
    let Ok(Parsed::Run(typed)) = parse(words) else {
        panic!("not a command line")
    };
    let env = env
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let file = File::parse(Path::new("node.toml"), file).map_err(|error| error.to_string())?;
    resolve(&typed.node.typed(), &Typed::from_env(&env), &file, &here())
        .map_err(|error| error.to_string())
}

fn config(words: &[&str]) -> Config {
    with(words, &[], "").unwrap().config
}

#[test]
fn a_node_needs_no_settings() {
    let plain = config(&[]);
    assert_eq!(
        (plain.workers, plain.rows, plain.interval_ms),
        (6, 2, (10, 100))
    );
    assert_eq!(plain.listen.to_string(), "127.0.0.1:8124");
    assert_eq!(plain.admin.unwrap().to_string(), "127.0.0.1:8125");
    assert_eq!(
        (plain.sources, plain.log),
        (vec![Source::Synthetic], Log::Memory)
    );
    assert_eq!(
        (plain.heartbeat_ms, plain.write_stall_ms, plain.drain_ms),
        (25_000, 120_000, 5_000)
    );
    assert_eq!(plain.run_dir, Path::new("/run/user/7/pubsub-8124"));
    assert_eq!(
        (plain.node.as_str(), plain.echo, plain.log_format),
        ("box", false, LogFormat::Text)
    );
    assert_eq!((plain.retain.len(), plain.retain[0].bytes), (1, 64 << 20));
    assert_eq!((plain.topics_max, plain.keys_max), (100_000, 1_000_000));
    assert_eq!((plain.defaults.len(), plain.most.len()), (2, 0));
    assert_eq!(
        (plain.worker.connections, plain.worker.mode_hold_ms),
        (20_000 - 64, 1000)
    );
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let file = "workers = 4\nrows = 4\nnode = 'file'\nheartbeat = '4s'";
    let env = [
        ("PUBSUB_WORKERS", "3"),
        ("MAX_THREADS", "9"),
        ("MAX_ROWS", "3"),
        ("PUBSUB_NODE", "env"),
    ];
    let all = with(&["--workers", "2"], &env, file).unwrap();
    assert_eq!(
        (
            all.config.workers,
            all.config.rows,
            all.config.node.as_str()
        ),
        (2, 3, "env")
    );
    assert_eq!(
        (all.config.heartbeat_ms, all.config.drain_ms),
        (4_000, 5_000)
    );
    assert_eq!(all.origin("workers"), Origin::Flag("workers"));
    assert_eq!(all.origin("rows"), Origin::Env("MAX_ROWS"));
    assert_eq!(all.origin("heartbeat").to_string(), "node.toml:4");
    assert_eq!(all.origin("drain"), Origin::Default);
}

#[test]
fn a_value_that_does_not_count_is_not_read() {
    assert_eq!(
        with(
            &["--workers", "2"],
            &[("PUBSUB_WORKERS", "many")],
            "workers = 0"
        )
        .unwrap()
        .config
        .workers,
        2
    );
}

#[test]
fn who_may_publish_follows_where_the_node_listens() {
    assert_eq!(config(&[]).publish, PublishFrom::Loopback);
    assert_eq!(
        config(&["--listen", "[::1]:1"]).publish,
        PublishFrom::Loopback
    );
    assert_eq!(
        config(&["--listen", "0.0.0.0:8124"]).publish,
        PublishFrom::Nobody
    );
    assert_eq!(
        config(&["--listen", "0.0.0.0:8124", "--publish", "anyone"]).publish,
        PublishFrom::Anyone
    );
}

#[test]
fn the_run_dir_follows_the_port_unless_it_is_given() {
    let by_port = with(&["--listen", "127.0.0.1:0"], &[], "").unwrap();
    assert_eq!(
        by_port.run_dir.of_port(&by_port.config.run_dir, 4711),
        Path::new("/run/user/7/pubsub-4711")
    );
    let given = with(&["--run-dir", "r"], &[], "").unwrap();
    assert_eq!(
        given.run_dir.of_port(&given.config.run_dir, 4711),
        Path::new("/home/u/r")
    );
}

#[test]
fn no_source_is_a_choice_and_none_beside_others_is_not() {
    assert_eq!(config(&["--source", "none"]).sources, []);
    let two = config(&["--source", "synthetic", "--source", "replay:a.csv,loop"]).sources;
    assert_eq!(
        two[1],
        Source::Replay {
            file: "/home/u/a.csv".into(),
            again: true
        }
    );
}

#[test]
fn a_retention_for_all_topics_from_a_flag_leaves_the_patterns_of_the_file() {
    let file = "[[retain]]\npattern = 'execs'\nsize = '1MiB'\nage = '1h'\n[[retain]]\npattern = '>'\nsize = '2MiB'";
    let by_file = with(&[], &[], file).unwrap().config.retain;
    assert_eq!(
        (
            by_file[0].pattern.as_str(),
            by_file[0].age_ms,
            by_file[1].bytes
        ),
        ("execs", Some(3_600_000), 2 << 20)
    );
    let by_flag = with(&["--retain", "3MiB,7"], &[], file)
        .unwrap()
        .config
        .retain;
    assert_eq!(
        (by_flag.len(), by_flag[1].bytes, by_flag[1].count),
        (2, 3 << 20, Some(7))
    );
}

#[test]
fn every_wrong_flag_is_refused_with_its_name_value_and_what_would_be_right() {
    for (flag, value, part) in [
        ("workers", "0", "a whole number from 1 to 1024"),
        ("workers", "1025", "a whole number from 1 to 1024"),
        ("workers", "ten", "a whole number from 1 to 1024"),
        ("listen", "8124", "an IP address and a port"),
        ("admin", "off", "or none"),
        (
            "admin",
            "0.0.0.0:8124",
            "another port than listen's 127.0.0.1:8124",
        ),
        ("source", "kafka", "synthetic, replay:FILE"),
        ("interval-ms", "100..10", "MIN..MAX in milliseconds"),
        ("interval-ms", "0..9999999", "from 0 to 3600000"),
        ("rows", "0", "from 1 to 1000"),
        ("log", "disk:", "memory or disk:FOLDER"),
        (
            "log",
            "kafka://h:1",
            "memory or disk:FOLDER: this build has no kafka log yet",
        ),
        ("log-sync", "interval", "none, always or interval:TIME"),
        (
            "partitions",
            "8",
            "nothing: this build has no kafka log yet",
        ),
        ("venue", "nyse", "paper or none"),
        ("retain", "1", "a size of at least 64KiB"),
        ("heartbeat", "25", "a time from 100ms to 1h, such as 25s"),
        ("heartbeat", "2h", "a time from 100ms to 1h, such as 25s"),
        (
            "write-stall",
            "1ms",
            "a time from 100ms to 1h, such as 120s",
        ),
        ("run-dir", "", "a folder"),
        ("log-format", "xml", "text or json"),
        ("publish", "me", "loopback, anyone or nobody"),
        ("origins", "https://a,b", "an origin as browsers send it"),
        ("drain", "1d", "a time from 0ms to 1h, such as 5s"),
        ("node", "a b", "1 to 64 letters"),
        ("echo", "yes", "true or false"),
    ] {
        let line = with(&[&format!("--{flag}={value}")], &[], "").unwrap_err();
        assert!(
            line.starts_with(&format!("{flag} = ")) && line.contains(&format!("(from --{flag})")),
            "{line}"
        );
        assert!(
            line.contains(&format!("expected {part}")) || line.contains(part),
            "{part:?} is not in {line:?}"
        );
    }
}

#[test]
fn sources_that_contradict_each_other_are_refused() {
    let none = with(&["--source", "none", "--source", "synthetic"], &[], "").unwrap_err();
    assert!(none.contains("none alone"), "{none}");
    let twice = with(&[], &[("PUBSUB_SOURCE", "synthetic;synthetic")], "").unwrap_err();
    assert_eq!(
        twice,
        r#"source = "synthetic" (from environment variable PUBSUB_SOURCE): expected each source once"#
    );
}

#[test]
fn every_wrong_table_of_the_file_is_refused_with_its_line() {
    for (file, part) in [
        (
            "[limits]\nframe_bytes = 1",
            r#"limits.frame_bytes = "1" (from node.toml:2): expected a size from 1KiB to 16MiB"#,
        ),
        (
            "[limits]\ntopic_bytes = 256",
            "expected a whole number from 1 to 255",
        ),
        ("[limits]\ntopics = 0", "expected a whole number from 1 to"),
        (
            "[limits.bound]\nage_ms = '2d'",
            "expected milliseconds from 1 to 86400000",
        ),
        (
            "[worker]\nmode_hold_ms = '11m'",
            "expected milliseconds from 0 to 600000, or a time such as 10s",
        ),
        (
            "[worker]\nconnections = 20000",
            "expected at most 19936: a process may open 20000 files here",
        ),
        (
            "[worker]\nring_bytes = '1MiB'\n[limits]\nframe_bytes = '2MiB'",
            r#"worker.ring_bytes = "1048576" (from node.toml:2)"#,
        ),
        (
            "[worker]\npublish_bytes_per_s = 2048",
            "expected at least limits.frame_bytes",
        ),
        (
            "[[retain]]\nsize = '1MiB'",
            r#"retain.1.pattern = "" (from node.toml:1): expected it to be there"#,
        ),
        ("[[retain]]\npattern = 'a'", "retain.1.size"),
        (
            "[[retain]]\npattern = 'a..b'\nsize = '1MiB'",
            "no token of a topic may be empty",
        ),
        (
            "[[retain]]\npattern = '>'\nsize = '1MiB'\n[[retain]]\npattern = 'a'\nsize = '1MiB'",
            "it before the pattern",
        ),
        (
            "[[retain]]\npattern = 'a'\nsize = '1MiB'\nage = '0'",
            "retain.1.age",
        ),
    ] {
        let line = with(&[], &[], file).unwrap_err();
        assert!(line.contains(part), "{part:?} is not in {line:?}");
        assert!(line.contains("node.toml:"), "{line}");
    }
}

#[test]
fn a_node_that_needs_more_memory_than_there_is_is_refused_with_what_to_lower() {
    let ring = |bytes: &str| format!("[worker]\nring_bytes = '{bytes}'");
    for (words, file, line) in [
        (
            vec!["--workers=10", "--retain=65MiB"],
            ring("96MiB"),
            "the node needs 1025MiB of memory: 65MiB for the log (retain, from --retain), and 96MiB (worker.ring_bytes, from \
             node.toml:2) for each of 10 workers (workers, from --workers); the machine has 1024MiB: lower worker.ring_bytes, workers \
             or retain",
        ),
        (
            vec![],
            ring("1TiB"),
            "the node needs 6291520MiB of memory: 64MiB for the log (retain), and 1TiB (worker.ring_bytes, from node.toml:2) for each \
             of 6 workers (workers); the machine has 1024MiB: lower worker.ring_bytes or workers",
        ),
        (
            vec![],
            "[[retain]]\npattern = 'a'\nsize = '1GiB'".to_owned(),
            "the node needs 1472MiB of memory: 1088MiB for the log (retain), and 64MiB (worker.ring_bytes) for each of 6 workers \
             (workers); the machine has 1024MiB: lower retain",
        ),
    ] {
        assert_eq!(with(&words, &[], &file).unwrap_err(), line);
    }
    assert!(with(&["--workers=10", "--retain=64MiB"], &[], &ring("96MiB")).is_ok());
}

#[test]
fn a_run_dir_too_long_for_a_socket_is_refused() {
    let long = format!("/{}", "x".repeat(98));
    assert!(
        with(&["--run-dir", &long], &[], "")
            .unwrap_err()
            .contains("at most 98 bytes")
    );
    assert!(with(&["--run-dir", &long[..98]], &[], "").is_ok());
}

#[test]
fn what_is_printed_resolves_to_the_same() {
    let rates = "[[defaults]]\npattern = 'quotes.*'\nmessages = 7\n[[defaults]]\npattern = 'quotes.>'\nage_ms = '7s'\n\
        rate = { mode = 'sample', ms = 100, when = 'behind' }\nbatch = { ms = 50, bytes = '64KiB' }\n\
        [[defaults]]\npattern = 'trades.*'\nrate = { mode = 'debounce', ms = '1s', max_wait_ms = 5000 }\n\
        [[defaults]]\npattern = '>'\nrate = { mode = 'all' }\nbatch = { messages = 3 }\n\
        [[most]]\npattern = 'quotes.*'\nmessages = 9\n[[most]]\npattern = '>'\nbytes = '512KiB'\nage_ms = 9000";
    let file = "workers = 3\norigins = ['https://a.b']\n[[retain]]\npattern = 'e.>'\nsize = 70001\nage = '90s'\ncount = 9\n\
        [[defaults]]\npattern = 'n.\u{e9}'\noverflow = 'disconnect'\n[[defaults]]\npattern = '>'\noverflow = 'conflate'\nmessages = 9\n\
        [limits]\nframe_bytes = 70001\ntopics = 9\n[limits.bound]\nage_ms = 77\n[worker]\nhandshake_ms = '3s'\nmode_hold_ms = 0\nring_bytes = '9MiB'";
    for (words, file) in [
        (vec![], ""),
        (
            vec![
                "--source",
                "none",
                "--admin",
                "none",
                "--echo",
                "--log-format",
                "json",
            ],
            "",
        ),
        (
            vec![
                "--source",
                "replay:a \"b\".csv,loop",
                "--interval-ms",
                "0..0",
                "--node",
                "n",
                "--retain",
                "2MiB",
            ],
            file,
        ),
        (vec!["--publish", "anyone"], file),
        (vec![], rates),
    ] {
        let first = with(&words, &[], file).unwrap();
        let printed = print::toml(&first);
        let second =
            with(&[], &[], &printed).unwrap_or_else(|error| panic!("{error} in\n{printed}"));
        assert_eq!(second.config, first.config, "\n{printed}");
    }
}

proptest! {
    #[test]
    fn whatever_defaults_are_accepted_are_printed_as_they_are_meant(
        defaults in vec((select(PATTERNS), subsequence(DEFAULT_LINES, 1..4)), 0..4),
        most in vec((select(PATTERNS), subsequence(MOST_LINES, 0..3)), 0..3),
    ) {
        let list = |name: &str, entries: Vec<(&str, Vec<&str>)>| -> String {
            let entry = |(pattern, lines): (&str, Vec<&str>)| {
                format!("[[{name}]]\npattern = '{pattern}'\n{}\n", lines.join("\n"))
            };
            entries.into_iter().map(entry).collect()
        };
        let file = list("defaults", defaults) + &list("most", most);
        // Many are refused, since an entry stands behind one that covers it.
        if let Ok(first) = with(&[], &[], &file) {
            let printed = print::toml(&first);
            let second = with(&[], &[], &printed).map_err(|error| TestCaseError::fail(format!("{error} in\n{printed}")))?;
            prop_assert_eq!(second.config, first.config);
        }
    }
}

#[test]
fn the_file_that_the_manual_shows_is_accepted() {
    let manual = include_str!("../../docs/operations.md");
    let (_, file) = manual.split_once("```toml\n").unwrap();
    let (file, _) = file.split_once("```").unwrap();
    let config = with(&[], &[], file).unwrap().config;
    assert_eq!((config.defaults.len(), config.most.len()), (2, 1));
}

#[test]
fn what_is_printed_says_where_it_came_from() {
    let printed = print::toml(
        &with(
            &["--workers", "3"],
            &[("MAX_ROWS", "4")],
            "[worker]\nhandshakes = 5\n[[defaults]]\npattern = 'a'\nmessages = 6\nbatch = { ms = 7 }\n[[most]]\npattern = 'b'\nmessages = 8",
        )
        .unwrap(),
    );
    let has = |line: &str| {
        assert!(
            printed
                .lines()
                .any(|l| l.split_whitespace().eq(line.split_whitespace())),
            "{printed}"
        );
    };
    has("workers = 3 # --workers");
    has("rows = 4 # environment variable MAX_ROWS");
    has("handshakes = 5 # node.toml:2");
    has("messages = 6 # node.toml:5");
    has("batch = { ms = 7 } # node.toml:6");
    has("messages = 8 # node.toml:9");
    has("messages = 1024");
    has("drain = \"5s\"");
}

#[test]
fn the_roles_read_back_what_the_supervisor_hands_them() {
    let config = config(&["--source", "replay:a.csv", "--admin", "none"]);
    let json = serde_json::to_vec(&config).unwrap();
    assert_eq!(serde_json::from_slice::<Config>(&json).unwrap(), config);
}
