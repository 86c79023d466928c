//! How publications get into rings: as they are into a view's own, through operators into derived ones.
//!
//! Owns the way from an entry of the hub to the rings of its views, the deadlines of operators, and what gives when memory is short.
//! Must not contain: what an operator lets pass, or what its subscribers are owed.

#[cfg(test)]
mod tests;

use std::rc::Rc;

use pubsub_wire::encode::{self, MsgView};

use crate::cohort::Cohort;
use crate::config::{CloseHow, Now};
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::history::Past;
use crate::hub::EntryRef;
use crate::operator::{Open, Publication, Released, write_item};
use crate::ring::{NewEntry, Seat};

impl Engine {
    /// An entry of the hub goes into every view it belongs to.
    ///
    /// Into all rings of a view first, and only then is acted on what that means for their subscribers: one that goes over to
    /// another cohort because of it finds it there already, and not a second time.
    pub(crate) fn append(&mut self, now: Now, view: u32, entry: &EntryRef<'_>) {
        // A session that an earlier view's entry cost may have taken this view along.
        let Some(record) = self.views.find_by_index(view).filter(|v| v.watched) else {
            return;
        };
        record.told = entry.offset;
        record.told_ns = now.mono_ns;
        let (plain, is_derived) = (record.plain, !record.derived.is_empty());
        if is_derived {
            self.derive(now, view, entry);
        }
        let is_wanted = self.views.cohort(plain).ring.is_wanted();
        if is_wanted {
            let frame = self.encode(view, entry);
            let new = NewEntry {
                offset: entry.offset,
                mono_ns: entry.mono_ns,
                bytes: frame.len() as u32,
                frame,
                seat: Seat::default(),
                source: 0,
            };
            self.push(plain, new, entry.topic, entry.key);
        } else {
            self.views.cohort_mut(plain).ring.skip(entry.offset);
        }
        if is_derived {
            self.after_derive(now, view);
        }
        if is_wanted {
            self.after_push(now, plain);
        }
    }

    /// Hands an entry to the operators of a view.
    fn derive(&mut self, now: Now, view: u32, entry: &EntryRef<'_>) {
        let publication = Publication::new(entry, |name| self.views.hash(name));
        let publication = Rc::new(publication);
        let mut cohorts = std::mem::take(&mut self.deriving);
        cohorts.clear();
        cohorts.extend_from_slice(&self.views.get(view).derived);
        let mut released = std::mem::take(&mut self.released);
        for index in &cohorts {
            let cohort = self.views.cohort_mut(*index);
            if let Some(operator) = &mut cohort.operator {
                let before = operator.filtered;
                operator.handle(now, &publication, &mut released);
                let filtered = operator.filtered - before;
                self.stats.filtered += filtered * cohort.members.len() as u64;
                self.release(now, *index, &mut released);
            }
        }
        self.released = released;
        self.deriving = cohorts;
    }

    /// What follows from it for the subscribers of its derived logs.
    fn after_derive(&mut self, now: Now, view: u32) {
        let cohorts = std::mem::take(&mut self.deriving);
        for index in &cohorts {
            // A session that an earlier cohort's entry cost may have taken this one along.
            if (self.views.find_cohort(*index)).is_some_and(|c| c.view == view) {
                self.after_release(now, *index);
                self.arm_cohort(*index);
            }
        }
        self.deriving = cohorts;
        self.mind_memory();
    }

    /// What passed a rate goes into the open batch, or else into the ring.
    fn release(&mut self, now: Now, index: u32, released: &mut Vec<Released>) {
        for one in released.drain(..) {
            let is_batched = |c: &mut Cohort| c.acting.batch.is_some();
            match self.views.find_cohort(index).map(is_batched) {
                Some(true) => self.batch(now, index, one),
                Some(false) => self.push_alone(index, &one),
                None => {}
            }
        }
    }

