//! Where subscriptions begin, and what is asked of the log.
use pubsub_stream::hub::{HubEvent, HubRequest, SliceHead};

use crate::bench::Bench;

#[test]
fn reconfigured_says_where_the_subscription_began() {
    for from in ["live", "earliest"] {
        let mut bench = Bench::new();
        let id = bench.open();
        let subscribe = format!(r#"{{"op":"subscribe","topic":"t","from":"{from}"}}"#);
        bench.engine.handle_text(bench.now, id, &subscribe);
        bench.serve_hub();
        for request in bench.serve_hub() {
            let HubRequest::Read { request, .. } = request else {
                continue;
            };
            let head = SliceHead {
                request,
                start: 0,
                gap: None,
                end: 0,
                joined: true,
            };
            let entries = &mut std::iter::empty();
            let slice = HubEvent::Slice { head, entries };
            bench.engine.handle_hub(bench.now, slice);
        }
        let change = r#"{"op":"reconfigure","id":1,"topic":"t","overflow":"conflate"}"#;
        bench.say(id, change);
        let answers = bench.take(id);
        let told = answers.iter().find(|a| a["op"] == "reconfigured").unwrap();
        assert_eq!(told["settings"]["from"], from);
    }
}

#[test]
fn no_more_reads_are_under_way_than_allowed_and_the_next_follows_each_answer() {
    let mut bench = Bench::new();
    bench.offset = 100;
    let mut asked = Vec::new();
    for topic in ["a", "b", "c", "d"] {
        let id = bench.open();
        let command = format!(r#"{{"op":"subscribe","topic":"{topic}","from":"earliest"}}"#);
        bench.engine.handle_text(bench.now, id, &command);
        asked.extend(bench.serve_hub());
        asked.extend(bench.serve_hub());
    }
    let reads = |all: &[HubRequest]| {
        let reads = all.iter().filter_map(|r| match r {
            HubRequest::Read { request, .. } => Some(*request),
            _ => None,
        });
        reads.collect::<Vec<u32>>()
    };
    let first = reads(&asked);
    assert_eq!(first.len(), 2, "{asked:?}");
    let why = pubsub_stream::hub::Refusal {
        code: pubsub_wire::ErrorCode::Unavailable,
        message: "no",
        retry_after_ms: None,
    };
    let request = first[0];
    bench
        .engine
        .handle_hub(bench.now, HubEvent::ReadFailed { request, why });
    assert_eq!(reads(&bench.serve_hub()).len(), 1);
}
