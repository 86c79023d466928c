//! The Autobahn test suite against `/echo`: everything but compression, which the server doesn't offer.
//!
//! `tests/run` installs the suite; `tests/foreign/autobahn_suite.py` drives it.
mod harness;

use harness::Node;
use serde_json::{Map, Value};
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// The suite's cases without 12.* and 13.*.
const CASES: usize = 301;
/// Cases of which the suite itself only takes notes: what a close leaves of data before it, and codes outside of the standard.
const INFORMATIONAL: [&str; 3] = ["7.1.6", "7.13.1", "7.13.2"];
/// Longer than any number of its cases may wait: each has a time limit of its own, of which hundreds are half a second or one.
const PATIENCE: Duration = Duration::from_secs(900);

#[tokio::test]
async fn the_server_passes_the_autobahn_suite() {
    let node = Node::start(&["--workers", "1", "--source", "none", "--echo"]).await;
    let checkout = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a directory for the verdicts");
    let file = folder.path().join("verdicts.json");
    let suite = Command::new(checkout.join(".cache/python/bin/python"))
        .arg(checkout.join("tests/foreign/autobahn_suite.py"))
        .arg(format!("ws://{}/echo", node.listen))
        .arg(&file)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(PATIENCE, suite)
        .await
        .expect("the suite comes to an end");
    let output = output
        .unwrap_or_else(|error| panic!("the suite can't be run ({error}): tests/run installs it"));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let verdicts = std::fs::read_to_string(&file).expect("verdicts");
    let verdicts: Map<String, Value> = serde_json::from_str(&verdicts).expect("JSON");
    assert_eq!(verdicts.len(), CASES);
    let failures: Vec<String> = verdicts
        .iter()
        .filter(|(case, verdict)| !passed(case, verdict))
        .map(|(case, verdict)| format!("{case}: {verdict}"))
        .collect();
    assert!(
        failures.is_empty(),
        "{} of {CASES} cases:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

fn passed(case: &str, verdict: &Value) -> bool {
    let is = |field: &str, value: &str| verdict[field] == value;
    let noted = INFORMATIONAL.contains(&case) && is("behavior", "INFORMATIONAL");
    let behaved = is("behavior", "OK") || is("behavior", "NON-STRICT") || noted;
    let closed = is("behaviorClose", "OK") || (noted && is("behaviorClose", "INFORMATIONAL"));
    behaved && closed
}
