//! The hub as a pure state machine: numbering, interest, newest values, and one cursor per worker.
//!
//! Owns the order of things. Must not contain: a socket, a clock, a task or randomness; every input takes `now`. Driven by
//! [`drive`](super::drive), and by tests that stand in for it.
//!
//! - inputs: [`handle_join`](Hub::handle_join), [`handle_request`](Hub::handle_request), [`publish`](Hub::publish),
//!   [`handle_leave`](Hub::handle_leave), and [`tick`](Hub::tick) a few times a second;
//! - after a batch of inputs one [`turn`](Hub::turn): what was numbered is in the log, retention acts, workers that are behind go
//!   on, history is read. It says whether there is more to do at once;
//! - outputs: [`poll_write`](Hub::poll_write) names a worker with bytes to send, [`take`](Hub::take) hands them out,
//!   [`give_back`](Hub::give_back) takes the buffer back.
//!
//! Laws:
//! - A publication is numbered, becomes its key's newest value and is copied to every worker at the head that wants it in one call.
//! - What a worker is sent of one view is: everything after its `Watched`, once, in log order, with `Lost` in the place of what
//!   retention took before.
//! - A turn's work per worker is bounded, whatever is asked.
//! - Nothing leaves of what the log has not committed; after a log has failed nothing leaves at all. Who is told that a publication
//!   or an order is in the log is told so once the log says it may be.
use super::entry::{Entry, Publication};
use super::held::{Answer, HeldBack};
use super::interest::{Interest, ViewId, Watcher};
use super::log::{Gone, Held, Log, LogFailed};
use super::newest::NewestTable;
use super::quoted::Quoted;
use super::read::Read;
use super::restore::Restoring;
use super::save::Save;
use super::settings::{Counters, Refused, Settings, Violation};
use super::topics::{TopicId, Topics};
use super::worker::{Parked, Worker, WorkerId};
use crate::link::CallRef;
use crate::orders::desk::Desk;
use pubsub_stream::Now;
use pubsub_stream::hub::{HubEvent, HubRequest, Refusal};
use pubsub_wire::topic::{check_subscription, check_topic};
use slab::Slab;

/// See the module.
#[derive(Debug)]
pub struct Hub {
    pub(super) log: Box<dyn Log>,
    pub(super) settings: Settings,
    pub(super) topics: Topics,
    pub(super) interest: Interest,
    pub(super) newest: NewestTable,
    pub(super) quoted: Quoted,
    pub(super) workers: Slab<Worker>,
    pub(super) counters: Counters,
    pub(super) desk: Option<Desk>,
    /// Workers with output that nobody has been told of.
    writable: Vec<WorkerId>,
    /// Scratch of `retain`.
    gone: Vec<Gone>,
    /// Scratch of reads.
    pub(super) found: Vec<Held>,
    /// Answers that the log is not ready for.
    pub(super) held_back: HeldBack,
    /// What is being read for newest values and orders; `None`: all are there.
    pub(super) restoring: Option<Restoring>,
    /// The checkpoint that is being filled.
    pub(super) save: Option<Save>,
    failed: Option<LogFailed>,
}

impl Hub {
    /// A hub over `log`, which is empty or has been recovered.
    pub fn new(mut log: impl Log + 'static, settings: Settings) -> Self {
        let mut hub = Self {
            restoring: (log.head() > 0).then(|| Restoring::begin(&mut log)),
            save: None,
            log: Box::new(log),
            settings,
            topics: Topics::new(settings.topics_max),
            interest: Interest::default(),
            newest: NewestTable::new(settings.keys_max),
            quoted: Quoted::default(),
            workers: Slab::new(),
            counters: Counters::default(),
            desk: None,
            writable: Vec::new(),
            gone: Vec::new(),
            found: Vec::new(),
            held_back: HeldBack::default(),
            failed: None,
        };
        for name in hub.log.recovered() {
            let topic = hub.topics.insert_recovered(&name);
            hub.enter_topic(topic, &name);
        }
        hub
    }

    /// The log.
    pub fn log(&self) -> &dyn Log {
        &*self.log
    }

    /// Topics that something is known of.
    pub fn topics(&self) -> usize {
        self.topics.len()
    }

