use super::book::Book;
use super::desk::{Call, Desk, Journal, Refusal};
use super::echo::echo;
use super::fields::{Wrong, decimal};
use super::venue::{Paper, Quote};
use proptest::prelude::*;
use pubsub_wire::ErrorCode;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The log as a list, and quotes as they are set.
#[derive(Default)]
struct Log {
    reports: Vec<(String, String, Value)>,
    quotes: BTreeMap<String, Quote>,
    now_us: u64,
    refuses: bool,
}

impl Journal for Log {
    fn report(&mut self, topic: &str, key: &str, data: &[u8]) -> Result<(), Refusal> {
        if self.refuses {
            return Err(Refusal {
                code: ErrorCode::Limit,
                message: "full".to_owned(),
                retry_after_ms: None,
            });
        }
        let data = serde_json::from_slice(data).expect("JSON");
        self.reports.push((topic.to_owned(), key.to_owned(), data));
        Ok(())
    }

    fn quote(&mut self, symbol: &str) -> Option<Quote> {
        self.quotes.get(symbol).copied()
    }

    fn wall_us(&self) -> u64 {
        self.now_us
    }
}

struct World {
    desk: Desk,
    log: Log,
}

impl World {
    fn new(max: usize) -> Self {
        let mut world = Self {
            desk: Desk::new(Book::new("n", max), Box::<Paper>::default()),
            log: Log::default(),
        };
        world.quote("A", "99", "101");
        world
    }

    fn quote(&mut self, symbol: &str, bid: &str, ask: &str) {
        let data = format!(r#"{{"symbol":"{symbol}","bid":{bid},"ask":{ask},"last":100}}"#);
        let quote = Quote::read(data.as_bytes()).expect("a quote");
        self.log.quotes.insert(symbol.to_owned(), quote);
        if self.desk.wants(symbol) {
            self.desk.on_quote(symbol, &quote, &mut self.log);
        }
    }

    fn call(&mut self, method: &str, params: &Value) -> Result<Value, Refusal> {
        self.log.now_us += 1;
        let call = Call::read(method, &params.to_string()).expect("a method");
        let call = call.expect("right parameters");
        let result = self.desk.handle(call, &mut self.log)?;
        Ok(serde_json::from_str(&result).expect("JSON"))
    }

    /// The statuses that were reported of an order, in order.
    fn told(&self, id: &str) -> Vec<&str> {
        let of = self.log.reports.iter().filter(|(_, key, _)| key == id);
        of.map(|(_, _, data)| data["status"].as_str().expect("a status"))
            .collect()
    }
}

fn order(name: &str) -> Value {
    json!({"client_order_id": name, "account": "acc", "symbol": "A", "side": "buy", "qty": 5, "type": "market"})
}

fn limit(name: &str, side: &str, price: &str) -> Value {
    json!({"client_order_id": name, "account": "acc", "symbol": "A", "side": side, "qty": "2.50", "type": "limit", "limit_price": price})
}

fn wrong(method: &str, params: &Value) -> Vec<String> {
    let read = Call::read(method, &params.to_string()).expect("a method");
    fields(&read.expect_err("wrong parameters"))
}

fn fields(wrong: &Wrong) -> Vec<String> {
    wrong.iter().map(|w| w.field.clone()).collect()
}

#[test]
fn a_market_order_is_accepted_and_then_filled_at_the_near_side_of_the_quote() {
    let mut world = World::new(10);
    let answer = world.call("order.submit", &order("c1")).unwrap();
    assert_eq!(
        answer,
        json!({"order_id": "n-1", "client_order_id": "c1", "account": "acc", "symbol": "A", "side": "buy", "qty": 5, "type": "market",
               "limit_price": null, "status": "accepted", "price": null, "ts": 1})
    );
    let reports = world.log.reports.clone();
    let [(topic, key, first), (_, _, second)] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert_eq!((&**topic, &**key), ("execs.acc", "n-1"));
    assert_eq!(*first, answer);
    assert_eq!(
        (&second["status"], &second["price"]),
        (&json!("filled"), &json!(101))
    );
    let found = world
        .call("order.get", &json!({"order_id": "n-1"}))
        .unwrap();
    assert_eq!(found, *second);
}

#[test]
fn a_limit_order_rests_until_a_quote_crosses_it_and_those_with_the_better_price_go_first() {
    let mut world = World::new(10);
    for (name, price) in [("low", "95"), ("high", "97.5"), ("also", "97.5")] {
        world
            .call("order.submit", &limit(name, "buy", price))
            .unwrap();
    }
    assert_eq!(world.told("n-1"), ["accepted", "working"]);
    world.quote("A", "96", "98");
    assert_eq!(world.told("n-2"), ["accepted", "working"]);
    world.log.reports.clear();
    world.quote("A", "94", "95");
    let filled: Vec<_> = world
        .log
        .reports
        .iter()
        .map(|r| (&*r.1, &r.2["price"]))
        .collect();
    let at = json!(95);
    assert_eq!(filled, [("n-2", &at), ("n-3", &at), ("n-1", &at)]);
    assert!(!world.desk.wants("A"));
}

#[test]
fn a_limit_order_that_crosses_at_once_is_filled_at_once() {
    let mut world = World::new(10);
    world
        .call("order.submit", &limit("c", "sell", "98"))
        .unwrap();
    assert_eq!(world.told("n-1"), ["accepted", "filled"]);
    assert_eq!(world.log.reports[1].2["price"], json!(99));
}

#[test]
fn the_same_order_again_gets_the_first_answer_and_no_second_report() {
    let mut world = World::new(10);
    let first = world.call("order.submit", &order("c1")).unwrap();
    let reports = world.log.reports.len();
    let mut again = order("c1");
    // The same quantity, written otherwise.
    again["qty"] = json!("5.00");
    let mut second = world.call("order.submit", &again).unwrap();
    assert_eq!(second["duplicate"].take(), json!(true));
    second.as_object_mut().unwrap().remove("duplicate");
    assert_eq!(second, first);
    assert_eq!(world.log.reports.len(), reports);
    let mut other = order("c1");
    other["qty"] = json!(6);
    let refusal = world.call("order.submit", &other).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Rejected);
    assert!(refusal.message.contains("n-1"), "{}", refusal.message);
    // Another account may use the name.
    other["account"] = json!("else");
    assert_eq!(
        world.call("order.submit", &other).unwrap()["order_id"],
        json!("n-2")
    );
}

