//! The ring: the newest entries of one view, numbered by consecutive *ordinals*, and how many cursors stand at each.
//!
//! Counts are differences of ordinals, bytes are differences of a running sum; nothing is kept per subscriber but its cursor.
//! A cursor *holds* the entry it stands at. The ring keeps what somebody still holds: for a subscriber that takes what it is
//! given (`Live`) for as long as it needs, for one whose socket refused (`Parked`) only as far as the largest bound reaches.
//! Driven by the view; knows neither sessions nor policies.
//!
//! Laws: ordinals are consecutive from `first` to `head`; `held(first..head)` plus the holds at the head count every cursor that
//! has not been overtaken; `position` is never behind an entry that left.

use std::collections::VecDeque;
use std::rc::Rc;

/// What stands in a ring at one ordinal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A publication.
    Message,
    /// Tells how far a quiet view has come; counts for nothing.
    Position,
    /// The log began anew here: what follows is of another epoch.
    Epoch,
    /// So many publications left the log before this worker read them.
    Lost(u64),
    /// Unknown how many did.
    LostUncounted,
}

/// How a cursor holds the entry it stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Until it has moved on.
    Live,
    /// As far as the bounds reach.
    Parked,
}

#[derive(Debug, Clone, Copy, Default)]
struct Holds {
    live: u32,
    parked: u32,
}

impl Holds {
    fn count(&mut self, hold: Hold) -> &mut u32 {
        match hold {
            Hold::Live => &mut self.live,
            Hold::Parked => &mut self.parked,
        }
    }
}

/// Where something stands that is no publication, and what was before it.
#[derive(Debug, Clone)]
pub(crate) struct Mark {
    pub(crate) ordinal: u64,
    pub(crate) kind: Kind,
    /// The last offset before what the mark tells of.
    pub(crate) before: i64,
    /// Position after which entries follow.
    pub(crate) after: i64,
    /// Epoch of what stands before an `Epoch`.
    pub(crate) epoch: Option<Rc<str>>,
}

impl Mark {
    fn is_loss(&self) -> bool {
        matches!(self.kind, Kind::Lost(_) | Kind::LostUncounted)
    }
}

/// One place in the ring.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Offset in the log; of a mark, the position it tells.
    pub(crate) offset: i64,
    /// When it was numbered, monotonic.
    pub(crate) mono_ns: u64,
    /// The whole frame, shared by all subscribers.
    pub(crate) frame: Rc<[u8]>,
    pub(crate) kind: Kind,
    /// Running sum of frame bytes up to and with this entry.
    end_bytes: u64,
    holds: Holds,
}

/// How far back a parked cursor may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
}

/// The newest entries of one view.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: VecDeque<Entry>,
    /// Ordinal of the first entry held.
    first: u64,
    /// Running sum before the first entry.
    base_bytes: u64,
    /// Every entry of the view up to this position has left the ring, or was never in it.
    base_position: i64,
    at_head: Holds,
    /// Cursors that stand before the first entry: they were overtaken.
    overtaken: u32,
    /// The entries that aren't publications, oldest first; kept past the ring for cursors that were overtaken.
    marks: VecDeque<Mark>,
}

