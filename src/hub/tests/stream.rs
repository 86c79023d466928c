//! A worker's live stream: order, interest, what a stopped worker costs and is told, acknowledgements.
use super::stand::{MS, Stand, keep, tiny_outbox};
use crate::hub::entry::Publication;
use crate::hub::settings::{Settings, Violation};
use crate::link::event::told::Told;
use pubsub_stream::hub::{HubRequest, Start};
use pubsub_wire::Limits;

#[test]
fn a_stopped_worker_is_told_exactly_what_each_of_its_views_lost() {
    let mut stand = Stand::with(&[keep(">", 4)], tiny_outbox());
    let worker = stand.join();
    for (view, text) in [(1, "a"), (2, "b"), (3, ">"), (4, "c")] {
        stand.watch(worker, view, text);
    }
    stand.take(worker);
    stand.publish("a", None);
    stand.turn();
    // The first entry fills the outbox; from here on the cursor stays at 1.
    for topic in ["a", "a", "b", "b", "a", "b", "b"] {
        stand.publish(topic, None);
    }
    stand.turn();
    let told = stand.take_all(worker);
    let is_loss = |told: &&Told| matches!(told, Told::Lost(..));
    let mut losses: Vec<&Told> = told.iter().filter(is_loss).collect();
    losses.sort_by_key(|told| match told {
        Told::Lost(view, ..) => *view,
        _ => 0,
    });
    // Of 2..=4, which left, 2 and 3 were of a, 4 of b, none of c.
    assert_eq!(
        losses,
        [
            &Told::Lost(1, 2, 3, Some(2)),
            &Told::Lost(2, 2, 4, Some(1)),
            &Told::Lost(3, 2, 4, Some(3))
        ]
    );
    let place = |wanted: &dyn Fn(&Told) -> bool| told.iter().position(wanted).expect("is there");
    assert!(
        place(&|t| matches!(t, Told::Entry(e) if e.offset == 1))
            < place(&|t| matches!(t, Told::Lost(..)))
    );
    assert!(
        place(&|t| matches!(t, Told::Entry(e) if e.offset == 5))
            > place(&|t| matches!(t, Told::Lost(3, ..)))
    );
}

#[test]
fn a_stopped_workers_outbox_stays_as_large_as_it_may() {
    let settings = Settings {
        outbox_bytes: 2000,
        ..Settings::new(Limits::default(), 100, 100)
    };
    let mut stand = Stand::with(&[keep(">", 1_000_000)], settings);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    for _ in 0..10_000 {
        stand.publish("a", None);
        stand.hub.turn(stand.now);
    }
    let bytes = stand.hub.take(worker).0.len();
    assert!((2000..2200).contains(&bytes), "{bytes}");
}

#[test]
fn live_entries_go_before_history_which_has_its_share_of_each_batch() {
    let settings = Settings {
        history_bytes: 150,
        ..Settings::new(Limits::default(), 10, 10)
    };
    let mut stand = Stand::with(&[keep(">", 100)], settings);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish("a", None);
    stand.take_all(worker);
    for request in [1, 2, 3] {
        stand.ask(
            worker,
            HubRequest::Read {
                request,
                view: 1,
                start: Start::Earliest,
                budget_bytes: 100,
            },
        );
    }
    stand.publish("a", None);
    stand.turn();
    let told = stand.take(worker);
    assert!(
        matches!(
            told[..],
            [
                Told::Entry(_),
                Told::Slice(..),
                Told::Slice(..),
                Told::Position(2)
            ]
        ),
        "{told:?}"
    );
    stand.turn();
    assert!(matches!(stand.take(worker)[..], [Told::Slice(..)]));
}

#[test]
fn interest_begins_after_the_head_at_which_it_was_asked_for() {
    let mut stand = Stand::with(&[keep(">", 100)], tiny_outbox());
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.take(worker);
    for topic in ["a", "a", "b"] {
        stand.publish(topic, None);
    }
    stand.watch(worker, 2, "b");
    stand.publish("b", None);
    let told: Vec<Told> = stand
        .take_all(worker)
        .into_iter()
        .filter(|told| !matches!(told, Told::Position(_)))
        .collect();
    let offset = |told: &Told| match told {
        Told::Entry(entry) => entry.offset,
        _ => 0,
    };
    assert_eq!(told.iter().map(offset).collect::<Vec<_>>(), [1, 2, 0, 4]);
    assert_eq!(told[2], Told::Watched(2, 3));
}