#[test]
fn an_order_is_cancelled_while_it_rests_and_not_after() {
    let mut world = World::new(10);
    world
        .call("order.submit", &limit("c", "buy", "90"))
        .unwrap();
    let which = json!({"account": "acc", "client_order_id": "c"});
    let cancelled = world.call("order.cancel", &which).unwrap();
    assert_eq!(cancelled["status"], json!("cancelled"));
    assert_eq!(world.log.reports.last().unwrap().2, cancelled);
    assert!(!world.desk.wants("A"));
    let refusal = world.call("order.cancel", &which).unwrap_err();
    assert_eq!(
        (refusal.code, &*refusal.message),
        (ErrorCode::Rejected, "order n-1 is cancelled already")
    );
}

#[test]
fn without_a_quote_there_is_no_order_and_no_report() {
    let mut world = World::new(10);
    let mut elsewhere = order("c");
    elsewhere["symbol"] = json!("B");
    let refusal = world.call("order.submit", &elsewhere).unwrap_err();
    assert_eq!(
        (refusal.code, &*refusal.message),
        (ErrorCode::Rejected, "there is no quote for B")
    );
    assert!(world.log.reports.is_empty());
    assert!(world.desk.book().is_empty());
}

#[test]
fn what_the_log_does_not_take_was_never_ordered() {
    let mut world = World::new(10);
    world.log.refuses = true;
    let refusal = world.call("order.submit", &order("c")).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Limit);
    assert!(world.desk.book().is_empty());
    world.log.refuses = false;
    assert_eq!(
        world.call("order.submit", &order("c")).unwrap()["order_id"],
        json!("n-1")
    );
}

#[test]
fn orders_are_listed_a_page_at_a_time_as_they_were_submitted() {
    let mut world = World::new(10);
    for n in 0..5 {
        world
            .call("order.submit", &order(&format!("c{n}")))
            .unwrap();
    }
    let page = |world: &mut World, after: Value| {
        let params = json!({"account": "acc", "after": after, "limit": 2});
        let page = world.call("order.list", &params).unwrap();
        let ids = page["orders"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|o| o["client_order_id"].as_str().unwrap().to_owned())
            .collect();
        (ids, page["more"] == json!(true))
    };
    assert_eq!(
        page(&mut world, Value::Null),
        (vec!["c0".to_owned(), "c1".to_owned()], true)
    );
    assert_eq!(
        page(&mut world, json!("n-2")),
        (vec!["c2".to_owned(), "c3".to_owned()], true)
    );
    assert_eq!(
        page(&mut world, json!("n-4")),
        (vec!["c4".to_owned()], false)
    );
    assert_eq!(page(&mut world, json!("n-5")), (vec![], false));
    let nobody = world
        .call("order.list", &json!({"account": "nobody"}))
        .unwrap();
    assert_eq!(nobody, json!({"orders": [], "more": false}));
    for after in ["n-6", "n-0", "n-01", "m-1", "n-+1", "1"] {
        let params = json!({"account": "acc", "after": after});
        let refusal = world.call("order.list", &params).unwrap_err();
        assert_eq!(refusal.code, ErrorCode::BadField, "{after}");
    }
}

