//! A hub by hand, whose time stands still unless it is moved.
use crate::config::Retain;
use crate::hub::core::Hub;
use crate::hub::entry::Publication;
use crate::hub::log::MemoryLog;
use crate::hub::settings::Settings;
use crate::hub::worker::WorkerId;
use crate::link::LinkReader;
use crate::link::event::told::Told;
use pubsub_stream::Now;
use pubsub_stream::hub::{HubRequest, LostHistory, SliceGap, SliceHead, Start};
use pubsub_wire::Limits;
use pubsub_wire::value::Else;

pub(super) const EPOCH: &str = "0123456789abcdef";
pub(super) const MS: u64 = 1_000_000;

pub(super) fn keep(pattern: &str, count: u64) -> Retain {
    Retain {
        pattern: pattern.to_owned(),
        bytes: u64::MAX,
        age_ms: None,
        count: Some(count),
    }
}

/// The hub and its time.
pub(super) struct Stand {
    pub(super) hub: Hub,
    pub(super) now: Now,
}

impl Stand {
    pub(super) fn new(rules: &[Retain]) -> Self {
        Self::with(rules, Settings::new(Limits::default(), 100, 100))
    }

    pub(super) fn with(rules: &[Retain], settings: Settings) -> Self {
        let hub = Hub::new(MemoryLog::new(EPOCH.to_owned(), rules), settings);
        Self {
            hub,
            now: Now {
                mono_ns: 1,
                wall_us: 1,
            },
        }
    }

    pub(super) fn join(&mut self) -> WorkerId {
        let worker = self.hub.handle_join(self.now, None);
        assert_eq!(
            self.take(worker),
            [Told::Hello(EPOCH.to_owned(), self.hub.log().head())]
        );
        worker
    }

    pub(super) fn ask(&mut self, worker: WorkerId, request: HubRequest) {
        self.hub
            .handle_request(self.now, worker, request)
            .expect("a good request");
    }

    pub(super) fn watch(&mut self, worker: WorkerId, view: u32, text: &str) {
        self.ask(
            worker,
            HubRequest::Watch {
                view,
                text: text.to_owned(),
            },
        );
    }

    pub(super) fn read(&mut self, worker: WorkerId, view: u32, start: Start) {
        self.ask(
            worker,
            HubRequest::Read {
                request: 1,
                view,
                start,
                budget_bytes: 1 << 20,
            },
        );
    }

    pub(super) fn publish(&mut self, topic: &str, key: Option<&str>) -> i64 {
        self.hub
            .publish(
                self.now,
                &Publication {
                    topic,
                    key,
                    data: b"1",
                },
            )
            .expect("a good publication")
    }

    pub(super) fn publish_times(&mut self, topic: &str, times: usize) {
        for _ in 0..times {
            self.publish(topic, None);
        }
    }

    /// Turns until there is nothing to do.
    pub(super) fn turn(&mut self) {
        while self.hub.turn(self.now) {}
    }

    pub(super) fn take(&mut self, worker: WorkerId) -> Vec<Told> {
        let bytes = self.hub.take(worker).0;
        let (mut reader, mut told) = (LinkReader::default(), Vec::new());
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let read = reader.fill(|space| {
                let n = space.len().min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                Ok::<_, ()>(n)
            });
            rest = &rest[read.unwrap_or(0)..];
            reader
                .drain(&mut |event| told.push(Told::of(event)))
                .expect("well formed");
        }
        self.hub.give_back(worker, bytes);
        told
    }

    /// Takes and turns until nothing comes.
    pub(super) fn take_all(&mut self, worker: WorkerId) -> Vec<Told> {
        let mut all = Vec::new();
        loop {
            self.turn();
            let told = self.take(worker);
            if told.is_empty() {
                return all;
            }
            all.extend(told);
        }
    }

    /// The one slice that answers a read, and the offsets in it.
    pub(super) fn slice(
        &mut self,
        worker: WorkerId,
        view: u32,
        start: Start,
    ) -> (SliceHead, Vec<i64>) {
        self.read(worker, view, start);
        let slices: Vec<(SliceHead, Vec<i64>)> = self
            .take_all(worker)
            .into_iter()
            .filter_map(|told| match told {
                Told::Slice(head, entries) => {
                    Some((head, entries.iter().map(|e| e.offset).collect()))
                }
                _ => None,
            })
            .collect();
        let [slice] = slices.try_into().expect("one slice");
        slice
    }
}

pub(super) fn after(offset: i64, otherwise: Else) -> Start {
    Start::After {
        epoch: EPOCH.to_owned(),
        offset,
        otherwise,
    }
}

pub(super) fn retention(from: i64, to: i64, count: impl Into<Option<u64>>) -> SliceGap {
    let (from, to, count) = (Some(from), Some(to), count.into());
    SliceGap {
        reason: LostHistory::Retention,
        from,
        to,
        count,
    }
}

pub(super) fn tiny_outbox() -> Settings {
    Settings {
        outbox_bytes: 1,
        ..Settings::new(Limits::default(), 100, 100)
    }
}
