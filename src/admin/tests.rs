//! The role over real sockets: every path, and its life beside a supervisor and without one.

use super::*;
use crate::config::Surroundings;
use crate::config::file::File;
use crate::config::resolve::resolve;
use crate::config::setting::Typed;
use crate::link::control::{self, SlowLag, SlowRow, SupervisorControl};
use crate::telemetry::scoreboard::State;
use pubsub_wire::value::Overflow;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::atomic::Ordering::Relaxed;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// A role at work, and what a test holds of it.
struct Role {
    address: SocketAddr,
    board: Arc<Scoreboard>,
    supervisor: SupervisorControl,
    run_dir: TempDir,
    ended: tokio::task::JoinHandle<io::Result<()>>,
}

impl Role {
    async fn start() -> Self {
        let here = Surroundings {
            host: "n".to_owned(),
            ..Surroundings::look()
        };
        let run_dir = tempfile::tempdir().unwrap();
        let nothing = Typed::default();
        let mut config = resolve(&nothing, &nothing, &File::default(), &here)
            .unwrap()
            .config;
        config.run_dir = run_dir.path().to_owned();
        let listener = StdTcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (board, _fd) = Scoreboard::create().unwrap();
        let board = Arc::new(board);
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let mut supervisor: SupervisorControl = control::open(ours).unwrap();
        let control = control::open(theirs).unwrap();
        let ended = tokio::spawn(run(Arc::new(config), listener, Arc::clone(&board), control));
        assert_eq!(supervisor.1.recv().await.unwrap(), Some(Report::Ready));
        Self {
            address,
            board,
            supervisor,
            run_dir,
            ended,
        }
    }

    async fn ask(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let code = head.split(' ').nth(1).unwrap().parse().unwrap();
        (code, head.to_ascii_lowercase(), body.to_owned())
    }

    async fn json(&self, path: &str) -> (u16, serde_json::Value) {
        let (code, head, body) = self.ask("GET", path).await;
        assert!(head.contains("content-type: application/json"), "{head}");
        (code, serde_json::from_str(&body).unwrap())
    }
}

fn on_a_runtime<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

#[test]
fn health_follows_the_node() {
    on_a_runtime(async {
        let role = Role::start().await;
        let status = async |role: &Role| {
            let (code, health) = role.json("/health").await;
            (code, health["status"].as_str().unwrap().to_owned())
        };
        assert_eq!(status(&role).await, (503, "starting".to_owned()));
        role.board.node().ready.store(1, Relaxed);
        role.board.node().workers.store(1, Relaxed);
        assert_eq!(status(&role).await, (503, "no worker is up".to_owned()));
        role.board.worker(0).state.store(State::Up as u32, Relaxed);
        assert_eq!(status(&role).await, (200, "ok".to_owned()));
        role.board.node().draining.store(1, Relaxed);
        assert_eq!(status(&role).await, (503, "draining".to_owned()));
    });
}

#[test]
fn status_has_what_the_interface_promises() {
    on_a_runtime(async {
        let role = Role::start().await;
        role.board.node().workers.store(2, Relaxed);
        role.board.worker(1).connections.store(3, Relaxed);
        role.board.hub().set_epoch("e1");
        let (code, status) = role.json("/status").await;
        assert_eq!(
            (code, status["epoch"].as_str(), status["node"].as_str()),
            (200, Some("e1"), Some("n"))
        );
        assert!(status["uptime_s"].is_u64() && status["topics"].is_u64());
        assert!(
            status["hub"]["pid"].is_u64()
                && status["hub"]["state"].is_string()
                && status["hub"]["restarts"].is_u64()
        );
        let log = &status["hub"]["log"];
        assert_eq!(log["kind"], "memory");
        assert!(log["bytes"].is_u64() && log["folder"].is_null(), "{log}");
        let worker = &status["workers"][1];
        for field in [
            "slot",
            "pid",
            "connections",
            "subscriptions",
            "accepted_total",
            "loop_lag_us",
            "rss_bytes",
            "restarts",
        ] {
            assert!(worker[field].is_u64(), "{field} of {worker}");
        }
        assert_eq!(
            (worker["connections"].as_u64(), worker["state"].as_str()),
            (Some(3), Some("empty"))
        );
        assert_eq!(status["totals"]["connections"].as_u64(), Some(3));
        assert!(status["slowest"].is_null(), "no supervisor answers here");
    });
}

