//! What was saved is read, and what is damaged is noticed.
use super::*;
use crate::hub::log::checkpoint::{Recall as _, Recalled, Saved, Saving as _};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use pubsub_stream::hub::EntryRef;
use std::sync::mpsc;
use tempfile::TempDir;

const BOOT: [u8; 16] = [7; 16];

fn now() -> Now {
    Now {
        mono_ns: 9,
        wall_us: 9,
    }
}

/// One thing that is kept, on its own.
#[derive(Debug, Clone, PartialEq)]
enum Kept {
    Newest(i64, u64, Option<String>, Vec<u8>),
    Order(Vec<u8>, u64),
    Accepted(u64),
}

impl Kept {
    fn of(saved: &Saved<'_>) -> Self {
        match *saved {
            Saved::Newest(entry) => Self::Newest(
                entry.offset,
                entry.mono_ns,
                entry.key.map(str::to_owned),
                entry.data.to_vec(),
            ),
            Saved::Order { told, accepted_us } => Self::Order(told.to_vec(), accepted_us),
            Saved::Accepted(orders) => Self::Accepted(orders),
        }
    }

    fn saved(&self) -> Saved<'_> {
        match self {
            Self::Newest(offset, mono_ns, key, data) => Saved::Newest(EntryRef {
                offset: *offset,
                ts_us: 5,
                mono_ns: *mono_ns,
                topic: "a.b",
                key: key.as_deref(),
                data,
            }),
            Self::Order(told, accepted_us) => Saved::Order {
                told,
                accepted_us: *accepted_us,
            },
            Self::Accepted(orders) => Saved::Accepted(*orders),
        }
    }
}

fn kept() -> impl Strategy<Value = Vec<Kept>> {
    let newest = (any::<u64>(), of("[a-z]{0,9}"), vec(any::<u8>(), 0..9000));
    let order = (vec(any::<u8>(), 0..400), any::<u64>());
    (vec(newest, 0..120), vec(order, 0..20), any::<u64>()).prop_map(|(newest, orders, given)| {
        let newest = (1..).zip(newest);
        newest
            .map(|(n, (mono_ns, key, data))| Kept::Newest(3 * n, mono_ns, key, data))
            .chain(orders.into_iter().map(|(told, us)| Kept::Order(told, us)))
            .chain([Kept::Accepted(given)])
            .collect()
    })
}

/// A folder of checkpoints, and what wakes whoever fills them.
struct Stand {
    folder: TempDir,
    checkpoints: Checkpoints,
    woken: mpsc::Receiver<()>,
}

impl Stand {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (wake, woken) = mpsc::channel();
        let wake: Wake = Arc::new(move || {
            // Nobody may listen any more.
            let _ = wake.send(());
        });
        let checkpoints = Checkpoints::open(folder.path(), BOOT, 0, 100, wake).unwrap();
        Self {
            folder,
            checkpoints,
            woken,
        }
    }

    /// Writes one of that position.
    fn write(&mut self, position: i64, all: &[Kept]) {
        let mut writer = Box::new(self.checkpoints.begin(position, now()).unwrap());
        for one in all {
            while !writer.has_room() {
                self.woken.recv().unwrap();
            }
            writer.save(one.saved());
        }
        writer.finish();
        while self.checkpoints.under_way.is_some() {
            self.woken.recv().unwrap();
            self.checkpoints.hear();
        }
    }

    /// As a later run of the node finds them.
    fn again(&self, boot: [u8; 16], head: i64) -> Checkpoints {
        Checkpoints::open(self.folder.path(), boot, head, 100, Arc::new(|| {})).unwrap()
    }

    fn files(&self) -> Vec<(i64, PathBuf)> {
        checkpoints_in(self.folder.path()).unwrap()
    }
}

