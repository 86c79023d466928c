//! One `GET` and its answer: what a node says of itself on its admin address.
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest answer taken.
const ANSWER_MAX: u64 = 16 << 20;

/// The body of `GET path`, if the answer is a 200.
pub fn get(addr: SocketAddr, path: &str, patience: Duration) -> io::Result<Vec<u8>> {
    let mut socket = TcpStream::connect_timeout(&addr, patience)?;
    socket.set_read_timeout(Some(patience))?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n");
    socket.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    socket.take(ANSWER_MAX).read_to_end(&mut answer)?;
    body(&answer)
}

fn body(answer: &[u8]) -> io::Result<Vec<u8>> {
    let invalid = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    match response.parse(answer) {
        Ok(httparse::Status::Complete(head)) if response.code == Some(200) => {
            Ok(answer[head..].to_vec())
        }
        Ok(httparse::Status::Complete(_)) => Err(invalid(format!(
            "HTTP {}",
            response.code.unwrap_or_default()
        ))),
        _ => Err(invalid("no HTTP response".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_of_a_success_is_what_counts() {
        assert_eq!(body(b"HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}").unwrap(), b"{}");
        assert!(
            body(b"HTTP/1.0 503 No\r\n\r\n{}")
                .unwrap_err()
                .to_string()
                .contains("503")
        );
        assert!(body(b"HTTP/1.0 200").is_err());
    }
}
