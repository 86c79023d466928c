//! The end of a run: the slow read on, every subscription is asked for its ledger, and what ledgers say was lost is waited for until
//! it has been announced. Everything here has a limit in time.
use super::groups::Report;
use super::progress::Progress;
use crate::clock;
use crate::swarm::{Group, Staleness, Swarm, SwarmError};
use std::time::Duration;

/// Ledgers asked for per second: a thousandth of what a worker delivers.
const LEDGERS_PER_S: f64 = 5000.0;

/// Closes begun per second.
const CLOSES_PER_S: f64 = 10_000.0;

/// Time for the last connections to come about, for all ledgers to be answered beyond the time that asking takes, and for all
/// connections to close.
const ANSWERS: Duration = Duration::from_secs(30);

/// Time for the slow to catch up, and for losses to be announced.
const CATCH_UP: Duration = Duration::from_secs(10);

/// Nothing received for so long: there is nothing to catch up with.
const QUIET: Duration = Duration::from_millis(500);

/// A group and what it is called.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: String,
    pub(super) group: Group,
}

/// What is asked at the end.
pub(super) struct Closing<'a> {
    pub(super) swarm: &'a mut Swarm,
    pub(super) progress: &'a mut Progress,
    /// The first is the healthy one.
    pub(super) groups: &'a [Named],
}

impl Closing<'_> {
    /// Asks each subscription for its ledger; what each group got, and how many were asked.
    pub(super) fn books(mut self) -> Result<(Vec<Report>, u64), SwarmError> {
        let groups = self.groups;
        // The run ends here: from now on the generator loads the server with questions.
        let staleness: Vec<Staleness> = groups
            .iter()
            .map(|named| self.swarm.take_staleness(named.group))
            .collect();
        self.wait_for("connections", ANSWERS, Swarm::unsettled)?;
        self.catch_up()?;
        let asked = self.swarm.standing().subscribed as u64;
        self.swarm.ask_ledgers(LEDGERS_PER_S);
        let limit = ANSWERS + Duration::from_secs_f64(asked as f64 / LEDGERS_PER_S);
        self.wait_for("ledgers", limit, Swarm::unanswered)?;
        self.while_it_moves("announcements of losses", groups, |swarm, group| {
            swarm.unannounced(group) as usize
        })?;
        self.progress.clear();
        let reports = groups
            .iter()
            .zip(staleness)
            .map(|(named, staleness)| report(self.swarm, named, staleness));
        Ok((reports.collect(), asked))
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
        groups: &[Named],
        missing: impl Fn(&Swarm, Group) -> usize,
    ) -> Result<(), SwarmError> {
        let end_ns = clock::mono_ns() + CATCH_UP.as_nanos() as u64;
        let received = |swarm: &Swarm| -> u64 {
            let of = |named: &Named| swarm.received(named.group);
            groups.iter().map(of).sum()
        };
        let all_missing = |swarm: &Swarm| {
            let of = |named: &Named| missing(swarm, named.group);
            groups.iter().map(of).sum()
        };
        loop {
            let before = received(self.swarm);
            let done = self.wait_for(what, QUIET, all_missing)?;
            if done || received(self.swarm) == before || clock::mono_ns() >= end_ns {
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
        let progress = &mut *self.progress;
        self.swarm.run_until(limit, |swarm| {
            let missing = missing(swarm);
            progress.wait_for(what, missing);
            missing == 0
        })
    }
}

/// All go; those that do not within their time are left.
pub(super) fn leave(swarm: &mut Swarm) -> Result<(), SwarmError> {
    swarm.leave(CLOSES_PER_S);
    swarm.run_until(ANSWERS, Swarm::is_empty).map(|_| ())
}

fn report(swarm: &Swarm, named: &Named, staleness: Staleness) -> Report {
    Report {
        name: named.name.clone(),
        account: swarm.account(named.group),
        late: swarm.unanswered_in(named.group),
        unannounced: swarm.unannounced(named.group),
        staleness,
    }
}
