//! The admin role: metrics, status, health and a page over HTTP.
//!
//! Owns its listener's connections and asking the supervisor. Must not contain: state; every answer is read off the scoreboard when
//! it is asked for, so that the role can die and be replaced at any time. Driven by `role`, or by a test.
//!
//! - [`routes`]: which request gets which answer
//! - [`metrics`] and [`exposition`]: what Prometheus reads, and its format
//!
//! Laws: there are never more than [`CONNECTIONS_MAX`] connections, none silent for longer than [`HEAD`]; without a supervisor
//! everything but `slowest` is still answered.
pub mod exposition;
pub mod metrics;
pub mod routes;

use std::convert::Infallible;
use std::io;
use std::net::TcpListener as StdTcpListener;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::config::Config;
use crate::link::control::{Order, Report, RoleControl, split};
use crate::link::ctl::{Answer, Ask, SlowOf};
use crate::link::paths;
use crate::telemetry::scoreboard::Scoreboard;
use crate::telemetry::status::SLOWEST;
use routes::Asked;

/// Scrapers, dashboards and a few people; more are made to wait.
pub const CONNECTIONS_MAX: usize = 64;
/// A request's head must come within this, also the next one of a connection.
pub const HEAD: Duration = Duration::from_secs(30);
/// Buffer of one connection: requests here have short heads.
const BUFFER_BYTES: usize = 16 * 1024;
/// The supervisor answers within half a second, whatever its workers do.
const ASK: Duration = Duration::from_secs(2);
/// Pause after a failed accept, for want of descriptors: trying again at once would not help.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every request is answered from.
struct Desk {
    config: Arc<Config>,
    board: Arc<Scoreboard>,
}

/// Serves until the supervisor says stop; without one it goes on. Call it inside a runtime with I/O and time.
pub async fn run(
    config: Arc<Config>,
    listener: StdTcpListener,
    board: Arc<Scoreboard>,
    control: RoleControl,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let (mut reports, mut orders) = control;
    if reports.send(&Report::Ready).await.is_err() {
        debug!("no supervisor to report to");
    }
    let stopped = async {
        loop {
            match orders.recv().await {
                Ok(Some(Order::Stop | Order::Drain { .. })) => return,
                Ok(Some(Order::Slow { .. })) => {}
                Ok(None) => std::future::pending().await,
                Err(error) => warn!(%error, "an order is not understood"),
            }
        }
    };
    tokio::select! {
        () = stopped => Ok(()),
        () = accept(listener, Arc::new(Desk { config, board })) => Ok(()),
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let desk = Arc::clone(&desk);
                tokio::spawn(async move {
                    serve(stream, desk).await;
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, desk: Arc<Desk>) {
    let service = service_fn(|request: Request<Incoming>| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(&request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(BUFFER_BYTES);
    if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
        debug!(%error, "a connection ended");
    }
}

impl Desk {
    async fn answer(
        &self,
        request: &Request<Incoming>,
    ) -> Response<http_body_util::Full<bytes::Bytes>> {
        let asked = routes::asked(request.method(), request.uri().path());
        let slowest = match asked {
            Asked::Status => self.slowest().await,
            _ => None,
        };
        routes::answer(asked, &self.board, &self.config, slowest)
    }

    /// Asks the supervisor, which asks the workers; `None` when there is no supervisor.
    async fn slowest(&self) -> Option<Vec<SlowOf>> {
        let ask = async {
            let stream = UnixStream::connect(paths::ctl(&self.config.run_dir)).await?;
            let (mut asks, mut answers) = split::<Ask, Answer>(stream);
            asks.send(&Ask::Slow { n: SLOWEST }).await?;
            answers.recv().await
        };
        match timeout(ASK, ask).await {
            Ok(Ok(Some(Answer::Slow(rows)))) => Some(rows),
            Ok(Ok(other)) => {
                debug!(?other, "the supervisor did not say which are slowest");
                None
            }
            Ok(Err(error)) => {
                debug!(%error, "the supervisor cannot be asked");
                None
            }
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
