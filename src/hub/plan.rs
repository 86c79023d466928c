//! Where a slice of history begins, and what is missing before it.
//!
//! Owns the meaning of every start. Must not contain: the search for entries (that is `read`). Driven by `read`, anew in each
//! turn that a read takes.
//!
//! Laws: the history of a view is what lies above its floor, and has no holes. A position below the floor has a gap up to it. A
//! gap's count is exact or absent.
use super::core::Hub;
use super::interest::{View, ViewId};
use super::log::{Backward, Scope};
use super::topics::TopicId;
use pubsub_stream::hub::{LostHistory, SliceGap, Start};
use pubsub_wire::ErrorCode;
use pubsub_wire::value::Else;

/// To know exactly what a view of more topics lost is not worth the walk.
const COUNT_TOPICS_MAX: usize = 1024;

/// Where a slice begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// Which entries follow.
    pub(super) what: What,
    /// After this position.
    pub(super) after: i64,
    /// What the worker is told: `after` itself, or the position right before the first entry that is found.
    pub(super) start: Begin,
    /// What is missing before.
    pub(super) gap: Option<SliceGap>,
}

/// Which entries a slice has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// All that the log holds.
    History,
    /// The newest of every key.
    Compacted,
    /// None: what comes live.
    Nothing,
}

/// The position a slice is said to begin at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Begin {
    /// The one it is read from.
    Here,
    /// The one right before its first entry.
    BeforeFirst,
}

/// Why there is no answer yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// The search can go on in the next turn.
    More,
    /// The cursor must have reached this position first.
    Wait(i64),
    /// There will be none: the read is refused.
    Fail(ErrorCode, &'static str),
}

/// The way back to the newest n, as of the cursor when it began.
#[derive(Debug, Clone, Copy)]
pub(super) struct WayBack {
    back: Backward,
    arrived: bool,
}

impl Plan {
    fn new(what: What, after: i64, start: Begin) -> Self {
        Self {
            what,
            after,
            start,
            gap: None,
        }
    }

    /// Begins where `otherwise` says, after a gap.
    fn instead(gap: SliceGap, otherwise: Else, floor: i64, cursor: i64) -> Self {
        let plan = match otherwise {
            Else::Earliest => Self::new(What::History, floor, Begin::Here),
            Else::Last => Self::new(What::Compacted, 0, Begin::BeforeFirst),
            Else::Live => Self::new(What::Nothing, cursor, Begin::Here),
        };
        Self {
            gap: Some(gap),
            ..plan
        }
    }
}

impl Hub {
    /// Where the slice begins and what is missing before it, as of now. `way` keeps the search for the newest n.
    pub(super) fn plan(
        &self,
        view: ViewId,
        cursor: i64,
        start: &Start,
        way: &mut Option<WayBack>,
        scan: &mut usize,
    ) -> Result<Plan, Pause> {
        let floor = self.interest.view(view).floor.min(cursor);
        match start {
            Start::Earliest => Ok(Plan::new(What::History, floor, Begin::Here)),
            Start::Last => Ok(Plan::new(What::Compacted, 0, Begin::BeforeFirst)),
            Start::Recent(n) => {
                let begin = Backward {
                    at: cursor,
                    left: *n,
                };
                let way = way.get_or_insert(WayBack {
                    back: begin,
                    arrived: false,
                });
                self.plan_recent(view, floor, way, scan)
            }
            Start::Continue { offset, .. } if *offset > cursor => {
                Err(Pause::Fail(ErrorCode::BadField, "no slice ended there"))
            }
            Start::Continue {
                offset,
                compacted: true,
            } => Ok(self.plan_compacted(view, *offset)),
            Start::Continue {
                offset,
                compacted: false,
            } => self.plan_after(view, cursor, *offset, Else::Earliest),
            Start::After {
                epoch,
                offset,
                otherwise,
            } if epoch == self.log.epoch() && (0..=self.log.head()).contains(offset) => {
                self.plan_after(view, cursor, *offset, *otherwise)
            }
            Start::After { otherwise, .. } => {
                let gap = SliceGap {
                    reason: LostHistory::Epoch,
                    from: None,
                    to: None,
                    count: None,
                };
                Ok(Plan::instead(gap, *otherwise, floor, cursor))
            }
        }
    }

