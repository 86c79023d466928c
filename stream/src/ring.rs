//! The ring: the newest entries of one view, numbered by consecutive *ordinals*, and how many cursors stand at each.
//!
//! Counts are differences of ordinals, bytes are differences of a running sum; nothing is kept per subscriber but its cursor.
//! A cursor *holds* the entry it stands at. The ring keeps what somebody still holds: for a subscriber that takes what it is
//! given (`Live`) for as long as it needs, for one whose socket refused (`Parked`) only as far as the largest bound reaches. Entries
//! that are *pinned* by a window stay at hand after they have left. Driven by the cohort; knows neither sessions nor policies.
//!
//! Laws: ordinals are consecutive from `first` to `head`; `held(first..head)` plus the holds at the head count every cursor that
//! has not been overtaken; `position` is never behind an entry that left.

mod entry;
#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque, btree_map};
use std::rc::Rc;

use entry::Holds;
pub(crate) use entry::{Entry, Hold, Kind, Mark, NewEntry, Reach, Seat};

/// Room for so many entries is kept, however few there are.
const ROOM: usize = 64;

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
    /// Entries that have left the ring and are pinned.
    pinned: BTreeMap<u64, Entry>,
    pinned_bytes: u64,
    /// What was before this ordinal was taken because memory was short; the position there.
    taken: (u64, i64),
    /// Sources of the entries that have left the ring last, while somebody has to tell them apart.
    origins: VecDeque<u64>,
    /// How many do.
    tellers: u32,
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
            pinned: BTreeMap::new(),
            pinned_bytes: 0,
            taken: (0, position),
            origins: VecDeque::new(),
            tellers: 0,
        }
    }

    /// Up to which ordinal memory has taken entries, whoever needed them.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.0
    }

    /// The ordinal that the next entry will get.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// The oldest ordinal held.
    #[inline]
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    /// Offset of the entry before `ordinal`, or the position the ring begins after; nothing where that entry has left.
    pub(crate) fn position_before(&self, ordinal: u64) -> Option<i64> {
        if ordinal == self.first {
            return Some(self.base_position);
        }
        if ordinal == self.taken.0 {
            return Some(self.taken.1);
        }
        self.get(ordinal.checked_sub(1)?)
            .map(|before| before.offset)
    }

    /// Position of the newest entry, or the one the ring begins after.
    pub(crate) fn position(&self) -> i64 {
        self.entries.back().map_or(self.base_position, |e| e.offset)
    }

    /// The first entry at or after `ordinal` that has left the ring and is pinned, and its offset.
    pub(crate) fn pinned_from(&self, ordinal: u64) -> Option<(u64, i64)> {
        let next = self.pinned.range(ordinal..).next();
        next.map(|(at, e)| (*at, e.offset))
    }

    /// The first ordinal whose entry lies after `position` of the present epoch, where the ring reaches back that far.
    pub(crate) fn ordinal_after(&self, position: i64) -> Option<u64> {
        let epoch = self
            .marks
            .iter()
            .rev()
            .find(|m| m.kind == Kind::Epoch && m.ordinal >= self.first);
        let begin = (self.first, self.base_position);
        let (from, base) = epoch.map_or(begin, |m| (m.ordinal, m.after));
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

    /// The entry at an ordinal that is held or pinned.
    #[inline]
    pub(crate) fn get(&self, ordinal: u64) -> Option<&Entry> {
        match ordinal.checked_sub(self.first) {
            Some(index) => self.entries.get(index as usize),
            None => self.pinned.get(&ordinal),
        }
    }

    /// The first ordinal at or after `ordinal` whose entry is held or pinned; the head, if there is none.
    pub(crate) fn available(&self, ordinal: u64) -> u64 {
        if ordinal >= self.first {
            return ordinal;
        }
        let pinned = self.pinned.range(ordinal..).next();
        pinned.map_or(self.first, |(at, _)| *at)
    }

    /// The entries at these ordinals that are held or pinned, oldest first.
    pub(crate) fn range(&self, from: u64, to: u64) -> impl Iterator<Item = (u64, &Entry)> {
        let to = to.max(from);
        let pinned = self
            .pinned
            .range(from..to.min(self.first).max(from))
            .map(|(at, e)| (*at, e));
        let begin = from.max(self.first).min(self.head());
        let end = to.clamp(begin, self.head());
        let held = self
            .entries
            .range((begin - self.first) as usize..(end - self.first) as usize);
        pinned.chain(held.zip(begin..).map(|(e, at)| (at, e)))
    }

    /// A window needs these entries, all of them in the ring, until it lets go of them.
    pub(crate) fn pin(&mut self, from: u64, to: u64) {
        for ordinal in from..to {
            let entry = match ordinal.checked_sub(self.first) {
                Some(index) => self.entries.get_mut(index as usize),
                None => self.pinned.get_mut(&ordinal),
            };
            if let Some(entry) = entry {
                entry.pins += 1;
            }
        }
    }

    /// The window needs these no more.
    pub(crate) fn unpin(&mut self, from: u64, to: u64) {
        for ordinal in from..to {
            if let Some(index) = ordinal.checked_sub(self.first) {
                if let Some(entry) = self.entries.get_mut(index as usize) {
                    entry.pins -= 1;
                }
            } else if let btree_map::Entry::Occupied(mut entry) = self.pinned.entry(ordinal) {
                entry.get_mut().pins -= 1;
                if entry.get().pins == 0 {
                    self.pinned_bytes -= u64::from(entry.remove().bytes);
                }
            }
        }
    }

    /// Bytes that are held or pinned.
    pub(crate) fn bytes(&self) -> u64 {
        self.sum() - self.base_bytes + self.pinned_bytes
    }

    /// The running sum at which what is at hand from `ordinal` on begins.
    #[inline]
    pub(crate) fn sum_before(&self, ordinal: u64) -> u64 {
        if let Some(index) = ordinal.checked_sub(self.first + 1) {
            return self.entries[index as usize].end_bytes;
        }
        let next = self.pinned.range(ordinal..).next();
        next.map_or(self.base_bytes, |(_, e)| e.end_bytes - u64::from(e.bytes))
    }

    /// Bytes between two ordinals.
    pub(crate) fn bytes_between(&self, from: u64, to: u64) -> u64 {
        self.sum_up_to(to).saturating_sub(self.sum_before(from))
    }

    /// The running sum at which what is at hand before `ordinal` ends: what others pinned behind it is no part of that.
    fn sum_up_to(&self, ordinal: u64) -> u64 {
        if ordinal >= self.first {
            return self.sum_before(ordinal);
        }
        let before = self.pinned.range(..ordinal).next_back();
        before.map_or(0, |(_, entry)| entry.end_bytes)
    }

    /// Behind the last in `from..to` that is known to have been numbered before `floor_ns`; `from`, if none is.
    pub(crate) fn younger(&self, from: u64, to: u64, floor_ns: u64) -> u64 {
        let old = self
            .range(from, to)
            .take_while(|(_, e)| e.mono_ns < floor_ns);
        old.last().map_or(from, |(at, _)| at + 1)
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
        self.marks_from(ordinal).next()
    }

    /// Whether a mark stands at `ordinal` that tells of nothing but a position before `position`.
    pub(crate) fn is_position_before(&self, ordinal: u64, position: i64) -> bool {
        let mark = self.mark_from(ordinal).filter(|m| m.ordinal == ordinal);
        mark.is_some_and(|m| m.kind == Kind::Position && m.after < position)
    }

    /// The first mark at or after `ordinal` that tells of more than a position.
    pub(crate) fn break_from(&self, ordinal: u64) -> Option<&Mark> {
        self.marks_from(ordinal).find(|m| m.kind != Kind::Position)
    }

    /// The marks at or after `ordinal`, oldest first.
    pub(crate) fn marks_from(&self, ordinal: u64) -> impl Iterator<Item = &Mark> {
        self.marks
            .range(self.marks.partition_point(|m| m.ordinal < ordinal)..)
    }

    /// Whether the log begins anew at or after `ordinal`.
    pub(crate) fn meets_epoch(&self, ordinal: u64) -> bool {
        self.marks_from(ordinal).any(|m| m.kind == Kind::Epoch)
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
    pub(crate) fn push(&mut self, entry: NewEntry) -> u64 {
        self.append(Kind::Message, entry)
    }

    /// Appends something that is no publication; returns its ordinal.
    pub(crate) fn push_mark(&mut self, mark: Mark, mono_ns: u64, frame: Rc<[u8]>) -> u64 {
        debug_assert_eq!(mark.ordinal, self.head());
        let entry = NewEntry {
            offset: mark.after,
            mono_ns,
            bytes: frame.len() as u32,
            frame,
            seat: Seat::default(),
            source: u64::MAX,
        };
        let kind = mark.kind;
        self.marks.push_back(mark);
        self.append(kind, entry)
    }

    fn append(&mut self, kind: Kind, new: NewEntry) -> u64 {
        let ordinal = self.head();
        let end_bytes = self.sum() + u64::from(new.bytes);
        let holds = std::mem::take(&mut self.at_head);
        let before_ns = self.entries.back().map_or(0, |e| e.mono_ns);
        self.entries.push_back(Entry {
            offset: new.offset,
            mono_ns: new.mono_ns.max(before_ns),
            frame: new.frame,
            seat: new.seat,
            source: new.source,
            kind,
            bytes: new.bytes,
            pins: 0,
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
        while self.may_pop(reach) {
            self.pop();
        }
        // A burst leaves a large buffer behind; a quiet view needs none.
        let len = self.entries.len();
        if self.entries.capacity() > ROOM.max(4 * len) {
            self.entries.shrink_to((ROOM / 4).max(2 * len));
        }
    }

    /// Whether there is an oldest entry that nobody holds, or only those beyond their reach.
    fn may_pop(&self, reach: Reach) -> bool {
        let Some(front) = self.entries.front() else {
            return false;
        };
        let waits = front.holds.parked > 0 || self.overtaken > 0;
        front.holds.live == 0 && (!waits || self.beyond(reach))
    }

    /// Whether somebody who takes what he is given still needs the oldest entry.
    #[inline]
    pub(crate) fn is_held(&self) -> bool {
        self.entries.front().is_some_and(|e| e.holds.live > 0)
    }

    fn beyond(&self, reach: Reach) -> bool {
        self.entries.len() as u64 > reach.messages
            || (self.entries.len() > 1 && self.sum() - self.base_bytes > reach.bytes)
    }

    /// Takes the oldest entry out of the ring whoever holds it; one that is pinned stays at hand.
    pub(crate) fn pop(&mut self) -> bool {
        let Some(entry) = self.entries.pop_front() else {
            return false;
        };
        self.base_bytes = entry.end_bytes;
        self.overtaken += entry.holds.live + entry.holds.parked;
        self.base_position = entry.offset;
        if self.tellers > 0 {
            self.origins.push_back(entry.source);
        }
        if entry.pins > 0 {
            self.pinned_bytes += u64::from(entry.bytes);
            self.pinned.insert(self.first, entry);
        }
        self.first += 1;
        true
    }

    /// Somebody has to tell the sources of entries apart from now on, also of those that leave.
    pub(crate) fn add_teller(&mut self) {
        self.tellers += 1;
    }

    pub(crate) fn remove_teller(&mut self) {
        self.tellers -= 1;
        if self.tellers == 0 {
            self.origins = VecDeque::new();
        }
    }

    /// Where in the source the publication at `ordinal` is; nothing, if there is none.
    pub(crate) fn source(&self, ordinal: u64) -> Option<u64> {
        let left = (self.first.checked_sub(ordinal)).filter(|n| *n > 0);
        let origin = left.and_then(|n| self.origins.len().checked_sub(n as usize));
        let origin = origin.map(|at| self.origins[at]);
        let source = self.get(ordinal).map(|e| e.source).or(origin)?;
        (source != u64::MAX).then_some(source)
    }

    /// Takes the oldest entry out of the ring because memory is short.
    pub(crate) fn take_oldest(&mut self) -> bool {
        let popped = self.pop();
        if popped {
            self.taken = (self.first, self.base_position);
        }
        popped
    }

    /// Takes the oldest pinned entry away from whoever pinned it.
    pub(crate) fn pop_pinned(&mut self) -> bool {
        let Some((_, entry)) = self.pinned.pop_first() else {
            return false;
        };
        self.pinned_bytes -= u64::from(entry.bytes);
        true
    }

    /// The oldest pinned entry.
    pub(crate) fn first_pinned(&self) -> Option<(u64, &Entry)> {
        self.pinned.first_key_value().map(|(at, e)| (*at, e))
    }

    /// An empty ring begins after `position`, which may be of another epoch.
    pub(crate) fn begin(&mut self, position: i64) {
        debug_assert!(self.entries.is_empty());
        self.base_position = position;
    }

    /// The newest entry in the ring, and its ordinal.
    #[inline]
    pub(crate) fn newest(&self) -> Option<(u64, &Entry)> {
        self.entries.back().map(|e| (self.head() - 1, e))
    }

    /// The oldest entry in the ring.
    pub(crate) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }
}
