//! What a request is answered, from its head alone.
//!
//! Owns the parsing of a request head, the routes and every answer that is not a WebSocket. Must not contain: sockets, time, counters.
//! Driven by `upgrade`, which reads the head, does what the route says and writes the answer.
//!
//! Laws:
//! - One request per connection: every answer but the 101 closes it.
//! - What is wrong is said in one line of text; what the client would have to send instead is in the headers where HTTP has a
//!   place for it (`Allow`, `Upgrade`, `Sec-WebSocket-Version`, `Retry-After`).
use super::origin::Origins;
use crate::telemetry::scoreboard::Rejected;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version};
use std::io::Write;
use std::net::IpAddr;

/// The one subprotocol; naming it is optional.
pub(super) const SUBPROTOCOL: &str = "pubsub.v1";
/// Header lines of one request: browsers send about 15, proxies add a handful.
const HEADERS_MAX: usize = 64;

/// What the routes depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site<'a> {
    /// Origins that browsers may come from.
    pub(super) origins: &'a Origins,
    /// Address the connection came in on.
    pub(super) local: IpAddr,
    /// Whether new sessions are taken.
    pub(super) service: Service,
    /// Whether `/echo` exists.
    pub(super) echo: Echo,
}

/// Whether new sessions are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// They are.
    Open,
    /// The node drains.
    Draining {
        /// When it may be back.
        retry_after_s: u64,
    },
    /// There is no room for this one.
    Refusing {
        /// What the client is told.
        text: &'static str,
        /// Counted as.
        why: Rejected,
    },
}

/// Whether `/echo` exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Echo {
    /// It does.
    On,
    /// It does not.
    Off,
}

/// What to do with a request.
#[derive(Debug)]
pub(super) enum Route {
    /// Write this 101 and open a session.
    Session(Response<()>),
    /// Write this 101 and echo.
    Echo(Response<()>),
    /// Say that the node is well.
    Health,
    /// Write this and close.
    Refuse(Refusal),
}

/// An answer that is no success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Status line.
    pub(super) status: StatusCode,
    /// Body; one line.
    pub(super) text: &'static str,
    /// One header beyond the usual, if there is one.
    pub(super) header: Option<(HeaderName, HeaderValue)>,
    /// Counted as.
    pub(super) why: Rejected,
}

/// A request head, or why there is none.
#[derive(Debug)]
pub(super) enum Head {
    /// It has not all arrived.
    Partial,
    /// The request, and how many bytes its head takes; what follows belongs to the new protocol.
    Whole(Request<()>, usize),
    /// It is not HTTP/1 as spoken here.
    Bad(Refusal),
}

/// Reads a request head.
pub(super) fn parse(bytes: &[u8]) -> Head {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(httparse::Status::Partial) => Head::Partial,
        Ok(httparse::Status::Complete(length)) => match convert(&request) {
            Ok(request) => Head::Whole(request, length),
            Err(refusal) => Head::Bad(refusal),
        },
        Err(httparse::Error::TooManyHeaders) => Head::Bad(too_large()),
        Err(httparse::Error::Version) => Head::Bad(bad("this is HTTP/1.1 only")),
        Err(_) => Head::Bad(bad("this is no HTTP request")),
    }
}

/// The head is longer than `header_bytes`.
pub(super) fn too_large() -> Refusal {
    Refusal {
        status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        text: "the request head is too large",
        header: None,
        why: Rejected::TooLarge,
    }
}

/// The head did not arrive in time.
pub(super) fn too_slow() -> Refusal {
    Refusal {
        status: StatusCode::REQUEST_TIMEOUT,
        text: "the request head took too long",
        header: None,
        why: Rejected::HandshakeTimeout,
    }
}

/// Decides what a request gets.
pub(super) fn route(request: &Request<()>, site: &Site<'_>) -> Route {
    try_route(request, site).unwrap_or_else(Route::Refuse)
}

fn try_route(request: &Request<()>, site: &Site<'_>) -> Result<Route, Refusal> {
    check_host(request)?;
    let wanted = match request.uri().path() {
        "/ws" => Wanted::Session,
        "/health" => Wanted::Health,
        "/echo" if site.echo == Echo::On => Wanted::Echo,
        _ => return Err(refusal(StatusCode::NOT_FOUND, "there is nothing here")),
    };
    if request.method() != Method::GET {
        let allow = (header::ALLOW, HeaderValue::from_static("GET"));
        let refused = refusal(StatusCode::METHOD_NOT_ALLOWED, "only GET is answered here");
        return Err(refused.with(allow));
    }
    check_service(site.service)?;
    match wanted {
        Wanted::Health => Ok(Route::Health),
        Wanted::Session => upgrade(request, site).map(Route::Session),
        Wanted::Echo => upgrade(request, site).map(Route::Echo),
    }
}

enum Wanted {
    Session,
    Health,
    Echo,
}

/// RFC 9112, 3.2: exactly one `Host` in HTTP/1.1.
fn check_host(request: &Request<()>) -> Result<(), Refusal> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    match (request.version(), hosts) {
        (Version::HTTP_11, 1) | (Version::HTTP_10, 0 | 1) => Ok(()),
        _ => Err(bad("one Host header is needed")),
    }
}

fn check_service(service: Service) -> Result<(), Refusal> {
    let (text, why, retry_after_s) = match service {
        Service::Open => return Ok(()),
        Service::Draining { retry_after_s } => {
            ("this node is draining", Rejected::Draining, retry_after_s)
        }
        // Connections come and go by the second.
        Service::Refusing { text, why } => (text, why, 1),
    };
    Err(Refusal {
        status: StatusCode::SERVICE_UNAVAILABLE,
        text,
        header: Some((header::RETRY_AFTER, retry_after_s.into())),
        why,
    })
}

