//! pubsub-server: streams quotes and other live data to very many WebSocket subscribers, and lets each slow one choose how it falls
//! behind.
//!
//! One program, several processes: a supervisor starts a hub, workers and an admin role, all of them this library in another role.
//! A publication is numbered once by the hub, travels once to each worker that has a use for it, and is encoded once there into the
//! bytes that every subscriber receives. Nothing is queued per subscriber: a subscription is a cursor.
//!
//! The code map, in reading order; an arrow never points up:
//!
//! | where | what |
//! |---|---|
//! | `main.rs`, `role.rs` | arguments -> configuration -> the role this process plays |
//! | [`config`] | flags, environment and file -> one checked, immutable configuration |
//! | [`supervisor`] | binds, starts and watches the processes, takes commands; no data passes through it |
//! | [`hub`] | numbers publications, keeps the log, tells each worker what it asked for; runs the sources |
//! | [`worker`] | sockets: accept gate, HTTP and upgrade, session I/O, fan-out, drain |
//! | `pubsub_stream` | the pure engine that a worker drives: views, cursors, sessions, policies, the ledger |
//! | `pubsub_wire` | messages and frames, pure, shared with the client |
//! | [`admin`] | metrics, status, health and a page, read off the scoreboard |
//! | [`quotes`] | sources: made up, or replayed from a file |
//! | [`orders`] | what may be ordered, what becomes of it, and what is told of it; pure |
//! | [`link`] | what the processes say to each other |
//! | [`telemetry`] | the scoreboard in shared memory, metric names, status, log lines |
//! | `testing` | with the feature of that name: a node inside a test, its roles as threads |
//! | [`clock`] | the only reader of operating-system time |
//! | `kernel` | files a role waits for beside what its runtime knows: a timer, a link |
//!
//! Rooms know only rooms below them, and only [`worker`] brings sockets and the engine together; `tests/arrows.rs` holds that.
pub mod admin;
pub mod clock;
pub mod config;
pub mod hub;
mod kernel;
pub mod link;
pub mod orders;
pub mod quotes;
pub mod supervisor;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod worker;