#[test]
fn a_page_ends_by_bytes_too_and_none_is_left_out() {
    let mut world = World::new(1000);
    world.quote("A", "1", "2");
    for n in 0..1000 {
        let name = format!("{n:064}");
        world.call("order.submit", &order(&name)).unwrap();
    }
    let (mut listed, mut after, mut pages) = (0, Value::Null, 0);
    loop {
        let params = json!({"account": "acc", "after": after, "limit": 1000});
        let page = world.call("order.list", &params).unwrap();
        assert!(page.to_string().len() <= 33 << 10, "half of a control lane");
        let orders = page["orders"].as_array().unwrap();
        assert!(!orders.is_empty(), "each page goes on");
        for order in orders {
            assert_eq!(order["client_order_id"], json!(format!("{listed:064}")));
            listed += 1;
        }
        after = orders[orders.len() - 1]["order_id"].clone();
        pages += 1;
        if page["more"] == json!(false) {
            break;
        }
    }
    assert_eq!(listed, 1000);
    assert!(pages > 5, "{pages} pages");
}

#[test]
fn those_that_ended_first_are_forgotten_first_and_those_that_rest_never() {
    let mut world = World::new(3);
    world
        .call("order.submit", &limit("rests", "buy", "1"))
        .unwrap();
    for n in 0..4 {
        world
            .call("order.submit", &order(&format!("c{n}")))
            .unwrap();
    }
    let page = world
        .call("order.list", &json!({"account": "acc"}))
        .unwrap();
    let names: Vec<_> = page["orders"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["client_order_id"])
        .collect();
    assert_eq!(names, [&json!("rests"), &json!("c2"), &json!("c3")]);
    let refusal = world
        .call("order.get", &json!({"order_id": "n-2"}))
        .unwrap_err();
    assert_eq!(refusal.code, ErrorCode::Rejected);
    // Its name is free again: the window has passed.
    assert_eq!(
        world.call("order.submit", &order("c0")).unwrap()["order_id"],
        json!("n-6")
    );
    let mut full = World::new(2);
    for name in ["a", "b"] {
        full.call("order.submit", &limit(name, "buy", "1")).unwrap();
    }
    let refusal = full.call("order.submit", &order("c")).unwrap_err();
    assert_eq!(
        (refusal.code, refusal.retry_after_ms),
        (ErrorCode::Limit, Some(1000))
    );
    assert_eq!(
        full.call("order.submit", &limit("a", "buy", "1")).unwrap()["duplicate"],
        json!(true)
    );
}

