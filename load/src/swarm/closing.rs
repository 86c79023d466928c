//! What is asked of a swarm when a run ends: how stale its connections are, that the slow read on, and what is still missing.
//!
//! Driven by its caller, in this order. Everything here walks the records.
use super::conn::{Conn, State};
use super::{Account, Group, Pace, Staleness, Swarm, socket, token};
use crate::clock;

impl Swarm {
    /// How stale what this group held was, until now and now. From here on it is counted anew.
    pub fn take_staleness(&mut self, group: Group) -> Staleness {
        let now_us = clock::wall_us();
        let mut staleness = std::mem::take(&mut self.inbound.groups[group.index()].staleness);
        for (_, conn) in subscribed(&self.conns, group) {
            staleness.ended(conn.held, now_us);
        }
        staleness
    }

    /// All groups read whatever comes from now on, beginning with what has gathered.
    pub fn read_on(&mut self) {
        for members in &mut self.inbound.groups {
            members.pace = Pace::Full;
        }
        for waiting in &mut self.waiting {
            waiting.clear();
        }
        for (key, conn) in &mut self.conns {
            if conn.read_on() {
                socket::widen(&conn.fd);
                self.again.push(token(key, conn.generation));
            }
        }
    }

    /// Subscribed connections of this group that hold nothing numbered since this moment, microseconds since the Unix epoch.
    pub fn older_than(&self, group: Group, since_us: u64) -> usize {
        subscribed(&self.conns, group)
            .filter(|(_, conn)| conn.held.ts_us < since_us)
            .count()
    }

    /// Open subscriptions of this group whose ledger was asked for and has not come.
    pub fn unanswered_in(&self, group: Group) -> u64 {
        subscribed(&self.conns, group)
            .filter(|(_, conn)| conn.asked)
            .count() as u64
    }

    /// Messages of this group that ledgers said were lost and no gap has announced yet. A subscription that asks for nothing does
    /// not come to the place of its gap.
    pub fn unannounced(&self, group: Group) -> u64 {
        subscribed(&self.conns, group)
            .filter(|(_, conn)| !self.inbound.topics[conn.topic as usize].starved)
            .map(|(_, conn)| conn.told.saturating_sub(conn.lost))
            .sum()
    }

    /// What happened to a group so far.
    pub fn account(&self, group: Group) -> Account {
        self.inbound.groups[group.index()].account()
    }

    /// How many subscriptions of this group stand now.
    pub fn subscribed(&self, group: Group) -> usize {
        subscribed(&self.conns, group).count()
    }
}

fn subscribed(conns: &slab::Slab<Conn>, group: Group) -> impl Iterator<Item = (usize, &Conn)> {
    conns
        .iter()
        .filter(move |(_, conn)| conn.group == group && conn.state == State::Subscribed)
}
