//! What a turn of the loop does besides reading and writing: ends, orders, deadlines, numbers.
//!
//! Owns nothing of its own. Must not contain: the order of a turn (that is the loop's). Driven by the worker's loop.
use super::drain::{Door, Drain};
use super::poller::Before;
use super::{Turn, Worker};
use crate::link::control::{Order, Report, SLOW_MAX, SlowLag, SlowRow};
use crate::telemetry::scoreboard::{Closed as Count, State};
use pubsub_stream::{CloseHow, Closed, Now, Slow};
use pubsub_wire::close;
use rustix::net::sockopt::set_socket_linger;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

const MS: u64 = 1_000_000;
/// How often the scoreboard hears of this worker even when nothing happens; a worker silent for four of these is not waited for.
const HEARTBEAT_NS: u64 = 250_000_000;

impl Worker {
    /// Ends the connections of sessions that the engine has ended.
    pub(super) fn on_closed(&mut self, now: Now) {
        while let Some(closed) = self.engine.poll_closed() {
            self.close(now, closed);
        }
    }

    fn close(&mut self, now: Now, closed: Closed) {
        let Some(connection) = self.connections.remove(closed.session) else {
            return;
        };
        // A client may leave with 1001 of its own accord.
        let told_to = [close::SHUTDOWN, close::RESTART].contains(&closed.code);
        if told_to && self.drain != Drain::Serving {
            self.front
                .slot()
                .closed(Count::Goaway)
                .fetch_add(1, Relaxed);
        }
        match closed.how {
            CloseHow::Flushed => {
                let (fd, seat) = (connection.fd, connection.seat);
                self.lingerers
                    .insert(now.mono_ns, fd, seat, Before::Watched, &self.poller);
            }
            // With a reset, so that the kernel lets go of what nobody reads. A socket that is already gone needs none.
            CloseHow::Hard => drop(set_socket_linger(&connection.fd, Some(Duration::ZERO))),
        }
    }

    /// Does what the supervisor says.
    pub(super) fn on_order(&mut self, now: Now, order: &Order) -> Turn {
        match *order {
            Order::Stop => return Turn::Last,
            Order::Slow { id, n } => {
                let rows = self.engine.slowest(now, n.min(SLOW_MAX));
                let rows = rows.into_iter().map(slow_row).collect();
                self.control.report(Report::Slow { id, rows });
            }
            Order::Drain { reason, window_ms } => {
                if let Some(begun) = self.drain.begin(now.mono_ns, reason, window_ms) {
                    tracing::info!(?reason, window_ms, sessions = self.left(), "draining");
                    self.front
                        .slot()
                        .state
                        .store(State::Draining as u32, Relaxed);
                    self.answer_or_leave(begun.door);
                    self.engine.handle_goaway(now, begun.reason, window_ms);
                }
            }
        }
        Turn::More
    }

    fn answer_or_leave(&mut self, door: Door) {
        match door {
            Door::Answers(service) => self.front.set_service(service),
            Door::Shut => {
                if let Some(accepting) = self.accepting.take() {
                    // With the task goes the listener's registration.
                    accepting.abort();
                }
            }
        }
    }

    /// Sessions, and connections on their way out.
    pub(super) fn left(&self) -> usize {
        self.engine.stats().sessions as usize + self.lingerers.len()
    }

    /// Says that it is ready once the hub has answered, so that the first publication of a client isn't refused.
    pub(super) fn report_ready(&mut self, now: Now) {
        let due = |by_ns| self.hub.has_answered() || by_ns <= now.mono_ns;
        if self.ready_by_ns.is_some_and(due) {
            self.ready_by_ns = None;
            self.control.report(Report::Ready);
        }
    }

    /// Looks after whatever is due.
    pub(super) fn on_deadline(&mut self, now: Now) {
        if now.mono_ns >= self.heartbeat_ns {
            self.monitor.timer(self.heartbeat_ns, now.mono_ns);
            self.heartbeat_ns = now.mono_ns + HEARTBEAT_NS;
            self.hub.rest();
        }
        self.hub.handle_timeout(now, &self.engine);
        self.on_overdue(now);
        self.lingerers.handle_timeout(now.mono_ns);
        let due = self.engine.poll_timeout();
        if due.is_some_and(|at| at <= now.mono_ns) {
            self.engine.handle_timeout(now);
        }
    }

    /// The one deadline of all that this worker waits for.
    pub(super) fn deadline_ns(&mut self) -> u64 {
        [
            self.engine.poll_timeout(),
            self.hub.poll_timeout(),
            self.ready_by_ns,
            self.handshakes.poll_timeout(),
            self.lingerers.poll_timeout(),
            self.drain.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .fold(self.heartbeat_ns, u64::min)
    }

    /// Closes the books of a turn.
    pub(super) fn account(&mut self, now: Now) {
        if let Some(blocked) = self.monitor.end() {
            let (ms, part) = (blocked.ns / MS, blocked.part);
            tracing::warn!(ms, ?part, "the event loop was blocked");
        }
        self.carry(now.mono_ns);
    }

    /// Carries the numbers to the scoreboard, if it is time.
    pub(super) fn carry(&mut self, now_ns: u64) {
        let (slot, stats) = (self.front.slot(), self.engine.stats());
        self.tally.carry(now_ns, slot, stats, &mut self.monitor);
    }
}

fn slow_row(slow: Slow) -> SlowRow {
    SlowRow {
        session: slow.session,
        topic: slow.topic,
        mode: slow.mode.to_owned(),
        lag: SlowLag {
            messages: slow.messages,
            bytes: slow.bytes,
            age_ms: slow.age_ms,
        },
        overflow: slow.overflow,
        settings: slow.settings,
    }
}
