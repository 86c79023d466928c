//! What the supervisor and the processes it started tell each other.
//!
//! Owns the two vocabularies and the pipe they travel on: a Unix socket pair, one JSON object a line in each direction.
//! Must not contain: what is done about a message. Driven by the supervisor on one end, by a role on the other.
//!
//! Laws: no data of clients travels here; a line has a largest length; the end of the stream means that the other side is gone,
//! and a role whose supervisor is gone goes on serving.

use std::io;
use std::marker::PhantomData;
use std::os::unix::net::UnixStream as StdUnixStream;

use pubsub_wire::value::Overflow;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// Longest line: [`SLOW_MAX`] rows with the longest topic and session name fit many times.
pub const LINE_BYTES: usize = 256 * 1024;
/// Most rows one question for the slowest may ask for.
pub const SLOW_MAX: usize = 100;

/// Supervisor to role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Order {
    /// Take no more connections, tell those there are, close them spread over the window, then exit.
    Drain {
        /// What the clients are told.
        reason: DrainReason,
        /// All are closed at its end.
        window_ms: u64,
    },
    /// Exit now, with 0.
    Stop,
    /// Which subscriptions are furthest behind?
    Slow {
        /// Comes back with the answer.
        id: u64,
        /// How many at most.
        n: usize,
    },
}

/// Why a worker drains: the `reason` of `goaway`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainReason {
    /// The node stops.
    Shutdown,
    /// This process will be replaced.
    Restart,
    /// There will be fewer workers.
    Rebalance,
}

/// Role to supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "did", rename_all = "snake_case")]
pub enum Report {
    /// It serves.
    Ready,
    /// All connections are closed; it exits.
    Drained,
    /// Answer to [`Order::Slow`], the furthest behind first.
    Slow {
        /// Of the question.
        id: u64,
        /// The subscriptions.
        rows: Vec<SlowRow>,
    },
}

/// One subscription that is behind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowRow {
    /// Session name, as in `welcome`.
    pub session: String,
    /// Topic or pattern.
    pub topic: String,
    /// `live`, `behind` or `replay`.
    pub mode: String,
    /// How far behind.
    pub lag: SlowLag,
    /// What gives.
    pub overflow: Overflow,
    /// Which other settings act, in short: `sample 100 ms · batch 50 ms · credit 0`. Empty where none does, and from a worker of an
    /// older build.
    #[serde(default)]
    pub settings: String,
}

/// How far behind a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowLag {
    /// Messages.
    pub messages: u64,
    /// Bytes of frames.
    pub bytes: u64,
    /// Age of the oldest, milliseconds.
    pub age_ms: u64,
}

/// A role's two ends.
pub type RoleControl = (Sender<Report>, Receiver<Order>);
/// The supervisor's two ends.
pub type SupervisorControl = (Sender<Order>, Receiver<Report>);

/// Makes the two ends of this side out of its socket; call it inside a tokio runtime.
pub fn open<Out, In>(socket: StdUnixStream) -> io::Result<(Sender<Out>, Receiver<In>)> {
    socket.set_nonblocking(true)?;
    Ok(split(UnixStream::from_std(socket)?))
}

/// Makes the two ends of this side out of a connected stream.
pub fn split<Out, In>(socket: UnixStream) -> (Sender<Out>, Receiver<In>) {
    let (read, write) = socket.into_split();
    (
        Sender {
            write,
            sends: PhantomData,
        },
        Receiver {
            read,
            bytes: Vec::new(),
            scanned: 0,
            ended: false,
            receives: PhantomData,
        },
    )
}

/// The sending end.
#[derive(Debug)]
pub struct Sender<Out> {
    write: OwnedWriteHalf,
    sends: PhantomData<fn(&Out)>,
}

impl<Out: Serialize> Sender<Out> {
    /// Sends one message if that needs no waiting. An error means that the other side is gone or takes nothing.
    pub fn try_send(&mut self, message: &Out) -> io::Result<()> {
        let line = line(message)?;
        // Far below what a Unix socket takes whole; a part of a line would spoil all that follow.
        match self.write.try_write(&line)? {
            written if written == line.len() => Ok(()),
            _ => Err(io::Error::other("a control line was taken in part")),
        }
    }

    /// Sends one message. An error means that the other side is gone.
    pub async fn send(&mut self, message: &Out) -> io::Result<()> {
        self.write.write_all(&line(message)?).await
    }
}

/// The receiving end.
#[derive(Debug)]
pub struct Receiver<In> {
    read: OwnedReadHalf,
    bytes: Vec<u8>,
    /// No line ends before this.
    scanned: usize,
    ended: bool,
    receives: PhantomData<fn() -> In>,
}

