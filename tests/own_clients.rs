//! The project's own clients against a real node: the client crate's streams, and `pubsub-load`.
mod harness;

use harness::{Finished, Node, within_patience};
use pubsub_client::{Client, Else, Event, From, Overflow, Position};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The prototype's columns, in its order; others follow behind them.
const COLUMNS: &str = "clients,connected,cpu time,load avg,total memory (M),used memory(M),count,average response (ms),\
                       average outlier high response (ms),average outlier low response (ms),average message size,messages received";

async fn connect(node: &Node) -> Client {
    within_patience("a connection", Client::builder(node.url()).connect())
        .await
        .expect("the node welcomes")
}

#[tokio::test]
async fn the_client_crate_streams_and_resumes_at_a_position() {
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let publisher = connect(&node).await;
    let mut last = None;
    for number in 0..10 {
        last = Some(
            publisher
                .publish("a", &json!(number))
                .key("k")
                .await
                .expect("it is published"),
        );
    }
    let reader = connect(&node).await;
    let mut all = reader
        .subscribe("a")
        .from(From::Earliest)
        .overflow(Overflow::DropOldest)
        .await
        .expect("subscribed");
    let mut positions = Vec::new();
    while positions.len() < 10 {
        match within_patience("an event", all.next())
            .await
            .expect("the stream goes on")
        {
            Event::Message(message) => {
                assert_eq!(message.data.get(), positions.len().to_string());
                assert_eq!(message.key.as_deref(), Some("k"));
                positions.push(message.offset);
            }
            Event::Mode { .. } => {}
            other => panic!("unexpected: {other:?}"),
        }
    }
    assert_eq!(
        positions.last(),
        last.map(|published| published.offset).as_ref()
    );
    let ledger = all.unsubscribe().await.expect("a ledger");
    assert_eq!((ledger.residual(), ledger.delivered), (0, 10));

    let start = Position::One {
        epoch: node.status().await["epoch"]
            .as_str()
            .expect("an epoch")
            .to_owned(),
        offset: positions[6],
    };
    let mut rest = reader
        .subscribe("a")
        .after(start, Else::Earliest)
        .await
        .expect("subscribed");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        if let Event::Message(message) = within_patience("an event", rest.next())
            .await
            .expect("the stream goes on")
        {
            seen.push(message.offset);
        }
    }
    assert_eq!(seen, positions[7..]);
}

#[tokio::test]
async fn the_client_crate_says_how_a_connection_ended() {
    let mut node = Node::start(&[
        "--workers",
        "1",
        "--interval-ms",
        "1..3",
        "--drain",
        "500ms",
    ])
    .await;
    let client = connect(&node).await;
    let mut execs = client.subscribe("execs").await.expect("subscribed");
    node.signal(node.pid, Signal::TERM);
    assert!(within_patience("a goaway", client.goaway()).await.is_some());
    let end = loop {
        match within_patience("the end", execs.next()).await {
            Some(Event::Closed(closed)) => break closed,
            Some(_) => {}
            None => panic!("the stream ended without a word"),
        }
    };
    assert_eq!(end.code(), 1001, "{end:?}");
    assert_eq!(node.exited().await.code(), Some(0));
}

/// `pubsub-load` as `cargo test --workspace` has built it beside the server.
async fn load(node: &Node, arguments: &[&str]) -> Finished {
    let program: PathBuf =
        Path::new(env!("CARGO_BIN_EXE_pubsub-server")).with_file_name("pubsub-load");
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .args(["--url", &node.url()])
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within_patience("the end of pubsub-load", command.output()).await;
    let output = output.unwrap_or_else(|error| {
        panic!(
            "{} can't be run ({error}): tests/run builds it",
            program.display()
        )
    });
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

#[tokio::test]
async fn a_ramp_loses_nothing_and_its_books_close() {
    let node = Node::start(&["--workers", "10", "--interval-ms", "10..20"]).await;
    let ramp = [
        "ramp", "--step", "100", "--every", "1s", "--max", "300", "--hold", "1s",
    ];
    let finished = load(&node, &ramp).await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    let mut lines = finished.stdout.lines();
    let header = lines.next().expect("a header");
    assert!(header.starts_with(COLUMNS), "{header}");
    let column = |name: &str| {
        header
            .split(',')
            .position(|known| known == name)
            .unwrap_or_else(|| panic!("no column {name}"))
    };
    let steps: Vec<Vec<&str>> = lines.map(|line| line.split(',').collect()).collect();
    let connected: Vec<&str> = steps.iter().map(|step| step[column("connected")]).collect();
    assert_eq!(connected, ["100", "200", "300", "300"], "{finished:?}");
    for name in ["lost", "failed", "closed"] {
        assert!(
            steps.iter().all(|step| step[column(name)] == "0"),
            "{name}: {finished:?}"
        );
    }
    assert!(
        finished.stderr.contains("residual 0 (300 ledgers"),
        "{finished:?}"
    );
}

#[tokio::test]
async fn what_is_published_at_a_rate_is_acknowledged_and_counted() {
    let node = Node::start(&["--workers", "2", "--source", "none"]).await;
    let finished = load(
        &node,
        &[
            "publish",
            "--topic",
            "news",
            "--rate",
            "1000/s",
            "--size",
            "450",
            "--duration",
            "2s",
        ],
    )
    .await;
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(
        finished
            .stdout
            .contains("acknowledged 2000, refused 0, unanswered 0"),
        "{finished:?}"
    );
    let counted = |status: &Value| status["totals"]["published"] == 2000;
    node.until("all are counted", counted).await;
}
