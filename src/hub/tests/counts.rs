//! What is counted of a log on disk, and what of it comes to the scoreboard.
use super::stand::{EPOCH, Stand};
use crate::config::{LogSync, Retain};
use crate::hub::core::Hub;
use crate::hub::log::DiskLog;
use crate::hub::log::disk::{GROWTH_BYTES, Options, SEGMENT_BYTES};
use crate::hub::record::Recorder;
use crate::hub::settings::Settings;
use crate::telemetry::scoreboard::Scoreboard;
use pubsub_wire::Limits;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// Looks at what another thread has done, so many times at most.
const LOOKS: usize = 10_000_000;

/// Of a log that keeps a few entries.
fn few() -> [Retain; 1] {
    [Retain {
        pattern: ">".to_owned(),
        bytes: 1 << 20,
        age_ms: None,
        count: Some(8),
    }]
}

/// A hub whose log is there.
fn on_disk(folder: &TempDir) -> Stand {
    let mut stand = Stand::new(&few());
    let options = Options {
        folder: folder.path(),
        rules: &few(),
        sync: LogSync::Always,
        epoch: EPOCH,
        segment_bytes: SEGMENT_BYTES,
        growth_bytes: GROWTH_BYTES,
        wake: Arc::new(|| {}),
    };
    let log = DiskLog::open(stand.now, options).unwrap();
    stand.hub = Hub::new(log, Settings::new(Limits::default(), 100, 100));
    stand
}

fn read(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

#[test]
fn what_retention_takes_is_counted_by_entries_segments_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let mut stand = on_disk(&folder);
    let (board, _fd) = Scoreboard::create().unwrap();
    let board = Arc::new(board);
    let slot = &board.hub().log;
    let mut recorder = Recorder::new(Arc::clone(&board), EPOCH);
    for _ in 0..10 {
        stand.publish_times("a", 10);
        stand.turn();
        recorder.record(stand.now, &stand.hub);
    }
    // Retention waits for a checkpoint, which another thread writes.
    let taken = (0..LOOKS).any(|_| {
        stand.turn();
        std::thread::yield_now();
        stand.hub.log().size().entries <= 20
    });
    assert!(taken, "retention takes nothing");
    recorder.record(stand.now, &stand.hub);
    let size = stand.hub.log().size();
    assert_eq!(stand.hub.counters().evicted, 100 - size.entries);
    assert_eq!(read(&board.hub().evicted), 100 - size.entries);
    let (segments, removed) = (read(&slot.segments), read(&slot.removed_segments));
    assert!(removed > 5, "{removed} segments were taken");
    assert_eq!(segments + removed, 10);
    assert!(read(&slot.removed_bytes) > 0);
    assert!(read(&slot.written_bytes) > read(&board.hub().published_bytes));
    assert_eq!(slot.write.read().total(), 10, "one write for each turn");
}

#[test]
fn a_worker_that_takes_nothing_is_behind_by_what_it_has_not_been_told() {
    let mut stand = Stand::new(&few());
    let worker = stand.join();
    stand.watch(worker, 1, "a");
    stand.turn();
    stand.take(worker);
    let (board, _fd) = Scoreboard::create().unwrap();
    let board = Arc::new(board);
    let mut recorder = Recorder::new(Arc::clone(&board), EPOCH);
    let mut behind = |stand: &Stand| {
        recorder.record(stand.now, &stand.hub);
        let slot = board.hub();
        (read(&slot.workers_behind), read(&slot.behind_entries))
    };
    assert_eq!(behind(&stand), (0, 0));
    while stand.hub.workers[worker.index()].lag.is_none() {
        stand.publish("a", None);
    }
    stand.publish_times("a", 4);
    let (workers, entries) = behind(&stand);
    assert_eq!(
        (workers, entries),
        (1, 5),
        "the one that found no room, and four"
    );
}
