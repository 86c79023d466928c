//! The naive hub: keeps every entry of the present epoch in a vector, and answers as the link's contract says.
use std::collections::{BTreeMap, HashMap, VecDeque};

use pubsub_stream::hub::{
    EntryRef, HubEvent, HubRequest, LostHistory, Refusal, SliceGap, SliceHead, Start,
};
use pubsub_stream::{Engine, Now};
use pubsub_wire::ErrorCode;
use pubsub_wire::topic::matches;
use pubsub_wire::value::Else;

#[derive(Debug, Clone)]
pub struct Entry {
    pub offset: i64,
    pub mono_ns: u64,
    pub topic: String,
    pub key: Option<String>,
    pub data: String,
}

impl Entry {
    pub fn identity(&self) -> (String, Option<String>) {
        (self.topic.clone(), self.key.clone())
    }

    fn lend(&self) -> EntryRef<'_> {
        EntryRef {
            offset: self.offset,
            ts_us: 1,
            mono_ns: self.mono_ns,
            topic: &self.topic,
            key: self.key.as_deref(),
            data: self.data.as_bytes(),
        }
    }
}

/// How a hub begins that has been linked to.
pub enum Greeting {
    Resumes,
    FromHead,
}

/// What stands in the worker's stream at a position.
enum Placed {
    Watched(u32),
    Read(u32, u32, Start),
}

pub struct Hub {
    pub epoch: String,
    epochs: u64,
    /// Everything ever numbered in this epoch; what retention took is before `first`.
    pub log: Vec<Entry>,
    first: usize,
    /// The worker has been sent everything up to this index.
    cursor: usize,
    watched: HashMap<u32, (String, i64)>,
    placed: VecDeque<(i64, Placed)>,
    published: VecDeque<(u64, i64)>,
    pub up: bool,
    /// The stream stands until everything is watched again.
    resuming: bool,
}

pub fn covers(text: &str, topic: &str) -> bool {
    text == topic || matches(text, topic)
}

impl Hub {
    pub fn new() -> Self {
        Self {
            epoch: "e1".into(),
            epochs: 1,
            log: Vec::new(),
            first: 0,
            cursor: 0,
            watched: HashMap::new(),
            placed: VecDeque::new(),
            published: VecDeque::new(),
            up: false,
            resuming: false,
        }
    }

    pub fn head(&self) -> i64 {
        self.log.last().map_or(0, |e| e.offset)
    }

    fn position(&self) -> i64 {
        if self.cursor == 0 {
            0
        } else {
            self.log[self.cursor - 1].offset
        }
    }

    pub fn append(&mut self, now: Now, topic: &str, key: Option<&str>, data: &str) -> i64 {
        // Offsets of one view may skip: other topics take them.
        let offset = self.head() + 1;
        let (topic, key, data) = (topic.to_owned(), key.map(str::to_owned), data.to_owned());
        self.log.push(Entry {
            offset,
            mono_ns: now.mono_ns,
            topic,
            key,
            data,
        });
        offset
    }

    /// It greets: from the head on, or from where the engine has come to, if there is such a place.
    pub fn connect(&mut self, now: Now, engine: &mut Engine, greeting: Greeting) {
        self.up = true;
        let reached = engine
            .hub_position()
            .filter(|(epoch, position)| *epoch == self.epoch && *position <= self.head());
        self.cursor = match (greeting, reached) {
            (Greeting::Resumes, Some((_, position))) => {
                self.resuming = true;
                self.log.partition_point(|e| e.offset <= position)
            }
            _ => self.log.len(),
        };
        let position = self.position();
        engine.handle_hub(
            now,
            HubEvent::Hello {
                epoch: &self.epoch,
                position,
            },
        );
    }

    /// It dies: its memory is gone and so is the link.
    pub fn restart(&mut self, now: Now, engine: &mut Engine) {
        self.epochs += 1;
        let epochs = self.epochs;
        *self = Self {
            epochs,
            epoch: format!("e{epochs}"),
            ..Self::new()
        };
        engine.handle_hub_down(now);
    }

    /// The link is lost and all that was under way on it; the log goes on.
    pub fn lose_link(&mut self, now: Now, engine: &mut Engine) {
        (self.up, self.resuming) = (false, false);
        self.watched.clear();
        self.placed.clear();
        self.published.clear();
        engine.handle_hub_down(now);
    }

    /// Retention takes all but the newest `keep`.
    pub fn forget(&mut self, keep: usize) {
        self.first = self.first.max(self.log.len().saturating_sub(keep));
    }

