//! One who submits orders, each again and again until it is answered, and what is left of them at the end.
use super::harness::{Node, Socket, looks, within_patience};
use super::stage::{Stage, State};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Orders and quotes keep step with publications.
const PUBLICATIONS_AN_ORDER: u64 = 10;
/// The price changes with every so many orders, so that resting ones are filled.
const ORDERS_A_QUOTE: usize = 20;
/// Every so many orders one is cancelled.
const ORDERS_A_CANCEL: usize = 7;
/// So many of the newest orders are asked for one by one.
const LOOKED_AT: usize = 300;

/// Submits orders for as long as the run lasts; the answer to each.
pub(crate) async fn submit(stage: &Stage) -> Vec<Value> {
    let socket = stage.connect(None).await;
    let mut caller = Caller { stage, socket };
    let mut answered: Vec<Value> = Vec::new();
    loop {
        let number = answered.len();
        let due = number as u64 * PUBLICATIONS_AN_ORDER;
        let is_due = |state: &State| state.has_ended || state.sum() >= due;
        stage.until("the time for an order", is_due).await;
        if stage.now().has_ended {
            return answered;
        }
        if number.is_multiple_of(ORDERS_A_QUOTE) {
            let is_high = (number / ORDERS_A_QUOTE).is_multiple_of(2);
            caller.quote(if is_high { 12 } else { 8 }).await;
        }
        let answer = caller.call("order.submit", order(number)).await;
        assert_eq!(answer["op"], "reply", "{answer}");
        answered.push(answer["result"].clone());
        if is_cancelled(number) {
            let which = json!({"account": "a", "client_order_id": name(number)});
            let answer = caller.call("order.cancel", which).await;
            // The second time, if the first answer was lost, there is nothing to cancel.
            let is_done = answer["op"] == "reply" || answer["code"] == "rejected";
            assert!(is_done, "{answer}");
        }
    }
}

fn name(number: usize) -> String {
    format!("c{number}")
}

fn is_cancelled(number: usize) -> bool {
    number % ORDERS_A_CANCEL == ORDERS_A_CANCEL - 1
}

fn order(number: usize) -> Value {
    let mut order = json!({"client_order_id": name(number), "account": "a", "symbol": "ABC", "side": "buy", "qty": 1, "type": "market"});
    if is_cancelled(number) || number.is_multiple_of(2) {
        order["type"] = json!("limit");
        // No quote comes down to the first; every other one to the second.
        order["limit_price"] = json!(if is_cancelled(number) { 1 } else { 9 });
    }
    order
}

struct Caller<'a> {
    stage: &'a Stage,
    socket: Socket,
}

impl Caller<'_> {
    async fn quote(&mut self, price: u32) {
        let data = json!({"symbol": "ABC", "bid": price, "ask": price, "last": price, "volume": 1, "time": "t"});
        let answer = self
            .ask(json!({"op": "publish", "topic": "quotes.ABC", "data": data}))
            .await;
        assert_eq!(answer["op"], "published", "{answer}");
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.ask(json!({"op": "call", "method": method, "params": params}))
            .await
    }

    /// The first answer that says what came of it, on whatever connection.
    async fn ask(&mut self, command: Value) -> Value {
        let mut looks = looks();
        let answered = async {
            loop {
                looks.tick().await;
                let Some(answer) = self.socket.try_ask(command.clone()).await else {
                    self.socket = self.stage.connect(None).await;
                    continue;
                };
                if answer["code"] != "unavailable" && answer["code"] != "unknown_outcome" {
                    return answer;
                }
            }
        };
        within_patience("an answer that says what came of it", answered).await
    }
}

/// Checks that every order is there once, and is what its newest report says; `reports` are the data of `execs.a`, oldest first.
pub(crate) async fn check(node: &Node, answered: &[Value], reports: &[Value]) {
    let mut newest: BTreeMap<&str, &Value> = BTreeMap::new();
    let mut told: BTreeSet<(&str, &str)> = BTreeSet::new();
    for report in reports {
        let (order, status) = (text(report, "order_id"), text(report, "status"));
        assert!(told.insert((order, status)), "reported twice: {report}");
        newest.insert(order, report);
    }
    let mut socket = Socket::open(node.listen).await;
    let listed = list(&mut socket).await;
    let names: Vec<&str> = listed.iter().map(|o| text(o, "client_order_id")).collect();
    let expected: Vec<String> = (0..answered.len()).map(name).collect();
    assert_eq!(names, expected, "each order once, in the order submitted");
    for (number, (order, answer)) in listed.iter().zip(answered).enumerate() {
        assert_eq!(order["order_id"], answer["order_id"], "{answer}");
        assert_eq!(Some(&order), newest.get(text(order, "order_id")));
        assert!(
            !is_cancelled(number) || order["status"] == "cancelled",
            "{order}"
        );
    }
    assert_eq!(newest.len(), listed.len(), "no report of any other order");
    for order in listed.iter().rev().take(LOOKED_AT) {
        let which = json!({"order_id": order["order_id"]});
        let command = json!({"op": "call", "method": "order.get", "params": which});
        assert_eq!(socket.ask(command).await["result"], *order);
    }
}

async fn list(socket: &mut Socket) -> Vec<Value> {
    let (mut listed, mut more) = (Vec::new(), true);
    while more {
        let after = listed.last().map(|last: &Value| last["order_id"].clone());
        let params = json!({"account": "a", "after": after, "limit": 1000});
        let command = json!({"op": "call", "method": "order.list", "params": params});
        let page = socket.ask(command).await["result"].take();
        more = page["more"] == json!(true);
        listed.extend(page["orders"].as_array().expect("orders").iter().cloned());
    }
    listed
}

fn text<'a>(of: &'a Value, field: &str) -> &'a str {
    let text = of[field].as_str();
    text.unwrap_or_else(|| panic!("no {field} in {of}"))
}
