//! The engine as a machine, beside a naive hub: the whole log in a vector, everything answered at once.
use std::collections::{BTreeMap, HashMap};

use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest, SliceHead, Start};
use pubsub_stream::{Config, Engine, Now, Peer, SessionId};
use pubsub_wire::topic::matches;

use crate::drive::{Entry, Machine};

pub const EPOCH: &str = "e";
const HOUR_NS: u64 = 3_600_000_000_000;

/// Nothing but subscriptions is limited here, and modes switch whenever they should.
pub fn config() -> Config {
    Config {
        heartbeat_ns: HOUR_NS,
        write_stall_ns: HOUR_NS,
        control_bytes: 1 << 20,
        commands_per_s: 1_000_000,
        commands_burst: 1_000_000,
        mode_hold_ns: 0,
        // Small, so that what spills comes in several slices.
        read_bytes: 700,
        ..Config::default()
    }
}

pub fn covers(text: &str, topic: &str) -> bool {
    text == topic || matches(text, topic)
}

pub struct Subject {
    engine: Engine,
    sessions: Vec<SessionId>,
    log: Vec<Entry>,
    watched: HashMap<u32, String>,
    reads: Vec<(u32, u32, Start, u32)>,
}

impl Subject {
    pub fn new() -> Self {
        Self::with(config())
    }

    pub fn with(config: Config) -> Self {
        let mut engine = Engine::new(config);
        let now = crate::drive::at(1);
        engine.handle_hub(
            now,
            HubEvent::Hello {
                epoch: EPOCH,
                position: 0,
            },
        );
        Self {
            engine,
            sessions: Vec::new(),
            log: Vec::new(),
            watched: HashMap::new(),
            reads: Vec::new(),
        }
    }

    pub fn stats(&self) -> &pubsub_stream::Stats {
        self.engine.stats()
    }

    fn head(&self) -> i64 {
        self.log.len() as i64
    }

    fn find(&self, id: SessionId) -> usize {
        self.sessions
            .iter()
            .position(|s| *s == id)
            .expect("a session that was opened")
    }

    /// Entries of a view after an offset, or the newest of each key.
    fn slice(&self, text: &str, start: &Start) -> (i64, Vec<&Entry>) {
        let held = self.log.iter().filter(|e| covers(text, &e.topic));
        let newest = || {
            let mut newest = BTreeMap::new();
            for entry in held.clone() {
                newest.insert((&entry.topic, &entry.key), entry);
            }
            newest.into_values().collect::<Vec<_>>()
        };
        let after = match start {
            Start::Earliest | Start::Last => 0,
            Start::Recent(n) => {
                let skipped = held.clone().count().saturating_sub(*n as usize);
                held.clone()
                    .nth(skipped)
                    .map_or(self.head(), |e| e.offset - 1)
            }
            Start::After { offset, .. } | Start::Continue { offset, .. } => *offset,
        };
        let compacted = matches!(
            start,
            Start::Last
                | Start::Continue {
                    compacted: true,
                    ..
                }
        );
        let mut all = if compacted {
            newest()
        } else {
            held.clone().collect()
        };
        all.retain(|e| e.offset > after);
        all.sort_by_key(|e| e.offset);
        (after, all)
    }

    fn answer(&mut self, now: Now, (request, view, start, budget): (u32, u32, Start, u32)) {
        let text = self.watched[&view].clone();
        let (after, mut all) = self.slice(&text, &start);
        let mut sum = 0;
        let fits = all.iter().take_while(|e| {
            sum += e.data.len() + 100;
            sum <= budget as usize
        });
        let fits = fits.count().max(1).min(all.len());
        let joined = fits == all.len();
        all.truncate(fits);
        let end = if joined {
            self.head()
        } else {
            all[fits - 1].offset
        };
        let taken: Vec<Entry> = all.into_iter().cloned().collect();
        let mut entries = taken.iter().map(lend);
        let head = SliceHead {
            request,
            start: after,
            gap: None,
            end,
            joined,
        };
        self.engine.handle_hub(
            now,
            HubEvent::Slice {
                head,
                entries: &mut entries,
            },
        );
    }
}

