//! What the processes of a node say to each other.
//!
//! Owns the frames between worker and hub ([`codec`], [`request`], [`event`]), how they are found in a stream of bytes
//! ([`reader`]), what the supervisor and its processes tell each other ([`control`]), what is asked of a running node ([`ctl`]),
//! where the sockets are ([`paths`]) and who is at their other end ([`peer`]). Must not contain: what a message means. Driven by the supervisor, the hub and the workers.
//!
//! A frame is `u32` length of what follows, `u8` kind, body; all numbers little-endian. The first frame of a worker on a new
//! link is [`Join`]; the hub answers with `Hello`. After that both sides speak when they like, each in its own order.
//!
//! Laws of the frames (they are pure: no socket, no clock):
//! - An entry is encoded once, when it is numbered; its link frame is then copied, never built again.
//! - Decoding lends from the read buffer; it neither copies nor allocates on the way of publications, entries and calls.
//! - Malformed input is an error that ends the link, never a panic and never an allocation that the peer chose.
pub mod codec;
pub mod control;
pub mod ctl;
pub mod event;
pub mod paths;
pub mod peer;
pub mod reader;
pub mod request;

pub use codec::{FRAME_BYTES_MAX, LINK_VERSION, LinkError};
pub use event::{decode_entry, decode_event, encode_entry, encode_event};
pub use reader::LinkReader;
pub use request::{
    CallRef, Join, PublishRef, WorkerFrame, decode_request, encode_join, encode_request,
};
