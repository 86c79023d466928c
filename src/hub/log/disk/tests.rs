//! The log on disk: what every log promises, and what only it does.
mod mend;
mod newest_segment;
mod power_cut;
mod skipped;

use super::*;
use crate::config::Retain;
use crate::hub::log::conformance::{self, Reopened};
use crate::hub::topics::Topics;
use proptest::prelude::*;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn open(folder: &Path, rules: &[Retain], sync: LogSync) -> Result<DiskLog, OpenError> {
    let now = Now {
        mono_ns: 1_000_000_000,
        wall_us: 7,
    };
    DiskLog::open(
        now,
        Options {
            folder,
            rules,
            sync,
            epoch: "0123456789abcdef",
            segment_bytes: 400..=1000,
            growth_bytes: 2000,
            wake: Arc::new(|| {}),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_every_log_promises(
        rules in conformance::rules(),
        steps in conformance::steps(),
        questions in conformance::questions(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let again = || open(folder.path(), &rules, LogSync::None).unwrap();
        let mut reopen = |log| {
            drop(log);
            Reopened::Recovered(again())
        };
        conformance::check(again(), &mut reopen, &steps, &questions);
    }
}

/// A log that can be closed and opened, with one topic, and what was appended to it.
struct Stand {
    folder: TempDir,
    log: Option<DiskLog>,
    topic: TopicId,
    /// Offset and data of everything committed.
    all: Vec<Known>,
}

/// Offset and data.
type Known = (i64, Vec<u8>);

const RULE: &str = ">";

fn rules() -> Vec<Retain> {
    vec![Retain {
        pattern: RULE.to_owned(),
        bytes: 1 << 20,
        age_ms: None,
        count: None,
    }]
}

fn now() -> Now {
    Now {
        mono_ns: 1,
        wall_us: 1,
    }
}

impl Stand {
    fn new() -> Self {
        let mut stand = Self {
            folder: tempfile::tempdir().unwrap(),
            log: None,
            topic: Topics::new(1).insert("a").unwrap(),
            all: Vec::new(),
        };
        stand.open();
        stand
    }

    fn open(&mut self) {
        self.open_with(LogSync::None);
    }

    /// The log of before is closed.
    fn open_with(&mut self, sync: LogSync) {
        self.log = None;
        let mut log = open(self.folder.path(), &rules(), sync).unwrap();
        log.recovered();
        log.add_topic(self.topic, "a");
        self.log = Some(log);
    }

    fn log(&mut self) -> &mut DiskLog {
        self.log.as_mut().expect("it is open")
    }

    /// Appends batches of so many publications of so many bytes.
    fn append(&mut self, batches: &[Vec<usize>]) {
        for batch in batches {
            for &bytes in batch {
                let data = vec![b'0' + (self.all.len() % 10) as u8; bytes];
                let topic = self.topic;
                let room = self.log().check_room(now(), Some(topic), "a", 1 + bytes);
                assert_eq!(room, Ok(()));
                let publication = Publication {
                    topic: "a",
                    key: None,
                    data: &data,
                };
                let entry = self.log().append(now(), topic, &publication);
                self.all.push((entry.offset(), data));
            }
            self.log().commit(now()).unwrap();
        }
    }

    /// The newest segment and its length.
    fn newest(&self) -> (PathBuf, u64) {
        let path = self.files("log").pop().unwrap();
        let length = std::fs::metadata(&path).unwrap().len();
        (path, length)
    }

    /// What a killed process leaves: the folder as it is now, closed by nobody.
    fn kill(&mut self) {
        let left = tempfile::tempdir().unwrap();
        copy(self.folder.path(), left.path());
        self.log = None;
        self.folder = left;
    }

    /// Files of segments or indexes, the oldest first.
    fn files(&self, extension: &str) -> Vec<PathBuf> {
        let class = self.folder.path().join("classes/%3E");
        let entries = std::fs::read_dir(class).unwrap();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == extension));
        paths.sort();
        paths
    }

    /// Everything that can be read, and the ranges that can't.
    fn read(&mut self, by_topic: bool) -> (Vec<Known>, Vec<(i64, i64)>) {
        let (topics, head) = ([self.topic], self.log().head());
        let scope = if by_topic {
            Scope::Topics(&topics)
        } else {
            Scope::All
        };
        let (mut found, mut holes, mut reached) = (Vec::new(), Vec::new(), 0);
        while reached < head {
            let before = reached;
            if let Some(end) = self.log().hole_at(reached) {
                holes.push((reached + 1, end));
                reached = end;
                continue;
            }
            reached = self.log().read(scope, reached, head, &mut 7, &mut |held| {
                found.push((held.offset, held.entry.fields().data.to_vec()));
                ControlFlow::Continue(())
            });
            let stuck = reached == before && self.log().hole_at(reached).is_none();
            assert!(!stuck, "it can't go on after {reached}");
        }
        (found, holes)
    }

    /// What is read is what was appended, and all that is missing is said to be.
    fn check(&mut self) {
        let all = self.all.clone();
        for by_topic in [false, true] {
            let (found, holes) = self.read(by_topic);
            assert!(found.is_sorted_by(|a, b| a.0 < b.0), "{found:?}");
            for one in &found {
                assert!(all.contains(one), "{} was never appended", one.0);
            }
            let last = found.last().map_or(0, |last| last.0);
            for (offset, _) in &all {
                let said = holes.iter().any(|hole| (hole.0..=hole.1).contains(offset));
                let shown = found.iter().any(|one| one.0 == *offset);
                assert!(
                    shown || said || *offset > last,
                    "{offset} is missing, and nobody says so: {holes:?}"
                );
            }
        }
    }
}

/// Copies what is in a folder; what goes away meanwhile is left out.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&from, &to);
        } else {
            let _ = std::fs::copy(&from, &to);
        }
    }
}

