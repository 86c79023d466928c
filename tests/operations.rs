//! What people are told agrees with what is there: kernel settings, flags, metrics, the words of the protocol.
mod harness;

use harness::{Node, Socket, http_get, run_to_end};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(in_checkout(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Words of a text that begin with `prefix`, up to the first character that no name has.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    text.match_indices(prefix)
        .filter(|(at, _)| !text[..*at].ends_with(is_part))
        .filter(|(at, _)| {
            text[at + prefix.len()..].starts_with(|next: char| next.is_ascii_lowercase())
        })
        .map(|(at, _)| {
            text[at..]
                .chars()
                .take_while(|letter| is_part(*letter))
                .collect()
        })
        .collect()
}

#[tokio::test]
async fn operations_and_help_name_the_same_flags() {
    let mut help = run_to_end(&["--help"], &[]).await.stdout;
    for command in [&["check"][..], &["log", "inspect"], &["log", "export"]] {
        let words = [command, &["--help"]].concat();
        help += &run_to_end(&words, &[]).await.stdout;
    }
    let written = read("docs/operations.md");
    // Of one section the flags are the load tool's.
    let (before, load) = written.split_once("\n## Under load\n").expect("a section");
    let behind = load.find("\n## ").map_or("", |next| &load[next..]);
    let documented = names(&[before, behind].concat(), "--");
    let offered = names(&help, "--");
    for flag in offered
        .iter()
        .filter(|flag| !["--help", "--version"].contains(&flag.as_str()))
    {
        assert!(
            documented.contains(flag),
            "{flag} is in --help and not in docs/operations.md"
        );
    }
    for flag in documented {
        assert!(
            offered.contains(&flag),
            "{flag} is in docs/operations.md and not in --help"
        );
    }
}

#[tokio::test]
async fn metrics_are_those_that_are_documented_and_drawn() {
    let node = Node::start(&["--workers", "1"]).await;
    let shown = http_get(node.admin, "/metrics")
        .await
        .expect("an answer")
        .body;
    let typed: BTreeSet<String> = shown
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    assert!(!typed.is_empty(), "{shown}");
    let written = read("docs/operations.md");
    for name in typed.iter().filter(|name| name.starts_with("pubsub_")) {
        assert!(
            written.contains(&format!("`{name}")),
            "{name} is shown and not in docs/operations.md"
        );
    }
    let plain = |name: &String| {
        ["_bucket", "_count", "_sum"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name)
            .to_owned()
    };
    for file in [
        "docs/operations.md",
        "deploy/alerts.yml",
        "deploy/grafana.json",
    ] {
        for name in names(&read(file), "pubsub_") {
            assert!(
                typed.contains(&plain(&name)),
                "{name} is in {file} and not shown"
            );
        }
    }
}

#[tokio::test]
async fn the_documented_configuration_file_is_accepted() {
    let written = read("docs/operations.md");
    let (_, rest) = written.split_once("```toml\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("the example ends");
    let folder = tempfile::tempdir().expect("a directory");
    let recorded = in_checkout("tests/data/prices.csv.gz");
    let example = example.replace("prices.csv.gz", recorded.to_str().expect("UTF-8"));
    std::fs::write(folder.path().join("node.toml"), &example).expect("a file");
    let file = folder.path().join("node.toml");
    let checked = run_to_end(&["check", "--config", file.to_str().expect("UTF-8")], &[]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let resolved: toml::Table = toml::from_str(&checked.stdout).expect("check prints a file");
    let stated: toml::Table = toml::from_str(&example).expect("TOML");
    for (table, key) in [("worker", "handshake_ms"), ("limits", "topics")] {
        assert_eq!(resolved[table][key], stated[table][key], "{table}.{key}");
    }
}

#[tokio::test]
async fn commands_in_the_documents_are_understood() {
    let node = Node::start(&["--workers", "1"]).await;
    let mut tried = 0;
    for file in ["README.md", "docs/protocol.md"] {
        for command in read(file)
            .split(['`', '\n'])
            .map(|piece| piece.trim_start_matches("→ "))
        {
            let commands = ["subscribe", "unsubscribe", "ledger", "publish", "ping"];
            let is_command = commands
                .iter()
                .any(|op| command.starts_with(&format!(r#"{{"op":"{op}""#)));
            let is_whole = !command.contains('…')
                && command.ends_with('}')
                && !command.contains(r#""ledger":{"#);
            if is_command && is_whole {
                tried += 1;
                let mut socket = Socket::open(node.listen).await;
                socket.send_text(command.to_owned()).await;
                let answer = socket.next_op_or_error().await;
                let refused = ["bad_json", "unknown_op", "bad_field"];
                assert!(
                    answer["code"]
                        .as_str()
                        .is_none_or(|code| !refused.contains(&code)),
                    "{file}: {command}: {answer}"
                );
            }
        }
    }
    assert!(tried >= 5, "{tried} commands were found");
}

#[test]
fn the_dashboard_is_json_with_a_query_in_each_panel() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(
        panels
            .iter()
            .all(|panel| panel["targets"][0]["expr"].is_string()),
        "{panels:?}"
    );
}

#[test]
fn the_readme_has_the_command_that_ci_runs() {
    let readme = read("README.md");
    let ci = read(".ci/run");
    assert!(readme.contains("tests/run") && ci.contains("tests/run"));
}