    /// Keys whose newest value is kept.
    pub fn keys(&self) -> usize {
        self.newest.len()
    }

    /// Workers linked.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    /// What has happened so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A worker has said who it is, and up to which position of which epoch its stream had come, if it had one; `Hello` waits for it. Where
    /// the log has that position the stream goes on behind it, as soon as the worker has said what it watches.
    pub fn handle_join(&mut self, now: Now, reached: Option<(&str, i64)>) -> WorkerId {
        let (epoch, head) = (self.log.epoch(), self.log.head());
        let reached = reached
            .filter(|(of, position)| *of == epoch && (0..=head).contains(position))
            .map(|(_, position)| position);
        let begin = reached.unwrap_or(head);
        let mut worker = Worker::join(self.settings.outbox_bytes, now.mono_ns, epoch, begin);
        if reached.is_some() {
            worker.lag = Some(begin);
            worker.is_waiting = true;
        }
        let id = WorkerId(self.workers.insert(worker) as u32);
        self.announce(id);
        id
    }

    /// A worker's link has ended; everything of it is forgotten.
    pub fn handle_leave(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.try_remove(id.index()) else {
            return;
        };
        self.held_back.forget(id);
        for (number, view) in worker.views {
            self.leave_view(view, id, number);
        }
    }

    /// One request of a worker, in the order of its link; how many topics had to be looked at for it, so that who drives can
    /// end a batch of many costly ones. Publications go to [`handle_publish`](Hub::handle_publish), calls to
    /// [`handle_call`](Hub::handle_call).
    pub fn handle_request(
        &mut self,
        now: Now,
        id: WorkerId,
        request: HubRequest,
    ) -> Result<usize, Violation> {
        match request {
            HubRequest::Watch { view, text } => return self.on_watch(id, view, &text),
            HubRequest::Unwatch { view } => self.on_unwatch(id, view),
            HubRequest::Resume => self.workers[id.index()].is_waiting = false,
            HubRequest::Read {
                request,
                view,
                start,
                budget_bytes,
            } => {
                self.on_read(id, Read::new(request, view, start, budget_bytes));
            }
            HubRequest::Publish {
                request,
                topic,
                key,
                data,
            } => {
                let publication = Publication {
                    topic: &topic,
                    key: key.as_deref(),
                    data: &data,
                };
                self.handle_publish(now, id, request, &publication);
            }
            HubRequest::Call {
                request,
                deadline_ns,
                bytes,
            } => {
                let call = CallRef {
                    request,
                    deadline_ns,
                    bytes: &bytes,
                };
                self.handle_call(now, id, &call)?;
            }
        }
        Ok(0)
    }

    /// A worker's publication; `request` 0 wants no answer.
    pub fn handle_publish(
        &mut self,
        now: Now,
        id: WorkerId,
        request: u64,
        publication: &Publication<'_>,
    ) {
        let outcome = self.publish(now, publication);
        let Some(worker) = self.workers.get_mut(id.index()) else {
            return;
        };
        match outcome {
            _ if request == 0 => {}
            Ok(offset) if offset > self.log.acknowledged() => {
                worker.held_back += 1;
                let answer = Answer::Published { request, offset };
                self.held_back.push(offset, id, answer);
            }
            Ok(offset) => worker.send(HubEvent::Published { request, offset }),
            Err(refused) => {
                let message = refused.to_string();
                let why = Refusal {
                    code: refused.code(),
                    message: &message,
                    retry_after_ms: refused.retry_after_ms(),
                };
                worker.send(HubEvent::PublishFailed { request, why });
            }
        }
    }

    /// Numbers a publication and delivers it; its offset.
    pub fn publish(&mut self, now: Now, publication: &Publication<'_>) -> Result<i64, Refused> {
        let topic = match self.admit(now, publication) {
            Ok(topic) => topic,
            Err(refused) => {
                self.counters.refused += 1;
                self.counters.no_room += u64::from(matches!(refused, Refused::NoRoom(_)));
                return Err(refused);
            }
        };
        let entry = self.log.append(now, topic, publication);
        let offset = entry.offset();
        self.counters.published += 1;
        self.counters.published_bytes += publication.data.len() as u64;
        for &view in self.interest.of_topic(topic) {
            for watcher in &self.interest.view(view).watchers {
                self.workers[watcher.worker.index()].push_new(offset, entry.bytes());
            }
        }
        if !self.is_restoring() {
            self.note_newest(topic, &entry);
            self.on_numbered(now, publication);
        }
        Ok(offset)
    }

