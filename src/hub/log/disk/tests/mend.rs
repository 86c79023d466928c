//! An index that is damaged while the log is used.
use super::super::mend::{Unmendable, mend};
use super::*;
use std::fs::{File, OpenOptions};

/// Looks at what the keeper has done, so many times at most.
const LOOKS: usize = 10_000_000;

/// Goes on until the keeper has done what is waited for.
fn until(stand: &mut Stand, holds: impl Fn(&DiskLog) -> bool) {
    for _ in 0..LOOKS {
        stand.log().commit(now()).unwrap();
        if holds(stand.log()) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("the keeper does not do it");
}

/// A log with several segments, all but the last of which have their index in a file.
fn sealed() -> Stand {
    let mut stand = Stand::new();
    stand.append(&vec![vec![100; 3]; 12]);
    until(&mut stand, |log| {
        let sealed = &log.classes[0].sealed;
        sealed.len() > 3 && sealed.iter().all(|of| matches!(of.index, Index::File(..)))
    });
    stand
}

/// Changes a byte in place, counted from the end.
fn flip(path: &Path, from_end: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let at = file.metadata().unwrap().len() - from_end;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
}

#[test]
fn a_damaged_index_is_made_anew_and_then_nothing_is_missing() {
    let mut stand = sealed();
    let index = stand.files("idx").remove(1);
    // The places of the only topic's records are last.
    flip(&index, 1);
    let (base, last) = {
        let of = &stand.log().classes[0].sealed[1];
        (of.base, of.last)
    };
    assert_eq!(stand.read(true).1, [(base, last)]);
    until(&mut stand, |log| log.meters_now().mended_indexes == 1);
    assert_eq!(stand.read(true), (stand.all.clone(), Vec::new()));
    assert_eq!(stand.log().meters_now().damaged, 0);
    let topic = stand.topic;
    assert_eq!(
        stand.log().topic_entries_upto(topic, last),
        last as usize,
        "one topic has every offset"
    );
    stand.log = None;
    stand.open();
    stand.check();
}

#[test]
fn an_index_that_does_not_know_what_was_before_or_whose_segment_is_damaged_stays_as_it_is() {
    let mut stand = sealed();
    let places = 8 * stand.log().classes[0].sealed[1].records;
    let (index, segment) = (stand.files("idx").remove(1), stand.files("log").remove(1));
    let file = File::open(&segment).unwrap();
    assert!(mend(&segment, &file).is_ok());
    // In the last record's data.
    flip(&segment, 1);
    assert!(matches!(mend(&segment, &file), Err(Unmendable::Segment)));
    flip(&segment, 1);
    // The row's check stands before the places.
    flip(&index, places + 1);
    assert!(matches!(mend(&segment, &file), Err(Unmendable::Rows(_))));
}
