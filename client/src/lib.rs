//! Client for pubsub-server: subscriptions as streams, publications, calls. It connects again by itself and goes on where it was.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use pubsub_client::{Client, Event, From, Overflow};
//! use std::time::Duration;
//!
//! let client = Client::builder("ws://127.0.0.1:8124").connect().await?;
//! let mut quotes = client
//!     .subscribe("quotes.*")
//!     .from(From::Last)
//!     .bound_messages(64)
//!     .overflow(Overflow::Conflate)
//!     .await?;
//! let echo = client
//!     .call("order.get", &serde_json::json!({"account": "a", "client_order_id": "1"}))
//!     .deadline(Duration::from_millis(500))
//!     .idempotent()
//!     .await;
//! println!("{echo:?}");
//! while let Some(event) = quotes.next().await {
//!     match event {
//!         Event::Message(message) => println!("{} {}", message.topic, message.data),
//!         Event::Gap(gap) => println!("lost {:?}: {:?}", gap.count, gap.reason),
//!         Event::Resumed { from, .. } => println!("another connection, on after {from:?}"),
//!         Event::Closed(how) => println!("{how}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # When the connection is lost
//!
//! Each subscription goes on after the last thing that came out of it, on the next connection, with its settings as they
//! were changed since and the credit that is left. Nothing comes twice and nothing is missing, but for what an [`Event::Gap`]
//! says; [`Event::Resumed`] marks the place. (With a rate, newest values may come again.) One that was being
//! [drained](Subscription::drain) resumes and ends in order.
//!
//! A publication or call that may have reached the server ends in `UnknownOutcome` and is never repeated, unless the call is
//! [idempotent](CallRequest::idempotent). What has not been sent, and what is asked meanwhile, waits for the next connection within its time limit.
//!
//! [`Reconnect`] says how often and after which waits it is tried; several [`endpoint`](Builder::endpoint)s take turns, the one that failed longest
//! ago first. Close codes and statuses that mean "don't return" are obeyed (1000, 1002, 1003, 1007, 1008; 400, 401, 403, 404 for that endpoint), and so are
//! the times of `goaway` and `Retry-After`. [`Client::states`] shows it, [`Client::closed`] is the end.
//!
//! # What is bounded, and how
//!
//! | what | bound | when it is reached |
//! |---|---|---|
//! | events of a stream that isn't read | [`Builder::stream_events`], 256 | the socket isn't read, and the server's overflow policy acts |
//! | requests under way | [`Builder::in_flight`], 1,024 | further ones wait, within [`Builder::request_timeout`] |
//! | calls under way, apart from those | [`Builder::calls_in_flight`], 64 | further ones wait, within their deadline |
//! | commands between handles and connection | 64 | whoever asks waits |
//! | a message of the server | [`Builder::message_bytes`], 4 MiB | the client ends, since it would come again |
//! | a frame to the server | what its welcome says | refused with `too_large` before it is sent |
//! | calls that nobody answers | [`Breaker`], 5 in a row | further ones fail at once, for a second and longer |
//! | the wait between attempts | [`Reconnect::max_wait`], 30 s | |
//! | what a server can impose as a wait | [`Reconnect::obeyed`], 10 min | |
//! | attempts to connect again | [`Reconnect::attempts`], [`Reconnect::give_up_after`]; none unless told | the client ends |
//! | attempts to subscribe again after "later" | [`Builder::resubscribes`], 60 | the stream ends with [`Event::NotResumed`] |
//! | endpoints, with those that servers name | [`Builder::endpoints_max`], 16 | further ones are passed over |
//! | connecting, upgrade and welcome, goodbye | [`Builder::connect_timeout`], [`Builder::handshake_timeout`], 10 s each; [`Builder::close_timeout`], 5 s | given up |
//! | silence of the server | three of its heartbeats, after a ping | the connection counts as lost |
//!
//! A [`Subscription`] that is dropped unsubscribes, and the client ends with its last handle.
//!
//! # Features
//!
//! `tls` (on by default): `wss://` through rustls with ring.
//!
//! # Code map
//!
//! - `client`, `subscribe`, `subscription`, `publish`, `call`: the handles a program holds
//! - [`event`](Event), [`state`](State), [`error`](RequestError): what they yield; `position`: where to go on after it
//! - `link`: how handles reach the connection; `breaker`: which calls are tried
//! - `session`: the protocol's client side over any number of connections, pure
//! - `reconnect`: whether, where and when to connect again, pure; from `endpoint`, `endpoints`, `backoff`
//! - `heartbeat`: who is alive, pure
//! - `connect`: every setting, and the first connection; `dial`, `tls`: one attempt; `connection`: the task that drives all this
mod backoff;
mod breaker;
mod call;
mod client;
mod connect;
mod connection;
mod dial;
mod endpoint;
mod endpoints;
mod error;
mod event;
mod heartbeat;
mod link;
mod position;
mod publish;
mod reconnect;
mod session;
mod state;
mod subscribe;
mod subscription;
#[cfg(feature = "tls")]
mod tls;

pub use breaker::Breaker;
pub use call::{CallError, CallRequest, Reply};
pub use client::Client;
pub use connect::Builder;
pub use error::{ConnectError, Refusal, RequestError};
pub use event::{Closed, Event, Gap, Goaway, Message, Position};
pub use publish::{PublishRequest, Published};
pub use reconnect::Reconnect;
pub use state::{State, States};
pub use subscribe::SubscribeRequest;
pub use subscription::Subscription;

pub use pubsub_wire::command::{
    BatchPatch, BoundPatch, FieldError, Patch, RatePatch, Reconfigure, Subscribe,
};
pub use pubsub_wire::value::{
    Batch, Bound, Dropped, Else, From, GapReason, GoawayReason, Lag, Ledger, Mode, Overflow,
    PartPosition, Pending, Rate, RateMode, Settings, Welcome, When,
};
pub use pubsub_wire::{ErrorCode, Limits, close};
