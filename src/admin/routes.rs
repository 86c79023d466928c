//! Which request gets which answer.
//!
//! Owns the paths, methods and headers of admin's HTTP. Must not contain: sockets. Driven by `admin`.
//!
//! Laws: nothing here changes anything; nothing may be kept by a cache; the page loads nothing from elsewhere.

use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, REFERRER_POLICY,
};
use http::header::{X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

use super::{exposition, metrics};
use crate::clock;
use crate::config::Config;
use crate::link::ctl::SlowOf;
use crate::telemetry::scoreboard::{Scoreboard, State};
use crate::telemetry::status::Status;

/// The page's own files and nothing else; nobody may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const JSON: &str = "application/json";

/// An answer.
pub type Answer = Response<Full<Bytes>>;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// `/`: the live page.
    Page,
    /// A file of the page.
    File(&'static str, &'static str),
    /// `/health`.
    Health,
    /// `/metrics`.
    Metrics,
    /// `/status`: the workers are asked for their slowest subscriptions first.
    Status,
    /// No such path.
    Unknown,
    /// Not a method that reads.
    Method,
}

/// What a request asks for.
pub fn asked(method: &Method, path: &str) -> Asked {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Asked::Method;
    }
    match path {
        "/" => Asked::Page,
        "/page.css" => Asked::File("text/css; charset=utf-8", include_str!("page/page.css")),
        "/page.js" => Asked::File(
            "text/javascript; charset=utf-8",
            include_str!("page/page.js"),
        ),
        "/health" => Asked::Health,
        "/metrics" => Asked::Metrics,
        "/status" => Asked::Status,
        _ => Asked::Unknown,
    }
}

/// The answer; `slowest` is what the workers said, if they were asked and could be.
pub fn answer(
    asked: Asked,
    board: &Scoreboard,
    config: &Config,
    slowest: Option<Vec<SlowOf>>,
) -> Answer {
    match asked {
        Asked::Page => {
            let mut page = text(
                StatusCode::OK,
                "text/html; charset=utf-8",
                include_str!("page/index.html"),
            );
            page.headers_mut()
                .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            page.headers_mut()
                .insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
            page
        }
        Asked::File(kind, content) => text(StatusCode::OK, kind, content),
        Asked::Health => health(board, config),
        Asked::Metrics => text(
            StatusCode::OK,
            exposition::CONTENT_TYPE,
            metrics::page(clock::now(), board, config),
        ),
        Asked::Status => {
            let status = Status {
                slowest,
                ..Status::read(clock::now(), board, config)
            };
            json(StatusCode::OK, &status)
        }
        Asked::Unknown => text(
            StatusCode::NOT_FOUND,
            "text/plain",
            "expected /, /health, /metrics or /status\n",
        ),
        Asked::Method => {
            let mut refused = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "text/plain",
                "expected GET or HEAD\n",
            );
            refused
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            refused
        }
    }
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    node: &'a str,
    hub: &'a str,
    workers_up: usize,
}

/// 200 while new sessions are welcome; else 503 and why not.
fn health(board: &Scoreboard, config: &Config) -> Answer {
    let up = (0..board.workers())
        .filter(|slot| board.worker(*slot).state() == State::Up)
        .count();
    let (ready, draining) = (
        board.node().ready.load(Relaxed) != 0,
        board.node().draining.load(Relaxed) != 0,
    );
    let (code, status) = match (ready, draining, up) {
        (_, true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, ..) => (StatusCode::SERVICE_UNAVAILABLE, "starting"),
        (true, false, 0) => (StatusCode::SERVICE_UNAVAILABLE, "no worker is up"),
        (true, false, _) => (StatusCode::OK, "ok"),
    };
    json(
        code,
        &Health {
            status,
            node: &config.node,
            hub: board.hub().state().as_str(),
            workers_up: up,
        },
    )
}

fn json(code: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => text(code, JSON, body),
        Err(error) => text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/plain",
            error.to_string(),
        ),
    }
}

fn text(code: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = code;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}
