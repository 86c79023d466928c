//! A worker whose link was lost: its stream goes on where it was, if the log still has the place.
use super::stand::{EPOCH, Stand, keep};
use crate::hub::worker::WorkerId;
use crate::link::event::told::Told;
use pubsub_stream::hub::HubRequest;

/// Joins as a worker whose stream had come so far; what it is told at once.
fn rejoin(stand: &mut Stand, reached: (&str, i64)) -> (WorkerId, Vec<Told>) {
    let worker = stand.hub.handle_join(stand.now, Some(reached));
    stand.turn();
    let told = stand.take(worker);
    (worker, told)
}

fn hello(position: i64) -> Told {
    Told::Hello(EPOCH.to_owned(), position)
}

fn offsets(told: &[Told]) -> Vec<i64> {
    let entries = told.iter().filter_map(|told| match told {
        Told::Entry(entry) => Some(entry.offset),
        _ => None,
    });
    entries.collect()
}

#[test]
fn it_gets_what_came_meanwhile_once_it_has_said_what_it_watches() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    for topic in ["a", "b", "a", "b", "a"] {
        stand.publish(topic, None);
    }
    let (worker, told) = rejoin(&mut stand, (EPOCH, 2));
    assert_eq!(told, [hello(2)]);
    stand.watch(worker, 1, "a");
    stand.publish("b", None);
    assert_eq!(
        stand.take_all(worker),
        [Told::Watched(1, 2)],
        "the rest may follow"
    );
    stand.watch(worker, 2, "b");
    stand.ask(worker, HubRequest::Resume);
    let told = stand.take_all(worker);
    assert_eq!(told[0], Told::Watched(2, 2));
    assert_eq!(offsets(&told), [3, 4, 5, 6]);
    stand.publish("a", None);
    assert_eq!(offsets(&stand.take_all(worker)), [7]);
}

#[test]
fn of_what_has_left_meanwhile_it_is_told_where_it_was() {
    let mut stand = Stand::new(&[keep(">", 2)]);
    stand.publish_times("a", 6);
    stand.turn();
    let (worker, _) = rejoin(&mut stand, (EPOCH, 1));
    stand.watch(worker, 1, "a");
    stand.watch(worker, 2, "other");
    stand.ask(worker, HubRequest::Resume);
    let told = stand.take_all(worker);
    let lost: Vec<&Told> = told
        .iter()
        .filter(|told| matches!(told, Told::Lost(..)))
        .collect();
    assert_eq!(lost, [&Told::Lost(1, 2, 4, None)]);
    assert_eq!(offsets(&told), [5, 6]);
}

#[test]
fn a_place_that_this_log_never_had_is_none() {
    let mut stand = Stand::new(&[keep(">", 100)]);
    stand.publish_times("a", 3);
    for reached in [("other", 2), (EPOCH, 4), (EPOCH, -1)] {
        let (worker, told) = rejoin(&mut stand, reached);
        assert_eq!(told, [hello(3)]);
        stand.watch(worker, 1, "a");
        stand.ask(worker, HubRequest::Resume);
        assert_eq!(stand.take_all(worker), [Told::Watched(1, 3)]);
    }
}
