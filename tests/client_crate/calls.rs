//! What a real node's answers to calls become.
use crate::harness::{Node, within_patience};
use pubsub_client::{CallError, Client, Reply};
use serde_json::{Value, json};

async fn call(client: &Client, method: &str, params: Value) -> Result<Reply, CallError> {
    within_patience("an answer", client.call(method, &params).into_future()).await
}

async fn connect(node: &Node) -> Client {
    within_patience("a connection", Client::builder(node.url()).connect())
        .await
        .expect("the node welcomes")
}

fn order() -> Value {
    json!({
        "client_order_id": "1", "account": "a", "symbol": "NONE", "side": "buy", "qty": 1, "type": "market",
    })
}

#[tokio::test]
async fn each_answer_of_a_node_has_its_type() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let client = connect(&node).await;

    let wrong = json!({"account": "a", "side": "up"});
    match call(&client, "order.submit", wrong).await {
        Err(CallError::BadField { fields, .. }) => {
            let names: Vec<&str> = fields.iter().map(|wrong| wrong.field.as_str()).collect();
            assert!(
                names.contains(&"side") && names.contains(&"qty"),
                "{names:?}"
            );
        }
        other => panic!("{other:?}"),
    }
    let unknown = call(&client, "order.guess", json!({})).await;
    assert!(
        matches!(unknown, Err(CallError::UnknownMethod { .. })),
        "{unknown:?}"
    );
    let unquoted = call(&client, "order.submit", order()).await;
    assert!(
        matches!(unquoted, Err(CallError::Rejected { .. })),
        "{unquoted:?}"
    );
    let empty = call(&client, "order.list", json!({"account": "a"})).await;
    assert_eq!(
        empty.expect("a list").get(),
        r#"{"orders":[],"more":false}"#
    );
    let large = json!({"account": "a".repeat(300_000)});
    let refused = call(&client, "order.list", large).await;
    assert!(matches!(refused, Err(CallError::Refused(_))), "{refused:?}");
    assert!(client.close_reason().is_none(), "the connection lives");
}

#[tokio::test]
async fn a_node_without_a_venue_is_unavailable_and_one_that_takes_none_forbids() {
    let node = Node::start(&["--workers", "1", "--source", "none", "--venue", "none"]).await;
    let answer = call(&connect(&node).await, "order.submit", order()).await;
    assert!(
        matches!(answer, Err(CallError::Unavailable { .. })),
        "{answer:?}"
    );

    let node = Node::start(&["--workers", "1", "--source", "none", "--publish", "nobody"]).await;
    let answer = call(&connect(&node).await, "order.submit", order()).await;
    assert!(
        matches!(answer, Err(CallError::Forbidden { .. })),
        "{answer:?}"
    );
}
