//! History on request: one slice per read, in the worker's own stream.
//!
//! Owns the search for a slice's entries and how far one slice goes. Must not contain: where it begins (that is `plan`) or the
//! live stream (`deliver`). Driven by the core's turns, after the worker's live entries.
//!
//! Laws:
//! - A slice is answered from what is at or before the worker's cursor; what is newer comes live behind it, so `joined` is exact.
//! - The search may take several turns. Until an entry is found nothing has been promised, so each turn looks anew at where the
//!   read begins, and skips what is known to hold nothing.
use super::core::Hub;
use super::interest::ViewId;
use super::log::Held;
use super::plan::{Begin, Pause, Plan, WayBack, What};
use super::worker::{Parked, WorkerId};
use crate::link::event::encode_slice;
use pubsub_stream::hub::{HubEvent, Refusal, SliceHead, Start};
use pubsub_wire::ErrorCode;
use std::ops::ControlFlow;

/// Why a read of a view that was never watched, or no longer is, is refused.
const NOT_WATCHED: &str = "this view is not watched";

/// A read that waits for its turn.
#[derive(Debug, Clone)]
pub(super) struct Read {
    request: u32,
    /// The worker's number of the view.
    pub(super) view: u32,
    start: Start,
    budget: usize,
    way: Option<WayBack>,
    /// There is nothing of this kind between the read's beginning and this position.
    nothing: Option<(What, i64)>,
}

impl Read {
    pub(super) fn new(request: u32, view: u32, start: Start, budget_bytes: u32) -> Self {
        let budget = budget_bytes as usize;
        Self {
            request,
            view,
            start,
            budget,
            way: None,
            nothing: None,
        }
    }

    /// The answer when its view is not watched.
    pub(super) fn unanswerable(&self) -> HubEvent<'static> {
        self.refused(ErrorCode::NotSubscribed, NOT_WATCHED)
    }

    fn refused<'a>(&self, code: ErrorCode, message: &'a str) -> HubEvent<'a> {
        let why = Refusal {
            code,
            message,
            retry_after_ms: None,
        };
        HubEvent::ReadFailed {
            request: self.request,
            why,
        }
    }
}

impl Hub {
    /// Answers reads of a worker within the turn's budget. `true`: there are more that could go on.
    pub(super) fn serve_reads(&mut self, id: WorkerId) -> bool {
        let mut scan = self.settings.scan_entries;
        let share = self.settings.history_bytes;
        while !self.workers[id.index()].has_history(share) {
            let Some(mut read) = self.workers[id.index()].reads.pop_front() else {
                return false;
            };
            let outcome = self.step(id, &mut read, &mut scan);
            let worker = &mut self.workers[id.index()];
            match outcome {
                Ok(()) => self.counters.reads += 1,
                Err(Pause::Wait(position)) => worker.park(position, Parked::Read(read)),
                Err(Pause::Fail(code, message)) => worker.send(read.refused(code, message)),
                Err(Pause::More) => {
                    worker.reads.push_back(read);
                    return true;
                }
            }
        }
        false
    }

    fn step(&mut self, id: WorkerId, read: &mut Read, scan: &mut usize) -> Result<(), Pause> {
        let worker = &self.workers[id.index()];
        let cursor = worker.cursor(self.log.head());
        let view = worker.views.get(&read.view).copied();
        let view = view.ok_or(Pause::Fail(ErrorCode::NotSubscribed, NOT_WATCHED))?;
        let watcher = self.interest.view(view).watcher(id, read.view);
        let since = watcher.map_or(0, |watcher| watcher.since);
        if cursor < since {
            return Err(Pause::Wait(since));
        }
        let plan = self.plan(view, cursor, &read.start, &mut read.way, scan)?;
        if plan.what == What::Compacted && self.is_restoring() {
            return Err(Pause::More);
        }
        let mut found = std::mem::take(&mut self.found);
        let reached = self.collect(view, &plan, cursor, read, scan, &mut found);
        let outcome = if found.is_empty() && reached < cursor {
            read.nothing = Some((plan.what, reached));
            if plan.what == What::History && self.log.hole_at(reached).is_some() {
                // Whatever was asked for, it goes on from here, behind a gap.
                read.start = Start::Continue {
                    offset: reached,
                    compacted: false,
                };
            }
            Err(Pause::More)
        } else {
            let head = head_of(&plan, read.request, cursor, reached, &found);
            self.mark(view, &plan, &head, found.len());
            self.answer(id, &head, &found);
            Ok(())
        };
        found.clear();
        self.found = found;
        outcome
    }

    /// Finds as much as one slice may have; the position up to which everything was looked at.
    fn collect(
        &self,
        view: ViewId,
        plan: &Plan,
        cursor: i64,
        read: &Read,
        scan: &mut usize,
        found: &mut Vec<Held>,
    ) -> i64 {
        let nothing = read.nothing.filter(|(what, _)| *what == plan.what);
        let after = nothing.map_or(plan.after, |(_, upto)| plan.after.max(upto));
        let budget = read.budget.min(self.settings.history_bytes);
        let mut bytes = 0;
        let mut visit = |held: &Held| {
            bytes += held.entry.bytes().len();
            if bytes > budget && !found.is_empty() {
                return ControlFlow::Break(());
            }
            found.push(held.clone());
            ControlFlow::Continue(())
        };
        let wanted = |topic| self.is_in(view, topic);
        let scope = self.scope(self.interest.view(view), &wanted);
        match plan.what {
            What::Nothing => cursor,
            What::History => self.log.read(scope, after, cursor, scan, &mut visit),
            What::Compacted => self.newest.read(scope, after, cursor, scan, &mut visit),
        }
    }

    /// Remembers how many entries lie before the end of a slice, for a reader who will go on from there.
    fn mark(&mut self, view: ViewId, plan: &Plan, head: &SliceHead, entries: usize) {
        if plan.what != What::History || head.joined {
            return;
        }
        if let Some(ordinal) = self.ordinal(view, plan.after) {
            self.interest
                .view_mut(view)
                .mark(head.end, ordinal + entries as u64);
        }
    }

    fn answer(&mut self, id: WorkerId, head: &SliceHead, found: &[Held]) {
        let worker = &mut self.workers[id.index()];
        worker.send_history(|out| {
            encode_slice(out, head, |out| {
                for held in found {
                    out.extend_from_slice(held.entry.bytes());
                }
            });
        });
    }
}

fn head_of(plan: &Plan, request: u32, cursor: i64, reached: i64, found: &[Held]) -> SliceHead {
    let start = match (plan.start, found.first()) {
        (Begin::Here, _) => plan.after,
        (Begin::BeforeFirst, Some(first)) => first.offset - 1,
        (Begin::BeforeFirst, None) => cursor,
    };
    SliceHead {
        request,
        start,
        gap: plan.gap,
        end: reached,
        joined: reached == cursor,
    }
}