/// The offset of each record of a segment, and the first byte behind it.
fn records(path: &Path) -> Vec<(i64, usize)> {
    let base = segment::base_of(path).unwrap();
    let file = std::fs::File::open(path).unwrap();
    let mut records = Vec::new();
    recover::scan(&file, base, &mut |shown| {
        let entry = &shown.entry;
        let bytes = RECORD_HEAD_BYTES + entry.topic.len() + entry.data.len();
        records.push((entry.offset, shown.at as usize + bytes));
    })
    .unwrap();
    records
}

fn batches() -> impl Strategy<Value = Vec<Vec<usize>>> {
    proptest::collection::vec(proptest::collection::vec(0usize..150, 1..6), 1..20)
}

fn place(path: &Path, place: f64) -> usize {
    let length = std::fs::metadata(path).unwrap().len() as usize;
    ((place * length as f64) as usize).min(length - 1)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn after_a_torn_end_everything_before_it_is_there_and_no_offset_is_given_again(
        first in batches(),
        then in batches(),
        cut in 0.0..1.0f64,
    ) {
        let mut stand = Stand::new();
        stand.append(&first);
        let last = stand.files("log").pop().unwrap();
        stand.log = None;
        let at = place(&last, cut);
        std::fs::OpenOptions::new().write(true).open(&last).unwrap().set_len(at as u64).unwrap();
        stand.open();
        stand.check();
        let before = stand.all.last().map(|last| last.0);
        stand.append(&then);
        let next = stand.all[first.iter().map(Vec::len).sum::<usize>()].0;
        prop_assert!(Some(next) > before, "{next} was given before");
        stand.log = None;
        stand.open();
        stand.check();
    }

    #[test]
    fn a_write_in_which_the_process_was_killed_costs_nothing_else(
        first in batches(),
        last in proptest::collection::vec(0usize..150, 1..6),
        then in batches(),
        cut in 0.0..1.0f64,
    ) {
        let mut stand = Stand::new();
        stand.append(&first);
        let (file, before) = stand.newest();
        let known = stand.all.len();
        stand.append(&[last]);
        let (of, end) = stand.newest();
        // It may have begun a segment: its head was written before.
        let begin = if of == file { before } else { format::SEGMENT_HEAD_BYTES as u64 };
        stand.kill();
        let (of, _) = stand.newest();
        let at = begin + (cut * (end - begin) as f64) as u64;
        std::fs::OpenOptions::new().write(true).open(&of).unwrap().set_len(at).unwrap();
        stand.open();
        let (found, holes) = stand.read(false);
        prop_assert!(holes.is_empty(), "{holes:?}");
        prop_assert!(found.len() >= known && found.len() < stand.all.len());
        prop_assert_eq!(&found[..], &stand.all[..found.len()]);
        stand.all.truncate(found.len());
        stand.append(&then);
        prop_assert!(stand.all.iter().map(|one| one.0).eq(1..=stand.all.len() as i64));
        prop_assert_eq!(stand.read(true), (stand.all.clone(), Vec::new()));
    }

    #[test]
    fn damage_anywhere_is_stepped_over_and_said(
        first in batches(),
        file in any::<prop::sample::Index>(),
        at in 0.0..1.0f64,
        flips in proptest::collection::vec(1u8.., 1..100),
        reopens in any::<bool>(),
    ) {
        let mut stand = Stand::new();
        stand.append(&first);
        if reopens {
            stand.log = None;
        }
        let mut files = stand.files("log");
        files.extend(stand.files("idx"));
        let path = file.get(&files);
        let mut bytes = std::fs::read(path).unwrap();
        let begin = place(path, at);
        for (byte, by) in bytes[begin..].iter_mut().zip(&flips) {
            *byte ^= by;
        }
        // In place: an open log reads the same file.
        std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(&bytes, 0).unwrap();
        if reopens {
            stand.open();
        } else {
            stand.log().classes[0].tail.forget_upto(i64::MAX);
        }
        stand.check();
    }
}
