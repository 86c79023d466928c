//! What a swarm does because its time has come: connects, commands to many, goodbyes, handshakes that took too long.
use super::calls::Caller;
use super::conn::{Conn, State};
use super::inbound::{End, Inbound};
use super::pace::Waiting;
use super::{
    ConnectError, Group, Paced, Swarm, SwarmError, TopicId, find, outgoing, socket, token,
};
use crate::clock;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;

/// Time spent in one turn on what is due, so that catching up with a schedule never keeps reads waiting.
pub(super) const DUE_PER_TURN_NS: u64 = 2_000_000;

/// Close code of a client that is done (RFC 6455 section 7.4.1).
const NORMAL: u16 = 1000;

impl Swarm {
    /// When something is to be done next.
    pub(super) fn due_ns(&self) -> u64 {
        let of = |paced: &Option<Paced>| {
            paced
                .as_ref()
                .map_or(u64::MAX, |(_, schedule)| schedule.next().1)
        };
        let may_begin = self.queued > 0 && self.under_way < self.options.under_way;
        let connect = self
            .pace
            .filter(|_| may_begin)
            .map_or(u64::MAX, |pace| pace.next().1);
        let handshake = self.handshakes.front().map_or(u64::MAX, |(at, _)| *at);
        let waiting = self.waiting.iter().map(Waiting::due_ns).min();
        connect
            .min(handshake)
            .min(waiting.unwrap_or(u64::MAX))
            .min(of(&self.asking))
            .min(of(&self.leaving))
            .min(self.agenda.due_ns())
    }

    /// Does what is due.
    pub(super) fn act(&mut self, now: u64) -> Result<(), SwarmError> {
        self.begin_due(now)?;
        self.call_due(now);
        let asking = self.asking.take();
        self.asking = self.command_due(asking, now, |inbound, conn| {
            let mut command = Vec::new();
            inbound.topics[conn.topic as usize].ledger(&mut command);
            socket::say(conn, &command)
        });
        let leaving = self.leaving.take();
        self.leaving = self.command_due(leaving, now, |_, conn| begin_leaving(conn));
        for group in 0..self.waiting.len() {
            self.have_read(group, now);
        }
        self.expire(now);
        Ok(())
    }

    fn begin_due(&mut self, now: u64) -> Result<(), SwarmError> {
        while clock::mono_ns() < now + DUE_PER_TURN_NS {
            let room = self.queued > 0 && self.under_way < self.options.under_way;
            if !room || self.pace.as_mut().and_then(|pace| pace.poll(now)).is_none() {
                break;
            }
            let Some((left, topic, group)) = self.queue.front_mut() else {
                break;
            };
            let (topic, group) = (*topic, *group);
            *left -= 1;
            if *left == 0 {
                self.queue.pop_front();
            }
            self.queued -= 1;
            self.begin(now, topic, group)?;
        }
        Ok(())
    }

    fn begin(&mut self, now: u64, topic: TopicId, group: Group) -> Result<(), SwarmError> {
        let addr = self.target(topic.0).addr;
        let number = self.options.seat.number(self.begun);
        let source = socket::source(addr, self.options.sources, number);
        self.begun += 1;
        let pace = self.inbound.groups[group.index()].pace;
        let receive_bytes = self
            .options
            .apart_receive_bytes
            .filter(|_| group != Group::MAIN)
            .map(|least| pace.receive_bytes(least));
        let fd = match socket::begin(addr, source, receive_bytes) {
            Ok(fd) => fd,
            Err(why) => {
                self.failed(&ConnectError::Refused { addr, why });
                return Ok(());
            }
        };
        self.generation = self.generation.wrapping_add(1);
        let entry = self.conns.vacant_entry();
        let token = token(entry.key(), self.generation);
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, &fd, EventData::new_u64(token), flags)
            .map_err(SwarmError::system("epoll_ctl"))?;
        let conn = entry.insert(Conn::new(fd, self.generation, topic.0, group));
        if self.inbound.topics[topic.0 as usize].calls.is_some() {
            conn.caller = Some(Box::new(Caller::new(number as u64)));
        }
        self.under_way += 1;
        self.handshakes
            .push_back((now + self.options.handshake.as_nanos() as u64, token));
        Ok(())
    }

    /// Gives the next of `paced` their command while it is due; what is left of them.
    fn command_due(
        &mut self,
        paced: Option<Paced>,
        now: u64,
        mut command: impl FnMut(&mut Inbound, &mut Conn) -> Result<(), Errno>,
    ) -> Option<Paced> {
        let (mut tokens, mut schedule) = paced?;
        while clock::mono_ns() < now + DUE_PER_TURN_NS {
            if tokens.is_empty() || schedule.poll(now).is_none() {
                break;
            }
            let Some(token) = tokens.pop() else { break };
            let Some(conn) = find(&mut self.conns, token) else {
                continue;
            };
            if command(&mut self.inbound, conn).is_err() {
                self.end(token, End::Stream);
            }
        }
        (!tokens.is_empty()).then_some((tokens, schedule))
    }

    /// Ends handshakes whose time is up. All have the same time, so the first begun is the first to end.
    fn expire(&mut self, now: u64) {
        while let Some(&(at, token)) = self.handshakes.front() {
            let pending = find(&mut self.conns, token)
                .is_some_and(|conn| matches!(conn.state, State::Connecting | State::Upgrading));
            if pending && at > now {
                break;
            }
            self.handshakes.pop_front();
            if pending && let Some(conn) = self.forget(token) {
                self.failed(&ConnectError::Timeout {
                    addr: self.target(conn.topic).addr,
                    after: self.options.handshake,
                });
            }
        }
    }
}

/// Says goodbye, or just goes where there was no greeting.
fn begin_leaving(conn: &mut Conn) -> Result<(), Errno> {
    let open = conn.is_open();
    conn.read_on();
    if matches!(conn.state, State::Closing(_)) {
        return Ok(());
    }
    conn.state = State::Leaving;
    if !open {
        return Err(Errno::CANCELED);
    }
    let mut goodbye = Vec::new();
    outgoing::close(&mut goodbye, NORMAL);
    socket::say(conn, &goodbye)
}
