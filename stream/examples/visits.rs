//! Visits of light load and nothing else, to count their instructions, which other processes do not disturb.
//!
//! `visits SUBSCRIBERS PUBLICATIONS`, each of which every subscriber takes whole before the next comes:
//!
//! ```text
//! cargo build --release -p pubsub-stream --example visits
//! valgrind --tool=callgrind target/release/examples/visits 1000 120
//! ```
use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest};
use pubsub_stream::{Config, Engine, Now, Peer};
use std::hint::black_box;

const DATA: [u8; 400] = [b'1'; 400];
const NOW: Now = Now {
    mono_ns: 1_000_000_000,
    wall_us: 1,
};

fn main() {
    let mut numbers = std::env::args().skip(1).map_while(|n| n.parse().ok());
    let (Some(subscribers), Some(publications)) = (numbers.next(), numbers.next()) else {
        eprintln!("visits SUBSCRIBERS PUBLICATIONS");
        return;
    };
    let mut engine = engine(subscribers);
    for offset in 1..=publications {
        let entry = EntryRef {
            offset,
            ts_us: NOW.wall_us,
            mono_ns: NOW.mono_ns,
            topic: "t",
            key: None,
            data: &DATA,
        };
        engine.handle_hub(NOW, HubEvent::Entry(entry));
        take_all(&mut engine);
    }
}

/// An engine with so many sessions that subscribe to one topic.
fn engine(subscribers: i64) -> Engine {
    let mut engine = Engine::new(Config::default());
    let hello = HubEvent::Hello {
        epoch: "e",
        position: 0,
    };
    engine.handle_hub(NOW, hello);
    for _ in 0..subscribers {
        let session = engine.handle_open(NOW, Peer { may_publish: false });
        engine.handle_text(NOW, session, r#"{"op":"subscribe","topic":"t"}"#);
    }
    while let Some(request) = engine.poll_hub() {
        if let HubRequest::Watch { view, .. } = request {
            engine.handle_hub(NOW, HubEvent::Watched { view, position: 0 });
        }
    }
    take_all(&mut engine);
    engine
}

/// Every visit hands over all there is.
fn take_all(engine: &mut Engine) {
    while let Some(session) = engine.poll_visit(NOW) {
        let pieces = engine.poll_write(NOW, session).iter();
        let bytes = pieces.map(|p| black_box(p.bytes()).len()).sum();
        engine.handle_written(NOW, session, bytes, false);
    }
}