impl<In: DeserializeOwned> Receiver<In> {
    /// The next message; `None` at the end, now and ever after. Safe to drop at any await: nothing that was read is lost.
    ///
    /// `InvalidData`: a line is too long (the stream has ended then) or is no such message (the next call goes on behind it).
    pub async fn recv(&mut self) -> io::Result<Option<In>> {
        loop {
            if let Some(end) = memchr_newline(&self.bytes[self.scanned..]) {
                let line: Vec<u8> = self.bytes.drain(..=self.scanned + end).collect();
                self.scanned = 0;
                return serde_json::from_slice(&line)
                    .map(Some)
                    .map_err(io::Error::from);
            }
            self.scanned = self.bytes.len();
            if self.ended {
                return Ok(None);
            }
            if self.bytes.len() > LINE_BYTES {
                self.ended = true;
                self.bytes = Vec::new();
                self.scanned = 0;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a control line is too long",
                ));
            }
            // A reset is an end like any other: the other side is gone.
            if self.read.read_buf(&mut self.bytes).await.unwrap_or(0) == 0 {
                self.ended = true;
            }
        }
    }
}

fn line(message: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

fn memchr_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == b'\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(value: &impl Serialize) -> String {
        serde_json::to_string(value).unwrap()
    }

    fn on_a_runtime<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(future)
    }

    #[test]
    fn messages_look_as_agreed() {
        let drain = Order::Drain {
            reason: DrainReason::Rebalance,
            window_ms: 5000,
        };
        assert_eq!(
            json(&drain),
            r#"{"do":"drain","reason":"rebalance","window_ms":5000}"#
        );
        assert_eq!(json(&Order::Stop), r#"{"do":"stop"}"#);
        assert_eq!(
            json(&Order::Slow { id: 3, n: 10 }),
            r#"{"do":"slow","id":3,"n":10}"#
        );
        assert_eq!(json(&Report::Ready), r#"{"did":"ready"}"#);
        let row = SlowRow {
            session: "s-1".into(),
            topic: "quotes.>".into(),
            mode: "behind".into(),
            lag: SlowLag {
                messages: 1,
                bytes: 2,
                age_ms: 3,
            },
            overflow: Overflow::Conflate,
            settings: "sample 100 ms".into(),
        };
        assert_eq!(
            json(&Report::Slow {
                id: 3,
                rows: vec![row]
            }),
            r#"{"did":"slow","id":3,"rows":[{"session":"s-1","topic":"quotes.>","mode":"behind","lag":{"messages":1,"bytes":2,"age_ms":3},"overflow":"conflate","settings":"sample 100 ms"}]}"#
        );
    }

    #[test]
    fn messages_arrive_in_order_and_then_the_end() {
        on_a_runtime(async {
            let (a, b) = StdUnixStream::pair().unwrap();
            let (mut orders, mut reports): SupervisorControl = open(a).unwrap();
            let (mut role_reports, mut role_orders): RoleControl = open(b).unwrap();
            orders.send(&Order::Slow { id: 1, n: 2 }).await.unwrap();
            orders.send(&Order::Stop).await.unwrap();
            role_reports.send(&Report::Ready).await.unwrap();
            assert_eq!(
                role_orders.recv().await.unwrap(),
                Some(Order::Slow { id: 1, n: 2 })
            );
            assert_eq!(role_orders.recv().await.unwrap(), Some(Order::Stop));
            assert_eq!(reports.recv().await.unwrap(), Some(Report::Ready));
            drop((orders, reports));
            assert_eq!(role_orders.recv().await.unwrap(), None);
            assert_eq!(role_orders.recv().await.unwrap(), None);
            assert!(role_reports.send(&Report::Drained).await.is_err());
        });
    }

    #[test]
    fn a_line_that_is_no_message_is_an_error_and_the_next_one_still_arrives() {
        on_a_runtime(async {
            let (a, b) = StdUnixStream::pair().unwrap();
            let (_, mut orders): RoleControl = open(a).unwrap();
            io::Write::write_all(&mut &b, b"{\"do\":\"dance\"}\n{\"do\":\"stop\"}\n{\"do\":")
                .unwrap();
            drop(b);
            assert!(orders.recv().await.is_err());
            assert_eq!(orders.recv().await.unwrap(), Some(Order::Stop));
            assert_eq!(
                orders.recv().await.unwrap(),
                None,
                "half a line is not a message"
            );
        });
    }

    #[test]
    fn a_line_without_end_is_refused_and_its_bytes_are_let_go() {
        on_a_runtime(async {
            let (a, b) = UnixStream::pair().unwrap();
            let (_, mut orders): RoleControl = split(a);
            let endless = async {
                let mut b = b;
                let chunk = vec![b'x'; 64 * 1024];
                while b.write_all(&chunk).await.is_ok() {}
            };
            let refused = async {
                let refused = orders.recv().await;
                let (kept, ended) = (orders.bytes.capacity(), orders.recv().await);
                drop(orders);
                (refused, kept, ended)
            };
            let ((refused, kept, ended), ()) = tokio::join!(refused, endless);
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
            assert_eq!(kept, 0);
            assert_eq!(ended.unwrap(), None);
        });
    }
}
