//! How far a subscription is behind, and its ledger: differences of what its cohort counts.

use pubsub_wire::value::{Dropped, Ledger, Mode, Pending};

use super::{Lost, Stage, Subscription};
use crate::backlog::{Backlog, Part, Window};
use crate::history::History;
use crate::ring::{Entry, Kind, Mark, Reach, Ring};
use crate::views::{Stand, Views};

/// What stands in a stretch of a ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Census {
    pub(crate) own: u64,
    /// Older than the subscription's start.
    pub(crate) strangers: u64,
}

/// What was published for a subscription since its start, in the epoch it is in; what of it waits, and what its rates left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) published: u64,
    pub(crate) pending: u64,
    /// Lost in its backlog, which is told when its place is reached.
    pub(crate) falling: u64,
    pub(crate) filtered: u64,
}

/// Publications in `from..to`.
fn publications(ring: &Ring, from: u64, to: u64) -> u64 {
    let marks = ring.marks_from(from).take_while(|m| m.ordinal < to).count() as u64;
    (to - from.min(to)) - marks
}

fn epoch_mark(ring: &Ring, from: u64, to: u64) -> Option<&Mark> {
    let mut marks = ring.marks_from(from).take_while(|m| m.ordinal < to);
    marks.find(|m| m.kind == Kind::Epoch)
}

impl Window {
    fn ring<'a>(&self, views: &'a Views) -> &'a Ring {
        &views.cohort(self.cohort).ring
    }

    /// Its own publications from `to` on.
    fn own_from(&self, ring: &Ring, to: u64) -> u64 {
        if self.since == 0 {
            return publications(ring, to, self.until);
        }
        let own = |e: &Entry| e.is_message() && e.source >= self.since;
        ring.range(to, self.until).filter(|(_, e)| own(e)).count() as u64
    }

    /// Its own publications before `to`: what was taken from it is taken from its beginning.
    pub(crate) fn own_before(&self, ring: &Ring, to: u64) -> u64 {
        self.own.saturating_sub(self.own_from(ring, to))
    }

    /// It begins at `to` from now on.
    pub(crate) fn move_to(&mut self, ring: &Ring, to: u64) {
        self.own = self.own_from(ring, to).min(self.own);
        self.cursor = to;
    }

    fn bytes(&self, views: &Views) -> u64 {
        let ring = self.ring(views);
        if self.since == 0 {
            return ring.bytes_between(self.cursor, self.until);
        }
        let own = ring
            .range(self.cursor, self.until)
            .filter(|(_, e)| e.source >= self.since);
        own.map(|(_, e)| u64::from(e.bytes)).sum()
    }
}

impl Part {
    /// Publications that are lost, which is told when its place is reached.
    fn falling(&self) -> u64 {
        match self {
            Self::Gap(gap) => gap.count.unwrap_or(0),
            Self::Window(_) | Self::Held { .. } => 0,
        }
    }

    /// Whether the log begins anew in it.
    pub(crate) fn ends_epoch(&self, views: &Views) -> bool {
        match self {
            Self::Window(w) => epoch_mark(w.ring(views), w.cursor, w.until).is_some(),
            Self::Held { .. } | Self::Gap(_) => false,
        }
    }

    /// How many times the log begins anew in it.
    #[cfg(debug_assertions)]
    fn epochs(&self, views: &Views) -> usize {
        match self {
            Self::Window(w) => {
                let marks = w.ring(views).marks_from(w.cursor);
                let inside = marks.take_while(|m| m.ordinal < w.until);
                inside.filter(|m| m.kind == Kind::Epoch).count()
            }
            Self::Held { .. } | Self::Gap(_) => 0,
        }
    }

    /// Publications that wait in it, or are lost there.
    pub(crate) fn all(&self) -> u64 {
        self.pending() + self.falling()
    }

    /// Publications that wait in it.
    pub(crate) fn pending(&self) -> u64 {
        match self {
            Self::Window(window) => window.own,
            Self::Held { slice, index, .. } => slice.entries.len() as u64 - u64::from(*index),
            Self::Gap(_) => 0,
        }
    }

    fn bytes(&self, views: &Views) -> u64 {
        match self {
            Self::Window(window) => window.bytes(views),
            Self::Held { slice, index, .. } => {
                let rest = &slice.entries[*index as usize..];
                rest.iter().map(|e| u64::from(e.bytes)).sum()
            }
            Self::Gap(_) => 0,
        }
    }

