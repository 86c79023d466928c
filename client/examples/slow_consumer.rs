//! A reader that is slower than what it reads, in three ways: it pulls what it can carry, it takes the newest of each
//! key, it changes its mind while messages flow.
//!
//! `cargo run -p pubsub-client --example slow_consumer [ws://HOST:PORT]` against a node with its default source.
use pubsub_client::{Client, Event, Overflow, Patch, RateMode, RatePatch, Reconfigure};
use std::error::Error;
use std::time::Duration;

/// How many messages each part takes before it goes on.
const MESSAGES: u64 = 20;

pub(crate) async fn run(url: &str) -> Result<u64, Box<dyn Error>> {
    let client = Client::builder(url).connect().await?;
    let mut quotes = client
        .subscribe("quotes.*")
        .bound_messages(8)
        .overflow(Overflow::DropOldest)
        .credit(1)
        .await?;
    let (mut taken, mut lost) = (0, 0);

    println!("pulling, one at a time:");
    while taken < MESSAGES {
        match quotes.next().await.ok_or("the stream has ended")? {
            Event::Message(message) => {
                println!("  {}", message.topic);
                taken += 1;
                work().await;
                quotes.credit(1).await?;
            }
            Event::Gap(gap) => lost += gap.count.unwrap_or_default(),
            Event::Closed(how) => return Err(how.to_string().into()),
            _ => {}
        }
    }
    println!("{taken} taken, {lost} lost at a bound of 8, each announced");

    let rate = RatePatch {
        mode: Patch::Set(RateMode::Throttle),
        ms: Patch::Set(200),
        ..RatePatch::default()
    };
    let change = Reconfigure {
        rate: Patch::Set(rate),
        overflow: Patch::Set(Overflow::Conflate),
        credit: Patch::Reset,
        ..Reconfigure::default()
    };
    let settings = quotes.reconfigure(change).await?;
    println!("from now on: {:?}, {:?}", settings.rate, settings.overflow);
    while taken < 2 * MESSAGES {
        match quotes.next().await.ok_or("the stream has ended")? {
            Event::Message(message) => {
                println!("  {}", message.topic);
                taken += 1;
            }
            Event::Closed(how) => return Err(how.to_string().into()),
            _ => {}
        }
    }
    let ledger = quotes.unsubscribe().await?;
    println!("the server's ledger: {ledger:?}");
    client.close().await;
    Ok(ledger.delivered)
}

/// What makes it slow.
async fn work() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    run(url.as_deref().unwrap_or("ws://127.0.0.1:8124")).await?;
    Ok(())
}
