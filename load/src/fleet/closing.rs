//! The end of a run in one process: the slow read on, every subscription is asked for its ledger, and what ledgers say was lost is
//! waited for until it has been announced. Everything here has a limit in time, and ends early when the swarm is called.
use super::message::{Books, GroupEnd};
use crate::clock;
use crate::swarm::{Group, Staleness, Swarm, SwarmError};
use std::time::Duration;

/// Time for the last connections to come about, for all ledgers to be answered beyond the time that asking takes, and for all
/// connections to close.
pub(super) const ANSWERS: Duration = Duration::from_secs(30);

/// Time for the slow to catch up, and for losses to be announced.
pub(super) const CATCH_UP: Duration = Duration::from_secs(10);

/// Nothing received for so long: there is nothing to catch up with.
const QUIET: Duration = Duration::from_millis(500);

/// What is asked at the end.
pub(super) struct Closing<'a, S> {
    pub(super) swarm: &'a mut Swarm,
    /// Told what is waited for, and how many of it.
    pub(super) sign: S,
    /// The first is the healthy one.
    pub(super) groups: &'a [Group],
}

impl<S: FnMut(&Swarm, &str, usize)> Closing<'_, S> {
    /// Asks each subscription for its ledger, so many a second.
    pub(super) fn books(mut self, ledgers_per_s: f64) -> Result<Books, SwarmError> {
        let groups = self.groups;
        // The run ends here: from now on the generator loads the server with questions.
        let staleness: Vec<Staleness> = groups
            .iter()
            .map(|group| self.swarm.take_staleness(*group))
            .collect();
        self.swarm.stop_calls();
        self.wait_for("connections", ANSWERS, Swarm::unsettled)?;
        self.wait_for("answers", ANSWERS, Swarm::calls_open)?;
        self.catch_up()?;
        self.swarm.ask_ledgers(ledgers_per_s);
        let asked = self.swarm.unanswered() as u64;
        let limit = ANSWERS + Duration::from_secs_f64(asked as f64 / ledgers_per_s.max(1.0));
        self.wait_for("ledgers", limit, Swarm::unanswered)?;
        self.while_it_moves("announcements of losses", groups, |swarm, group| {
            swarm.unannounced(group) as usize
        })?;
        self.swarm.give_calls_up();
        let ends = groups
            .iter()
            .zip(staleness)
            .map(|(group, staleness)| end(self.swarm, *group, staleness));
        Ok(Books {
            asked,
            groups: ends.collect(),
            counters: self.swarm.counters().clone(),
        })
    }

    /// Lets the slow read on until they hold something newer than this moment, or nothing comes to them any more.
    fn catch_up(&mut self) -> Result<(), SwarmError> {
        let slow = self.groups.get(1..).unwrap_or_default();
        if slow.is_empty() {
            return Ok(());
        }
        let since_us = clock::wall_us();
        self.swarm.read_on();
        self.while_it_moves("slow ones", slow, |swarm, group| {
            swarm.older_than(group, since_us)
        })
    }

    /// Waits until these groups miss nothing, or nothing comes to them any more, or it is too late.
    fn while_it_moves(
        &mut self,
        what: &str,
        groups: &[Group],
        missing: impl Fn(&Swarm, Group) -> usize,
    ) -> Result<(), SwarmError> {
        let end_ns = clock::mono_ns() + CATCH_UP.as_nanos() as u64;
        let received =
            |swarm: &Swarm| -> u64 { groups.iter().map(|group| swarm.received(*group)).sum() };
        let all_missing = |swarm: &Swarm| groups.iter().map(|group| missing(swarm, *group)).sum();
        loop {
            let before = received(self.swarm);
            let done = self.wait_for(what, QUIET, all_missing)?;
            let over = self.swarm.is_called() || clock::mono_ns() >= end_ns;
            if done || over || received(self.swarm) == before {
                return Ok(());
            }
        }
    }

    /// Waits until nothing is missing, for so long at most; whether it was.
    fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        missing: impl Fn(&Swarm) -> usize,
    ) -> Result<bool, SwarmError> {
        let sign = &mut self.sign;
        self.swarm.run_until(limit, |swarm| {
            let missing = missing(swarm);
            sign(swarm, what, missing);
            missing == 0
        })
    }
}

fn end(swarm: &Swarm, group: Group, staleness: Staleness) -> GroupEnd {
    GroupEnd {
        account: swarm.account(group),
        late: swarm.unanswered_in(group),
        unannounced: swarm.unannounced(group),
        staleness,
    }
}