/// All of the newest one, and of which position it is; `None`: it is damaged.
fn read(checkpoints: &mut Checkpoints) -> Option<(Vec<Kept>, i64)> {
    let stamps = Stamps {
        mono_less_wall_ns: 11,
    };
    let mut reader = checkpoints.recall(stamps)?;
    let mut all = Vec::new();
    loop {
        match reader.read_some(&mut |saved| all.push(Kept::of(&saved))) {
            Recalled::Some => {}
            Recalled::All(position) => return Some((all, position)),
            Recalled::Damaged => return None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_saved_is_read(all in kept()) {
        let mut stand = Stand::new();
        stand.write(1000, &all);
        prop_assert_eq!(stand.checkpoints.covered(), 1000);
        let mut again = stand.again(BOOT, 1000);
        prop_assert_eq!(again.covered(), 1000);
        prop_assert_eq!(read(&mut again), Some((all, 1000)));
    }

    #[test]
    fn a_changed_or_a_missing_byte_is_noticed(all in kept(), at in 0.0..1.0f64, by in 0u8..) {
        let mut stand = Stand::new();
        stand.write(1000, &all);
        let (_, path) = stand.files().remove(0);
        let mut bytes = fs::read(&path).unwrap();
        let at = (at * bytes.len() as f64) as usize;
        if by == 0 {
            bytes.truncate(at);
        } else {
            bytes[at] ^= by;
        }
        fs::write(&path, bytes).unwrap();
        prop_assert_eq!(read(&mut stand.again(BOOT, 1000)), None);
    }
}

#[test]
fn the_two_newest_are_kept_and_a_damaged_one_has_the_other_before_it() {
    let mut stand = Stand::new();
    for position in [3, 5, 8] {
        stand.write(position, &[Kept::Accepted(position.unsigned_abs())]);
    }
    let files = stand.files();
    assert_eq!(files.iter().map(|of| of.0).collect::<Vec<_>>(), [5, 8]);
    assert_eq!(verify(&files[1].1, 8).unwrap(), Some(1));
    let length = fs::metadata(&files[1].1).unwrap().len();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&files[1].1)
        .unwrap();
    file.set_len(length - 1).unwrap();
    assert_eq!(verify(&files[1].1, 8).unwrap(), None);
    let mut again = stand.again(BOOT, 8);
    assert_eq!(read(&mut again), None);
    assert_eq!(read(&mut again), Some((vec![Kept::Accepted(5)], 5)));
    assert_eq!(again.covered(), 5);
    assert_eq!(read(&mut again), None);
    assert_eq!(again.covered(), 0);
}

#[test]
fn one_from_behind_the_head_is_of_another_log() {
    let mut stand = Stand::new();
    stand.write(3, &[]);
    stand.write(5, &[]);
    let mut again = stand.again(BOOT, 4);
    assert_eq!(read(&mut again), Some((Vec::new(), 3)));
    assert_eq!(stand.files().len(), 1);
}

#[test]
fn stamps_of_another_run_of_the_machine_are_put_on_this_ones_clock() {
    let mut stand = Stand::new();
    stand.write(3, &[Kept::Newest(3, 77, None, Vec::new())]);
    let stamp = |boot| match read(&mut stand.again(boot, 3)) {
        Some((all, _)) => all,
        None => panic!("it is whole"),
    };
    assert_eq!(stamp(BOOT), [Kept::Newest(3, 77, None, Vec::new())]);
    assert_eq!(stamp([8; 16]), [Kept::Newest(3, 5011, None, Vec::new())]);
}

#[test]
fn one_that_is_given_up_leaves_nothing_behind() {
    let mut stand = Stand::new();
    drop(stand.checkpoints.begin(3, now()).unwrap());
    while stand.checkpoints.under_way.is_some() {
        stand.woken.recv().unwrap();
        stand.checkpoints.hear();
    }
    assert_eq!(stand.checkpoints.covered(), 0);
    assert_eq!(
        fs::read_dir(stand.folder.path().join(FOLDER))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn it_is_time_when_the_log_has_grown() {
    let mut stand = Stand::new();
    stand.checkpoints.note_grown(99);
    assert!(!stand.checkpoints.is_due());
    stand.checkpoints.note_grown(1);
    assert!(stand.checkpoints.is_due());
    stand.write(3, &[Kept::Order(vec![0; 1000], 1)]);
    let bytes = stand.checkpoints.bytes;
    assert!(bytes > 1000);
    stand.checkpoints.note_grown(GROWTH_TIMES * bytes - 1);
    assert!(!stand.checkpoints.is_due());
    stand.checkpoints.note_grown(1);
    assert!(stand.checkpoints.is_due());
    let writer = stand.checkpoints.begin(4, now());
    stand.checkpoints.note_grown(GROWTH_TIMES * bytes);
    assert!(!stand.checkpoints.is_due());
    drop(writer);
}

#[test]
fn where_retention_waits_it_is_time_sooner_but_not_all_the_time() {
    let mut stand = Stand::new();
    assert!(stand.checkpoints.is_due_early(0));
    stand.write(3, &[Kept::Order(vec![0; 1000], 1)]);
    let bytes = stand.checkpoints.bytes;
    let pause_ns = bytes * 1_000_000_000 / EARLY_BYTES_PER_S;
    stand.checkpoints.note_grown(bytes - 1);
    assert!(!stand.checkpoints.is_due_early(8 + pause_ns));
    assert!(stand.checkpoints.is_due_early(9 + pause_ns));
    stand.checkpoints.note_grown(1);
    assert!(stand.checkpoints.is_due_early(9));
}

#[test]
fn retention_waits_where_checkpoints_are_made() {
    let mut stand = Stand::new();
    assert!(!stand.checkpoints.wait_for(1));
    stand.checkpoints.note_made();
    assert!(stand.checkpoints.wait_for(1));
    stand.write(3, &[]);
    assert!(!stand.checkpoints.wait_for(3) && stand.checkpoints.wait_for(4));
    // It fails, and waiting for it would be in vain until another one is begun.
    drop(stand.checkpoints.begin(5, now()).unwrap());
    while stand.checkpoints.under_way.is_some() {
        stand.woken.recv().unwrap();
        stand.checkpoints.hear();
    }
    stand.checkpoints.note_made();
    assert!(!stand.checkpoints.wait_for(4));
    stand.write(6, &[]);
    assert!(stand.checkpoints.wait_for(7));
}