    /// When the oldest in it was numbered.
    fn oldest_ns(&self, views: &Views) -> Option<u64> {
        match self {
            Self::Window(window) => {
                let mut range = window.ring(views).range(window.cursor, window.until);
                range
                    .find(|(_, e)| e.source >= window.since)
                    .map(|(_, e)| e.mono_ns)
            }
            Self::Held { slice, index, .. } => {
                slice.entries.get(*index as usize).map(|e| e.mono_ns)
            }
            Self::Gap(_) => None,
        }
    }
}

impl Subscription {
    /// The first of the source that is its own.
    pub(crate) fn since(&self) -> u64 {
        self.joined
            .as_ref()
            .filter(|j| j.older > 0)
            .map_or(0, |j| j.since)
    }

    /// What stands in `from..to` of its ring: its own publications, and those older than its start.
    pub(crate) fn census(&self, stand: &Stand<'_>, from: u64, to: u64) -> Census {
        let ring = &stand.cohort.ring;
        let since = self.since();
        if since == 0 {
            return Census {
                own: publications(ring, from, to),
                strangers: 0,
            };
        }
        let mut census = Census {
            own: 0,
            strangers: 0,
        };
        for source in (from..to).filter_map(|at| ring.source(at)) {
            if source >= since {
                census.own += 1;
            } else {
                census.strangers += 1;
            }
        }
        census
    }

    fn parts(&self) -> impl DoubleEndedIterator<Item = &Part> {
        self.backlog().into_iter().flat_map(Backlog::iter)
    }

    pub(crate) fn backlog_messages(&self) -> u64 {
        self.parts().map(Part::pending).sum()
    }

    fn backlog_bytes(&self, views: &Views) -> u64 {
        self.parts().map(|p| p.bytes(views)).sum()
    }

    /// What stands in the window of its ring and is older than its start.
    fn strangers(&self, stand: &Stand<'_>) -> Reach {
        let since = self.since();
        let mut all = Reach {
            messages: 0,
            bytes: 0,
        };
        if since > 0 {
            let range = stand
                .cohort
                .ring
                .range(self.cursor, stand.cohort.ring.head());
            for (_, entry) in range.filter(|(_, e)| e.source < since) {
                all.messages += 1;
                all.bytes += u64::from(entry.bytes);
            }
        }
        all
    }

    /// Messages that are numbered and not with the kernel.
    pub(crate) fn lag_messages(&self, views: &Views) -> u64 {
        let waiting = match self.stage {
            Stage::Opening => 0,
            Stage::Ring => {
                let stand = views.stand(self.cohort);
                let ring = self.limit(&stand).saturating_sub(self.cursor);
                ring - self.strangers(&stand).messages.min(ring) + self.backlog_messages()
            }
            Stage::History => self.history().map_or(0, History::pending),
        };
        waiting + u64::from(self.under_way)
    }

    /// Where its window ends: what is in a hole does not wait.
    fn limit(&self, stand: &Stand<'_>) -> u64 {
        self.hole().map_or(stand.cohort.ring.head(), |h| h.from)
    }

    /// Bytes of frames that are numbered and not with the kernel. `under_way`: of the frame that is, whole.
    pub(crate) fn lag_bytes(&self, views: &Views, under_way: u64) -> u64 {
        let waiting = match self.stage {
            Stage::Opening => 0,
            Stage::Ring => {
                let stand = views.stand(self.cohort);
                let ring = stand
                    .cohort
                    .ring
                    .bytes_between(self.cursor, self.limit(&stand));
                ring.saturating_sub(self.strangers(&stand).bytes) + self.backlog_bytes(views)
            }
            Stage::History => self.history().map_or(0, History::pending_bytes),
        };
        waiting + under_way
    }

    /// When the oldest entry that waits was numbered. `under_way`: the frame that is.
    pub(crate) fn oldest_ns(&self, views: &Views) -> Option<u64> {
        match self.stage {
            Stage::Opening => None,
            Stage::Ring => {
                let backlog = self.parts().find_map(|p| p.oldest_ns(views));
                backlog.or_else(|| {
                    let stand = views.stand(self.cohort);
                    let since = self.since();
                    let mut range = stand.cohort.ring.range(self.cursor, self.limit(&stand));
                    range
                        .find(|(_, e)| e.source >= since)
                        .map(|(_, e)| e.mono_ns)
                })
            }
            Stage::History => self.history()?.next().map(|e| e.mono_ns),
        }
    }

    /// What of the bound is left for entries of the ring while a frame of `under_way` bytes is on its way.
    pub(crate) fn reach(&self, views: &Views, under_way: u64) -> Reach {
        let before = u64::from(self.under_way) + self.backlog_messages();
        let bytes = under_way + self.backlog_bytes(views);
        Reach {
            messages: u64::from(self.bound_messages).saturating_sub(before),
            bytes: u64::from(self.bound_bytes).saturating_sub(bytes),
        }
    }

