//! Which server it is: the node's name and version, as its status says.
//!
//! The status is on an address of its own, which clients are not told. Where the server's processes are known, it is one of those that
//! they listen on.
use crate::{http, measure};
use serde::Deserialize;
use std::net::SocketAddr;
use std::time::Duration;

/// Time for an answer: it comes from this machine.
const PATIENCE: Duration = Duration::from_secs(1);

/// Addresses asked at most.
const ASKED_MAX: usize = 8;

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Node {
    /// Its name.
    pub node: String,
    /// Its build.
    pub version: String,
}

/// The node that this process is the root of; `None`: none of its addresses has a status.
pub fn of(root: u32) -> Option<Node> {
    let addresses = measure::listening(root).ok()?;
    addresses.into_iter().take(ASKED_MAX).find_map(status)
}

/// The process that says it is the root of the node which listens there; it is asked on the next port, where a node's status is unless
/// it was told otherwise. `None`: nobody there says so.
pub fn listening_on(addr: SocketAddr) -> Option<u32> {
    let next = addr.port().checked_add(1)?;
    root(SocketAddr::new(addr.ip(), next), addr.port())
}

/// The root of a node whose status is here and which listens on that port.
fn root(status: SocketAddr, port: u16) -> Option<u32> {
    let answer = http::get(status, "/status", PATIENCE).ok()?;
    let root: Root = serde_json::from_slice(&answer).ok()?;
    (root.listen.port() == port).then_some(root.pid)
}

/// Which process a node is, and where.
#[derive(Deserialize)]
struct Root {
    listen: SocketAddr,
    pid: u32,
}

fn status(addr: SocketAddr) -> Option<Node> {
    serde_json::from_slice(&http::get(addr, "/status", PATIENCE).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    /// Answers every request with this body.
    fn admin(body: &'static str) -> SocketAddr {
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = admin.local_addr().unwrap();
        std::thread::spawn(move || {
            for mut socket in admin.incoming().map_while(Result::ok) {
                // Closing with a part of it unread would take the answer back.
                let head = BufReader::new(&socket).lines().map_while(Result::ok);
                if head.take_while(|line| !line.is_empty()).count() > 0 {
                    let _ = write!(socket, "HTTP/1.0 200 OK\r\n\r\n{body}");
                }
            }
        });
        addr
    }

    #[test]
    fn a_node_that_listens_on_the_port_says_which_process_it_is() {
        let addr = admin(r#"{"node":"a","listen":"0.0.0.0:8124","pid":77}"#);
        assert_eq!((root(addr, 8124), root(addr, 8126)), (Some(77), None));
    }

    #[test]
    fn a_node_is_found_where_its_processes_listen() {
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = admin(r#"{"node":"a","version":"1.2.3","hub":{}}"#);
        let node = Node {
            node: "a".to_owned(),
            version: "1.2.3".to_owned(),
        };
        assert_eq!(status(addr), Some(node));
        let listening = measure::listening(std::process::id()).unwrap();
        assert!(listening.contains(&addr), "{listening:?}");
        assert!(listening.contains(&silent.local_addr().unwrap()));
    }
}