    /// An entry is its key's newest value.
    pub(super) fn note_newest(&mut self, topic: TopicId, entry: &Entry) {
        if let Some(left) = self.newest.insert(topic, entry) {
            self.interest.note_newest_left(left.topic, left.offset);
            self.forget_if_idle(left.topic);
        }
    }

    /// The bounded work after a batch of inputs. `true`: there is more to do without any further input.
    pub fn turn(&mut self, now: Now) -> bool {
        if self.failed.is_some() {
            return false;
        }
        // Before the commit: orders that go on are reported.
        let mut more = self.restore_some(now);
        self.failed = self.log.commit(now).err();
        if self.failed.is_some() {
            self.counters.log_failures += 1;
            return false;
        }
        self.answer_held_back();
        more |= self.save_some(now);
        self.retain(now);
        for index in 0..self.workers.capacity() {
            if !self.workers.contains(index) {
                continue;
            }
            let id = WorkerId(index as u32);
            more |= self.catch_up(id);
            more |= self.serve_reads(id);
            let head = self.log.head();
            self.workers[index].end_run(now.mono_ns, head);
            self.announce(id);
        }
        more
    }

    /// Time has passed: what depends on it without any input acts. To be followed by a turn.
    pub fn tick(&mut self, now: Now) {
        let head = self.log.head();
        for (_, worker) in &mut self.workers {
            worker.tick(now.mono_ns, head);
        }
    }

    /// Why nothing is answered and delivered any more: the log has failed.
    pub fn failed(&self) -> Option<&LogFailed> {
        self.failed.as_ref()
    }

    /// A worker with bytes to send; each is named once until its bytes are taken. One that has left since then has none.
    pub fn poll_write(&mut self) -> Option<WorkerId> {
        self.writable.pop()
    }

    /// The bytes to send to a worker, and whether a turn would find more for it now.
    pub fn take(&mut self, id: WorkerId) -> (Vec<u8>, bool) {
        match self.workers.get_mut(id.index()) {
            Some(_) if self.failed.is_some() => (Vec::new(), false),
            Some(worker) => (
                worker.take(),
                worker.lag.is_some() || !worker.reads.is_empty(),
            ),
            None => (Vec::new(), false),
        }
    }

    /// A buffer from [`take`](Hub::take) whose bytes have been sent.
    pub fn give_back(&mut self, id: WorkerId, sent: Vec<u8>) {
        if let Some(worker) = self.workers.get_mut(id.index()) {
            worker.give_back(sent);
        }
    }

    /// Whether this worker's requests should be read: not while too much already waits for it.
    pub fn wants_input(&self, id: WorkerId) -> bool {
        self.workers
            .get(id.index())
            .is_some_and(|worker| worker.wants_input(self.settings.waiting_max))
    }

    /// Names a worker that has something to send.
    pub(super) fn announce(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get_mut(id.index()) else {
            return;
        };
        if worker.has_output() && !worker.announced {
            worker.announced = true;
            self.writable.push(id);
        }
    }

    /// Checks a publication and finds or makes its topic.
    fn admit(&mut self, now: Now, publication: &Publication<'_>) -> Result<TopicId, Refused> {
        let limits = &self.settings.limits;
        let Publication { topic, key, data } = publication;
        if let Some(bytes) = key.map(str::len).filter(|&bytes| bytes > limits.key_bytes) {
            return Err(Refused::Key {
                bytes,
                max: limits.key_bytes,
            });
        }
        if data.len() > limits.frame_bytes {
            return Err(Refused::Data {
                bytes: data.len(),
                max: limits.frame_bytes,
            });
        }
        let known = self.topics.find(topic);
        if known.is_none() {
            check_topic(topic, limits)?;
        }
        let bytes = topic.len() + key.map_or(0, str::len) + data.len();
        self.log.check_room(now, known, topic, bytes)?;
        if let Some(topic) = known {
            return Ok(topic);
        }
        let id = self.topics.insert(topic)?;
        self.enter_topic(id, topic);
        Ok(id)
    }