    /// The last offset of this view that left the log.
    fn floor(&self, text: &str) -> i64 {
        self.log[..self.first]
            .iter()
            .rev()
            .find(|e| covers(text, &e.topic))
            .map_or(0, |e| e.offset)
    }

    pub fn take_requests(&mut self, now: Now, engine: &mut Engine) {
        while let Some(request) = engine.poll_hub() {
            match request {
                HubRequest::Watch { view, text } if self.resuming => {
                    let position = self.position();
                    self.watched.insert(view, (text, position));
                    engine.handle_hub(now, HubEvent::Watched { view, position });
                }
                HubRequest::Watch { view, text } => {
                    self.watched.insert(view, (text, self.head()));
                    self.placed.push_back((self.head(), Placed::Watched(view)));
                }
                HubRequest::Resume => self.resuming = false,
                HubRequest::Unwatch { view } => {
                    self.watched.remove(&view);
                }
                HubRequest::Read {
                    request,
                    view,
                    start,
                    budget_bytes: _,
                } => {
                    let mut start = start;
                    let mut not_before = 0;
                    if let Start::After { epoch, offset, .. } = &mut start
                        && *epoch == self.epoch
                    {
                        if *offset <= self.head() {
                            not_before = *offset;
                        } else {
                            // Not reached when it was asked for: it stays a position that never was.
                            epoch.clear();
                        }
                    }
                    self.placed
                        .push_back((not_before, Placed::Read(request, view, start)));
                }
                HubRequest::Call { .. } => unreachable!("nobody calls"),
                HubRequest::Publish {
                    request,
                    topic,
                    key,
                    data,
                } => {
                    let data = String::from_utf8(data.into()).unwrap();
                    let offset = self.append(now, &topic, key.as_deref(), &data);
                    if request != 0 {
                        self.published.push_back((request, offset));
                    }
                }
            }
        }
    }

    /// Sends up to `most` events of the worker's stream.
    pub fn send(&mut self, now: Now, engine: &mut Engine, most: usize) {
        if !self.up || self.resuming {
            return;
        }
        while let Some((request, offset)) = self.published.pop_front() {
            engine.handle_hub(now, HubEvent::Published { request, offset });
        }
        for _ in 0..most {
            self.catch_up(now, engine);
            let place = self
                .placed
                .iter()
                .position(|(at, _)| *at <= self.position());
            if let Some(index) = place {
                let (_, placed) = self.placed.remove(index).unwrap();
                self.answer(now, engine, placed);
            } else if self.cursor < self.log.len() {
                let entry = self.log[self.cursor].clone();
                self.cursor += 1;
                let wanted = self
                    .watched
                    .values()
                    .any(|(text, since)| *since < entry.offset && covers(text, &entry.topic));
                if wanted {
                    engine.handle_hub(now, HubEvent::Entry(entry.lend()));
                } else {
                    engine.handle_hub(
                        now,
                        HubEvent::Position {
                            position: entry.offset,
                        },
                    );
                }
            } else {
                return;
            }
        }
    }

    /// Retention has overtaken the worker: each view that lost something is told.
    fn catch_up(&mut self, now: Now, engine: &mut Engine) {
        if self.cursor >= self.first {
            return;
        }
        let position = self.position();
        let mut views: Vec<_> = self
            .watched
            .iter()
            .map(|(v, (t, s))| (*v, t.clone(), *s))
            .collect();
        views.sort();
        for (view, text, since) in views {
            let after = position.max(since);
            let lost: Vec<&Entry> = self.log[..self.first]
                .iter()
                .filter(|e| e.offset > after && covers(&text, &e.topic))
                .collect();
            if let Some(last) = lost.last() {
                let (to, count) = (last.offset, Some(lost.len() as u64));
                engine.handle_hub(
                    now,
                    HubEvent::Lost {
                        view,
                        from: after + 1,
                        to,
                        count,
                    },
                );
            }
        }
        self.cursor = self.first;
        engine.handle_hub(
            now,
            HubEvent::Position {
                position: self.position(),
            },
        );
    }

    fn answer(&mut self, now: Now, engine: &mut Engine, placed: Placed) {
        match placed {
            Placed::Watched(view) => {
                let Some((_, since)) = self.watched.get_mut(&view) else {
                    return;
                };
                *since = if self.cursor == 0 {
                    0
                } else {
                    self.log[self.cursor - 1].offset
                };
                let position = *since;
                engine.handle_hub(now, HubEvent::Watched { view, position });
            }
            Placed::Read(request, view, start) => {
                let Some((text, _)) = self.watched.get(&view).cloned() else {
                    let why = Refusal {
                        code: ErrorCode::Unavailable,
                        message: "not watched",
                        retry_after_ms: None,
                    };
                    engine.handle_hub(now, HubEvent::ReadFailed { request, why });
                    return;
                };
                self.answer_read(now, engine, request, &text, &start);
            }
        }
    }