    fn push_alone(&mut self, index: u32, one: &Released) {
        let frame = self.encode_released(index, one);
        let new = NewEntry {
            offset: one.position(),
            mono_ns: one.publication.mono_ns,
            bytes: frame.len() as u32,
            frame,
            seat: Seat::default(),
            source: one.source,
        };
        self.push_released(index, new, &one.publication);
    }

    /// Puts an item into the open batch of a cohort, and closes that when it is due.
    fn batch(&mut self, now: Now, index: u32, one: Released) {
        let text = Rc::clone(&self.views.stand(index).view.text);
        let mut item = std::mem::take(&mut self.item);
        item.clear();
        write_item(&mut item, &one);
        if self
            .open_batch(index)
            .is_some_and(|o| o.is_full_for(&text, item.len()))
        {
            self.close_batch(index);
        }
        if let Some(open) = self.open_batch(index)
            && open.push(now, &text, one, &item)
        {
            self.close_batch(index);
        }
        self.item = item;
    }

    fn open_batch(&mut self, index: u32) -> Option<&mut Open> {
        self.views
            .find_cohort(index)?
            .operator
            .as_mut()?
            .open
            .as_mut()
    }

    /// What is in the open batch of a cohort goes into its ring.
    fn close_batch(&mut self, index: u32) {
        if self.open_batch(index).is_none() {
            return;
        }
        let text = Rc::clone(&self.views.stand(index).view.text);
        let mut frames = std::mem::take(&mut self.frames);
        let closed = self.open_batch(index).map(|o| o.close(&text, &mut frames));
        self.frames = frames;
        for (released, entry) in closed.into_iter().flatten() {
            self.push_released(index, entry, &released.publication);
        }
    }

    fn push_released(&mut self, index: u32, entry: NewEntry, publication: &Publication) {
        let Some(cohort) = self.views.find_cohort(index) else {
            return;
        };
        if let Some(operator) = &mut cohort.operator {
            operator.released += 1;
        }
        if cohort.ring.is_wanted() {
            self.push(index, entry, publication.topic(), publication.key());
        } else {
            cohort.ring.skip(entry.offset);
        }
    }

    /// An entry goes into a ring; what follows from it is [`Engine::after_push`]'s, when all that come together are in.
    fn push(&mut self, index: u32, entry: NewEntry, topic: &str, key: Option<&str>) {
        let cohort = self.views.cohort_mut(index);
        if let Some(compact) = &mut cohort.compact {
            compact.insert(cohort.ring.head(), topic, key, &entry);
        }
        cohort.ring.push(entry);
        cohort.pushed = true;
    }

    /// What an operator let pass is in its ring, and what it holds has changed.
    fn after_release(&mut self, now: Now, index: u32) {
        let Some(cohort) = self.views.find_cohort(index) else {
            return;
        };
        if cohort.pushed {
            self.after_push(now, index);
        } else {
            self.count_bytes(index);
        }
    }

    /// A ring has got something new.
    fn after_push(&mut self, now: Now, index: u32) {
        let Some(cohort) = self.views.find_cohort(index) else {
            return;
        };
        if cohort.trips.is_some() {
            // Before the ring lets go of what they stand at.
            self.trip(now, index);
        }
        if let Some(cohort) = self.views.find_cohort(index) {
            cohort.pushed = false;
            self.trim(index);
            self.mark_dirty(index);
        }
        self.mind_memory();
    }

    /// Lets go of what nobody needs of a cohort.
    #[inline]
    pub(crate) fn trim(&mut self, cohort: u32) {
        self.views.cohort_mut(cohort).trim();
        self.count_bytes(cohort);
    }

    /// Takes note of what a cohort holds now.
    pub(crate) fn count_bytes(&mut self, cohort: u32) {
        if let Some(cohort) = self.views.find_cohort(cohort) {
            let more = cohort.count();
            self.stats.ring_bytes = self.stats.ring_bytes.wrapping_add_signed(more);
        }
    }

