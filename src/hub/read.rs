//! History on request: one slice per read, in the worker's own stream.
//!
//! Owns where a read begins, what is missing before it, and how far one slice goes. Must not contain: the live stream (that is
//! `deliver`). Driven by the core's turns, after the worker's live entries.
//!
//! Laws:
//! - A slice is answered from what is at or before the worker's cursor; what is newer comes live behind it, so `joined` is exact.
//! - The history of a view is what lies above its floor; it has no holes. A position below the floor has a gap up to it.
//! - The search for a slice's entries may take several turns. Until one is found nothing has been promised, so each turn looks
//!   anew at where the read begins and skips what is known to hold nothing.
use super::core::Hub;
use super::interest::{View, ViewId};
use super::log::{Backward, Held, Log, Scope};
use super::topics::TopicId;
use super::worker::{Parked, WorkerId};
use crate::link::event::encode_slice;
use pubsub_stream::hub::{HubEvent, LostHistory, Refusal, SliceGap, SliceHead, Start};
use pubsub_wire::ErrorCode;
use pubsub_wire::value::Else;
use std::ops::ControlFlow;

/// A view of more topics than this is read by scanning the log, one of fewer by merging what each topic has.
const MERGE_TOPICS_MAX: usize = 64;

/// To know exactly what a view of more topics lost is not worth the walk.
const COUNT_TOPICS_MAX: usize = 1024;

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
    newest: Option<Newest>,
    /// There is nothing of this kind between the read's beginning and this position.
    nothing: Option<(What, i64)>,
}

/// The way back to the newest n, as of the cursor when it began.
#[derive(Debug, Clone, Copy)]
struct Newest {
    back: Backward,
    arrived: bool,
}

/// Where a slice begins.
#[derive(Debug, Clone, Copy)]
struct Plan {
    /// Which entries follow.
    what: What,
    /// Entries after this position.
    after: i64,
    /// `after` is a position that the worker knows or is told; otherwise the slice starts right before its first entry.
    told: bool,
    gap: Option<SliceGap>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// All that the log holds.
    History,
    /// The newest of every key.
    Compacted,
    /// None: what comes live.
    Nothing,
}

/// What became of a read in this turn.
enum Step {
    /// Answered.
    Done,
    /// It can go on.
    More,
    /// The cursor must have reached this position first.
    Wait(i64),
    /// To be refused.
    Fail(ErrorCode, &'static str),
}

impl Read {
    pub(super) fn new(request: u32, view: u32, start: Start, budget_bytes: u32) -> Self {
        Self {
            request,
            view,
            start,
            budget: budget_bytes as usize,
            newest: None,
            nothing: None,
        }
    }

    /// The answer when its view is not watched.
    pub(super) fn unanswerable(&self) -> HubEvent<'static> {
        self.refused(ErrorCode::NotSubscribed, NOT_WATCHED)
    }

    fn refused<'a>(&self, code: ErrorCode, message: &'a str) -> HubEvent<'a> {
        HubEvent::ReadFailed {
            request: self.request,
            why: Refusal {
                code,
                message,
                retry_after_ms: None,
            },
        }
    }
}

impl<L: Log> Hub<L> {
    /// Answers reads of a worker within the turn's budget. `true`: there are more that could go on.
    pub(super) fn serve_reads(&mut self, id: WorkerId) -> bool {
        let mut scan = self.settings.scan_entries;
        while !self.workers[id.0 as usize].has_slice {
            let Some(mut read) = self.workers[id.0 as usize].reads.pop_front() else {
                return false;
            };
            match self.step(id, &mut read, &mut scan) {
                Step::Done => self.counters.reads += 1,
                Step::Wait(position) => {
                    self.workers[id.0 as usize].park(position, Parked::Read(read));
                }
                Step::Fail(code, message) => {
                    self.workers[id.0 as usize].send(read.refused(code, message));
                }
                Step::More => {
                    self.workers[id.0 as usize].reads.push_back(read);
                    return true;
                }
            }
        }
        false
    }

    fn step(&mut self, id: WorkerId, read: &mut Read, scan: &mut usize) -> Step {
        let worker = &self.workers[id.0 as usize];
        let cursor = worker.cursor(self.log.head());
        let Some(&view) = worker.views.get(&read.view) else {
            return Step::Fail(ErrorCode::NotSubscribed, NOT_WATCHED);
        };
        let since = self
            .interest
            .view(view)
            .watcher(id, read.view)
            .map_or(0, |watcher| watcher.since);
        if cursor < since {
            return Step::Wait(since);
        }
        match self.plan(view, cursor, read, scan) {
            Ok(plan) => self.fill(id, view, cursor, &plan, read, scan),
            Err(step) => step,
        }
    }