    fn answer_read(&self, now: Now, engine: &mut Engine, request: u32, text: &str, start: &Start) {
        /// Small, so that histories take several slices.
        const SLICE: usize = 5;
        let position = self.position();
        let (after, gap, compacted) = self.place(text, start);
        let newest = self.newest(position);
        let all: Vec<&Entry> = if compacted {
            newest
                .values()
                .filter(|e| e.offset > after && covers(text, &e.topic))
                .copied()
                .collect()
        } else {
            let held = &self.log[self.first.min(self.cursor)..self.cursor];
            held.iter()
                .filter(|e| e.offset > after && covers(text, &e.topic))
                .collect()
        };
        let joined = all.len() <= SLICE;
        let taken: Vec<&Entry> = all.into_iter().take(SLICE).collect();
        let end = if joined {
            position
        } else {
            taken.last().unwrap().offset
        };
        let head = SliceHead {
            request,
            start: after,
            gap,
            end,
            joined,
        };
        let mut entries = taken.into_iter().map(Entry::lend);
        engine.handle_hub(
            now,
            HubEvent::Slice {
                head,
                entries: &mut entries,
            },
        );
    }

    /// The newest entry of every key up to the head, by offset; those past `position` are left to the stream.
    fn newest(&self, position: i64) -> BTreeMap<i64, &Entry> {
        let mut by_key = HashMap::new();
        for entry in &self.log {
            by_key.insert(entry.identity(), entry);
        }
        by_key
            .into_values()
            .filter(|e| e.offset <= position)
            .map(|e| (e.offset, e))
            .collect()
    }

    fn place(&self, text: &str, start: &Start) -> (i64, Option<SliceGap>, bool) {
        let floor = self.floor(text);
        let position = self.position();
        let held = || {
            self.log[self.first.min(self.cursor)..self.cursor]
                .iter()
                .filter(|e| covers(text, &e.topic))
        };
        match start {
            Start::Earliest => (floor.max(0), None, false),
            Start::Last => (0, None, true),
            Start::Recent(n) => {
                let all: Vec<&Entry> = held().collect();
                let skip = all.len().saturating_sub(*n as usize);
                let after = if skip == 0 {
                    floor
                } else {
                    all[skip - 1].offset
                };
                (if all.is_empty() { position } else { after }, None, false)
            }
            Start::After {
                epoch,
                offset,
                otherwise,
            } => {
                if *epoch != self.epoch || *offset > self.head() {
                    let gap = SliceGap {
                        reason: LostHistory::Epoch,
                        from: None,
                        to: None,
                        count: None,
                    };
                    return (
                        self.elsewhere(*otherwise, floor),
                        Some(gap),
                        *otherwise == Else::Last,
                    );
                }
                if *offset >= floor {
                    return (*offset, None, false);
                }
                let lost = self.log[..self.first]
                    .iter()
                    .filter(|e| e.offset > *offset && covers(text, &e.topic))
                    .count() as u64;
                if *otherwise == Else::Earliest {
                    let gap = SliceGap {
                        reason: LostHistory::Retention,
                        from: Some(offset + 1),
                        to: Some(floor),
                        count: Some(lost),
                    };
                    return (floor, Some(gap), false);
                }
                let gap = SliceGap {
                    reason: LostHistory::Retention,
                    from: None,
                    to: None,
                    count: None,
                };
                (
                    self.elsewhere(*otherwise, floor),
                    Some(gap),
                    *otherwise == Else::Last,
                )
            }
            Start::Continue { offset, compacted } => {
                if *compacted || *offset >= floor {
                    return (*offset, None, *compacted);
                }
                let lost = self.log[..self.first]
                    .iter()
                    .filter(|e| e.offset > *offset && covers(text, &e.topic))
                    .count() as u64;
                let gap = SliceGap {
                    reason: LostHistory::Retention,
                    from: Some(offset + 1),
                    to: Some(floor),
                    count: Some(lost),
                };
                (floor, Some(gap), false)
            }
        }
    }

    fn elsewhere(&self, otherwise: Else, floor: i64) -> i64 {
        match otherwise {
            Else::Earliest => floor,
            Else::Last => 0,
            Else::Live => self.position(),
        }
    }
}
