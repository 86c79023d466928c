//! Which web pages may connect.
//!
//! Owns the check of the `Origin` header. Must not contain: other headers or sockets. Driven by `http`.
//!
//! A browser names the page that connects in `Origin` (RFC 6454) and lets no page change it, so this is what keeps a stranger's page
//! from using a visitor's network position. Programs send no `Origin` and pass. `Host` is never looked at: under DNS rebinding it
//! says what the attacker likes.
use std::net::IpAddr;

/// Origins beyond those that are always allowed.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins {
    listed: Vec<Origin>,
}

/// Scheme, host and port, as RFC 6454 compares them: names in lower case, the port the scheme implies filled in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
    port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Name(String),
    Address(IpAddr),
}

impl Origins {
    /// From the configuration; an entry that is no origin allows nothing.
    pub(super) fn new(listed: &[String]) -> Self {
        Self {
            listed: listed.iter().filter_map(|text| parse(text)).collect(),
        }
    }

    /// Whether a page of `origin` may connect to a connection that came in on `local`.
    pub(super) fn allow(&self, origin: &[u8], local: IpAddr) -> bool {
        let Some(origin) = str::from_utf8(origin).ok().and_then(parse) else {
            return false;
        };
        origin.is_near(local) || self.listed.contains(&origin)
    }
}

impl Origin {
    /// A page served from this machine, or from the address that was connected to.
    fn is_near(&self, local: IpAddr) -> bool {
        let web = matches!(self.scheme.as_str(), "http" | "https");
        web && match &self.host {
            Host::Name(name) => name == "localhost",
            Host::Address(address) => address.is_loopback() || *address == local.to_canonical(),
        }
    }
}

/// `scheme "://" host [":" port]` and nothing behind it; `null` is none.
fn parse(text: &str) -> Option<Origin> {
    let (scheme, authority) = text.trim().split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let implied = match scheme.as_str() {
        "http" | "ws" => 80,
        "https" | "wss" => 443,
        // Extensions and apps have origins of their own schemes; a port means nothing there.
        _ => 0,
    };
    let (host, port) = split_port(authority)?;
    let port = match port {
        Some(port) => port.parse().ok()?,
        None => implied,
    };
    Some(Origin {
        scheme,
        host: parse_host(host)?,
        port,
    })
}

fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, behind) = rest.split_once(']')?;
        return match behind {
            "" => Some((address, None)),
            _ => Some((address, Some(behind.strip_prefix(':')?))),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

fn parse_host(host: &str) -> Option<Host> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Some(Host::Address(address.to_canonical()));
    }
    let named = !host.is_empty() && !host.contains(['/', '@', '?', '#', '[', ']', ' ']);
    named.then(|| Host::Name(host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(listed: &[&str], origin: &str, local: &str) -> bool {
        let listed: Vec<String> = listed.iter().map(|s| (*s).to_owned()).collect();
        Origins::new(&listed).allow(origin.as_bytes(), local.parse().expect("an address"))
    }

    #[test]
    fn loopback_pages_pass_on_any_port() {
        for origin in [
            "http://localhost",
            "http://LOCALHOST:3000",
            "https://127.0.0.1:8443",
            "http://127.9.9.9",
            "http://[::1]:5173",
            "http://[::ffff:127.0.0.1]:1",
        ] {
            assert!(allow(&[], origin, "192.0.2.1"), "{origin}");
        }
    }

    #[test]
    fn pages_of_the_address_it_came_in_on_pass_on_any_port() {
        assert!(allow(&[], "http://192.0.2.1:8080", "192.0.2.1"));
        assert!(allow(&[], "http://192.0.2.1", "::ffff:192.0.2.1"));
        assert!(allow(&[], "https://[2001:db8::1]", "2001:db8::1"));
        assert!(!allow(&[], "http://192.0.2.2", "192.0.2.1"));
    }

    #[test]
    fn strangers_do_not_pass() {
        for origin in [
            "null",
            "",
            "http://",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
            "http://evil.example/http://localhost",
            "http://localhost:x",
            "http://[::1",
            "http://[::1]x",
            "localhost",
            "http://localhost http://evil.example",
            "app://localhost",
        ] {
            assert!(!allow(&[], origin, "127.0.0.1"), "{origin}");
        }
        assert!(!Origins::default().allow(b"http://\xff", "127.0.0.1".parse().expect("one")));
    }

    #[test]
    fn listed_origins_pass_by_scheme_host_and_port() {
        let listed = ["https://app.example", "http://dev.example:3000"];
        assert!(allow(&listed, "https://APP.example", "192.0.2.1"));
        assert!(allow(&listed, "https://app.example:443", "192.0.2.1"));
        assert!(allow(&listed, "http://dev.example:3000", "192.0.2.1"));
        assert!(!allow(&listed, "http://app.example", "192.0.2.1"));
        assert!(!allow(&listed, "https://app.example:8443", "192.0.2.1"));
        assert!(!allow(&listed, "http://dev.example", "192.0.2.1"));
    }

    #[test]
    fn null_cannot_be_listed() {
        assert!(!allow(&["null"], "null", "192.0.2.1"));
    }
}
