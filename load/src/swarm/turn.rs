//! One turn of a swarm's loop: wait, take what came, do what is due.
use super::conn::{Conn, Reading, State};
use super::due::DUE_PER_TURN_NS;
use super::inbound::{End, NO_CLOSE_FRAME, Peer, Visit};
use super::pace::{self, Pace};
use super::{CALLER, ConnectError, Swarm, SwarmError, find, socket, upgrade};
use crate::clock;
use rustix::event::epoll::{self, Event, EventFlags};
use rustix::io::Errno;

impl Swarm {
    /// Waits, takes what came, does what is due: in this order, so that the caller sees at once what was done.
    pub(super) fn turn(&mut self, end_ns: u64) -> Result<(), SwarmError> {
        let due = if self.again.is_empty() {
            self.due_ns().min(end_ns)
        } else {
            0
        };
        let wait = due.saturating_sub(clock::mono_ns());
        let asleep = clock::mono_ns();
        self.lag.worked(asleep - self.looked_ns);
        self.events.clear();
        let timeout = clock::timespec(wait);
        match epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut self.events),
            Some(&timeout),
        ) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(SwarmError::system("epoll_wait")(error)),
        }
        self.looked_ns = clock::mono_ns();
        self.lag.waited(self.looked_ns - asleep);
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let Event { flags, data, .. } = *event;
            match data.u64() {
                CALLER => self.called = true,
                token => self.on_event(token, flags),
            }
        }
        self.events = events;
        for token in std::mem::take(&mut self.again) {
            self.on_readable(token, Peer::Done);
        }
        self.act(clock::mono_ns())
    }

    fn on_event(&mut self, token: u64, flags: EventFlags) {
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        let peer = if flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR) {
            Peer::Done
        } else {
            Peer::Speaking
        };
        if conn.state == State::Connecting {
            return self.on_connected(token);
        }
        if conn.rare.is_some() && flags.contains(EventFlags::OUT) && socket::flush(conn).is_err() {
            return self.end(token, End::Stream);
        }
        if peer == Peer::Done {
            conn.reading = Reading::ToEnd;
        }
        if flags.contains(EventFlags::IN) || peer == Peer::Done {
            self.on_readable(token, peer);
        }
    }

    fn on_connected(&mut self, token: u64) {
        let Some(topic) = find(&mut self.conns, token).map(|conn| conn.topic) else {
            return;
        };
        let target = self.target(topic);
        let (addr, upgrade) = (target.addr, upgrade::Upgrade::new(target));
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        let sent = socket::connected(&conn.fd).and_then(|()| {
            conn.state = State::Upgrading;
            socket::say(conn, &upgrade.request)
        });
        match sent {
            Ok(()) => conn.rare().upgrade = Some(upgrade),
            Err(why) => {
                self.forget(token);
                self.failed(&ConnectError::Refused { addr, why });
            }
        }
    }

    #[inline]
    fn on_readable(&mut self, token: u64, peer: Peer) {
        let paused = find(&mut self.conns, token).is_some_and(|conn| conn.is_paused());
        if !paused {
            self.read(token, peer, usize::MAX);
        }
    }

    /// Reads at most so many bytes, paused or not.
    #[inline]
    fn read(&mut self, token: u64, peer: Peer, limit: usize) {
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        let before = conn.state;
        let visit = self.inbound.read(conn, peer, limit);
        if before != conn.state {
            if before == State::Upgrading {
                self.under_way -= 1;
            }
            if conn.state == State::Subscribed {
                self.waiting[conn.group.index()].push(token, self.looked_ns);
                self.plan_calls(token);
            }
        }
        match visit {
            Visit::Drained => {}
            Visit::More => self.again.push(token),
            Visit::Over(end) => self.end(token, end),
        }
    }

    /// Has those of this group read whose turn it is.
    pub(super) fn have_read(&mut self, group: usize, now: u64) {
        let pace = self.inbound.groups[group].pace;
        while clock::mono_ns() < now + DUE_PER_TURN_NS {
            let Some((token, waited_ns)) = self.waiting[group].poll(now) else {
                break;
            };
            let Some(conn) = find(&mut self.conns, token) else {
                continue;
            };
            if conn.state != State::Subscribed {
                // It is being closed: what is left of it is read at once.
                conn.read_on();
                self.again.push(token);
                continue;
            }
            match pace {
                Pace::Full | Pace::Stall => {}
                Pace::Read(per_s) => {
                    self.read(token, Peer::Speaking, pace::sip(per_s, waited_ns));
                }
                Pace::Pause(_) => {
                    if conn.read_on() {
                        self.again.push(token);
                    } else {
                        conn.pause();
                    }
                }
            }
            self.waiting[group].push(token, now);
        }
    }

    /// A connection is over: counted by what it was and why.
    pub(super) fn end(&mut self, token: u64, end: End) {
        let Some(mut conn) = self.forget(token) else {
            return;
        };
        let addr = self.target(conn.topic).addr;
        if conn.asked {
            self.inbound.unanswered(&mut conn);
        }
        self.inbound.calls_ended(&conn);
        let counters = &mut self.inbound.counters;
        let account = &mut self.inbound.groups[conn.group.index()].account;
        if conn.has_subscribed() && !conn.booked && conn.state != State::Leaving {
            account.ended_unbooked(conn.received);
        }
        match (conn.state, end) {
            (State::Leaving, _) => {}
            (State::Connecting | State::Upgrading, End::Upgrade(why)) => {
                self.failed(&ConnectError::Upgrade { addr, why });
            }
            (State::Connecting | State::Upgrading, _) => {
                self.failed(&ConnectError::Closed { addr });
            }
            (state, end) => {
                if let End::Violation(why) = end {
                    counters.violations.count(&why.to_string());
                    counters
                        .first_violation
                        .get_or_insert_with(|| why.to_string());
                }
                let code = if let State::Closing(code) = state {
                    code
                } else {
                    NO_CLOSE_FRAME
                };
                *counters.closed.entry(code).or_default() += 1;
                account.closed(code);
            }
        }
    }

    pub(super) fn failed(&mut self, why: &ConnectError) {
        let counters = &mut self.inbound.counters;
        counters.failed += 1;
        let why = why.to_string();
        counters.failure_causes.count(&why);
        counters.first_failure.get_or_insert(why);
    }

    /// Takes the record away; the socket closes with it.
    pub(super) fn forget(&mut self, token: u64) -> Option<Conn> {
        find(&mut self.conns, token)?;
        let mut conn = self.conns.remove(token as u32 as usize);
        if let Some(order) = &mut conn.order {
            order.clear(&mut self.inbound.room);
        }
        self.under_way -= usize::from(matches!(conn.state, State::Connecting | State::Upgrading));
        Some(conn)
    }
}
