//! Orders: request and reply over the same connection, one order a name, and reports that agree with what was answered.
mod harness;

use harness::{Node, Socket};
use rustix::process::Signal;
use serde_json::{Value, json};

/// Submitted twice, from two connections at once.
const ORDERS: usize = 1000;

async fn node(workers: &str) -> Node {
    Node::start(&["--workers", workers, "--source", "none"]).await
}

async fn quote(socket: &mut Socket, bid: f64, ask: f64) {
    let data =
        json!({"symbol": "ABC", "bid": bid, "ask": ask, "last": bid, "volume": 1, "time": "t"});
    socket.publish("quotes.ABC", Some("ABC"), data).await;
}

async fn call(socket: &mut Socket, method: &str, params: Value) -> Value {
    socket
        .ask(json!({"op": "call", "method": method, "params": params}))
        .await
}

/// The server's time, microseconds since the Unix epoch.
async fn server_us(socket: &mut Socket) -> u64 {
    let pong = socket.ask(json!({"op": "ping"})).await;
    pong["ts"].as_u64().expect("a time")
}

fn market(name: &str) -> Value {
    json!({"client_order_id": name, "account": "alice", "symbol": "ABC", "side": "buy", "qty": "1.50", "type": "market"})
}

/// The result of a call that must succeed.
fn result(reply: &Value) -> &Value {
    assert_eq!(reply["op"], "reply", "{reply}");
    &reply["result"]
}

#[tokio::test]
async fn an_order_is_answered_reported_and_found_again() {
    let node = node("2").await;
    let mut socket = Socket::open(node.listen).await;
    quote(&mut socket, 9.5, 10.5).await;
    socket.subscribe("execs.alice", json!({})).await;
    let reply = call(&mut socket, "order.submit", market("c1")).await;
    let accepted = result(&reply).clone();
    assert_eq!(
        (&accepted["status"], &accepted["qty"]),
        (&json!("accepted"), &json!(1.5))
    );
    let reports = socket.messages(2).await;
    assert_eq!(reports[0]["data"], accepted);
    assert_eq!(reports[0]["key"], accepted["order_id"]);
    let filled = &reports[1]["data"];
    assert_eq!(
        (&filled["status"], &filled["price"]),
        (&json!("filled"), &json!(10.5))
    );
    let which = json!({"order_id": accepted["order_id"]});
    let found = call(&mut socket, "order.get", which).await;
    assert_eq!(result(&found), filled);
    // Numbered like everything else: one who was away reads them again.
    let mut late = Socket::open(node.listen).await;
    late.subscribe("execs.alice", json!({"from": "earliest"}))
        .await;
    let again = late.messages(2).await;
    assert_eq!(again, reports);
    let mine = json!({"account": "alice", "client_order_id": "c1"});
    let reply = call(&mut late, "order.cancel", mine).await;
    assert_eq!(
        (&reply["op"], &reply["code"]),
        (&json!("error"), &json!("rejected"))
    );
}

#[tokio::test]
async fn a_limit_order_rests_until_a_quote_crosses_it() {
    let node = node("1").await;
    let mut socket = Socket::open(node.listen).await;
    quote(&mut socket, 9.0, 11.0).await;
    socket.subscribe("execs.alice", json!({})).await;
    let mut order = market("c1");
    order["type"] = json!("limit");
    order["limit_price"] = json!(10);
    let reply = call(&mut socket, "order.submit", order.clone()).await;
    assert_eq!(result(&reply)["status"], "accepted");
    let statuses = |messages: &[Value]| -> Vec<Value> {
        messages
            .iter()
            .map(|m| m["data"]["status"].clone())
            .collect()
    };
    assert_eq!(statuses(&socket.messages(2).await), ["accepted", "working"]);
    quote(&mut socket, 9.0, 10.5).await;
    assert!(socket.is_quiet().await);
    quote(&mut socket, 9.0, 9.75).await;
    let filled = socket.messages(1).await;
    assert_eq!(filled[0]["data"]["price"], json!(9.75));
    order["client_order_id"] = json!("c2");
    order["limit_price"] = json!(1);
    result(&call(&mut socket, "order.submit", order).await);
    let mine = json!({"account": "alice", "client_order_id": "c2"});
    let reply = call(&mut socket, "order.cancel", mine).await;
    assert_eq!(result(&reply)["status"], "cancelled");
    assert_eq!(
        statuses(&socket.messages(3).await),
        ["accepted", "working", "cancelled"]
    );
    let page = call(
        &mut socket,
        "order.list",
        json!({"account": "alice", "limit": 1}),
    )
    .await;
    let page = result(&page);
    assert_eq!(
        (&page["more"], &page["orders"][0]["client_order_id"]),
        (&json!(true), &json!("c1"))
    );
}