impl Ring {
    /// A ring that begins after `position`.
    pub(crate) fn new(position: i64) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 1,
            base_bytes: 0,
            base_position: position,
            at_head: Holds::default(),
            overtaken: 0,
            marks: VecDeque::new(),
        }
    }

    /// The ordinal that the next entry will get.
    pub(crate) fn head(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The oldest ordinal held.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Offset of the entry before `ordinal`, or the position the ring begins after.
    pub(crate) fn position_before(&self, ordinal: u64) -> i64 {
        match ordinal.checked_sub(self.first + 1) {
            Some(index) => self.entries[index as usize].offset,
            None => self.base_position,
        }
    }

    /// The first ordinal whose entry lies after `position` of the present epoch, where the ring reaches back that far.
    pub(crate) fn ordinal_after(&self, position: i64) -> Option<u64> {
        let epoch = self
            .marks
            .iter()
            .rev()
            .find(|m| m.kind == Kind::Epoch && m.ordinal >= self.first);
        let (from, base) = epoch.map_or((self.first, self.base_position), |m| {
            (m.ordinal + 1, m.after)
        });
        if position < base {
            return None;
        }
        let held = self.entries.range((from - self.first) as usize..);
        let ordinal = from + held.take_while(|e| e.offset <= position).count() as u64;
        // In the middle of what was lost only the hub knows what is missing.
        let inside = self
            .mark_from(ordinal)
            .is_some_and(|m| m.ordinal == ordinal && m.is_loss() && m.before < position);
        (!inside).then_some(ordinal)
    }

    /// The entry at an ordinal that is held.
    pub(crate) fn get(&self, ordinal: u64) -> Option<&Entry> {
        self.entries.get(ordinal.checked_sub(self.first)? as usize)
    }

    /// Bytes of frames in the ring.
    pub(crate) fn bytes(&self) -> u64 {
        self.sum() - self.base_bytes
    }

    /// Bytes of frames from `ordinal` to the head; what has left the ring is not counted.
    pub(crate) fn bytes_from(&self, ordinal: u64) -> u64 {
        self.sum() - self.sum_before(ordinal.max(self.first))
    }

    /// The running sum at which a cursor at `ordinal` begins.
    pub(crate) fn sum_before(&self, ordinal: u64) -> u64 {
        match ordinal.checked_sub(self.first + 1) {
            Some(index) => self.entries[index as usize].end_bytes,
            None => self.base_bytes,
        }
    }

    /// The running sum of everything that was ever in the ring.
    pub(crate) fn sum(&self) -> u64 {
        self.entries.back().map_or(self.base_bytes, |e| e.end_bytes)
    }

    /// The first ordinal from which no more than `reach` is left to the head.
    pub(crate) fn within(&self, reach: Reach) -> u64 {
        let by_messages = self.head().saturating_sub(reach.messages).max(self.first);
        let floor = self.sum().saturating_sub(reach.bytes);
        if self.sum_before(by_messages) >= floor {
            return by_messages;
        }
        self.first + self.entries.partition_point(|e| e.end_bytes < floor) as u64 + 1
    }

    /// The first mark at or after `ordinal`.
    pub(crate) fn mark_from(&self, ordinal: u64) -> Option<&Mark> {
        match self.marks.back() {
            Some(last) if last.ordinal >= ordinal => self
                .marks
                .get(self.marks.partition_point(|m| m.ordinal < ordinal)),
            _ => None,
        }
    }

    /// The marks at or after `ordinal`, oldest first.
    pub(crate) fn marks_from(&self, ordinal: u64) -> impl Iterator<Item = &Mark> {
        self.marks
            .range(self.marks.partition_point(|m| m.ordinal < ordinal)..)
    }

    /// Forgets the marks before the ring, if no cursor stands there.
    pub(crate) fn forget_marks(&mut self) {
        while self.overtaken == 0 && self.marks.front().is_some_and(|m| m.ordinal < self.first) {
            self.marks.pop_front();
        }
    }

    /// Whether a new entry would be of use to anybody.
    pub(crate) fn is_wanted(&self) -> bool {
        self.at_head.live + self.at_head.parked + self.overtaken > 0 || !self.entries.is_empty()
    }

    /// Passes over an entry that nobody wants.
    pub(crate) fn skip(&mut self, position: i64) {
        debug_assert!(self.entries.is_empty());
        self.base_position = self.base_position.max(position);
    }

    /// Appends a publication; returns its ordinal.
    pub(crate) fn push(&mut self, offset: i64, mono_ns: u64, frame: Rc<[u8]>) -> u64 {
        self.append(Kind::Message, offset, mono_ns, frame)
    }

    /// Appends something that is no publication. `epoch`: of what stands before it, where it ends there.
    pub(crate) fn push_mark(
        &mut self,
        kind: Kind,
        span: (i64, i64),
        mono_ns: u64,
        frame: Rc<[u8]>,
        epoch: Option<Rc<str>>,
    ) {
        let (before, after) = span;
        let ordinal = self.head();
        self.marks.push_back(Mark {
            ordinal,
            kind,
            before,
            after,
            epoch,
        });
        self.append(kind, after, mono_ns, frame);
    }

    fn append(&mut self, kind: Kind, offset: i64, mono_ns: u64, frame: Rc<[u8]>) -> u64 {
        let ordinal = self.head();
        let end_bytes = self.sum() + frame.len() as u64;
        let holds = std::mem::take(&mut self.at_head);
        self.entries.push_back(Entry {
            offset,
            mono_ns,
            frame,
            kind,
            end_bytes,
            holds,
        });
        ordinal
    }

    /// A cursor comes to stand at `ordinal`; one before the ring holds nothing.
    #[inline]
    pub(crate) fn hold(&mut self, ordinal: u64, hold: Hold) {
        match self.holds(ordinal) {
            Some(holds) => *holds.count(hold) += 1,
            None => self.overtaken += 1,
        }
    }

    /// A cursor leaves `ordinal`.
    #[inline]
    pub(crate) fn release(&mut self, ordinal: u64, hold: Hold) {
        match self.holds(ordinal) {
            Some(holds) => *holds.count(hold) -= 1,
            None => self.overtaken -= 1,
        }
    }

    fn holds(&mut self, ordinal: u64) -> Option<&mut Holds> {
        let index = ordinal.checked_sub(self.first)? as usize;
        match self.entries.get_mut(index) {
            Some(entry) => Some(&mut entry.holds),
            None => Some(&mut self.at_head),
        }
    }

    /// Lets go of what nobody holds, and of what only parked or overtaken cursors need beyond `reach`.
    pub(crate) fn evict(&mut self, reach: Reach) {
        while let Some(front) = self.entries.front() {
            let waits = front.holds.parked > 0 || self.overtaken > 0;
            if front.holds.live > 0 || (waits && !self.beyond(reach)) {
                return;
            }
            self.pop();
        }
        // A burst leaves a large buffer behind; a quiet view needs none.
        if self.entries.capacity() > 64 {
            self.entries.shrink_to(16);
        }
    }

    fn beyond(&self, reach: Reach) -> bool {
        self.entries.len() as u64 > reach.messages
            || (self.entries.len() > 1 && self.sum() - self.base_bytes > reach.bytes)
    }

    /// Takes the oldest entry out whoever holds it.
    pub(crate) fn pop(&mut self) -> Option<u64> {
        let entry = self.entries.pop_front()?;
        self.base_bytes = entry.end_bytes;
        self.overtaken += entry.holds.live + entry.holds.parked;
        self.base_position = entry.offset;
        self.first += 1;
        Some(entry.frame.len() as u64)
    }

    /// An empty ring begins after `position`, which may be of another epoch.
    pub(crate) fn begin(&mut self, position: i64) {
        debug_assert!(self.entries.is_empty());
        self.base_position = position;
    }

    /// When the oldest entry was numbered.
    pub(crate) fn oldest_ns(&self) -> Option<u64> {
        self.entries.front().map(|e| e.mono_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Reach = Reach {
        messages: 1000,
        bytes: 1 << 20,
    };

    fn ring_of(n: i64) -> Ring {
        let mut ring = Ring::new(0);
        ring.hold(1, Hold::Live);
        for offset in 1..=n {
            ring.push(offset * 10, 0, vec![0; 10].into());
        }
        ring
    }

    #[test]
    fn an_entry_is_kept_while_a_live_cursor_stands_at_or_before_it() {
        let mut ring = ring_of(5);
        ring.evict(WIDE);
        assert_eq!(ring.first(), 1);
        ring.release(1, Hold::Live);
        ring.hold(4, Hold::Live);
        ring.evict(WIDE);
        assert_eq!(
            (ring.first(), ring.head(), ring.position_before(4)),
            (4, 6, 30)
        );
    }

    #[test]
    fn a_parked_cursor_keeps_no_more_than_the_reach() {
        let mut ring = ring_of(5);
        ring.release(1, Hold::Live);
        ring.hold(1, Hold::Parked);
        ring.evict(Reach {
            messages: 3,
            bytes: 1000,
        });
        assert_eq!((ring.first(), ring.head()), (3, 6));
        ring.release(1, Hold::Parked);
        ring.evict(WIDE);
        assert_eq!(ring.first(), 6, "nobody waits any more");
    }

    #[test]
    fn reach_is_by_messages_or_by_bytes_whichever_is_less() {
        let ring = ring_of(5);
        assert_eq!(
            ring.within(Reach {
                messages: 2,
                bytes: 1000
            }),
            4
        );
        assert_eq!(
            ring.within(Reach {
                messages: 100,
                bytes: 30
            }),
            3
        );
        assert_eq!(
            ring.within(Reach {
                messages: 100,
                bytes: 25
            }),
            4
        );
        assert_eq!(
            ring.within(Reach {
                messages: 100,
                bytes: 1000
            }),
            1
        );
        assert_eq!(
            ring.within(Reach {
                messages: 100,
                bytes: 0
            }),
            6
        );
    }

    #[test]
    fn a_position_is_found_only_where_the_ring_reaches_back() {
        let mut ring = ring_of(5);
        assert_eq!(ring.ordinal_after(0), Some(1));
        assert_eq!(ring.ordinal_after(25), Some(3));
        assert_eq!(ring.ordinal_after(50), Some(6));
        ring.pop();
        assert_eq!(ring.ordinal_after(9), None);
        assert_eq!(ring.ordinal_after(10), Some(2));
    }
}
