//! Calls out, answers in.
//!
//! Driven by the loop. What a call says is `request`'s, when it is due `calls`'.
use super::conn::{Conn, State};
use super::due::DUE_PER_TURN_NS;
use super::frames::Opcode;
use super::inbound::{End, Inbound};
use super::request::Which;
use super::{Group, Swarm, find, outgoing, socket};
use crate::clock;

impl Swarm {
    /// Makes the calls that are due.
    pub(super) fn call_due(&mut self, now: u64) {
        while clock::mono_ns() < now + DUE_PER_TURN_NS {
            let Some((token, due_ns)) = self.agenda.poll(now) else {
                break;
            };
            let Some(conn) = find(&mut self.conns, token) else {
                continue;
            };
            if conn.state != State::Subscribed {
                continue;
            }
            if let Some(plan) = &self.inbound.topics[conn.topic as usize].calls {
                self.agenda.plan(token, due_ns, &plan.every_ns);
            }
            if self.inbound.call(conn, due_ns).is_err() {
                self.end(token, End::Stream);
            }
        }
    }

    /// A connection that has come about to call plans its first one.
    pub(super) fn plan_calls(&mut self, token: u64) {
        let Some(conn) = find(&mut self.conns, token) else {
            return;
        };
        if let (Some(_), Some(plan)) = (
            &conn.caller,
            &self.inbound.topics[conn.topic as usize].calls,
        ) {
            self.agenda.plan(token, self.looked_ns, &plan.every_ns);
        }
    }

    /// Nobody calls any more; what is under way may be answered.
    pub fn stop_calls(&mut self) {
        self.agenda.clear();
    }

    /// Calls that are not answered. Walks the records.
    pub fn calls_open(&self) -> usize {
        let callers = self
            .conns
            .iter()
            .filter_map(|(_, conn)| conn.caller.as_ref());
        callers.map(|caller| caller.open()).sum()
    }

    /// Counts what is not answered as never to be.
    pub fn give_calls_up(&mut self) {
        self.inbound.counters.calls.unanswered += self.calls_open() as u64;
        for (_, conn) in &mut self.conns {
            conn.caller = None;
        }
    }

    /// Calls of this group that were due before this moment and are not answered.
    pub(super) fn calls_overdue(&self, group: Group, until_ns: u64) -> u64 {
        let of_group = self.conns.iter().filter(|(_, conn)| conn.group == group);
        of_group
            .filter_map(|(_, conn)| conn.caller.as_ref())
            .map(|caller| caller.open_since(until_ns))
            .sum()
    }
}

impl Inbound {
    fn call(&mut self, conn: &mut Conn, due_ns: u64) -> Result<(), rustix::io::Errno> {
        let (Some(plan), Some(caller)) = (
            &self.topics[conn.topic as usize].calls,
            conn.caller.as_mut(),
        ) else {
            return Ok(());
        };
        let Some(id) = caller.call(due_ns, plan.in_flight) else {
            self.counters.calls.skipped += 1;
            self.groups[conn.group.index()].tally.lost += 1;
            return Ok(());
        };
        self.counters.calls.made += 1;
        let mut text = Vec::new();
        plan.method.write(
            &mut text,
            which(caller.number, id, due_ns),
            plan.deadline_ms,
        );
        let mut frame = Vec::with_capacity(text.len() + 14);
        outgoing::frame(&mut frame, Opcode::Text, &text);
        socket::say(conn, &frame)
    }

    /// A call was answered with a result.
    pub(super) fn replied(&mut self, conn: &mut Conn, id: u64, result: &[u8], bytes: usize) {
        let Some(caller) = conn.caller.as_mut() else {
            return;
        };
        let Some(due_ns) = caller.answer(id) else {
            self.counters.calls.wrong += 1;
            return;
        };
        let which = which(caller.number, id, due_ns);
        let plan = self.topics[conn.topic as usize].calls.as_ref();
        let right = plan.is_some_and(|plan| plan.method.is_answered_by(which, result));
        let calls = &mut self.counters.calls;
        calls.answered += u64::from(right);
        calls.wrong += u64::from(!right);
        conn.received += 1;
        self.counters.received += 1;
        let latency_us = clock::mono_ns().saturating_sub(due_ns) / 1000;
        self.groups[conn.group.index()]
            .tally
            .receive(latency_us, bytes);
    }

    /// A call was answered with an error, whose text begins with its code.
    pub(super) fn call_refused(&mut self, conn: &mut Conn, id: Option<u64>, text: &str) {
        let known = conn.caller.as_mut().zip(id);
        if known.and_then(|(caller, id)| caller.answer(id)).is_none() {
            self.counters.calls.wrong += 1;
            return;
        }
        let code = text.split(':').next().unwrap_or_default();
        self.counters.calls.refuse(code);
        self.groups[conn.group.index()].tally.lost += 1;
    }

    /// A connection that had calls under way is over.
    pub(super) fn calls_ended(&mut self, conn: &Conn) {
        if let Some(caller) = &conn.caller {
            let open = caller.open() as u64;
            self.counters.calls.unanswered += open;
            self.groups[conn.group.index()].tally.lost += open;
        }
    }
}

fn which(caller: u64, id: u64, due_ns: u64) -> Which {
    Which {
        caller,
        id,
        due_ms: due_ns / 1_000_000,
    }
}
