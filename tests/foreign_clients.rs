//! Clients that others wrote (npm `ws`, `websockets` of Python, a browser's own WebSocket) subscribe and receive.
//!
//! What they need is set up by `tests/run`; where a part is missing the test fails and says which.
mod harness;

use harness::{Node, within_patience};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

/// Names under which distributions have a browser that takes Chromium's flags.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// Headless, alone with the test: no connection of its own, no first-run work. Without a sandbox, which root can't have.
const BROWSER_FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
];
const PAGE: &str = include_str!("foreign/browser.html");

fn in_checkout(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

async fn streaming_node() -> Node {
    Node::start(&["--workers", "2", "--interval-ms", "1..10"]).await
}

/// The one line of JSON that a client prints.
async fn seen_by(mut command: Command, what: &str) -> Value {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = within_patience(what, output)
        .await
        .unwrap_or_else(|error| panic!("{what} can't be run ({error}); tests/run sets it up"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{what} ended with {}; where something isn't installed, tests/run sets it up:\n{stderr}",
        output.status
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{what} printed no JSON: {error}\n{stderr}"))
}

/// What each client has to have seen.
fn assert_served(seen: &Value) {
    assert_eq!(
        seen["protocol"], "pubsub.v1",
        "the subprotocol is agreed on: {seen}"
    );
    assert_eq!(seen["welcome"]["op"], "welcome", "{seen}");
    assert_eq!(seen["subscribed"]["id"], "first", "{seen}");
    let messages = seen["messages"].as_array().expect("messages");
    assert_eq!(messages.len(), 3, "{seen}");
    let request = |message: &Value| {
        message["data"]["request"]
            .as_u64()
            .expect("a payload of execs")
    };
    assert!(
        messages
            .windows(2)
            .all(|pair| request(&pair[0]) + 1 == request(&pair[1])),
        "{seen}"
    );
    assert_eq!(seen["close"], 1000, "the server answers the close: {seen}");
}

#[tokio::test]
async fn ws_of_npm_subscribes_and_receives() {
    let node = streaming_node().await;
    assert!(
        in_checkout("tests/foreign/node_modules/ws").is_dir(),
        "the npm package ws is missing: tests/run installs it"
    );
    let mut client = Command::new("node");
    client
        .arg(in_checkout("tests/foreign/ws_client.mjs"))
        .arg(node.url());
    assert_served(&seen_by(client, "ws under node").await);
}

#[tokio::test]
async fn websockets_of_python_subscribes_and_receives() {
    let node = streaming_node().await;
    let mut client = Command::new(in_checkout(".cache/python/bin/python"));
    client
        .arg(in_checkout("tests/foreign/websockets_client.py"))
        .arg(node.url());
    assert_served(&seen_by(client, "websockets under Python").await);
}

#[tokio::test]
async fn a_page_in_a_browser_subscribes_and_receives() {
    let node = streaming_node().await;
    let page = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port for the page");
    let address = page.local_addr().expect("a bound port");
    let browser = Browser::open(&format!("http://{address}/?url={}", node.url()));
    let seen = within_patience("the page's report", reported(&page))
        .await
        .expect("the browser speaks HTTP");
    drop(browser);
    assert_served(&seen);
}

/// A browser with a profile of its own; it and all its processes end when this goes.
struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Browser {
    fn open(url: &str) -> Browser {
        let profile = tempfile::tempdir().expect("a directory for the browser's profile");
        let child = BROWSERS.iter().find_map(|name| {
            let mut command = Command::new(name);
            command
                .args(BROWSER_FLAGS)
                .arg(format!("--user-data-dir={}", profile.path().display()))
                .arg(url);
            command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .process_group(0)
                .spawn()
                .ok()
        });
        let child = child.unwrap_or_else(|| {
            panic!("none of {BROWSERS:?} is installed: apt-get install chromium")
        });
        Browser {
            child,
            _profile: profile,
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let leader = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(leader) = leader {
            kill_process_group(leader, Signal::KILL).ok();
        }
    }
}

/// Serves the page until it posts its report.
async fn reported(listener: &TcpListener) -> io::Result<Value> {
    loop {
        let (mut stream, _) = listener.accept().await?;
        let (head, body) = read_request(&mut stream).await?;
        let answer = |kind: &str, body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        if head.starts_with("POST /report ") {
            stream
                .write_all(answer("text/plain", "thanks").as_bytes())
                .await?;
            return serde_json::from_slice(&body).map_err(io::Error::other);
        }
        stream
            .write_all(answer("text/html", PAGE).as_bytes())
            .await?;
    }
}

async fn read_request(stream: &mut TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length = head
                .lines()
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length: usize = length
                .map_or(Ok(0), |(_, value)| value.trim().parse())
                .map_err(io::Error::other)?;
            if bytes.len() >= end + 4 + length {
                return Ok((head, bytes.split_off(end + 4)));
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok((String::new(), bytes)); // a connection opened ahead and not used
        }
    }
}
