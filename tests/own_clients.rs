//! The project's own clients against a real node: the client crate's streams, and `pubsub-load`.
mod harness;

use harness::{Finished, Node, within_patience};
use pubsub_client::{
    Batch, BatchPatch, BoundPatch, Client, Else, Event, From, GapReason, Message, Overflow, Patch,
    Position, Reconfigure, Reconnect, Subscription,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
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
    let connecting = Client::builder(node.url())
        .reconnect(Reconnect::never())
        .connect();
    let client = within_patience("a connection", connecting)
        .await
        .expect("the node welcomes");
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

/// The next event but changes of mode.
async fn event(stream: &mut Subscription) -> Event {
    loop {
        match within_patience("an event", stream.next()).await {
            Some(Event::Mode { .. }) => {}
            Some(event) => return event,
            None => panic!("the stream goes on"),
        }
    }
}

async fn message(stream: &mut Subscription) -> Message {
    match event(stream).await {
        Event::Message(message) => message,
        other => panic!("a message was expected: {other:?}"),
    }
}

/// Publishes numbers under one of two keys, and waits for each.
async fn publish(client: &Client, topic: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let request = client.publish(topic, &number);
        let published = request.key((number % 2).to_string()).await;
        published.expect("it is published");
    }
}

fn number(message: &Message) -> u64 {
    message.json().expect("a number")
}

async fn quiet_node() -> Node {
    Node::start(&["--workers", "1", "--source", "none"]).await
}

#[tokio::test]
async fn the_client_crate_yields_the_items_of_batches_as_messages() {
    let node = quiet_node().await;
    let client = connect(&node).await;
    let three = Batch {
        messages: Some(3),
        ..Batch::default()
    };
    let mut stream = client
        .subscribe("a.*")
        .batch(three)
        .await
        .expect("subscribed");
    publish(&client, "a.b", 0..6).await;
    for expected in 0..6 {
        let message = message(&mut stream).await;
        assert_eq!(number(&message), expected);
        assert_eq!(
            (&*message.topic, message.sub.as_deref()),
            ("a.b", Some("a.*"))
        );
    }
    assert_eq!(stream.ledger().await.expect("a ledger").delivered, 6);
}

#[tokio::test]
async fn the_client_crate_gets_as_much_as_it_asks_for_and_is_told_what_it_lost() {
    let node = quiet_node().await;
    let client = connect(&node).await;
    let mut stream = client
        .subscribe("a")
        .bound_messages(3)
        .overflow(Overflow::DropOldest)
        .credit(2)
        .await
        .expect("subscribed");
    publish(&client, "a", 0..10).await;
    assert_eq!(number(&message(&mut stream).await), 0);
    assert_eq!(number(&message(&mut stream).await), 1);
    stream.credit(100).await.expect("it is open");
    let mut lost = 0;
    loop {
        match event(&mut stream).await {
            Event::Gap(gap) => {
                assert_eq!(gap.reason, GapReason::DropOldest);
                lost += gap.count.expect("a count");
            }
            Event::Message(message) if number(&message) == 9 => break,
            Event::Message(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(lost, 5, "the bound keeps 3 of 8");
    let ledger = stream.unsubscribe().await.expect("a ledger");
    assert_eq!((ledger.residual(), ledger.delivered), (0, 5));
}

#[tokio::test]
async fn the_client_crate_resumes_a_rated_subscription_where_a_lost_connection_left_it() {
    let node = quiet_node().await;
    let publisher = connect(&node).await;
    let tick = Duration::from_millis(20);
    let first = connect(&node).await;
    let mut stream = first.subscribe("a").sample(tick).await.expect("subscribed");
    publish(&publisher, "a", 0..4).await;
    let mut newest = [0; 2];
    while newest != [2, 3] {
        let message = message(&mut stream).await;
        assert!(message.resume.is_some(), "with a rate it says so");
        newest[usize::from(message.key.as_deref() == Some("1"))] = number(&message);
    }
    let position = stream.position().clone();
    drop((first, stream));

    publish(&publisher, "a", 4..8).await;
    let second = connect(&node).await;
    let mut rest = second
        .subscribe("a")
        .sample(tick)
        .after(position, Else::Earliest)
        .await
        .expect("subscribed");
    for expected in 4..8 {
        assert_eq!(
            number(&message(&mut rest).await),
            expected,
            "all of history"
        );
    }
    publish(&publisher, "a", 8..10).await;
    let live = [
        number(&message(&mut rest).await),
        number(&message(&mut rest).await),
    ];
    assert_eq!(live, [8, 9]);
}

#[tokio::test]
async fn the_client_crate_is_told_how_many_rated_messages_were_lost_but_not_where() {
    let node = quiet_node().await;
    let client = connect(&node).await;
    let mut stream = client
        .subscribe("a")
        .throttle(Duration::from_millis(1))
        .overflow(Overflow::DropOldest)
        .bound_messages(1)
        .bound_age(Duration::from_secs(600))
        .credit(0)
        .await
        .expect("subscribed");
    publish(&client, "a", 0..2).await;
    stream.credit(10).await.expect("it is open");
    let Event::Gap(gap) = event(&mut stream).await else {
        panic!("a gap was expected");
    };
    assert_eq!((gap.from, gap.to, gap.count), (None, None, Some(1)));
    assert_eq!(*stream.position(), gap.at);
    assert_eq!(number(&message(&mut stream).await), 1);
}

#[tokio::test]
async fn the_client_crate_changes_settings_while_messages_flow() {
    let node = quiet_node().await;
    let client = connect(&node).await;
    let mut stream = client.subscribe("a").await.expect("subscribed");
    publish(&client, "a", 0..2).await;
    let change = Reconfigure {
        batch: Patch::Set(BatchPatch {
            messages: Patch::Set(2),
            ..BatchPatch::default()
        }),
        bound: Patch::Set(BoundPatch {
            age_ms: Patch::Set(500),
            ..BoundPatch::default()
        }),
        overflow: Patch::Set(Overflow::Conflate),
        ..Reconfigure::default()
    };
    let settings = stream.reconfigure(change).await.expect("it is good");
    assert_eq!(settings.overflow, Overflow::Conflate);
    assert_eq!(settings.bound.age_ms, Some(500));
    assert_eq!(settings.batch.expect("batches").messages, Some(2));

    let refused = stream
        .reconfigure(Reconfigure {
            bound: Patch::Set(BoundPatch {
                messages: Patch::Set(0),
                ..BoundPatch::default()
            }),
            ..Reconfigure::default()
        })
        .await
        .expect_err("a bound of none");
    assert!(refused.to_string().contains("bound.messages"), "{refused}");
    assert_eq!(stream.settings().overflow, Overflow::Conflate);

    publish(&client, "a", 2..6).await;
    for expected in 0..6 {
        assert_eq!(number(&message(&mut stream).await), expected);
    }
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