    /// The frame that all subscribers of a view's own log receive for an entry.
    pub(crate) fn encode(&mut self, view: u32, entry: &EntryRef<'_>) -> Rc<[u8]> {
        let view = self.views.get(view);
        let msg = MsgView {
            sub: view.is_pattern.then_some(&*view.text),
            topic: entry.topic,
            offset: entry.offset,
            ts: entry.ts_us,
            key: entry.key,
            data: entry.data,
        };
        Rc::from(self.frames.text(|out| encode::msg(out, &msg)))
    }

    /// The frame of a message that passed a rate.
    fn encode_released(&mut self, cohort: u32, released: &Released) -> Rc<[u8]> {
        let view = self.views.stand(cohort).view;
        let (msg, place) = released.message(view.is_pattern.then_some(&*view.text));
        Rc::from(self.frames.text(|out| encode::msg_at(out, &msg, place)))
    }

    /// What a cohort holds that came since, as messages of their own: for one who leaves it.
    pub(crate) fn held_since(&mut self, index: u32, since: u64) -> Vec<Past> {
        let mut held = Vec::new();
        let stand = self.views.stand(index);
        let text = Rc::clone(&stand.view.text);
        let Some(operator) = &stand.cohort.operator else {
            return Vec::new();
        };
        operator.held_since(since, &mut held);
        if let Some(batch) = stand.cohort.acting.batch {
            return self.held_in_batches(&text, batch, held);
        }
        let past = |one: Released| {
            let frame = self.encode_released(index, &one);
            Past {
                offset: one.position(),
                mono_ns: one.publication.mono_ns,
                bytes: frame.len() as u32,
                frame,
                seat: Seat::default(),
            }
        };
        held.into_iter().map(past).collect()
    }

    fn held_in_batches(
        &mut self,
        text: &str,
        limits: pubsub_wire::value::Batch,
        held: Vec<Released>,
    ) -> Vec<Past> {
        const NOW: Now = Now {
            mono_ns: 0,
            wall_us: 0,
        };
        let mut open = Open::new(limits);
        let mut closed = crate::operator::Closed::new();
        let mut item = Vec::new();
        for one in held {
            item.clear();
            write_item(&mut item, &one);
            if open.is_full_for(text, item.len()) {
                closed.extend(open.close(text, &mut self.frames));
            }
            if open.push(NOW, text, one, &item) {
                closed.extend(open.close(text, &mut self.frames));
            }
        }
        closed.extend(open.close(text, &mut self.frames));
        let past = |(_, entry): (Released, NewEntry)| Past {
            offset: entry.offset,
            mono_ns: entry.mono_ns,
            frame: entry.frame,
            seat: entry.seat,
            bytes: entry.bytes,
        };
        closed.into_iter().map(past).collect()
    }

    /// All that rates and batches of a view hold goes into the rings: what follows is of another kind.
    pub(crate) fn flush_view(&mut self, now: Now, view: u32) {
        for index in self.views.get(view).derived.clone() {
            self.flush_cohort(now, index);
        }
    }

    fn flush_cohort(&mut self, now: Now, index: u32) {
        let mut released = std::mem::take(&mut self.released);
        if let Some(operator) = self
            .views
            .find_cohort(index)
            .and_then(|c| c.operator.as_mut())
        {
            operator.flush_rate(&mut released);
            self.release(now, index, &mut released);
            self.close_batch(index);
            self.after_release(now, index);
        }
        self.released = released;
    }

    /// The next deadline of any operator.
    pub(crate) fn cohorts_due_ns(&self) -> u64 {
        self.cohort_timers.next().unwrap_or(u64::MAX)
    }

