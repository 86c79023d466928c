//! Events of the hub: publications, answers, and its comings and goings.

use std::rc::Rc;

use pubsub_wire::encode;

use crate::calls::Answer;
use crate::config::Now;
use crate::engine::Engine;
use crate::history::Step;
use crate::hub::{EntryRef, HubEvent, HubRequest};
use crate::ring::{Kind, Mark};
use crate::subscription::Stage;

impl Engine {
    /// One event of the hub, in the order of its stream.
    pub fn handle_hub(&mut self, now: Now, event: HubEvent<'_>) {
        self.now = now;
        match event {
            HubEvent::Hello { epoch, position } => self.on_hello(epoch, position),
            HubEvent::Entry(entry) => self.on_entry(now, &entry),
            HubEvent::Position { position } => self.hub.position = position,
            HubEvent::Watched { view, position } => self.on_watched(now, view, position),
            HubEvent::Lost {
                view,
                from,
                to,
                count,
            } => self.on_lost(now, view, (from, to), count),
            HubEvent::Slice { head, entries } => self.on_slice(now, head, entries),
            HubEvent::ReadFailed { request, why } => self.on_read_failed(now, request, &why),
            HubEvent::Published { request, offset } => self.on_published(request, offset),
            HubEvent::PublishFailed { request, why } => self.on_publish_failed(request, &why),
            HubEvent::Replied { request, result } => {
                self.handle_answer(now, request, Answer::Result(result));
            }
            HubEvent::CallFailed { request, why } => {
                self.handle_answer(now, request, Answer::Failed(why));
            }
        }
    }

    /// The link to the hub is gone.
    pub fn handle_hub_down(&mut self, now: Now) {
        self.hub.up = false;
        let position = self.hub.position;
        self.views.renumber(|view| {
            if view.watched {
                view.told = view.told.max(position);
            }
            view.watched = false;
        });
        for key in self.reads.reset() {
            // Those that read history ask again when their view is confirmed; those that wait to begin, likewise.
            let Some(index) = self.subscription_index(key) else {
                continue;
            };
            let Some(extra) = &mut self.subscriptions[index as usize].extra else {
                continue;
            };
            if let Some(history) = &mut extra.history {
                history.step = Step::Queued;
            }
            if let Some(opening) = &mut extra.opening {
                opening.asked = false;
            }
        }
        self.fail_publishes();
        self.fail_calls(now);
    }

    fn on_hello(&mut self, epoch: &str, position: i64) {
        self.hub.up = true;
        self.hub.position = position;
        if *self.hub.epoch != *epoch {
            self.hub.epoch = Rc::from(epoch);
        }
        let requests = &mut self.hub.requests;
        self.views.renumber(|view| {
            view.watched = false;
            requests.push_back(HubRequest::Watch {
                view: view.id,
                text: view.text.to_string(),
            });
        });
        requests.push_back(HubRequest::Resume);
    }

    fn on_watched(&mut self, now: Now, id: u32, position: i64) {
        let Some(index) = self.views.by_id(id) else {
            return;
        };
        self.hub.position = self.hub.position.max(position);
        let epoch = Rc::clone(&self.hub.epoch);
        let view = self.views.get_mut(index);
        view.watched = true;
        let before = std::mem::replace(&mut view.told, position);
        view.told_ns = now.mono_ns;
        if !view.begun {
            view.begun = true;
            view.epoch = epoch;
            for cohort in view.cohorts().collect::<Vec<u32>>() {
                self.views.cohort_mut(cohort).ring.begin(position);
            }
        } else if view.epoch != epoch {
            self.begin_epoch(now, index, before, position);
        } else if position != before {
            self.flush_view(now, index);
            self.push_mark(now, index, Kind::LostUncounted, (before, position), None);
        }
        self.open_waiting(now, index);
        self.ask();
    }