fn lend(entry: &Entry) -> EntryRef<'_> {
    EntryRef {
        offset: entry.offset,
        ts_us: entry.ts_us,
        mono_ns: entry.mono_ns,
        topic: &entry.topic,
        key: entry.key.as_deref(),
        data: entry.data.as_bytes(),
    }
}

impl Machine for Subject {
    fn open(&mut self, now: Now) -> usize {
        let id = self.engine.handle_open(now, Peer { may_publish: true });
        self.sessions.push(id);
        self.sessions.len() - 1
    }

    fn text(&mut self, now: Now, who: usize, text: &str) {
        self.engine.handle_text(now, self.sessions[who], text);
    }

    fn entry(&mut self, now: Now, entry: &Entry) {
        self.log.push(entry.clone());
        let wanted = self.watched.values().any(|text| covers(text, &entry.topic));
        let event = if wanted {
            HubEvent::Entry(lend(entry))
        } else {
            HubEvent::Position {
                position: entry.offset,
            }
        };
        self.engine.handle_hub(now, event);
    }

    fn timeout(&mut self) -> Option<u64> {
        self.engine.poll_timeout()
    }

    fn wake(&mut self, now: Now) {
        self.engine.handle_timeout(now);
    }

    fn visit(&mut self, now: Now) -> Option<usize> {
        self.engine.poll_visit(now).map(|id| self.find(id))
    }

    fn lend(&mut self, now: Now, who: usize) -> Vec<u8> {
        let pieces = self.engine.poll_write(now, self.sessions[who]);
        pieces.iter().flat_map(|p| p.bytes().to_vec()).collect()
    }

    fn took(&mut self, now: Now, who: usize, bytes: usize, blocked: bool) {
        self.engine
            .handle_written(now, self.sessions[who], bytes, blocked);
    }

    fn writable(&mut self, now: Now, who: usize) {
        self.engine.handle_writable(now, self.sessions[who]);
    }

    fn closed(&mut self) -> Option<(usize, u16)> {
        let closed = self.engine.poll_closed()?;
        Some((self.find(closed.session), closed.code))
    }

    fn serve(&mut self, now: Now) -> bool {
        let mut moved = false;
        while let Some(request) = self.engine.poll_hub() {
            moved = true;
            match request {
                HubRequest::Watch { view, text } => {
                    self.watched.insert(view, text);
                    let position = self.head();
                    self.engine
                        .handle_hub(now, HubEvent::Watched { view, position });
                }
                HubRequest::Unwatch { view } => {
                    self.watched.remove(&view);
                }
                HubRequest::Read {
                    request,
                    view,
                    start,
                    budget_bytes,
                } => {
                    self.reads.push((request, view, start, budget_bytes));
                }
                HubRequest::Resume => {}
                HubRequest::Call { .. } => unreachable!("nobody calls"),
                HubRequest::Publish { .. } => {
                    unreachable!("nobody publishes through a session here")
                }
            }
        }
        for read in std::mem::take(&mut self.reads) {
            moved = true;
            if self.watched.contains_key(&read.1) {
                self.answer(now, read);
            }
        }
        moved
    }

    fn lose(&mut self, now: Now, from: i64, to: i64) {
        for offset in from..=to {
            self.log.push(Entry {
                offset,
                ts_us: now.wall_us,
                mono_ns: now.mono_ns,
                topic: "t.a".to_owned(),
                key: None,
                data: "1".to_owned(),
            });
        }
        let count = u64::try_from(to - from + 1).ok();
        for view in self.watched.keys().copied().collect::<Vec<u32>>() {
            self.engine.handle_hub(
                now,
                HubEvent::Lost {
                    view,
                    from,
                    to,
                    count,
                },
            );
        }
    }

    fn begin_epoch(&mut self, now: Now, epoch: &str) {
        self.engine.handle_hub_down(now);
        self.watched.clear();
        let position = self.head();
        self.engine
            .handle_hub(now, HubEvent::Hello { epoch, position });
    }
}
