//! Events of the hub: publications, answers, and its comings and goings.

use std::rc::Rc;

use pubsub_wire::encode;
use pubsub_wire::encode::MsgView;

use crate::config::Now;
use crate::cursor::{lift, place};
use crate::engine::Engine;
use crate::history::Step;
use crate::hub::{EntryRef, HubEvent, HubRequest};
use crate::ring::Kind;
use crate::subscription::Stage;

impl Engine {
    /// One event of the hub, in the order of its stream.
    pub fn handle_hub(&mut self, now: Now, event: HubEvent<'_>) {
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
            HubEvent::Slice { head, entries } => self.on_slice(head, entries),
            HubEvent::ReadFailed { request, why } => self.on_read_failed(request, &why),
            HubEvent::Published { request, offset } => self.on_published(request, offset),
            HubEvent::PublishFailed { request, why } => self.on_publish_failed(request, &why),
        }
    }

    /// The link to the hub is gone.
    pub fn handle_hub_down(&mut self, _now: Now) {
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
            if let Some(index) = self.subscription_index(key)
                && let Some(history) = self.subscriptions[index as usize].history_mut()
            {
                history.step = Step::Queued;
            }
        }
        self.fail_publishes();
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
            view.ring.begin(position);
        } else if view.epoch != epoch {
            self.begin_epoch(now, index, before, position);
        } else if position != before {
            self.push_lost(now, index, (before, position), Kind::LostUncounted);
        }
        self.open_waiting(index);
        self.ask();
    }

    /// The log of a view began anew: everybody is told where it stands, and goes on from there.
    fn begin_epoch(&mut self, now: Now, index: u32, before: i64, position: i64) {
        let epoch = Rc::clone(&self.hub.epoch);
        let view = self.views.get_mut(index);
        let old = std::mem::replace(&mut view.epoch, epoch);
        self.stats.gaps_epoch += view.members.len() as u64;
        // History of the former epoch is gone: its readers finish the slice they have and then meet the mark.
        let readers: Vec<u32> = (view.members.iter().copied())
            .filter(|m| self.subscriptions[*m as usize].stage == Stage::History)
            .collect();
        for reader in &readers {
            self.join_at_head(*reader);
        }
        self.push_mark(now, index, Kind::Epoch, (before, position), Some(old));
        for reader in readers {
            let session = self.subscriptions[reader as usize].session;
            self.next_step(reader);
            self.queue(session);
        }
    }

    /// A reader of history goes on in the ring, at its present head, once it is through with its slice.
    fn join_at_head(&mut self, index: u32) {
        let subscription = &mut self.subscriptions[index as usize];
        let view = self.views.get_mut(subscription.view);
        let Some(history) = subscription.history_mut() else {
            return;
        };
        history.step = Step::Reading;
        if !std::mem::replace(&mut history.joined, true) {
            lift(subscription, view);
            subscription.cursor = view.ring.head();
            place(subscription, view);
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
        self.push_lost(now, index, (from - 1, to), kind);
    }

    fn push_lost(&mut self, now: Now, index: u32, span: (i64, i64), kind: Kind) {
        self.push_mark(now, index, kind, span, None);
    }

    fn push_mark(
        &mut self,
        now: Now,
        index: u32,
        kind: Kind,
        span: (i64, i64),
        epoch: Option<Rc<str>>,
    ) {
        let view = self.views.get_mut(index);
        let mark = crate::ring::Mark {
            ordinal: view.ring.head(),
            kind,
            before: span.0,
            after: span.1,
            epoch,
        };
        let gap = view.gap_of(&mark);
        let frame: Rc<[u8]> = Rc::from(self.frames.text(|out| encode::gap(out, &view.text, &gap)));
        self.stats.ring_bytes += frame.len() as u64;
        view.ring
            .push_mark(kind, span, now.mono_ns, frame, mark.epoch);
        self.stats.ring_bytes -= view.trim();
        self.mark_dirty(index);
    }

    /// Lets those begin who waited for the view to be confirmed, and those ask who read on.
    fn open_waiting(&mut self, index: u32) {
        let waiting: Vec<u32> = (self.views.get(index).members.iter().copied())
            .filter(|m| self.subscriptions[*m as usize].stage != Stage::Ring)
            .collect();
        for member in waiting {
            let Some(subscription) = self.subscriptions.get(member as usize) else {
                continue;
            };
            match subscription.stage {
                Stage::Opening => self.open(member),
                Stage::History
                    if subscription
                        .history()
                        .is_some_and(|h| h.step == Step::Queued) =>
                {
                    let key = self.key(member);
                    self.reads.queue(key);
                }
                Stage::History | Stage::Ring => {}
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

    fn append(&mut self, now: Now, index: u32, entry: &EntryRef<'_>) {
        // A session that an earlier view's entry cost may have taken this view along.
        let Some(view) = self.views.find_by_index(index).filter(|v| v.watched) else {
            return;
        };
        view.told = entry.offset;
        view.told_ns = now.mono_ns;
        if !view.ring.is_wanted() {
            view.ring.skip(entry.offset);
            return;
        }
        let frame = self.encode(index, entry);
        self.stats.ring_bytes += frame.len() as u64;
        let view = self.views.get_mut(index);
        let ordinal = view
            .ring
            .push(entry.offset, entry.mono_ns, Rc::clone(&frame));
        if let Some(compact) = &mut view.compact {
            compact.insert(
                ordinal,
                entry.topic,
                entry.key,
                (entry.offset, entry.mono_ns, &frame),
            );
        }
        self.stats.ring_bytes -= view.trim();
        if view.trips.is_some() {
            self.trip(index);
        }
        if self.views.find_by_index(index).is_some() {
            self.mark_dirty(index);
        }
        if self.stats.ring_bytes > self.config.ring_bytes as u64 {
            self.shrink();
        }
    }

    /// The frame that all subscribers of a view receive for an entry.
    pub(crate) fn encode(&mut self, index: u32, entry: &EntryRef<'_>) -> Rc<[u8]> {
        let view = self.views.get(index);
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

    /// Memory is short: the oldest entries of all rings leave, whoever holds them, until an eighth is free again.
    fn shrink(&mut self) {
        let goal = self.config.ring_bytes as u64 / 8 * 7;
        while self.stats.ring_bytes > goal {
            let oldest = self
                .views
                .iter()
                .filter_map(|(i, v)| Some((v.ring.oldest_ns()?, i)))
                .min();
            let Some((_, index)) = oldest else { return };
            let view = self.views.get_mut(index);
            // A batch at a time, so that the search for the oldest is not made for every entry.
            for _ in 0..64 {
                let Some(bytes) = view.ring.pop() else { break };
                self.stats.ring_bytes -= bytes;
            }
            self.keep_survivors(index);
        }
    }

    /// Conflating cursors that were overtaken though their sockets take go on among the newest of each key.
    fn keep_survivors(&mut self, index: u32) {
        let view = self.views.get_mut(index);
        if view.compact.is_none() {
            return;
        }
        for at in 0..view.members.len() {
            let subscription = &mut self.subscriptions[view.members[at] as usize];
            if subscription.holds && !subscription.waits && subscription.cursor < view.ring.first()
            {
                lift(subscription, view);
                place(subscription, view);
            }
        }
    }
}
