//! The client crate's examples, run against a real node to their ends.
use crate::harness::{Node, within_patience};

#[allow(dead_code)] // its `main`
#[path = "../../client/examples/orders.rs"]
mod orders;
#[allow(dead_code)] // its `main`
#[path = "../../client/examples/quotes.rs"]
mod quotes;
#[allow(dead_code)] // its `main`
#[path = "../../client/examples/resume.rs"]
mod resume;
#[allow(dead_code)] // its `main`
#[path = "../../client/examples/slow_consumer.rs"]
mod slow_consumer;

async fn node() -> Node {
    Node::start(&["--workers", "1", "--interval-ms", "1..3"]).await
}

#[tokio::test]
async fn the_example_of_quotes_shows_so_many_and_ends() {
    let node = node().await;
    let shown = within_patience("its end", quotes::run(&node.url())).await;
    assert_eq!(shown.expect("it runs"), 50);
}

#[tokio::test]
async fn the_example_of_orders_sees_each_filled() {
    let node = node().await;
    let filled = within_patience("its end", orders::run(&node.url())).await;
    assert_eq!(filled.expect("it runs"), 5);
}

#[tokio::test]
async fn the_example_of_resuming_misses_nothing_between_its_runs() {
    let node = node().await;
    let seen = within_patience("its end", resume::run(&node.url())).await;
    let seen = seen.expect("it runs");
    assert_eq!(seen.len(), 40);
    assert!(
        seen.is_sorted_by(|before, after| before < after),
        "{seen:?}"
    );
    // The log has them all, and none between.
    let mut reader = crate::harness::Socket::open(node.listen).await;
    let answer = reader
        .subscribe("execs", serde_json::json!({"from": "earliest"}))
        .await;
    assert_eq!(answer["op"], "subscribed");
    let mut held = Vec::new();
    while held.last() < seen.last() {
        held.push(crate::harness::offset(&reader.next_op("msg").await));
    }
    let first = held.iter().position(|offset| offset == &seen[0]);
    assert_eq!(held[first.expect("it is held")..], seen);
}

#[tokio::test]
async fn the_example_of_a_slow_consumer_gets_what_it_asked_for() {
    let node = node().await;
    let delivered = within_patience("its end", slow_consumer::run(&node.url())).await;
    assert!(delivered.expect("it runs") >= 40);
}