#[test]
fn a_worker_that_wants_nothing_hears_within_a_second_how_far_others_are() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.publish("a", None);
    stand.turn();
    stand.hub.tick(stand.now);
    assert_eq!(stand.take(worker), []);
    stand.now.mono_ns += 1000 * MS;
    stand.hub.tick(stand.now);
    assert_eq!(stand.take(worker), [Told::Position(1)]);
    stand.now.mono_ns += 9000 * MS;
    stand.hub.tick(stand.now);
    assert_eq!(stand.take(worker), [], "nothing has moved since");
}

#[test]
fn acknowledgements_come_at_once_and_too_many_of_them_stop_the_requests() {
    let settings = Settings {
        outbox_bytes: 500,
        ..Settings::new(Limits::default(), 10, 10)
    };
    let mut stand = Stand::with(&[keep(">", 100)], settings);
    let worker = stand.join();
    let publication = Publication {
        topic: "a",
        key: None,
        data: b"1",
    };
    let mut request = 0;
    while stand.hub.wants_input(worker) {
        request += 1;
        stand
            .hub
            .handle_publish(stand.now, worker, request, &publication);
    }
    assert!((20..60).contains(&request), "{request}");
    let told = stand.take(worker);
    let acks: Vec<Told> = (1..=request)
        .map(|n| Told::Published(n, n as i64))
        .collect();
    assert_eq!(told, acks);
    assert!(stand.hub.wants_input(worker));
}

#[test]
fn a_burst_leaves_no_buffers_behind() {
    let mut stand = Stand::new(&[keep(">", 10_000)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish_times("a", 2000);
    stand.take_all(worker);
    let capacity = |stand: &mut Stand| {
        let (bytes, _) = stand.hub.take(worker);
        let capacity = bytes.capacity();
        stand.hub.give_back(worker, bytes);
        capacity
    };
    assert!(capacity(&mut stand) > 64 << 10);
    stand.hub.tick(stand.now);
    stand.hub.tick(stand.now);
    assert!(capacity(&mut stand) <= 16 << 10);
}

#[test]
fn what_no_worker_would_ask_ends_its_link() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    let mut ask = |view, text: &str| {
        stand.hub.handle_request(
            stand.now,
            worker,
            HubRequest::Watch {
                view,
                text: text.to_owned(),
            },
        )
    };
    assert_eq!(ask(1, "b"), Err(Violation::ViewTaken(1)));
    assert!(matches!(ask(2, "b..c"), Err(Violation::BadText(_))));
}

#[test]
fn two_views_of_one_text_each_begin_at_their_own_place() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.publish("a", None);
    stand.watch(worker, 2, "a");
    stand.publish("a", None);
    stand.ask(worker, HubRequest::Unwatch { view: 1 });
    stand.publish("a", None);
    let told: Vec<Told> = stand
        .take_all(worker)
        .into_iter()
        .filter(|told| !matches!(told, Told::Position(_)))
        .collect();
    let kinds: Vec<String> = told
        .iter()
        .map(|told| match told {
            Told::Entry(entry) => format!("entry {}", entry.offset),
            Told::Watched(view, position) => format!("watched {view} after {position}"),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        kinds,
        [
            "watched 1 after 0",
            "entry 1",
            "watched 2 after 1",
            "entry 2",
            "entry 3"
        ]
    );
}

#[test]
fn a_new_pattern_says_how_many_topics_were_looked_at_and_a_known_one_none() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    let worker = stand.join();
    for topic in ["a", "b", "c"] {
        stand.publish(topic, None);
    }
    let mut watch = |view, text: &str| {
        let watch = HubRequest::Watch {
            view,
            text: text.to_owned(),
        };
        stand.hub.handle_request(stand.now, worker, watch)
    };
    assert_eq!(
        (watch(1, "*"), watch(2, "*"), watch(3, "a")),
        (Ok(3), Ok(0), Ok(1))
    );
}