    /// The log of a view began anew: everybody is told where it stands, and goes on from there.
    fn begin_epoch(&mut self, now: Now, index: u32, before: i64, position: i64) {
        self.flush_view(now, index);
        let epoch = Rc::clone(&self.hub.epoch);
        let Some(view) = self.views.find_by_index(index) else {
            return;
        };
        let old = std::mem::replace(&mut view.epoch, epoch);
        self.stats.gaps_epoch += u64::from(view.subscriptions);
        // History of the former epoch is gone: its readers finish the slice they have and then meet the mark.
        let plain = view.plain;
        let readers: Vec<u32> = (self.views.cohort(plain).members.iter().copied())
            .filter(|m| self.subscriptions[*m as usize].stage == Stage::History)
            .collect();
        for reader in &readers {
            self.join_at_head(*reader);
        }
        let keys: Vec<_> = readers.iter().map(|r| self.key(*r)).collect();
        self.push_mark(now, index, Kind::Epoch, (before, position), Some(&old));
        for key in keys {
            let Some(reader) = self.subscription_index(key) else {
                continue;
            };
            let session = self.subscriptions[reader as usize].session;
            self.next_step(now, reader);
            if self.subscription_index(key).is_some() {
                self.queue(session);
            }
        }
    }

    fn on_lost(&mut self, now: Now, id: u32, span: (i64, i64), count: Option<u64>) {
        let watched = |i: &u32| self.views.get(*i).watched;
        let Some(index) = self.views.by_id(id).filter(watched) else {
            return;
        };
        let (from, to) = span;
        self.views.get_mut(index).told = to;
        let kind = count.map_or(Kind::LostUncounted, Kind::Lost);
        self.flush_view(now, index);
        self.push_mark(now, index, kind, (from - 1, to), None);
    }

    /// Something that is no publication goes into all rings of a view.
    fn push_mark(
        &mut self,
        now: Now,
        index: u32,
        kind: Kind,
        span: (i64, i64),
        epoch: Option<&Rc<str>>,
    ) {
        // What was flushed before may have cost the last session its life, and the view with it.
        let Some(view) = self.views.find_by_index(index) else {
            return;
        };
        for cohort in view.cohorts().collect::<Vec<u32>>() {
            let stand = self.views.stand(cohort);
            let operator = stand.cohort.operator.as_ref();
            let mark = Mark {
                ordinal: stand.cohort.ring.head(),
                kind,
                before: span.0,
                after: span.1,
                epoch: epoch.cloned(),
                seen: operator.map_or(0, |o| o.seen),
                filtered: operator.map_or(0, |o| o.filtered),
            };
            let gap = stand.gap_of(&mark);
            let text = &stand.view.text;
            let frame: Rc<[u8]> = Rc::from(self.frames.text(|out| encode::gap(out, text, &gap)));
            self.views
                .cohort_mut(cohort)
                .ring
                .push_mark(mark, now.mono_ns, frame);
            self.trim(cohort);
            self.mark_dirty(cohort);
        }
        self.mind_memory();
    }

    /// Lets those begin who waited for the view to be confirmed, and those ask who read on.
    fn open_waiting(&mut self, now: Now, index: u32) {
        // What the mark cost in memory may have been the last session's life, and the view with it.
        let Some(plain) = self.views.find_by_index(index).map(|v| v.plain) else {
            return;
        };
        let waiting: Vec<_> = (self.views.cohort(plain).members.iter().copied())
            .filter(|m| self.subscriptions[*m as usize].stage != Stage::Ring)
            .map(|m| self.key(m))
            .collect();
        for key in waiting {
            let Some(member) = self.subscription_index(key) else {
                continue;
            };
            match self.subscriptions[member as usize].stage {
                Stage::Opening => self.open(now, member),
                Stage::History => self.reads.queue(key),
                Stage::Ring => {}
            }
        }
    }

    fn on_entry(&mut self, now: Now, entry: &EntryRef<'_>) {
        self.hub.position = entry.offset;
        let mut route = std::mem::take(&mut self.route);
        self.views.route(entry.topic, &mut route);
        for index in &route {
            self.append(now, *index, entry);
        }
        self.route = route;
    }
}