    /// Whether the bound is passed: more messages, or more bytes and not just one message.
    pub(crate) fn is_over(&self, views: &Views, under_way: u64) -> bool {
        let messages = self.lag_messages(views);
        self.is_overtaken(views)
            || messages > u64::from(self.bound_messages)
            || (messages > 1 && self.lag_bytes(views, under_way) > u64::from(self.bound_bytes))
    }

    /// The ring has let go of what it stands at, and not for want of memory: the window was larger than the bound.
    fn is_overtaken(&self, views: &Views) -> bool {
        let ring = &views.cohort(self.cohort).ring;
        self.stage == Stage::Ring
            && self.hole().is_none()
            && self.cursor >= ring.taken()
            && self.cursor < ring.available(self.cursor)
    }

    /// Whether something is pending before its ring that what is lost there can be told behind.
    pub(crate) fn loses_behind(&self, views: &Views) -> bool {
        // The counts of an epoch that ends there are differences to where the cursor stands.
        let ends = self.parts().any(|p| p.ends_epoch(views));
        self.backlog().is_some() && !ends && self.since() == 0 && self.hole().is_none()
    }

    /// At half of its bound by messages or bytes it is behind, and when the ring has let go of more than that.
    pub(crate) fn is_high(&self, views: &Views, under_way: u64) -> bool {
        self.is_overtaken(views)
            || self.lag_messages(views) * 2 >= u64::from(self.bound_messages).max(1)
            || self.lag_bytes(views, under_way) * 2 >= u64::from(self.bound_bytes)
    }

    pub(crate) fn bound_age_ns(&self) -> u64 {
        u64::from(self.bound_age_ms) * 1_000_000
    }

    /// Below a quarter of every bound it is live again. `cursor`: where it will stand, with nothing before its ring.
    pub(crate) fn is_low(&self, stand: &Stand<'_>, cursor: u64, now_ns: u64) -> bool {
        let ring = &stand.cohort.ring;
        let oldest = ring.get(cursor).map_or(now_ns, |e| e.mono_ns);
        (ring.head() - cursor) * 4 < u64::from(self.bound_messages)
            && cursor >= ring.first()
            && ring.bytes_between(cursor, ring.head()) * 4 < u64::from(self.bound_bytes)
            && now_ns.saturating_sub(oldest) * 4 < self.bound_age_ns()
    }

    /// What was published for it since its start, of the epoch it is in, how much of that is pending, and what was left out.
    pub(crate) fn counts(&self, views: &Views) -> Counts {
        let before = self.lost.as_ref().map_or(0, |l| l.filtered);
        match self.stage {
            Stage::Opening => Counts::default(),
            Stage::History => Counts {
                published: self.history().map_or(0, |h| h.published),
                pending: self.history().map_or(0, History::pending),
                falling: 0,
                filtered: before,
            },
            Stage::Ring => self.epoch_in_backlog(views).unwrap_or_else(|| {
                let mut counts = self.ring_counts(&views.stand(self.cohort));
                counts.pending += self.backlog_messages();
                counts.falling = self.parts().map(Part::falling).sum();
                counts.filtered += before;
                counts
            }),
        }
    }

    /// The counts of one whose epoch ends in its backlog.
    fn epoch_in_backlog(&self, views: &Views) -> Option<Counts> {
        let (mut pending, mut falling) = (0, 0);
        for part in self.parts() {
            if let Part::Window(window) = part
                && let Some(mark) = epoch_mark(window.ring(views), window.cursor, window.until)
            {
                pending += window.own_before(window.ring(views), mark.ordinal);
                let later = self.backlog_whole() - pending - falling;
                return Some(Counts {
                    published: self.gauge().wrapping_sub(self.start) - later,
                    pending,
                    falling,
                    filtered: self.lost.as_ref().map_or(0, |l| l.filtered),
                });
            }
            pending += part.pending();
            falling += part.falling();
        }
        None
    }

    /// All that stands before its ring: what waits, or is lost there.
    pub(crate) fn backlog_whole(&self) -> u64 {
        self.parts().map(Part::all).sum()
    }