    /// Lets operators do what is due.
    pub(crate) fn on_cohorts_due(&mut self, now: Now) {
        while let Some(index) = self.cohort_timers.pop(now.mono_ns) {
            let mut released = std::mem::take(&mut self.released);
            if let Some(operator) = &mut self.views.cohort_mut(index).operator {
                operator.handle_timeout(now, &mut released);
            }
            self.release(now, index, &mut released);
            self.released = released;
            if self.open_batch(index).is_some_and(|o| o.is_due(now)) {
                self.close_batch(index);
            }
            self.after_release(now, index);
            self.arm_cohort(index);
        }
    }

    fn arm_cohort(&mut self, index: u32) {
        let Some(cohort) = self.views.find_cohort(index) else {
            return;
        };
        if let Some(due) = cohort.operator.as_ref().and_then(|o| o.due_ns()) {
            self.cohort_timers.arm(index, due);
        }
    }

    /// To be called wherever more may be held than before: something came, or a ring let go of what is then held twice, as pinned and
    /// as the newest of its key. When memory is short, the oldest entries of all rings leave, whoever needs them, until an eighth is free again.
    pub(crate) fn mind_memory(&mut self) {
        let budget = self.config.ring_bytes as u64;
        let is_short = self.stats.ring_bytes + self.partials.bytes() > budget;
        if !is_short || std::mem::replace(&mut self.minding, true) {
            return;
        }
        let goal = (budget / 8 * 7).saturating_sub(self.partials.bytes());
        while self.stats.ring_bytes > goal && (self.take_oldest() || self.flush_largest()) {}
        if self.stats.ring_bytes + self.partials.bytes() > budget {
            self.end_longest_blocked(budget / 8 * 7);
        }
        self.minding = false;
    }

    /// Takes the oldest entries out of the ring that has them. `false`: no ring has any.
    fn take_oldest(&mut self) -> bool {
        let oldest = self.views.cohorts();
        let oldest = oldest.filter_map(|(i, c)| Some((c.oldest_ns()?, i))).min();
        let Some((_, index)) = oldest else {
            return false;
        };
        // A batch at a time, so that the search for the oldest is not made for every entry.
        for _ in 0..64 {
            if !self.views.cohort_mut(index).pop_oldest() {
                break;
            }
        }
        self.count_bytes(index);
        self.keep_survivors(index);
        true
    }

    /// Rings hold nothing any more: what the operator that holds most has is released before its time.
    fn flush_largest(&mut self) -> bool {
        let held = |c: &Cohort| c.operator.as_ref().map_or(0, |o| o.held_bytes());
        let largest = self.views.cohorts().map(|(i, c)| (held(c), i)).max();
        let Some((_, index)) = largest.filter(|(bytes, _)| *bytes > 0) else {
            return false;
        };
        self.flush_cohort(self.now, index);
        true
    }

    /// Rings hold nothing any more: those whose sockets have refused for longest give back the frames that wait for them.
    fn end_longest_blocked(&mut self, goal: u64) {
        let mut blocked: Vec<(u64, u32)> = (self.sessions.iter())
            .filter(|(_, s)| s.partial.is_some())
            .map(|(i, s)| (s.blocked_ns, i as u32))
            .collect();
        blocked.sort_unstable();
        for (_, session) in blocked {
            if self.stats.ring_bytes + self.partials.bytes() <= goal {
                return;
            }
            self.stats.closed_slow += 1;
            self.end(session, CloseHow::Hard, pubsub_wire::close::SLOW_CONSUMER);
        }
    }

    /// Conflating cursors that were overtaken though their sockets take go on among the newest of each key.
    fn keep_survivors(&mut self, index: u32) {
        let cohort = self.views.cohort_mut(index);
        if cohort.compact.is_none() {
            return;
        }
        for at in 0..cohort.members.len() {
            let subscription = &mut self.subscriptions[cohort.members[at] as usize];
            // To those who were not overtaken this changes nothing.
            if subscription.held.is_some() {
                lift(subscription, cohort);
                place(subscription, cohort);
            }
        }
    }
}
