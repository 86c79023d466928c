use super::*;
use crate::config::{Config, Peer, SessionId};
use crate::hub::{HubEvent, HubRequest};

const NOW: Now = Now {
    mono_ns: 1,
    wall_us: 1,
};

/// One subscriber with a rate of which the first tick is far away; `n` publications of one key have come.
fn holding(n: i64) -> (Engine, SessionId) {
    let mut engine = Engine::new(Config::default());
    hello(&mut engine, "e", 0);
    let id = engine.handle_open(NOW, Peer { may_publish: false });
    let command = r#"{"op":"subscribe","topic":"t","rate":{"mode":"sample","ms":1000}}"#;
    engine.handle_text(NOW, id, command);
    confirm(&mut engine, 0);
    for offset in 1..=n {
        let entry = EntryRef {
            offset,
            ts_us: 1,
            mono_ns: 1,
            topic: "t",
            key: None,
            data: b"1",
        };
        engine.handle_hub(NOW, HubEvent::Entry(entry));
    }
    (engine, id)
}

fn hello(engine: &mut Engine, epoch: &str, position: i64) {
    engine.handle_hub(NOW, HubEvent::Hello { epoch, position });
}

/// The hub confirms what it is asked to watch.
fn confirm(engine: &mut Engine, position: i64) {
    while let Some(request) = engine.poll_hub() {
        if let HubRequest::Watch { view, .. } = request {
            engine.handle_hub(NOW, HubEvent::Watched { view, position });
        }
    }
}

/// All that is written to it: operations, and the offsets or positions they tell.
fn told(engine: &mut Engine, id: SessionId) -> Vec<(String, i64)> {
    let mut bytes = Vec::new();
    while let Some(visited) = engine.poll_visit(NOW) {
        assert_eq!(visited, id);
        let before = bytes.len();
        for piece in engine.poll_write(NOW, id) {
            bytes.extend_from_slice(piece.bytes());
        }
        engine.handle_written(NOW, id, bytes.len() - before, false);
    }
    let text = String::from_utf8_lossy(&bytes);
    let begin = r#"{"op":""#;
    let frame = |text: &str| {
        let op = text.split('"').next().unwrap_or_default().to_owned();
        let offset = text.split(r#""offset":"#).nth(1)?;
        let digits: String = offset.chars().take_while(char::is_ascii_digit).collect();
        Some((op, digits.parse().unwrap()))
    };
    text.split(begin).skip(1).filter_map(frame).collect()
}

#[test]
fn what_a_rate_holds_comes_before_what_was_lost_after_it() {
    let held = || {
        let (mut engine, id) = holding(3);
        assert_eq!(told(&mut engine, id), [("subscribed".to_owned(), 0)]);
        (engine, id)
    };
    let expected = [("msg".to_owned(), 3), ("gap".to_owned(), 7)];
    // In mid-stream.
    let (mut engine, id) = held();
    let view = engine.views.get(0).id;
    let lost = HubEvent::Lost {
        view,
        from: 4,
        to: 7,
        count: None,
    };
    engine.handle_hub(NOW, lost);
    assert_eq!(told(&mut engine, id), expected);
    // While the hub was away, in this epoch or before another began.
    for epoch in ["e", "f"] {
        let (mut engine, id) = held();
        engine.handle_hub_down(NOW);
        hello(&mut engine, epoch, 7);
        confirm(&mut engine, 7);
        assert_eq!(told(&mut engine, id), expected, "{epoch}");
    }
}
