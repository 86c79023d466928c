//! The client's side of the WebSocket handshake (RFC 6455 section 4.1), as bytes.
//!
//! Pure but for the nonce of each request.
use crate::target::Target;
use thiserror::Error;
use tungstenite::handshake::{client::generate_key, derive_accept_key};

/// Longest response head that is waited for.
pub const HEAD_MAX: usize = 16 * 1024;

/// Most header lines of a response; proxies add a dozen.
const HEADERS_MAX: usize = 64;

/// What a TLS server answers to plain text: an alert of any version (RFC 8446 section 5.1).
const TLS_ALERT: &[u8] = &[21, 3];

/// A request that was sent and what its answer must prove.
#[derive(Debug)]
pub struct Upgrade {
    /// The request's bytes.
    pub request: Vec<u8>,
    accept: String,
}

/// Why a server's answer is no upgrade.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UpgradeError {
    /// Some other status than 101.
    #[error("answered HTTP {status} {reason} instead of 101: {hint}")]
    Status {
        /// HTTP status.
        status: u16,
        /// Its reason phrase.
        reason: String,
        /// What that usually means.
        hint: &'static str,
    },
    /// What came is not an HTTP response, or its handshake proves nothing.
    #[error("does not speak WebSocket: {0}")]
    NotWebSocket(&'static str),
}

impl Upgrade {
    /// A request with a fresh nonce.
    pub fn new(target: &Target) -> Self {
        let key = generate_key();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: pubsub.v1\r\n\r\n",
            target.path, target.host,
        );
        Self {
            request: request.into_bytes(),
            accept: derive_accept_key(key.as_bytes()),
        }
    }

    /// How many bytes of `answer` are the response head; what follows are frames. `None`: it is not whole yet.
    pub fn check(&self, answer: &[u8]) -> Result<Option<usize>, UpgradeError> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let mut response = httparse::Response::new(&mut headers);
        let head = match response.parse(answer) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) if answer.len() < HEAD_MAX => return Ok(None),
            Ok(httparse::Status::Partial) => {
                return Err(UpgradeError::NotWebSocket("its response head does not end"));
            }
            Err(_) if answer.starts_with(TLS_ALERT) => {
                return Err(UpgradeError::NotWebSocket(
                    "it speaks TLS: give the address of a port that doesn't",
                ));
            }
            Err(_) => return Err(UpgradeError::NotWebSocket("what it answered is not HTTP")),
        };
        let status = response.code.unwrap_or_default();
        if status != 101 {
            let reason = response.reason.unwrap_or_default().to_owned();
            return Err(UpgradeError::Status {
                status,
                reason,
                hint: hint(status),
            });
        }
        let proof = response
            .headers
            .iter()
            .find(|header| header.name.eq_ignore_ascii_case("sec-websocket-accept"));
        match proof {
            Some(header) if header.value == self.accept.as_bytes() => Ok(Some(head)),
            Some(_) => Err(UpgradeError::NotWebSocket(
                "its Sec-WebSocket-Accept is not the answer to our key",
            )),
            None => Err(UpgradeError::NotWebSocket(
                "it answered 101 without Sec-WebSocket-Accept",
            )),
        }
    }
}

fn hint(status: u16) -> &'static str {
    match status {
        301 | 302 | 307 | 308 => "it redirects; give the address it points to",
        401 | 403 => "it does not let this client in",
        404 => "is the path right? pubsub-server listens on /ws",
        429 | 503 => "it takes no more connections now",
        _ => "is this a WebSocket address?",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Cursor, Read, Write};

    fn target() -> Target {
        Target {
            addr: "127.0.0.1:1".parse().unwrap(),
            host: "h:1".into(),
            path: "/ws".into(),
        }
    }

    struct Request(Cursor<Vec<u8>>, Vec<u8>);

    impl Read for Request {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(to)
        }
    }

    impl Write for Request {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.1.write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn answered_by_tungstenite(upgrade: &Upgrade) -> Vec<u8> {
        let socket =
            tungstenite::accept(Request(Cursor::new(upgrade.request.clone()), Vec::new())).unwrap();
        socket.get_ref().1.clone()
    }

    #[test]
    fn a_server_takes_the_request_and_its_answer_is_taken_however_it_is_cut() {
        let upgrade = Upgrade::new(&target());
        let mut answer = answered_by_tungstenite(&upgrade);
        let head = answer.len();
        for cut in 0..head {
            assert_eq!(upgrade.check(&answer[..cut]), Ok(None), "cut at {cut}");
        }
        answer.extend_from_slice(b"\x81\x02{}");
        assert_eq!(upgrade.check(&answer), Ok(Some(head)));
    }

    #[test]
    fn the_answer_to_another_key_is_refused() {
        let answer = answered_by_tungstenite(&Upgrade::new(&target()));
        assert!(matches!(
            Upgrade::new(&target()).check(&answer),
            Err(UpgradeError::NotWebSocket(_))
        ));
    }

    #[test]
    fn another_status_is_shown() {
        let error = Upgrade::new(&target())
            .check(b"HTTP/1.1 404 Not Found\r\n\r\n")
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("answered HTTP 404 Not Found instead of 101"),
            "{error}"
        );
    }

    #[test]
    fn what_is_not_http_is_said() {
        let error = Upgrade::new(&target()).check(b"+PONG\r\n").unwrap_err();
        assert!(matches!(error, UpgradeError::NotWebSocket(_)));
        let alert = Upgrade::new(&target()).check(&[21, 3, 1, 0, 2, 2, 70]);
        assert!(alert.unwrap_err().to_string().contains("it speaks TLS"));
        let endless = [b"HTTP/1.1 101 x\r\n".as_slice(), &vec![b'a'; HEAD_MAX]].concat();
        assert!(matches!(
            Upgrade::new(&target()).check(&endless),
            Err(UpgradeError::NotWebSocket(_))
        ));
    }
}