    /// Where the slice begins and what is missing before it, as of now.
    fn plan(
        &self,
        view: ViewId,
        cursor: i64,
        read: &mut Read,
        scan: &mut usize,
    ) -> Result<Plan, Step> {
        let floor = self.interest.view(view).floor.min(cursor);
        let plain = |what, after, told| Plan {
            what,
            after,
            told,
            gap: None,
        };
        match &read.start {
            Start::Earliest => Ok(plain(What::History, floor, true)),
            Start::Last => Ok(plain(What::Compacted, 0, false)),
            Start::Recent(n) => {
                let begin = Backward {
                    at: cursor,
                    left: *n,
                };
                let newest = read.newest.get_or_insert(Newest {
                    back: begin,
                    arrived: false,
                });
                if !newest.arrived {
                    newest.arrived = self.rewind(view, floor, &mut newest.back, scan);
                }
                if newest.arrived {
                    Ok(plain(What::History, newest.back.at.max(floor), false))
                } else {
                    Err(Step::More)
                }
            }
            Start::Continue { offset, .. } if *offset > cursor => {
                Err(Step::Fail(ErrorCode::BadField, "no slice ended there"))
            }
            Start::Continue {
                offset,
                compacted: true,
            } => Ok(plain(What::Compacted, *offset, true)),
            Start::Continue {
                offset,
                compacted: false,
            } => self.plan_after(view, cursor, *offset, Else::Earliest),
            Start::After {
                epoch,
                offset,
                otherwise,
            } => {
                if epoch == self.log.epoch() && (0..=self.log.head()).contains(offset) {
                    self.plan_after(view, cursor, *offset, *otherwise)
                } else {
                    let gap = SliceGap {
                        reason: LostHistory::Epoch,
                        from: None,
                        to: None,
                        count: None,
                    };
                    Ok(plan_instead(gap, *otherwise, floor, cursor))
                }
            }
        }
    }

    fn rewind(&self, view: ViewId, floor: i64, back: &mut Backward, scan: &mut usize) -> bool {
        let wanted = |topic| self.interest.of_topic(topic).contains(&view);
        self.log.rewind(
            scope_of(self.interest.view(view), &wanted),
            floor,
            back,
            scan,
        )
    }

    /// After a position of this log.
    fn plan_after(
        &self,
        view: ViewId,
        cursor: i64,
        offset: i64,
        otherwise: Else,
    ) -> Result<Plan, Step> {
        if offset > cursor {
            return Err(Step::Wait(offset));
        }
        let to = self.interest.view(view).floor.min(cursor);
        if offset >= to {
            return Ok(Plan {
                what: What::History,
                after: offset,
                told: true,
                gap: None,
            });
        }
        let (upto, count) = match otherwise {
            Else::Earliest => (Some(to), self.lost_between(view, offset, to)),
            Else::Live => (Some(cursor), None),
            Else::Last => (None, None),
        };
        let from = upto.map(|_| offset + 1);
        let gap = SliceGap {
            reason: LostHistory::Retention,
            from,
            to: upto,
            count,
        };
        Ok(plan_instead(gap, otherwise, to, cursor))
    }

    /// How many entries of the view have left of `after+1..=to`, where that can be known: all of them must be gone, and either a
    /// reader stood at `after` before, or each topic lost all or nothing of what it ever had.
    fn lost_between(&self, view: ViewId, after: i64, to: i64) -> Option<u64> {
        let view = self.interest.view(view);
        if view.floor > to || self.log.first_after(after).is_some_and(|held| held <= to) {
            return None;
        }
        let all_before_left = self.log.first_after(0).is_none_or(|held| held > to);
        if let (Some(ordinal), true) = (view.marked(after), all_before_left) {
            return Some(view.left - ordinal);
        }
        if view.topics.len() > COUNT_TOPICS_MAX || after < self.log.forgotten_floor() {
            return None;
        }
        view.topics.iter().try_fold(0, |sum, &topic| {
            let past = self.log.topic_past(topic);
            if self.log.topic_floor(topic) <= after {
                return Some(sum);
            }
            (past.first > after).then_some(sum + past.left)
        })
    }