#[test]
fn the_slowest_are_asked_of_the_supervisor() {
    on_a_runtime(async {
        let role = Role::start().await;
        let listener = UnixListener::bind(paths::ctl(role.run_dir.path())).unwrap();
        let supervisor = async {
            let (mut answers, mut asks) = split::<Answer, Ask>(listener.accept().await.unwrap().0);
            assert_eq!(asks.recv().await.unwrap(), Some(Ask::Slow { n: SLOWEST }));
            let lag = SlowLag {
                messages: 9,
                bytes: 8,
                age_ms: 7,
            };
            let (session, topic, mode) = ("s-1".to_owned(), "t".to_owned(), "behind".to_owned());
            let row = SlowRow {
                session,
                topic,
                mode,
                lag,
                overflow: Overflow::Conflate,
                settings: "credit 0".to_owned(),
            };
            answers
                .send(&Answer::Slow(vec![SlowOf { worker: 4, row }]))
                .await
                .unwrap();
        };
        let ((_, status), ()) = tokio::join!(role.json("/status"), supervisor);
        let slowest = &status["slowest"][0];
        assert_eq!(
            (slowest["session"].as_str(), slowest["worker"].as_u64()),
            (Some("s-1"), Some(4))
        );
        assert_eq!(
            (
                slowest["lag"]["messages"].as_u64(),
                slowest["settings"].as_str()
            ),
            (Some(9), Some("credit 0"))
        );
    });
}

#[test]
fn metrics_come_as_prometheus_text() {
    on_a_runtime(async {
        let (code, head, body) = Role::start().await.ask("GET", "/metrics").await;
        assert_eq!(code, 200);
        assert!(
            head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
            "{head}"
        );
        assert!(
            body.contains("\n# TYPE pubsub_hub_up gauge\npubsub_hub_up 0\n"),
            "{body}"
        );
    });
}

#[test]
fn the_page_loads_nothing_from_elsewhere() {
    on_a_runtime(async {
        let role = Role::start().await;
        let (code, head, page) = role.ask("GET", "/").await;
        assert_eq!(code, 200);
        assert!(
            head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
            "{head}"
        );
        for file in ["page.css", "page.js"] {
            assert!(page.contains(file));
            let (code, _, content) = role.ask("GET", &format!("/{file}")).await;
            assert_eq!(code, 200);
            assert!(!content.contains("://") && !content.contains("innerHTML"));
        }
        assert!(!page.contains("://") && !page.contains("<style") && !page.contains("onload"));
    });
}

#[test]
fn nothing_is_kept_by_caches_and_nothing_but_reading_is_possible() {
    on_a_runtime(async {
        let role = Role::start().await;
        for path in [
            "/", "/health", "/metrics", "/status", "/page.js", "/nothing",
        ] {
            let (_, head, _) = role.ask("GET", path).await;
            assert!(
                head.contains("cache-control: no-store")
                    && head.contains("x-content-type-options: nosniff"),
                "{head}"
            );
        }
        let (code, head, _) = role.ask("POST", "/status").await;
        assert!(code == 405 && head.contains("allow: get, head"), "{head}");
        let (code, head, body) = role.ask("HEAD", "/metrics").await;
        assert!(
            code == 200 && body.is_empty() && head.contains("content-length"),
            "{head}"
        );
        assert_eq!(role.ask("GET", "/nothing").await.0, 404);
    });
}

#[test]
fn it_serves_on_without_a_supervisor() {
    on_a_runtime(async {
        let mut role = Role::start().await;
        let (ours, _theirs) = StdUnixStream::pair().unwrap();
        role.supervisor = control::open(ours).unwrap();
        assert_eq!(role.ask("GET", "/metrics").await.0, 200);
        assert!(!role.ended.is_finished());
    });
}

#[test]
fn it_ends_when_the_supervisor_says_so() {
    on_a_runtime(async {
        let mut role = Role::start().await;
        role.supervisor.0.send(&Order::Stop).await.unwrap();
        assert!(role.ended.await.unwrap().is_ok());
    });
}
