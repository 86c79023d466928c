//! Client for pubsub-server: subscriptions as streams, publications, pings.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use pubsub_client::{Client, Event, From, Overflow};
//!
//! let client = Client::builder("ws://127.0.0.1:8124").connect().await?;
//! let mut quotes = client
//!     .subscribe("quotes.*")
//!     .from(From::Last)
//!     .bound_messages(64)
//!     .overflow(Overflow::Conflate)
//!     .await?;
//! while let Some(event) = quotes.next().await {
//!     match event {
//!         Event::Message(message) => println!("{} {}", message.topic, message.data),
//!         Event::Gap(gap) => println!("lost {:?}: {:?}", gap.count, gap.reason),
//!         Event::Closed(how) => println!("{how}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! Bounded everywhere: a stream that isn't read stops the reading of the socket, so that the server's overflow policy
//! acts, and nothing piles up here; a [`Subscription`] that is dropped unsubscribes; requests wait for their turn and have a
//! time limit.
//!
//! In reading order:
//!
//! - `client`, `subscribe`, `subscription`, `publish`: the handles a program holds
//! - [`event`](Event), [`error`](RequestError): what they yield; `position`: where to go on after it
//! - `link`: how handles reach the connection
//! - `session`: the protocol's client side, pure
//! - `connect`, `connection`: the socket and the task that drives the session
mod client;
mod connect;
mod connection;
mod error;
mod event;
mod link;
mod position;
mod publish;
mod session;
mod subscribe;
mod subscription;

pub use client::Client;
pub use connect::Builder;
pub use error::{ConnectError, Refusal, RequestError};
pub use event::{Closed, Event, Gap, Goaway, Message, Position};
pub use publish::{PublishRequest, Published};
pub use subscribe::SubscribeRequest;
pub use subscription::Subscription;

pub use pubsub_wire::command::{BatchPatch, BoundPatch, Patch, RatePatch, Reconfigure, Subscribe};
pub use pubsub_wire::value::{
    Batch, Bound, Dropped, Else, From, GapReason, GoawayReason, Lag, Ledger, Mode, Overflow,
    PartPosition, Pending, Rate, RateMode, Settings, Welcome, When,
};
pub use pubsub_wire::{ErrorCode, Limits, close};