    /// How many entries of the view lie at or before `position`, as `View::marked` counts, where that is easily known.
    fn ordinal(&self, view: ViewId, position: i64) -> Option<u64> {
        let view = self.interest.view(view);
        if position < view.floor {
            return None;
        }
        if view.topics.len() <= MERGE_TOPICS_MAX {
            let held = view
                .topics
                .iter()
                .map(|&topic| self.log.topic_entries_upto(topic, position) as u64);
            return Some(view.left + held.sum::<u64>());
        }
        let nothing_held = self.log.first_after(0).is_none_or(|held| held > position);
        if nothing_held {
            Some(view.left)
        } else {
            view.marked(position)
        }
    }

    /// Looks for the entries and, if there are any or there is no more to look at, answers.
    fn fill(
        &mut self,
        id: WorkerId,
        view: ViewId,
        cursor: i64,
        plan: &Plan,
        read: &mut Read,
        scan: &mut usize,
    ) -> Step {
        let mut found = std::mem::take(&mut self.found);
        let nothing = read.nothing.filter(|(what, _)| *what == plan.what);
        let after = nothing.map_or(plan.after, |(_, upto)| plan.after.max(upto));
        let reached = match plan.what {
            What::Nothing => cursor,
            what => {
                let budget = read.budget.min(self.settings.slice_bytes);
                self.collect(view, what, (after, cursor), budget, scan, &mut found)
            }
        };
        let step = if found.is_empty() && reached < cursor {
            read.nothing = Some((plan.what, reached));
            Step::More
        } else {
            let start = match (plan.told, found.first()) {
                (true, _) => plan.after,
                (false, Some(first)) => first.offset - 1,
                (false, None) => cursor,
            };
            let head = SliceHead {
                request: read.request,
                start,
                gap: plan.gap,
                end: reached,
                joined: reached == cursor,
            };
            if plan.what == What::History && !head.joined {
                self.mark(view, plan.after, head.end, found.len());
            }
            self.answer(id, &head, &found);
            Step::Done
        };
        found.clear();
        self.found = found;
        step
    }

    fn collect(
        &self,
        view: ViewId,
        what: What,
        (after, upto): (i64, i64),
        budget: usize,
        scan: &mut usize,
        found: &mut Vec<Held>,
    ) -> i64 {
        let mut bytes = 0;
        let mut visit = |held: &Held| {
            bytes += held.entry.bytes().len();
            if bytes > budget && !found.is_empty() {
                return ControlFlow::Break(());
            }
            found.push(held.clone());
            ControlFlow::Continue(())
        };
        let wanted = |topic| self.interest.of_topic(topic).contains(&view);
        let scope = scope_of(self.interest.view(view), &wanted);
        if what == What::Compacted {
            self.newest.read(scope, after, upto, scan, &mut visit)
        } else {
            self.log.read(scope, after, upto, scan, &mut visit)
        }
    }

    /// The reader now stands at `end`, so many entries behind `after`.
    fn mark(&mut self, view: ViewId, after: i64, end: i64, entries: usize) {
        if let Some(ordinal) = self.ordinal(view, after) {
            self.interest
                .view_mut(view)
                .mark(end, ordinal + entries as u64);
        }
    }

    fn answer(&mut self, id: WorkerId, head: &SliceHead, found: &[Held]) {
        let worker = &mut self.workers[id.0 as usize];
        worker.has_slice = true;
        worker.send_with(|out| {
            encode_slice(out, head, |out| {
                for held in found {
                    out.extend_from_slice(held.entry.bytes());
                }
            });
        });
    }
}

/// Begins where `else` says, after a gap.
fn plan_instead(gap: SliceGap, otherwise: Else, floor: i64, cursor: i64) -> Plan {
    let (what, after, told) = match otherwise {
        Else::Earliest => (What::History, floor, true),
        Else::Last => (What::Compacted, 0, false),
        Else::Live => (What::Nothing, cursor, true),
    };
    Plan {
        what,
        after,
        told,
        gap: Some(gap),
    }
}

fn scope_of<'a>(view: &'a View, wanted: &'a dyn Fn(TopicId) -> bool) -> Scope<'a> {
    if view.topics.len() <= MERGE_TOPICS_MAX {
        Scope::Topics(&view.topics)
    } else {
        Scope::Matching(wanted)
    }
}