    /// What the rate of its cohort has left out of the epoch its cursor stands in, and of each that begins after it.
    pub(crate) fn filtered_in_ring(&self, views: &Views) -> (u64, Vec<u64>) {
        let stand = views.stand(self.cohort);
        let epochs = stand.cohort.ring.marks_from(self.cursor);
        let begins: Vec<u64> = epochs
            .filter(|m| m.kind == Kind::Epoch)
            .map(|m| m.filtered)
            .collect();
        let end = stand.cohort.operator.as_ref().map_or(0, |o| o.filtered);
        let ends = begins.iter().skip(1).copied().chain([end]);
        let anew = begins.iter().zip(ends).map(|(from, to)| to - from);
        (self.ring_counts(&stand).filtered, anew.collect())
    }

    /// What its cohort's source had come to when it joined: its `start` is a difference to that.
    pub(crate) fn gauge(&self) -> u64 {
        self.joined.as_ref().map_or(self.cursor, |j| j.since - 1)
    }

    fn ring_counts(&self, stand: &Stand<'_>) -> Counts {
        let ring = &stand.cohort.ring;
        let mark = epoch_mark(ring, self.cursor, ring.head());
        let end = mark.map_or(ring.head(), |m| m.ordinal);
        let window = self.census(stand, self.cursor, end);
        let (Some(operator), Some(joined)) = (&stand.cohort.operator, &self.joined) else {
            let marks = ring
                .marks_from(self.cursor)
                .take_while(|m| m.ordinal < end)
                .count() as u64;
            return Counts {
                published: end.wrapping_sub(self.start) - marks,
                pending: window.own,
                falling: 0,
                filtered: 0,
            };
        };
        let (seen, filtered) =
            mark.map_or((operator.seen, operator.filtered), |m| (m.seen, m.filtered));
        // What a mark ends has been released before it.
        let (older_held, held) = mark.map_or_else(
            || {
                let older = operator.held_before(joined.since);
                (older, operator.held() - older)
            },
            |_| (0, 0),
        );
        let older_filtered = joined.older - joined.passed - older_held - window.strangers;
        Counts {
            published: seen.wrapping_sub(self.start),
            pending: window.own + held,
            falling: 0,
            filtered: filtered - joined.filtered - older_filtered,
        }
    }

    /// In debug builds: what was counted one by one is what the differences say.
    pub(crate) fn check(&self, views: &Views) {
        #[cfg(debug_assertions)]
        if self.stage != Stage::Opening {
            let epochs: usize = self.parts().map(|p| p.epochs(views)).sum();
            debug_assert_eq!(self.backlog().map_or(0, Backlog::epochs), epochs);
            let ledger = self.ledger(views);
            debug_assert_eq!(
                ledger.delivered, self.begun,
                "the accounts of {self:?}: {ledger:?}"
            );
        }
        let _ = views;
    }

    /// The ledger at the next frame boundary: a frame under way is whole before anything else is written, and counts as delivered.
    /// Loss is to be settled before.
    pub(crate) fn ledger(&self, views: &Views) -> Ledger {
        let counts = self.counts(views);
        let mut lost = self.lost.as_deref().copied().unwrap_or_default();
        self.add_untold(views, &mut lost);
        let pending = counts.pending - self.in_hole(views);
        let accounted = pending + self.conflated + lost.total() + counts.filtered;
        Ledger {
            published: counts.published,
            delivered: counts.published.wrapping_sub(accounted),
            filtered_by_rate: counts.filtered,
            conflated: self.conflated,
            dropped: Dropped {
                drop_oldest: lost.drop_oldest,
                drop_newest: lost.drop_newest,
                memory: lost.memory,
            },
            expired: lost.expired,
            retention: lost.retention,
            pending: Pending {
                memory: pending,
                spilled: (self.mode != Mode::Replay).then_some(0),
            },
        }
    }

    /// Publications of its epoch that fell into its hole.
    fn in_hole(&self, views: &Views) -> u64 {
        if self.parts().any(|p| p.ends_epoch(views)) {
            return 0;
        }
        self.hole().map_or(0, |hole| {
            let stand = views.stand(self.cohort);
            let ring = &stand.cohort.ring;
            let mark = epoch_mark(ring, self.cursor, ring.head());
            let end = mark.map_or(ring.head(), |m| m.ordinal);
            // What is older than its start is passed over in the hole too, and nothing of it was lost.
            let from = hole.from.max(self.cursor);
            self.census(&stand, from.min(end), end).own
        })
    }

    /// Adds what is lost already, though it is told when its place is reached: in an open hole, and in its backlog up to where its
    /// epoch ends.
    pub(crate) fn add_untold(&self, views: &Views, lost: &mut Lost) {
        lost.drop_newest += self.in_hole(views);
        for part in self.parts().take_while(|p| !p.ends_epoch(views)) {
            if let Part::Gap(gap) = part {
                *lost.of(gap.reason) += gap.count.unwrap_or(0);
            }
        }
    }
}
