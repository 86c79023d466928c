//! What a subscriber that has stopped reading costs the engine, beyond what all of them share: heap, counted exactly.
use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest};
use pubsub_stream::{Config, Engine, Now, Peer, SessionId};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Mutex;

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const DATA: [u8; 400] = [b'1'; 400];
const SECOND: u64 = 1_000_000_000;
const PER_S: u64 = 200;
/// Longer than a client may be silent.
const SECONDS: u64 = 30;
const KEYS: u64 = 100;
const MANY: usize = 1000;
const LISTED: usize = 100;
/// What a kernel takes before it refuses.
const TAKEN: usize = 100_000;

struct World {
    engine: Engine,
    sessions: Vec<SessionId>,
    taken: Vec<usize>,
    ns: u64,
    offset: i64,
}

impl World {
    fn now(&self) -> Now {
        Now {
            mono_ns: self.ns,
            wall_us: self.ns / 1000,
        }
    }

    fn new(n: usize, settings: &str) -> Self {
        let mut engine = Engine::new(Config {
            ring_bytes: 1 << 28,
            ..Config::default()
        });
        let now = Now {
            mono_ns: SECOND,
            wall_us: 1,
        };
        engine.handle_hub(
            now,
            HubEvent::Hello {
                epoch: "e",
                position: 0,
            },
        );
        let open = |_| engine.handle_open(now, Peer { may_publish: false });
        let sessions: Vec<SessionId> = (0..n).map(open).collect();
        for session in &sessions {
            engine.handle_text(now, *session, &subscribe(settings));
        }
        let taken = vec![0; n];
        let mut world = Self {
            engine,
            sessions,
            taken,
            ns: SECOND,
            offset: 0,
        };
        world.turn();
        // Publishing has begun, and all keep up.
        world.publish();
        world.taken.fill(0);
        world
    }

    fn turn(&mut self) {
        let now = self.now();
        while let Some(request) = self.engine.poll_hub() {
            if let HubRequest::Watch { view, .. } = request {
                let watched = HubEvent::Watched { view, position: 0 };
                self.engine.handle_hub(now, watched);
            }
        }
        while let Some(session) = self.engine.poll_visit(now) {
            let pieces = self.engine.poll_write(now, session);
            let offered: usize = pieces.iter().map(|p| p.bytes().len()).sum();
            let so_far = &mut self.taken[session.index()];
            let takes = offered.min(TAKEN - *so_far);
            *so_far += takes;
            self.engine
                .handle_written(now, session, takes, takes < offered);
        }
        if self.engine.poll_timeout().is_some_and(|at| at <= self.ns) {
            self.engine.handle_timeout(now);
        }
        assert!(self.engine.poll_closed().is_none());
    }

    /// The kernel takes again, all that there is.
    fn take_all(&mut self) {
        for _ in 0..20 {
            self.taken.fill(0);
            for session in &self.sessions {
                self.engine.handle_writable(self.now(), *session);
            }
            self.turn();
        }
    }

    fn publish(&mut self) {
        self.ns += SECOND / PER_S;
        self.offset += 1;
        let key = format!("k{}", self.offset as u64 % KEYS);
        let entry = EntryRef {
            offset: self.offset,
            ts_us: self.ns / 1000,
            mono_ns: self.ns,
            topic: "t",
            key: Some(&key),
            data: &DATA,
        };
        self.engine.handle_hub(self.now(), HubEvent::Entry(entry));
        self.turn();
    }
}

fn subscribe(settings: &str) -> String {
    format!(r#"{{"op":"subscribe","topic":"t",{settings}}}"#)
}

/// Heap that is held now and was not when the region began.
fn grown(region: &Region<'_, System>) -> f64 {
    let change = region.change();
    change.bytes_allocated as f64 - change.bytes_deallocated as f64
}

/// What `n` who stand still have made the heap grow by, and by how much after the slowest were asked for.
fn stall(n: usize, overflow: &str) -> (f64, f64) {
    let mut world = World::new(n, &format!(r#""overflow":"{overflow}""#));
    let region = Region::new(HEAP);
    for _ in 0..SECONDS * PER_S {
        world.publish();
    }
    let unseen = grown(&region);
    world.engine.slowest(world.now(), LISTED);
    (unseen, grown(&region))
}

/// Tests one after the other: they share the heap.
static HEAP_IN_USE: Mutex<()> = Mutex::new(());

#[test]
fn one_that_has_stopped_reading_costs_at_most_a_hundred_bytes() {
    let _alone = HEAP_IN_USE.lock();
    for overflow in ["drop_oldest", "drop_newest", "conflate", "spill"] {
        // Rings, tables and what they have grown to hold are there for one already.
        let (shared, _) = stall(1, overflow);
        let (unseen, seen) = stall(MANY, overflow);
        let [unseen, seen] = [unseen, seen].map(|all| (all - shared) / (MANY - 1) as f64);
        println!("{overflow}: {unseen:.0} B each; {seen:.0} B with {LISTED} of {MANY} listed");
        assert!(unseen <= 80.0, "{overflow}: {unseen} B");
        assert!(seen <= 100.0, "{overflow}: {seen} B, some of them listed");
    }
}

#[test]
fn one_that_reads_again_costs_no_more_than_the_counts_of_what_it_has_lost() {
    let _alone = HEAP_IN_USE.lock();
    for (overflow, most) in [
        ("drop_oldest", 64.0),
        ("drop_newest", 64.0),
        ("conflate", 16.0),
    ] {
        let cost = |n: usize| {
            let mut world = World::new(n, &format!(r#""overflow":"{overflow}""#));
            let region = Region::new(HEAP);
            for _ in 0..SECONDS * PER_S {
                world.publish();
            }
            world.engine.slowest(world.now(), n);
            world.take_all();
            world.publish();
            grown(&region)
        };
        let each = (cost(100) - cost(1)) / 99.0;
        println!("{overflow}: {each:.1} B each");
        assert!(each <= most, "{overflow}: {each} B");
    }
}

#[test]
fn nothing_is_remembered_of_what_is_older_than_a_start_once_that_is_through_or_its_subscriber_gone()
{
    let _alone = HEAP_IN_USE.lock();
    for gone in [false, true] {
        let batch = r#""batch":{"messages":2}"#;
        // The first publication is in the open batch.
        let mut world = World::new(1, batch);
        let now = world.now();
        let peer = Peer { may_publish: false };
        let late = world.engine.handle_open(now, peer);
        world.engine.handle_text(now, late, &subscribe(batch));
        world.taken.push(0);
        world.turn();
        if gone {
            world.engine.handle_disconnect(now, late);
        }
        let mut publish = |n: usize| {
            for _ in 0..n {
                world.taken.fill(0);
                world.publish();
            }
        };
        publish(1001);
        let region = Region::new(HEAP);
        publish(10_000);
        let grown = grown(&region);
        println!("{grown} B more");
        assert!(grown < 1000.0, "{grown} B more, gone: {gone}");
    }
}
