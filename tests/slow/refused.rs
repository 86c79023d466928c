//! Settings that are refused: the field with its path, and the old settings stay in force.
use crate::harness::{Node, Socket};
use serde_json::{Value, json};

/// Wrong fields, and the path that names them.
fn wrong() -> Vec<(Value, &'static str)> {
    let rate = |rate: Value| json!({"rate": rate});
    let bound = |bound: Value| json!({"bound": bound});
    let batch = |batch: Value| json!({"batch": batch});
    vec![
        (rate(json!({"mode": "weekly", "ms": 1})), "rate.mode"),
        (rate(json!({"mode": "sample", "ms": 0})), "rate.ms"),
        (rate(json!({"mode": "sample", "ms": "1"})), "rate.ms"),
        (rate(json!({"mode": "all", "ms": 5})), "rate.ms"),
        (
            rate(json!({"mode": "debounce", "ms": 5})),
            "rate.max_wait_ms",
        ),
        (
            rate(json!({"mode": "sample", "ms": 5, "max_wait_ms": 5})),
            "rate.max_wait_ms",
        ),
        (
            rate(json!({"mode": "sample", "ms": 5, "when": "late"})),
            "rate.when",
        ),
        (
            rate(json!({"mode": "sample", "ms": 5, "per": "key"})),
            "rate.per",
        ),
        (rate(json!(5)), "rate"),
        (bound(json!({"messages": 0})), "bound.messages"),
        (bound(json!({"bytes": -1})), "bound.bytes"),
        (bound(json!({"age_ms": 1.5})), "bound.age_ms"),
        (bound(json!({"age": 1})), "bound.age"),
        (bound(json!([])), "bound"),
        (batch(json!({"messages": 0})), "batch.messages"),
        (batch(json!({"ms": true})), "batch.ms"),
        (batch(json!({"items": 3})), "batch.items"),
        (json!({"overflow": "explode"}), "overflow"),
        (json!({"credit": -1}), "credit"),
        (json!({"credits": 1}), "credits"),
    ]
}

#[tokio::test]
async fn a_wrong_setting_is_named_and_changes_nothing() {
    let node = Node::start(&["--workers", "1", "--source", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    let fields = json!({
        "rate": {"mode": "sample", "ms": 20}, "batch": {"messages": 5, "ms": 10}, "overflow": "conflate",
        "bound": {"messages": 64, "bytes": 5000, "age_ms": 700}, "credit": 3,
    });
    let before = socket.subscribe("kept", fields).await["settings"].clone();
    let rest = [
        (json!({"from": "earliest"}), "from"),
        (
            json!({"batch": {"ms": null, "messages": 0}}),
            "batch.messages",
        ),
    ];
    for (number, (fields, path)) in wrong().into_iter().chain(rest).enumerate() {
        // As a change, together with one that would be good.
        let mut change = json!({"op": "reconfigure", "topic": "kept"});
        for good in ["bound", "overflow"] {
            if fields.get(good).is_none() {
                change[good] = match good {
                    "bound" => json!({"messages": 1}),
                    _ => json!("drop_newest"),
                };
            }
        }
        refused(&mut socket, change, &fields, path).await;
        let unchanged = json!({"op": "reconfigure", "topic": "kept"});
        assert_eq!(socket.ask(unchanged).await["settings"], before, "{fields}");

        if path != "from" {
            let topic = format!("new.{number}");
            let subscribe = json!({"op": "subscribe", "topic": topic});
            refused(&mut socket, subscribe, &fields, path).await;
            let ledger = socket.ask(json!({"op": "ledger", "topic": topic})).await;
            assert_eq!(ledger["code"], "not_subscribed", "{fields}");
        }
    }
    for (credit, path) in [(json!(0), "n"), (json!(-1), "n"), (json!("1"), "n")] {
        let command = json!({"op": "credit", "topic": "kept"});
        refused(&mut socket, command, &json!({"n": credit}), path).await;
    }
    socket.subscribe("unlimited", json!({})).await;
    let command = json!({"op": "credit", "topic": "unlimited"});
    refused(&mut socket, command, &json!({"n": 1}), "credit").await;
}

async fn refused(socket: &mut Socket, mut command: Value, fields: &Value, path: &str) {
    let all = command.as_object_mut().expect("an object");
    all.extend(fields.as_object().expect("fields").clone());
    let answer = socket.ask(command.clone()).await;
    assert_eq!(
        (answer["code"].as_str(), answer["field"].as_str()),
        (Some("bad_field"), Some(path)),
        "{command}: {answer}"
    );
}