    /// The newest of each key, further. What left the table meanwhile is missing, as far as it is known.
    fn plan_compacted(&self, view: ViewId, offset: i64) -> Plan {
        let misses = offset < self.interest.view(view).newest_left;
        Plan {
            gap: misses.then_some(SliceGap {
                reason: LostHistory::Memory,
                from: None,
                to: None,
                count: None,
            }),
            ..Plan::new(What::Compacted, offset, Begin::Here)
        }
    }

    /// The newest n as of the cursor when the search began; what came since then follows them.
    fn plan_recent(
        &self,
        view: ViewId,
        floor: i64,
        way: &mut WayBack,
        scan: &mut usize,
    ) -> Result<Plan, Pause> {
        if !way.arrived {
            let wanted = |topic| self.is_in(view, topic);
            let scope = self.scope(self.interest.view(view), &wanted);
            way.arrived = self.log.rewind(scope, floor, &mut way.back, scan);
        }
        if !way.arrived {
            return Err(Pause::More);
        }
        Ok(Plan::new(
            What::History,
            way.back.at.max(floor),
            Begin::BeforeFirst,
        ))
    }

    /// After a position of this log.
    fn plan_after(
        &self,
        view: ViewId,
        cursor: i64,
        offset: i64,
        otherwise: Else,
    ) -> Result<Plan, Pause> {
        if offset > cursor {
            return Err(Pause::Wait(offset));
        }
        let floor = self.interest.view(view).floor.min(cursor);
        if offset >= floor {
            return Ok(self.plan_over_hole(offset, cursor, otherwise));
        }
        let (to, count) = match otherwise {
            Else::Earliest => (Some(floor), self.lost_between(view, offset, floor)),
            Else::Live => (Some(cursor), None),
            Else::Last => (None, None),
        };
        let from = to.map(|_| offset + 1);
        let gap = SliceGap {
            reason: LostHistory::Retention,
            from,
            to,
            count,
        };
        Ok(Plan::instead(gap, otherwise, floor, cursor))
    }

    /// After a position above the floor, or above what can't be read there.
    fn plan_over_hole(&self, offset: i64, cursor: i64, otherwise: Else) -> Plan {
        let Some(end) = self.log.hole_at(offset).filter(|_| offset < cursor) else {
            return Plan::new(What::History, offset, Begin::Here);
        };
        let end = end.min(cursor);
        let (to, from) = match otherwise {
            Else::Earliest => (Some(end), Some(offset + 1)),
            Else::Live => (Some(cursor), Some(offset + 1)),
            Else::Last => (None, None),
        };
        let gap = SliceGap {
            reason: LostHistory::Retention,
            from,
            to,
            count: None,
        };
        Plan::instead(gap, otherwise, end, cursor)
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
    pub(super) fn ordinal(&self, view: ViewId, position: i64) -> Option<u64> {
        let view = self.interest.view(view);
        if position < view.floor {
            return None;
        }
        if view.topics.len() <= self.settings.merge_topics {
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

    /// Whether entries of the topic belong to the view.
    pub(super) fn is_in(&self, view: ViewId, topic: TopicId) -> bool {
        self.interest.of_topic(topic).contains(&view)
    }

    /// How a view's entries are found: `wanted` is for a scan.
    pub(super) fn scope<'a>(
        &self,
        view: &'a View,
        wanted: &'a dyn Fn(TopicId) -> bool,
    ) -> Scope<'a> {
        if view.topics.len() <= self.settings.merge_topics {
            Scope::Topics(&view.topics)
        } else {
            Scope::Matching(wanted)
        }
    }
}
