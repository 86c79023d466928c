//! A worker's cursor that is behind the head: how it goes on, and what it is told when retention was faster.
//!
//! Owns the live stream of a lagging worker. Must not contain: history on request (that is `read`). Driven by the core's turns.
//!
//! Of what leaves the log before a cursor has reached it, each interest counts its own. When the cursor comes to the hole, every
//! interest that lost something is told: exactly, if nothing of it can be missing further on, which is always so unless its
//! topics are kept by different rules.
use super::core::Hub;
use super::log::{Gone, Scope};
use super::worker::{Parked, WorkerId};
use pubsub_stream::hub::HubEvent;
use std::ops::ControlFlow;

impl Hub {
    /// Goes on with a worker that is behind. `true`: only the turn's budget stopped it.
    pub(super) fn catch_up(&mut self, id: WorkerId) -> bool {
        let mut scan = self.settings.scan_entries;
        if self.workers[id.index()].is_waiting {
            return false;
        }
        while let Some(cursor) = self.workers[id.index()].lag {
            self.unpark(id, cursor);
            let worker = &mut self.workers[id.index()];
            if cursor == self.log.head() {
                worker.lag = None;
            } else if worker.is_full() {
                return false;
            } else if scan == 0 {
                return true;
            } else if let Some(end) = self.log.hole_at(cursor) {
                scan -= 1;
                self.step_over_damage(id, cursor, end.min(self.log.head()));
            } else if cursor < self.log.floor() {
                scan -= 1;
                self.step_over_left(id, cursor);
            } else {
                let stop = worker.parked_at().unwrap_or(i64::MAX).min(self.log.head());
                self.copy_entries(id, cursor, stop, &mut scan);
            }
        }
        false
    }

    /// Entries have left below: the next one held may not be the next one there was.
    fn step_over_left(&mut self, id: WorkerId, cursor: i64) {
        let next = self.log.first_after(cursor).unwrap_or(self.log.head() + 1);
        if next == cursor + 1 {
            self.copy_entries(id, cursor, next, &mut 1);
            return;
        }
        self.workers[id.index()].lag = Some(next - 1);
        self.unpark(id, next - 1);
        self.tell_lost(id, cursor, next - 1);
    }

    /// What was between here and `upto` can't be read any more: whoever wanted something of it is told that it may be missing.
    fn step_over_damage(&mut self, id: WorkerId, cursor: i64, upto: i64) {
        let worker = &mut self.workers[id.index()];
        worker.lag = Some(upto);
        for (&number, &view) in &worker.views.clone() {
            let since = self
                .interest
                .view(view)
                .watcher(id, number)
                .map_or(upto, |watcher| watcher.since);
            let from = cursor.max(since) + 1;
            if from <= upto {
                self.workers[id.index()].send(HubEvent::Lost {
                    view: number,
                    from,
                    to: upto,
                    count: None,
                });
            }
        }
        self.unpark(id, upto);
    }

    /// Copies what the worker wants of `cursor+1..=upto`, of which nothing has left.
    fn copy_entries(&mut self, id: WorkerId, cursor: i64, upto: i64, scan: &mut usize) {
        let (worker, interest) = (&mut self.workers[id.index()], &self.interest);
        let reached = self.log.read(Scope::All, cursor, upto, scan, &mut |held| {
            if interest.wants(id, held.topic, held.offset) {
                if worker.is_full() {
                    return ControlFlow::Break(());
                }
                worker.push(held.offset, held.entry.bytes());
            }
            ControlFlow::Continue(())
        });
        worker.lag = Some(reached);
    }

    /// What waited for the cursor to reach this position goes on.
    fn unpark(&mut self, id: WorkerId, cursor: i64) {
        let worker = &mut self.workers[id.index()];
        while let Some(parked) = worker.unpark(cursor) {
            match parked {
                Parked::Read(read) => worker.reads.push_back(read),
                Parked::Watched(number) => {
                    let view = worker
                        .views
                        .get(&number)
                        .map(|&view| self.interest.view(view));
                    if let Some(watcher) = view.and_then(|view| view.watcher(id, number)) {
                        let position = watcher.since;
                        worker.send(HubEvent::Watched {
                            view: number,
                            position,
                        });
                    }
                }
            }
        }
    }

    /// The cursor moved over `after+1..=upto`, which has left: says so for every interest that lost something there.
    fn tell_lost(&mut self, id: WorkerId, after: i64, upto: i64) {
        let worker = &mut self.workers[id.index()];
        for (view, number) in std::mem::take(&mut worker.overtaken) {
            let floor = self.interest.view(view).floor;
            let Some(watcher) = self.interest.view_mut(view).watcher_mut(id, number) else {
                continue;
            };
            let from = after.max(watcher.since) + 1;
            let is_last = floor <= upto;
            let to = floor.min(upto);
            if from <= to {
                let count = (is_last && !watcher.vague).then_some(watcher.lost);
                worker.send(HubEvent::Lost {
                    view: number,
                    from,
                    to,
                    count,
                });
                watcher.vague = true;
            }
            if is_last {
                (watcher.lost, watcher.vague) = (0, false);
            } else {
                worker.overtaken.push((view, number));
            }
        }
    }

    /// Entries have left the log: their views' history begins later, and who had not read them has lost them.
    pub(super) fn note_gone(&mut self, gone: Gone) {
        let Gone {
            topic,
            first,
            last,
            entries,
        } = gone;
        for at in 0..self.interest.of_topic(topic).len() {
            let id = self.interest.of_topic(topic)[at];
            let view = self.interest.view_mut(id);
            view.floor = last.max(view.floor);
            view.left += entries;
            for watcher in &mut view.watchers {
                let worker = &mut self.workers[watcher.worker.index()];
                let Some(cursor) = worker.lag.map(|cursor| cursor.max(watcher.since)) else {
                    continue;
                };
                if cursor >= last {
                    continue;
                }
                if watcher.lost == 0 {
                    worker.overtaken.push((id, watcher.id));
                }
                // Of those that leave together, how many the cursor had passed is not known.
                watcher.vague |= cursor >= first;
                watcher.lost += entries;
                if worker.lost != last {
                    self.counters.lost_entries += entries;
                }
                worker.lost = last;
            }
        }
    }
}