#[tokio::test]
async fn every_wrong_parameter_is_named_and_nothing_is_ordered() {
    let node = node("1").await;
    let mut socket = Socket::open(node.listen).await;
    let wrong = json!({"client_order_id": "c", "account": "a.b", "side": "hold", "qty": -1, "type": "limit", "tif": "day"});
    let reply = call(&mut socket, "order.submit", wrong).await;
    assert_eq!(
        (&reply["op"], &reply["code"]),
        (&json!("error"), &json!("bad_field"))
    );
    let fields: Vec<_> = reply["fields"]
        .as_array()
        .expect("fields")
        .iter()
        .map(|f| &f["field"])
        .collect();
    assert_eq!(
        fields,
        ["tif", "account", "symbol", "side", "qty", "limit_price"]
    );
    for (method, params, code) in [
        ("order.submit", market("c"), "rejected"),
        ("order.nothing", json!({}), "unknown_method"),
        ("order.get", json!({"order_id": "x"}), "rejected"),
    ] {
        let reply = call(&mut socket, method, params).await;
        assert_eq!(reply["code"], code, "{method}");
    }
    let echo = json!({"request": 1, "timestamp": 2, "address": "here", "execs": [{}]});
    let reply = call(&mut socket, "order.echo", echo).await;
    assert_eq!(
        *result(&reply),
        json!({"request": 1, "timestamp": 2, "address": "here"})
    );
    let page = call(&mut socket, "order.list", json!({"account": "alice"})).await;
    assert_eq!(*result(&page), json!({"orders": [], "more": false}));
    for (labels, count) in [
        (r#"method="order.submit",code="bad_field""#, 1),
        (r#"method="order.submit",code="rejected""#, 1),
        (r#"method="other",code="unknown_method""#, 1),
        (r#"method="order.echo",code="ok""#, 1),
        (r#"code="ok""#, 2),
    ] {
        node.until_metric("pubsub_calls_total", labels, count).await;
    }
    node.until_metric("pubsub_call_seconds_count", "", 6).await;
}

#[tokio::test]
async fn the_same_order_from_two_connections_at_once_is_one_order() {
    let node = node("2").await;
    let mut one = Socket::open(node.listen).await;
    let mut other = Socket::open(node.listen).await;
    // On two workers, so that only the hub can decide.
    while other.worker() == one.worker() {
        other = Socket::open(node.listen).await;
    }
    quote(&mut one, 9.0, 10.0).await;
    one.subscribe("execs.alice", json!({"bound": {"messages": 100_000}}))
        .await;
    for n in 0..ORDERS {
        let params = market(&format!("c{n}"));
        let command = json!({"op": "call", "id": format!("n{n}"), "method": "order.submit", "params": params});
        let (id, text) = (command["id"].clone(), command.to_string());
        tokio::join!(one.send_text(text.clone()), other.send_text(text.clone()));
        let (a, b) = (one.answer(&id).await, other.answer(&id).await);
        assert_eq!(result(&a)["order_id"], result(&b)["order_id"]);
        let again = |reply: &Value| reply["result"]["duplicate"] == json!(true);
        assert!(again(&a) != again(&b), "{a} {b}");
    }
    let reports = one.messages(2 * ORDERS).await;
    let accepted = |m: &&Value| m["data"]["status"] == "accepted";
    assert_eq!(reports.iter().filter(accepted).count(), ORDERS);
    assert!(one.is_quiet().await, "and no more");
    let (mut listed, mut after) = (0, Value::Null);
    loop {
        let list = json!({"account": "alice", "after": after, "limit": 1000});
        let page = call(&mut one, "order.list", list).await;
        let page = result(&page);
        let orders = page["orders"].as_array().expect("orders");
        listed += orders.len();
        after = orders.last().expect("a page goes on")["order_id"].clone();
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(listed, ORDERS);
}

#[tokio::test]
async fn a_call_whose_time_is_over_is_not_carried_out() {
    let node = node("1").await;
    let mut socket = Socket::open(node.listen).await;
    quote(&mut socket, 9.0, 10.0).await;
    let hub = node.hub_pid().await;
    node.signal(hub, Signal::STOP);
    let late = json!({"op": "call", "id": "late", "method": "order.submit", "params": market("c1"), "deadline_ms": 50});
    socket.send(late).await;
    // By the server's own clock its time is over while the hub stands still.
    let sent = server_us(&mut socket).await;
    while server_us(&mut socket).await < sent + 60_000 {}
    node.signal(hub, Signal::CONT);
    let reply = socket.answer(&json!("late")).await;
    assert_eq!(
        (&reply["op"], &reply["code"]),
        (&json!("error"), &json!("deadline"))
    );
    let page = call(&mut socket, "order.list", json!({"account": "alice"})).await;
    assert_eq!(result(&page)["orders"], json!([]));
}

#[tokio::test]
async fn a_call_that_the_hub_took_with_it_has_an_unknown_outcome() {
    let node = node("1").await;
    let mut socket = Socket::open(node.listen).await;
    quote(&mut socket, 9.0, 10.0).await;
    let hub = node.hub_pid().await;
    node.signal(hub, Signal::STOP);
    socket
        .send(json!({"op": "call", "id": "lost", "method": "order.submit", "params": market("c1")}))
        .await;
    // The turn in which the call came has ended when the second is answered: the call is with the link.
    for _ in 0..2 {
        server_us(&mut socket).await;
    }
    node.signal(hub, Signal::KILL);
    let reply = socket.answer(&json!("lost")).await;
    assert_eq!(
        (&reply["op"], &reply["code"]),
        (&json!("error"), &json!("unknown_outcome"))
    );
}

#[tokio::test]
async fn a_node_without_a_venue_takes_no_orders_and_says_so() {
    let node = Node::start(&["--workers", "1", "--source", "none", "--venue", "none"]).await;
    let mut socket = Socket::open(node.listen).await;
    let reply = call(&mut socket, "order.submit", market("c1")).await;
    assert_eq!(
        (&reply["op"], &reply["code"]),
        (&json!("error"), &json!("unavailable"))
    );
    assert!(
        reply["message"]
            .as_str()
            .is_some_and(|m| m.contains("--venue paper"))
    );
}