/// RFC 6455, 4.2: checks the opening handshake and makes its answer.
fn upgrade(request: &Request<()>, site: &Site<'_>) -> Result<Response<()>, Refusal> {
    let headers = request.headers();
    if !has_token(headers, header::UPGRADE, "websocket") {
        let upgrade = (header::UPGRADE, HeaderValue::from_static("websocket"));
        let refused = refusal(StatusCode::UPGRADE_REQUIRED, "this speaks WebSocket only");
        return Err(refused.with(upgrade));
    }
    if !has_token(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        let version = (header::SEC_WEBSOCKET_VERSION, 13.into());
        let refused = refusal(StatusCode::UPGRADE_REQUIRED, "WebSocket version 13 only");
        return Err(refused.with(version));
    }
    check_body(headers)?;
    check_origin(headers, site)?;
    let mut response = tungstenite::handshake::server::create_response(request)
        .map_err(|_| bad("this is no WebSocket handshake"))?;
    if has_token(headers, header::SEC_WEBSOCKET_PROTOCOL, SUBPROTOCOL) {
        let name = HeaderValue::from_static(SUBPROTOCOL);
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, name);
    }
    Ok(response)
}

/// What follows the head of an upgrade is the new protocol; a body would be taken for frames.
fn check_body(headers: &HeaderMap) -> Result<(), Refusal> {
    let length = headers.get_all(header::CONTENT_LENGTH).iter();
    if headers.contains_key(header::TRANSFER_ENCODING) || length.into_iter().any(|v| v != "0") {
        return Err(bad("a handshake has no body"));
    }
    Ok(())
}

fn check_origin(headers: &HeaderMap, site: &Site<'_>) -> Result<(), Refusal> {
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let allowed = match (origins.next(), origins.next()) {
        (None, _) => true,
        (Some(origin), None) => site.origins.allow(origin.as_bytes(), site.local),
        (Some(_), Some(_)) => false,
    };
    if allowed {
        return Ok(());
    }
    Err(Refusal {
        status: StatusCode::FORBIDDEN,
        text: "this origin may not connect",
        header: None,
        why: Rejected::Origin,
    })
}

/// Whether a header that holds a list names `token`, in any case.
fn has_token(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|item| item.trim().eq_ignore_ascii_case(token))
}

/// Whether a proxy says that it speaks for somebody else.
pub(super) fn is_forwarded(request: &Request<()>) -> bool {
    ["forwarded", "x-forwarded-for", "x-real-ip"]
        .iter()
        .any(|name| request.headers().contains_key(*name))
}

fn convert(parsed: &httparse::Request<'_, '_>) -> Result<Request<()>, Refusal> {
    let unclear = || bad("this is no HTTP request");
    let version = match parsed.version {
        Some(1) => Version::HTTP_11,
        _ => Version::HTTP_10,
    };
    let mut request = Request::builder()
        .method(parsed.method.ok_or_else(unclear)?)
        .uri(parsed.path.ok_or_else(unclear)?)
        .version(version)
        .body(())
        .map_err(|_| unclear())?;
    let headers = request.headers_mut();
    for line in parsed.headers.iter() {
        let name = HeaderName::from_bytes(line.name.as_bytes()).map_err(|_| unclear())?;
        headers.append(
            name,
            HeaderValue::from_bytes(line.value).map_err(|_| unclear())?,
        );
    }
    Ok(request)
}

fn bad(text: &'static str) -> Refusal {
    refusal(StatusCode::BAD_REQUEST, text)
}

fn refusal(status: StatusCode, text: &'static str) -> Refusal {
    Refusal {
        status,
        text,
        header: None,
        why: Rejected::BadRequest,
    }
}

impl Refusal {
    fn with(self, header: (HeaderName, HeaderValue)) -> Self {
        Self {
            header: Some(header),
            ..self
        }
    }

    /// The whole answer.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut response = Response::builder()
            .status(self.status)
            .header(header::CONTENT_TYPE, "text/plain; charset=utf-8");
        if let Some((name, value)) = &self.header {
            response = response.header(name, value);
        }
        if self.status == StatusCode::UPGRADE_REQUIRED {
            // RFC 9110, 7.8: `Upgrade` is hop by hop, so `Connection` names it.
            response = response.header(header::CONNECTION, "upgrade");
        }
        closing(response, format!("{}\n", self.text).as_bytes())
    }
}

/// The answer of `/health`.
pub(super) fn health(json: &str) -> Vec<u8> {
    let response = Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CACHE_CONTROL, "no-store");
    closing(response, json.as_bytes())
}

/// A 101 as bytes.
pub(super) fn switching(response: &Response<()>) -> Vec<u8> {
    let mut out = Vec::with_capacity(192);
    put_head(&mut out, response);
    out
}

fn closing(builder: http::response::Builder, body: &[u8]) -> Vec<u8> {
    let response = builder
        .header(header::CONTENT_LENGTH, body.len())
        .header(header::CONNECTION, "close")
        .body(())
        .unwrap_or_default();
    let mut out = Vec::with_capacity(256);
    put_head(&mut out, &response);
    out.extend_from_slice(body);
    out
}

fn put_head(out: &mut Vec<u8>, response: &Response<()>) {
    // Writing to memory does not fail.
    let _ = write!(out, "HTTP/1.1 {}\r\n", response.status());
    for (name, value) in response.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
