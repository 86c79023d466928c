//! A server's URL, checked.
use crate::error::ConnectError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::uri::PathAndQuery;
use tokio_tungstenite::tungstenite::http::{HeaderValue, Uri, header};

/// The subprotocol that is asked for.
const PROTOCOL: &str = "pubsub.v1";
/// Where a server listens when the URL names no path.
const PATH: &str = "/ws";

/// Whether what travels can be read on the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scheme {
    Plain,
    Tls,
}

/// A URL that can be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    uri: Uri,
    scheme: Scheme,
}

impl Endpoint {
    pub(crate) fn parse(url: &str) -> Result<Self, ConnectError> {
        let bad = |why: &dyn ToString| ConnectError::Url {
            url: url.to_owned(),
            why: why.to_string(),
        };
        let uri: Uri = url.parse().map_err(|error| bad(&error))?;
        let scheme = match uri.scheme_str() {
            Some("ws") => Scheme::Plain,
            Some("wss") if cfg!(feature = "tls") => Scheme::Tls,
            Some("wss") => return Err(bad(&"wss:// needs the feature `tls` of pubsub-client")),
            _ => return Err(bad(&"must begin with ws:// or wss://")),
        };
        let mut parts = uri.into_parts();
        let path = parts
            .path_and_query
            .take()
            .filter(|path| path.as_str() != "/");
        parts.path_and_query = path.or(Some(PathAndQuery::from_static(PATH)));
        let uri = Uri::from_parts(parts).map_err(|error| bad(&error))?;
        let endpoint = Self { uri, scheme };
        // What the URL lacks shows when it becomes a request.
        endpoint.try_request().map_err(|error| bad(&error))?;
        Ok(endpoint)
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Without the brackets of an IPv6 address.
    pub(crate) fn host(&self) -> &str {
        let host = self.uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        let default = match self.scheme {
            Scheme::Plain => 80,
            Scheme::Tls => 443,
        };
        self.uri.port_u16().unwrap_or(default)
    }

    /// The upgrade.
    pub(crate) fn request(&self) -> Result<Request, ConnectError> {
        self.try_request().map_err(|why| ConnectError::Url {
            url: self.to_string(),
            why: why.to_string(),
        })
    }

    fn try_request(&self) -> Result<Request, Box<tokio_tungstenite::tungstenite::Error>> {
        let mut request = self.uri.clone().into_client_request()?;
        let protocol = HeaderValue::from_static(PROTOCOL);
        request
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        Ok(request)
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.uri.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_leaves_out_is_added() {
        let endpoint = Endpoint::parse("ws://a.example").unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), ("a.example", 80));
        assert_eq!(endpoint.to_string(), "ws://a.example/ws");
        let endpoint = Endpoint::parse("ws://[::1]:81/other?x=1").unwrap();
        assert_eq!((endpoint.host(), endpoint.port()), ("::1", 81));
        assert_eq!(endpoint.to_string(), "ws://[::1]:81/other?x=1");
    }

    #[cfg(feature = "tls")]
    #[test]
    fn tls_has_a_port_of_its_own() {
        let endpoint = Endpoint::parse("wss://a.example").unwrap();
        assert_eq!((endpoint.scheme(), endpoint.port()), (Scheme::Tls, 443));
    }
}
