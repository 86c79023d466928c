//! Where the connections go: a `ws://` address as typed, resolved once.
use serde::{Deserialize, Serialize};
use std::net::{SocketAddr, ToSocketAddrs};
use thiserror::Error;

/// A server to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// Resolved address.
    pub addr: SocketAddr,
    /// The `Host` header.
    pub host: String,
    /// Path and query of the upgrade request.
    pub path: String,
}

/// Why an address cannot be used. The text is what the user is told.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// `wss://`.
    #[error(
        "--url {0}: TLS is not spoken here: end it in front of the server and give a ws:// address"
    )]
    Tls(String),
    /// No `ws://`, no host, or a port that is none.
    #[error("--url {0}: expected ws://HOST[:PORT][/PATH], as in ws://127.0.0.1:8124/ws")]
    Form(String),
    /// The name has no address.
    #[error("--url {url}: no address for {host}: {why}")]
    Unknown {
        /// As typed.
        url: String,
        /// Host and port.
        host: String,
        /// What the resolver says.
        why: String,
    },
}

impl Target {
    /// Reads `ws://HOST[:PORT][/PATH]` and resolves the host.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let rest = match url.split_once("://") {
            Some(("ws" | "http", rest)) => rest,
            Some(("wss" | "https", _)) => return Err(TargetError::Tls(url.to_owned())),
            _ => return Err(form()),
        };
        let (host, path) = match rest.find(['/', '?']) {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let path = path.split('#').next().unwrap_or_default();
        let visible =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible(host) || host.contains('@') || !visible(path) {
            return Err(form());
        }
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let addr = resolve(url, host, form)?;
        Ok(Self {
            addr,
            host: host.to_owned(),
            path,
        })
    }
}

fn resolve(
    url: &str,
    host: &str,
    form: impl Fn() -> TargetError,
) -> Result<SocketAddr, TargetError> {
    let named_port = host
        .rsplit_once(':')
        .filter(|(name, _)| !name.contains(':') || name.ends_with(']'));
    let with_port = match named_port {
        Some((name, port))
            if !name.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            host.to_owned()
        }
        Some(_) => return Err(form()),
        None => format!("{host}:80"),
    };
    let unknown = |why: String| TargetError::Unknown {
        url: url.to_owned(),
        host: host.to_owned(),
        why,
    };
    let mut found = with_port
        .to_socket_addrs()
        .map_err(|error| unknown(error.to_string()))?;
    found
        .next()
        .ok_or_else(|| unknown("the name has none".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_port_and_path_are_found() {
        let target = Target::parse("ws://127.0.0.1:8124/ws?x=1").unwrap();
        assert_eq!(target.addr, "127.0.0.1:8124".parse().unwrap());
        assert_eq!(
            (target.host.as_str(), target.path.as_str()),
            ("127.0.0.1:8124", "/ws?x=1")
        );
    }

    #[test]
    fn a_port_left_out_is_eighty_and_a_path_left_out_is_the_root() {
        let target = Target::parse("ws://127.0.0.1").unwrap();
        assert_eq!((target.addr.port(), target.path.as_str()), (80, "/"));
        assert_eq!(Target::parse("ws://127.0.0.1?a").unwrap().path, "/?a");
    }

    #[test]
    fn an_ipv6_address_keeps_its_brackets() {
        assert_eq!(
            Target::parse("ws://[::1]:8124/ws").unwrap().addr,
            "[::1]:8124".parse().unwrap()
        );
        assert_eq!(Target::parse("ws://[::1]/ws").unwrap().addr.port(), 80);
    }

    #[test]
    fn what_is_no_address_is_said_in_one_line() {
        for url in [
            "127.0.0.1:8124",
            "ws://",
            "ws:///ws",
            "ws://h:99999/",
            "ws://h:0/",
            "ws://a b/",
            "ftp://h/",
            "ws://u@h/",
            "ws://:1/",
        ] {
            let error = Target::parse(url).unwrap_err();
            assert!(matches!(error, TargetError::Form(_)), "{url}: {error:?}");
            assert!(!error.to_string().contains('\n'));
        }
        assert!(matches!(
            Target::parse("wss://h/"),
            Err(TargetError::Tls(_))
        ));
    }
}
