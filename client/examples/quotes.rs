//! The newest quote of every symbol, then each change, for a reader that may be slower than the market.
//!
//! `cargo run -p pubsub-client --example quotes [ws://HOST:PORT]` against a node with its default source.
use pubsub_client::{Client, Event, From, Overflow};
use serde::Deserialize;
use std::error::Error;

/// How many messages it shows before it ends.
const MESSAGES: usize = 50;

#[derive(Deserialize)]
struct Quote {
    symbol: String,
    bid: f64,
    ask: f64,
}

pub(crate) async fn run(url: &str) -> Result<usize, Box<dyn Error>> {
    let client = Client::builder(url).connect().await?;
    println!("connected to {}", client.welcome().node);
    let mut quotes = client
        .subscribe("quotes.*")
        .from(From::Last)
        .overflow(Overflow::Conflate)
        .await?;
    let mut shown = 0;
    while shown < MESSAGES {
        match quotes.next().await.ok_or("the stream has ended")? {
            Event::Message(message) => {
                let quote: Quote = message.json()?;
                println!(
                    "{:>6} {:>10.2} {:>10.2}",
                    quote.symbol, quote.bid, quote.ask
                );
                shown += 1;
            }
            Event::Mode { mode, lag } => println!("-- {mode:?}, {} behind", lag.messages),
            Event::Gap(gap) => println!("-- lost {:?}: {:?}", gap.count, gap.reason),
            Event::Resumed { .. } => println!("-- another connection"),
            other => println!("-- {other:?}"),
        }
    }
    let ledger = quotes.unsubscribe().await?;
    println!(
        "{} delivered, {} conflated",
        ledger.delivered, ledger.conflated
    );
    client.close().await;
    Ok(shown)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    run(url.as_deref().unwrap_or("ws://127.0.0.1:8124")).await?;
    Ok(())
}
