//! One handshake: from an accepted socket to a session, an echo, or an answer and the end.
//!
//! Owns reading the head, its limits in time and size, and writing the answer. Must not contain: what is answered (that is `http`).
//! Driven by `accept`, which begins one task for each connection; the task ends with the handshake.
//!
//! Laws:
//! - The whole of it takes `handshake_ms` at most and the head `header_bytes` at most, however slowly or endlessly it is sent.
//! - Bytes that arrived behind the request belong to the session and are handed on.
//! - An answer that closes is not eaten by a reset: what the client still sends is read until it has seen the end.
use super::echo;
use super::front::{Front, Newcomer, Seat};
use super::http::{self, Head, Refusal, Route, Service, Site};
use ::http::{Request, header};
use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpStream as StdTcpStream};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::timeout;

/// First buffer of a head: most fit.
const HEAD_BYTES: usize = 1024;
/// How long, and for how many bytes, a closing answer waits for the client's end.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 256 << 10);

/// What a connection is before its handshake is done.
struct Caller {
    front: Rc<Front>,
    seat: Seat,
    address: IpAddr,
    /// There is no room for it: it is told so, whatever it asks for.
    refusing: Option<Service>,
}

/// Begins the handshake of a connection just accepted; without blocking, as its own task.
pub(super) fn begin(front: &Rc<Front>, socket: StdTcpStream, address: IpAddr, now_ns: u64) {
    let address = address.to_canonical();
    let (seat, refusing) = front.seat(address);
    let underway = front.begin();
    let id = underway.id();
    let caller = Caller {
        front: Rc::clone(front),
        seat,
        address,
        refusing,
    };
    let limit = Duration::from_millis(front.config.worker.handshake_ms);
    let task = spawn_local(async move {
        // A socket that breaks during its handshake is no news; nothing was promised on it.
        let route = match TcpStream::from_std(socket) {
            Ok(stream) => caller.shake(stream, limit).await,
            Err(_) => return,
        };
        drop(underway);
        if let Some(echo) = route {
            echo::serve(echo).await;
        }
    });
    front.running(id, now_ns, task.abort_handle());
}

impl Caller {
    /// The handshake in its limits. What remains to be done is an echo.
    async fn shake(self, mut stream: TcpStream, limit: Duration) -> Option<echo::Echo> {
        let mut bytes = Vec::new();
        let read = read_head(
            &mut stream,
            &mut bytes,
            self.front.config.worker.header_bytes,
        );
        let (request, length) = match timeout(limit, read).await {
            Ok(Ok(Ok(head))) => head,
            Ok(Ok(Err(refusal))) => {
                self.refuse(stream, &refusal).await;
                return None;
            }
            // Gone before it said anything whole.
            Ok(Err(_)) => return None,
            Err(_) => {
                self.refuse(stream, &http::too_slow()).await;
                return None;
            }
        };
        let left = bytes.split_off(length);
        let site = Site {
            origins: &self.front.origins,
            local: local_address(&stream, &request),
            service: self.refusing.unwrap_or_else(|| self.front.service()),
            echo: self.front.echo(),
        };
        match http::route(&request, &site) {
            Route::Session(response) => {
                let forwarded = http::is_forwarded(&request);
                self.open(stream, &http::switching(&response), left, forwarded)
                    .await;
            }
            Route::Echo(response) => {
                let written = stream.write_all(&http::switching(&response)).await;
                return written.is_ok().then_some(echo::Echo {
                    stream,
                    bytes: left,
                    seat: self.seat,
                });
            }
            Route::Health => answer(stream, &http::health(&self.health())).await,
            Route::Refuse(refusal) => self.refuse(stream, &refusal).await,
        }
        None
    }

    /// Writes the 101 and hands the socket over to the loop.
    async fn open(self, mut stream: TcpStream, response: &[u8], bytes: Vec<u8>, forwarded: bool) {
        if stream.write_all(response).await.is_err() {
            return;
        }
        // Takes the socket out of the runtime; the loop watches it in an epoll of its own.
        let Ok(socket) = stream.into_std() else {
            return;
        };
        self.front.open(Newcomer {
            fd: socket.into(),
            seat: self.seat,
            peer: self.front.peer(self.address, forwarded),
            bytes,
        });
    }

    async fn refuse(&self, stream: TcpStream, refusal: &Refusal) {
        self.front.count(refusal.why);
        answer(stream, &refusal.to_bytes()).await;
    }

    fn health(&self) -> String {
        let (node, worker) = (&self.front.config.node, self.front.number());
        serde_json::json!({ "status": "ok", "node": node, "worker": worker }).to_string()
    }
}

/// Reads until a head is whole; `bytes` holds it and what came behind it.
async fn read_head(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    header_bytes: usize,
) -> io::Result<Result<(Request<()>, usize), Refusal>> {
    bytes.reserve_exact(HEAD_BYTES.min(header_bytes));
    loop {
        let before = bytes.len();
        let room = (header_bytes - before) as u64;
        if (&mut *stream).take(room).read_buf(bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // A head sent byte by byte is parsed when it begins and when it may be whole, not with each byte.
        if before > 0 && bytes.len() < header_bytes && !may_end(bytes, before) {
            continue;
        }
        match http::parse(bytes) {
            Head::Whole(request, length) => return Ok(Ok((request, length))),
            Head::Bad(refusal) => return Ok(Err(refusal)),
            Head::Partial if bytes.len() >= header_bytes => return Ok(Err(http::too_large())),
            Head::Partial => {}
        }
    }
}

/// Whether an empty line ends in the bytes from `new` on.
fn may_end(bytes: &[u8], new: usize) -> bool {
    let from = new.saturating_sub(3);
    let fresh = &bytes[from..];
    fresh.windows(2).any(|w| w == b"\n\n") || fresh.windows(3).any(|w| w == b"\n\r\n")
}

/// The address a connection came in on; asked for only where a page wants in.
fn local_address(stream: &TcpStream, request: &Request<()>) -> IpAddr {
    let unspecified = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    if !request.headers().contains_key(header::ORIGIN) {
        return unspecified;
    }
    stream
        .local_addr()
        .map_or(unspecified, |address| address.ip().to_canonical())
}

/// Writes an answer and closes.
async fn answer(mut stream: TcpStream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        finish(stream).await;
    }
}

/// Ends the sending side and reads on until the client has seen the end, so that no reset eats what was written.
pub(super) async fn finish(mut stream: TcpStream) {
    let (limit, most) = LINGER;
    let seen = async {
        stream.shutdown().await?;
        let mut taken = 0;
        let mut discarded = [0; 1024];
        while taken < most {
            match stream.read(&mut discarded).await? {
                0 => break,
                n => taken += n,
            }
        }
        Ok::<_, io::Error>(())
    };
    // Whether the client waits for its end is its own affair.
    let _ = timeout(limit, seen).await;
}
