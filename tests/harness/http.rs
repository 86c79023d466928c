//! The least of an HTTP client: one request, one connection, the whole answer.
use super::within_patience;
use std::io;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Most headers of an answer.
const HEADERS: usize = 64;

/// An answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status code.
    pub code: u16,
    /// Header names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// What follows the head.
    pub body: String,
}

impl Response {
    /// The value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    fn parse(bytes: &[u8]) -> io::Result<Response> {
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(bytes) {
            Ok(httparse::Status::Complete(length)) => length,
            other => {
                return Err(io::Error::other(format!(
                    "{other:?} of {:?}",
                    String::from_utf8_lossy(bytes)
                )));
            }
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Response {
            code: head.code.expect("a complete head has a code"),
            headers: head
                .headers
                .iter()
                .map(|header| (header.name.to_ascii_lowercase(), text(header.value)))
                .collect(),
            body: text(&bytes[length..]),
        })
    }
}

/// `GET path`.
pub async fn http_get(address: SocketAddr, path: &str) -> io::Result<Response> {
    http_request(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"),
    )
    .await
}

/// Sends `request` as it stands and reads until the server closes.
pub async fn http_request(address: SocketAddr, request: &str) -> io::Result<Response> {
    within_patience(&format!("the answer to {request:?}"), async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Response::parse(&answer)
    })
    .await
}