#[test]
fn every_wrong_field_is_named_at_once() {
    assert_eq!(
        wrong("order.submit", &json!({})),
        [
            "client_order_id",
            "account",
            "symbol",
            "side",
            "qty",
            "type"
        ]
    );
    assert_eq!(wrong("order.submit", &json!([1])), ["params"]);
    assert_eq!(wrong("order.submit", &Value::Null), ["params"]);
    let all = json!({"client_order_id": "", "account": "a.b", "symbol": "*", "side": "Buy", "qty": 0, "type": "limit", "limit_price": -1, "x": 1});
    assert_eq!(
        wrong("order.submit", &all),
        [
            "x",
            "client_order_id",
            "account",
            "symbol",
            "side",
            "qty",
            "limit_price"
        ]
    );
    let mut priced = order("c");
    priced["limit_price"] = json!(5);
    assert_eq!(wrong("order.submit", &priced), ["limit_price"]);
    priced["limit_price"] = Value::Null;
    assert!(
        Call::read("order.submit", &priced.to_string())
            .unwrap()
            .is_ok()
    );
    assert_eq!(wrong("order.get", &json!({})), ["order_id"]);
    assert_eq!(
        wrong("order.get", &json!({"account": "a"})),
        ["client_order_id"]
    );
    assert_eq!(
        wrong("order.cancel", &json!({"order_id": "n-1", "account": "a"})),
        ["order_id"]
    );
    assert_eq!(
        wrong("order.list", &json!({"limit": 1001})),
        ["account", "limit"]
    );
    let twice = Call::read("order.get", r#"{"order_id":"n-1","order_id":"n-2"}"#).unwrap();
    assert_eq!(fields(&twice.unwrap_err()), ["order_id"]);
    assert!(Call::read("order.nothing", "{}").is_none());
}

#[test]
fn amounts_are_decimals_however_they_are_written() {
    let qty = |text: &str| {
        let params = format!(
            r#"{{"client_order_id":"c","account":"a","symbol":"A","side":"buy","qty":{text},"type":"market"}}"#
        );
        match Call::read("order.submit", &params) {
            Some(Ok(Call::Submit(asked))) => Some(asked.qty.to_string()),
            _ => None,
        }
    };
    for (text, read) in [
        ("1", "1"),
        ("0.10", "0.1"),
        (r#""0.10""#, "0.1"),
        ("1e2", "100"),
        ("25E-1", "2.5"),
        ("999999999999.99999999", "999999999999.99999999"),
    ] {
        assert_eq!(qty(text).as_deref(), Some(read), "{text}");
    }
    for text in [
        "0",
        "-1",
        "1000000000000",
        "0.000000001",
        "true",
        "\"\"",
        "\" 1\"",
        "\"1_0\"",
        "\"0x1\"",
        "\"+1\"",
        "\"1.\"",
        "\"01\"",
        "\"1 \"",
        "1e400",
        "[]",
    ] {
        assert_eq!(qty(text), None, "{text}");
    }
}

#[test]
fn a_payload_that_is_no_quote_fills_nothing() {
    for data in [
        r#""x""#,
        "5",
        "{}",
        r#"{"bid":"x"}"#,
        r#"{"ask":0,"bid":-1,"last":null}"#,
    ] {
        assert_eq!(Quote::read(data.as_bytes()), None, "{data}");
    }
    let quote = Quote::read(br#"{"last":"1.5","more":[1]}"#).unwrap();
    assert_eq!(quote.last, decimal("1.5"));
}

#[test]
fn an_echo_gives_back_all_but_the_executions() {
    let row = json!({"sequence": 1, "symbol": "A"});
    let params = json!({"request": 7, "timestamp": 1_790_000_000_123_u64, "address": "a\"b", "execs": [row, row]});
    let answer: Value = serde_json::from_str(&echo(&params.to_string()).unwrap()).unwrap();
    assert_eq!(
        answer,
        json!({"request": 7, "timestamp": 1_790_000_000_123_u64, "address": "a\"b"})
    );
    let rows =
        |n: usize| json!({"request": 7, "timestamp": 1, "address": "", "execs": vec![&row; n]});
    assert!(echo(&rows(10).to_string()).is_ok());
    for n in [0, 11] {
        assert_eq!(fields(&echo(&rows(n).to_string()).unwrap_err()), ["execs"]);
    }
    assert_eq!(
        fields(&echo("{}").unwrap_err()),
        ["request", "timestamp", "address", "execs"]
    );
}

proptest! {
    /// Whatever is asked in whatever order: one order a name, a report for each change and each answer, and what is told last is
    /// what one finds.
    #[test]
    fn reports_and_answers_agree(steps in prop::collection::vec((0u8..6, 0u8..6, 90u32..110), 0..80)) {
        let mut world = World::new(1000);
        let mut ids: BTreeMap<String, String> = BTreeMap::new();
        for (what, name, price) in steps {
            let name = format!("c{name}");
            let before = world.log.reports.len();
            match what {
                0 | 1 => {
                    let side = if what == 0 { "buy" } else { "sell" };
                    if let Ok(answer) = world.call("order.submit", &limit(&name, side, &price.to_string())) {
                        let id = answer["order_id"].as_str().unwrap().to_owned();
                        let known = ids.insert(name, id.clone());
                        if let Some(known) = known {
                            prop_assert_eq!(known, id);
                            prop_assert_eq!(&answer["duplicate"], &json!(true));
                            prop_assert_eq!(world.log.reports.len(), before);
                        } else {
                            prop_assert_eq!(&world.log.reports[before].2, &answer);
                        }
                    } else {
                        prop_assert!(ids.contains_key(&name));
                        prop_assert_eq!(world.log.reports.len(), before);
                    }
                }
                2 => {
                    let which = json!({"account": "acc", "client_order_id": name});
                    match world.call("order.cancel", &which) {
                        Ok(answer) => prop_assert_eq!(&world.log.reports[before].2, &answer),
                        Err(refusal) => {
                            prop_assert_eq!(refusal.code, ErrorCode::Rejected);
                            prop_assert_eq!(world.log.reports.len(), before);
                        }
                    }
                }
                _ => world.quote("A", &price.to_string(), &(price + 2).to_string()),
            }
        }
        for id in ids.values() {
            let told = world.told(id);
            prop_assert!(
                matches!(told[..], ["accepted", "filled" | "working"] | ["accepted", "working", "filled" | "cancelled"]),
                "{:?}", told
            );
            let last = world.log.reports.iter().rev().find(|(_, key, _)| key == id).unwrap().2.clone();
            let found = world.call("order.get", &json!({"order_id": id})).unwrap();
            prop_assert_eq!(found, last);
        }
        let page = world.call("order.list", &json!({"account": "acc"})).unwrap();
        let listed = page["orders"].as_array().unwrap();
        prop_assert_eq!(listed.len(), ids.len());
        let numbers: Vec<u64> = listed.iter().map(|o| o["order_id"].as_str().unwrap()[2..].parse().unwrap()).collect();
        prop_assert!(numbers.is_sorted());
    }
}
