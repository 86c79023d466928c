//! A worker's cursor that is behind the head: how it goes on, and what it is told when retention was faster.
//!
//! Owns the live stream of a lagging worker. Must not contain: history on request (that is `read`). Driven by the core's turns.
//!
//! Of what leaves the log before a cursor has reached it, each interest counts its own. When the cursor comes to the hole, every
//! interest that lost something is told: exactly, if nothing of it can be missing further on, which is always so unless its
//! topics are kept by different rules.
use super::core::Hub;
use super::log::{Gone, Log, Scope};
use super::worker::{Parked, WorkerId};
use pubsub_stream::hub::HubEvent;
use std::ops::ControlFlow;

impl<L: Log> Hub<L> {
    /// Goes on with a worker that is behind. `true`: only the turn's budget stopped it.
    pub(super) fn catch_up(&mut self, id: WorkerId) -> bool {
        let mut scan = self.settings.scan_entries;
        while let Some(cursor) = self.workers[id.index()].lag {
            self.unpark(id, cursor);
            let worker = &mut self.workers[id.index()];
            if cursor == self.log.head() {
                worker.lag = None;
            } else if worker.is_full() {
                return false;
            } else if scan == 0 {
                return true;
            } else if cursor < self.log.floor() {
                scan -= 1;
                self.step_over_hole(id, cursor);
            } else {
                let stop = worker.parked_at().unwrap_or(i64::MAX).min(self.log.head());
                self.copy_entries(id, cursor, stop, &mut scan);
            }
        }
        false
    }

    /// Entries have left below: the next one held may not be the next one there was.
    fn step_over_hole(&mut self, id: WorkerId, cursor: i64) {
        let next = self.log.first_after(cursor).unwrap_or(self.log.head() + 1);
        if next == cursor + 1 {
            self.copy_entries(id, cursor, next, &mut 1);
            return;
        }
        self.workers[id.index()].lag = Some(next - 1);
        self.unpark(id, next - 1);
        self.tell_lost(id, cursor, next - 1);
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

    /// An entry has left the log: its views' history begins later, and who had not read it has lost it.
    pub(super) fn note_gone(&mut self, gone: Gone) {
        let Gone { topic, offset } = gone;
        for at in 0..self.interest.of_topic(topic).len() {
            let id = self.interest.of_topic(topic)[at];
            let view = self.interest.view_mut(id);
            view.floor = offset.max(view.floor);
            view.left += 1;
            for watcher in &mut view.watchers {
                let worker = &mut self.workers[watcher.worker.index()];
                if watcher.since >= offset || worker.lag.is_none_or(|cursor| cursor >= offset) {
                    continue;
                }
                if watcher.lost == 0 {
                    worker.overtaken.push((id, watcher.id));
                }
                watcher.lost += 1;
                self.counters.lost_entries += u64::from(worker.lost != offset);
                worker.lost = offset;
            }
        }
    }
}
