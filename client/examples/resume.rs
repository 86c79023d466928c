//! Two ways to go on where one was: by itself after a lost connection, and from a saved position in a later run.
//!
//! `cargo run -p pubsub-client --example resume [ws://HOST:PORT]`; kill a worker of the node meanwhile and nothing is missing.
use pubsub_client::{Client, Else, Event, Position, Reconnect, State, Subscription};
use std::error::Error;
use std::time::Duration;

/// How many messages each half shows before it ends.
const MESSAGES: usize = 20;

pub(crate) async fn run(url: &str) -> Result<Vec<i64>, Box<dyn Error>> {
    let reconnect = Reconnect::default()
        .max_wait(Duration::from_secs(5))
        .give_up_after(Duration::from_secs(60));
    let client = Client::builder(url).reconnect(reconnect).connect().await?;
    let mut states = client.states();
    tokio::spawn(async move {
        while let Some(state) = states.next().await {
            match state {
                State::Connected { endpoint, .. } => println!("-- connected to {endpoint}"),
                State::Reconnecting { why, retry_in, .. } => {
                    println!("-- {why}; again in {retry_in:?}");
                }
                State::Closed(how) => println!("-- {how}"),
                _ => {}
            }
        }
    });

    let mut execs = client.subscribe("execs").await?;
    let mut seen = Vec::new();
    let position = read(&mut execs, &mut seen).await?;
    client.close().await;

    // As another process would, with a position from a file.
    println!("-- a later run, after {position:?}");
    let client = Client::builder(url).reconnect(reconnect).connect().await?;
    let mut execs = client
        .subscribe("execs")
        .after(position, Else::Earliest)
        .await?;
    read(&mut execs, &mut seen).await?;
    client.close().await;
    Ok(seen)
}

/// Shows some messages; what is to be kept is the position after the last.
async fn read(stream: &mut Subscription, seen: &mut Vec<i64>) -> Result<Position, Box<dyn Error>> {
    let end = seen.len() + MESSAGES;
    while seen.len() < end {
        match stream.next().await.ok_or("the stream has ended")? {
            Event::Message(message) => {
                println!("{} at {}", message.topic, message.offset);
                seen.push(message.offset);
            }
            Event::Resumed {
                from, lost: false, ..
            } => println!("-- on after {from:?}"),
            Event::Resumed {
                from, lost: true, ..
            } => println!("-- not all after {from:?} is there"),
            Event::Gap(gap) => println!("-- {:?} lost: {:?}", gap.count, gap.reason),
            Event::Closed(how) => return Err(how.to_string().into()),
            _ => {}
        }
    }
    Ok(stream.position().clone())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1);
    run(url.as_deref().unwrap_or("ws://127.0.0.1:8124")).await?;
    Ok(())
}
