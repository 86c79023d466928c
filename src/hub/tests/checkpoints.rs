//! A hub over a log on disk that ends anywhere and begins again: newest values and orders are those that there were, however little of the
//! log retention has left.
use crate::config::{LogSync, Retain};
use crate::hub::core::Hub;
use crate::hub::entry::Publication;
use crate::hub::log::DiskLog;
use crate::hub::log::disk::Options;
use crate::hub::settings::Settings;
use crate::hub::worker::WorkerId;
use crate::link::CallRef;
use crate::orders::book::Book;
use crate::orders::desk::{Call, Desk};
use crate::orders::venue::Paper;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use pubsub_stream::Now;
use pubsub_wire::Limits;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, mpsc};
use tempfile::TempDir;

const KEYS_MAX: u64 = 12;
const ORDERS_MAX: usize = 6;

#[derive(Debug, Clone)]
enum Step {
    Publish(&'static str, Option<&'static str>, usize),
    Submit {
        name: u8,
        price: u32,
    },
    Cancel {
        name: u8,
    },
    Quote {
        price: u32,
    },
    Turn,
    /// Turns until no checkpoint is under way any more.
    Settle,
    Again,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let topics = select(&["a", "b.x", "b.y"][..]);
    let keys = of(select(&["k1", "k2", "k3", "k4"][..]));
    let step = prop_oneof![
        10 => (topics, keys, 0usize..200).prop_map(|(topic, key, bytes)| Step::Publish(topic, key, bytes)),
        4 => (0u8..20, 50u32..150).prop_map(|(name, price)| Step::Submit { name, price }),
        1 => (0u8..20).prop_map(|name| Step::Cancel { name }),
        2 => (60u32..140).prop_map(|price| Step::Quote { price }),
        6 => Just(Step::Turn),
        1 => Just(Step::Settle),
        1 => Just(Step::Again),
    ];
    vec(step, 1..200)
}

struct Stand {
    folder: TempDir,
    hub: Option<Hub>,
    worker: WorkerId,
    woken: mpsc::Receiver<()>,
    now: Now,
    calls: u64,
}

/// Everything that a start has to bring back.
#[derive(Debug, PartialEq)]
struct Known {
    /// Topic, key, offset and data, in the order of offsets.
    newest: Vec<(String, String, i64, Vec<u8>)>,
    orders: BTreeMap<u64, (String, u64)>,
    accepted: u64,
}

impl Stand {
    fn new() -> Self {
        let (_, woken) = mpsc::channel();
        let mut stand = Self {
            folder: tempfile::tempdir().unwrap(),
            hub: None,
            worker: WorkerId(0),
            woken,
            now: Now {
                mono_ns: 1,
                wall_us: 1,
            },
            calls: 0,
        };
        stand.begin();
        stand
    }

    fn begin(&mut self) {
        self.hub = None;
        let (hub, woken) = hub(self.folder.path(), self.now);
        self.woken = woken;
        let hub = self.hub.insert(hub);
        while hub.is_restoring() {
            hub.turn(self.now);
        }
        self.worker = hub.handle_join(self.now, None);
    }

    fn hub(&mut self) -> &mut Hub {
        self.hub.as_mut().expect("it has begun")
    }

    fn step(&mut self, step: &Step) {
        self.now.mono_ns += 1;
        self.now.wall_us += 1;
        let now = self.now;
        match *step {
            Step::Publish(topic, key, bytes) => {
                let data = vec![b'x'; bytes];
                let data = &data;
                let publication = Publication { topic, key, data };
                self.hub().publish(now, &publication).unwrap();
            }
            Step::Submit { name, price } => {
                let order = json!({"client_order_id": name.to_string(), "account": "acc", "symbol": "A", "side": "buy", "qty": 1,
                    "type": "limit", "limit_price": price});
                self.call("order.submit", &order);
            }
            Step::Cancel { name } => {
                let which = json!({"client_order_id": name.to_string(), "account": "acc"});
                self.call("order.cancel", &which);
            }
            Step::Quote { price } => {
                let quote = json!({"symbol": "A", "bid": price, "ask": price, "last": price});
                let data = quote.to_string();
                let publication = Publication {
                    topic: "quotes.A",
                    key: None,
                    data: data.as_bytes(),
                };
                self.hub().publish(now, &publication).unwrap();
            }
            Step::Turn => drop(self.hub().turn(now)),
            Step::Settle => self.settle(),
            Step::Again => {
                self.hub().turn(now);
                let before = self.known();
                self.begin();
                assert_eq!(self.known(), before);
            }
        }
    }

    /// Turns until the checkpoint that is under way, if there is one, is written.
    fn settle(&mut self) {
        let now = self.now;
        loop {
            let more = self.hub().turn(now);
            if self.hub().save.is_some() && !more {
                // There is no room for more until the thread that writes it says so.
                self.woken.recv().unwrap();
            } else if !more && !self.is_writing() {
                return;
            }
        }
    }

    fn is_writing(&self) -> bool {
        let folder = self.folder.path().join("checkpoints");
        let mut entries = std::fs::read_dir(folder).unwrap();
        entries.any(|entry| {
            entry
                .unwrap()
                .path()
                .extension()
                .is_some_and(|e| e == "new")
        })
    }

    fn call(&mut self, method: &str, params: &Value) {
        self.calls += 1;
        let call = Call::read(method, &params.to_string()).unwrap().unwrap();
        let bytes = call.pack();
        let call = CallRef {
            request: self.calls,
            deadline_ns: 0,
            bytes: &bytes,
        };
        let (now, worker) = (self.now, self.worker);
        self.hub().handle_call(now, worker, &call).unwrap();
    }

    fn known(&mut self) -> Known {
        let hub = self.hub();
        let mut newest = Vec::new();
        let mut keep = |held: &crate::hub::log::Held| {
            let fields = held.entry.fields();
            let identity = String::from_utf8(held.entry.identity().to_vec()).unwrap();
            newest.push((
                fields.topic.to_owned(),
                identity,
                held.offset,
                fields.data.to_vec(),
            ));
            ControlFlow::Continue(())
        };
        let scope = crate::hub::log::Scope::All;
        hub.newest
            .read(scope, 0, i64::MAX, &mut usize::MAX.clone(), &mut keep);
        let book = hub.desk.as_ref().unwrap().book();
        let orders = book.after(0);
        Known {
            newest,
            orders: orders
                .map(|(number, order)| (number, (order.json(), order.accepted_us)))
                .collect(),
            accepted: book.accepted(),
        }
    }
}

fn hub(folder: &Path, now: Now) -> (Hub, mpsc::Receiver<()>) {
    let (wake, woken) = mpsc::channel();
    let log = DiskLog::open(
        now,
        Options {
            folder,
            rules: &[Retain {
                pattern: ">".to_owned(),
                bytes: 3000,
                age_ms: None,
                count: None,
            }],
            sync: LogSync::None,
            epoch: "0123456789abcdef",
            segment_bytes: 400..=1000,
            growth_bytes: 5000,
            wake: Arc::new(move || {
                // Nobody may listen any more.
                let _ = wake.send(());
            }),
        },
    );
    let mut hub = Hub::new(
        log.unwrap(),
        Settings::new(Limits::default(), 100, KEYS_MAX),
    );
    hub.open_desk(Desk::new(
        Book::new("01234567", ORDERS_MAX),
        Box::<Paper>::default(),
    ));
    (hub, woken)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whenever_it_ends_it_begins_with_the_same_newest_values_and_orders(steps in steps()) {
        let mut stand = Stand::new();
        for step in &steps {
            stand.step(step);
        }
        stand.step(&Step::Again);
    }
}