    /// A topic has got its number.
    pub(super) fn enter_topic(&mut self, id: TopicId, name: &str) {
        self.log.add_topic(id, name);
        self.interest.add_topic(id, name);
    }

    fn on_watch(&mut self, id: WorkerId, number: u32, text: &str) -> Result<usize, Violation> {
        check_subscription(text, &self.settings.limits).map_err(Violation::BadText)?;
        if self.workers[id.index()].views.contains_key(&number) {
            return Err(Violation::ViewTaken(number));
        }
        let log = &self.log;
        let floor_of = |topic: Option<TopicId>| {
            topic.map_or_else(|| log.forgotten_floor(), |topic| log.topic_floor(topic))
        };
        let (view, looked_at) = self.interest.enter(text, &self.topics, floor_of);
        let worker = &mut self.workers[id.index()];
        let goes_on = worker.lag.filter(|_| worker.is_waiting);
        let since = goes_on.unwrap_or(self.log.head());
        let of = self.interest.view_mut(view);
        // What has left since the worker was here before is lost, nobody knows how much.
        let misses = of.floor > since;
        of.watchers.push(Watcher {
            worker: id,
            id: number,
            since,
            lost: u64::from(misses),
            vague: misses,
        });
        worker.views.insert(number, view);
        if misses {
            worker.overtaken.push((view, number));
        }
        if worker.lag.is_some() && goes_on.is_none() {
            worker.park(since, Parked::Watched(number));
        } else {
            worker.send(HubEvent::Watched {
                view: number,
                position: since,
            });
        }
        Ok(looked_at)
    }

    /// Tells who has waited for it that it is in the log.
    fn answer_held_back(&mut self) {
        let acknowledged = self.log.acknowledged();
        while let Some((id, answer)) = self.held_back.pop(acknowledged) {
            if let Some(worker) = self.workers.get_mut(id.index()) {
                worker.held_back -= 1;
                worker.send(answer.event());
            }
        }
    }

    fn on_unwatch(&mut self, id: WorkerId, number: u32) {
        let worker = &mut self.workers[id.index()];
        let Some(view) = worker.views.remove(&number) else {
            return;
        };
        for read in worker.drop_waiting(number) {
            worker.send(read.unanswerable());
        }
        worker
            .overtaken
            .retain(|&(_, overtaken)| overtaken != number);
        self.leave_view(view, id, number);
    }

    fn on_read(&mut self, id: WorkerId, read: Read) {
        let worker = &mut self.workers[id.index()];
        if worker.views.contains_key(&read.view) {
            worker.reads.push_back(read);
        } else {
            worker.send(read.unanswerable());
        }
    }

    fn leave_view(&mut self, view: ViewId, id: WorkerId, number: u32) {
        let watchers = &mut self.interest.view_mut(view).watchers;
        watchers.retain(|watcher| (watcher.worker, watcher.id) != (id, number));
        if watchers.is_empty() {
            for topic in self.interest.leave(view) {
                self.forget_if_idle(topic);
            }
        }
    }

    /// Retention acts; who had not read what goes is noted. What is still to be read for the newest values stays until it has been.
    fn retain(&mut self, now: Now) {
        if self.is_restoring() {
            return;
        }
        let mut gone = std::mem::take(&mut self.gone);
        self.log.retain(now, &mut gone);
        self.counters.evicted += gone.iter().map(|gone| gone.entries).sum::<u64>();
        for gone in gone.drain(..) {
            self.note_gone(gone);
            self.forget_if_idle(gone.topic);
        }
        self.gone = gone;
    }

    /// A topic without entries, newest value and interest is forgotten.
    pub(super) fn forget_if_idle(&mut self, topic: TopicId) {
        let idle = self.interest.of_topic(topic).is_empty()
            && !self.newest.has(topic)
            && self.log.topic_entries(topic) == 0;
        if idle {
            self.topics.remove(topic);
            self.log.forget_topic(topic);
        }
    }
}
