//! Orders by calls, and what becomes of them by a subscription: every change once and in order.
//!
//! `cargo run -p pubsub-client --example orders [ws://HOST:PORT]` against a node with its default source and venue.
use pubsub_client::{CallError, Client, Event, From};
use serde::Deserialize;
use serde_json::{Value, json};
use std::error::Error;
use std::time::Duration;

/// How many orders it makes before it ends.
const ORDERS: usize = 5;

#[derive(Deserialize)]
struct Report {
    order_id: String,
    client_order_id: String,
    status: String,
    price: Option<Value>,
}

pub(crate) async fn run(url: &str) -> Result<usize, Box<dyn Error>> {
    let client = Client::builder(url).connect().await?;
    // The node remembers an account's orders by their names; a session's name is new each time.
    let account = format!("example-{}", client.welcome().session);
    let mut reports = client.subscribe(format!("execs.{account}")).await?;

    // There must be a quote before an order can be filled.
    let mut quotes = client.subscribe("quotes.*").from(From::Last).await?;
    let symbol = loop {
        match quotes.next().await.ok_or("no quotes")? {
            Event::Message(message) => break message.key.ok_or("a quote has a symbol")?,
            Event::Closed(how) => return Err(how.to_string().into()),
            _ => {}
        }
    };
    drop(quotes);

    for number in 1..=ORDERS {
        let order = json!({
            "client_order_id": format!("order-{number}"), "account": account, "symbol": symbol,
            "side": if number % 2 == 0 { "sell" } else { "buy" }, "qty": number, "type": "market",
        });
        // One order of a name exists at most, so sending it again does no harm.
        let call = client
            .call("order.submit", &order)
            .deadline(Duration::from_secs(2))
            .idempotent();
        match call.await {
            Ok(reply) => println!("order-{number}: {}", reply.json::<Report>()?.status),
            Err(CallError::BadField { fields, .. }) => {
                for wrong in fields {
                    println!("order-{number}: {wrong}");
                }
            }
            Err(error) => println!("order-{number}: {error}"),
        }
    }

    let mut filled = 0;
    while filled < ORDERS {
        if let Event::Message(message) = reports.next().await.ok_or("no reports")? {
            let report: Report = message.json()?;
            println!(
                "{} {} {} {}",
                report.order_id,
                report.client_order_id,
                report.status,
                report
                    .price
                    .map_or_else(String::new, |price| price.to_string())
            );
            filled += usize::from(report.status == "filled");
        }
    }
    client.close().await;
    Ok(filled)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    run(url.as_deref().unwrap_or("ws://127.0.0.1:8124")).await?;
    Ok(())
}
