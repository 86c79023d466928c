//! From a folder to a log: what each class has, what each topic had, and where numbering goes on.
//!
//! Owns the order of recovery. Must not contain: the bytes of segments (that is `recover`). Runs once, before anything is served, and may
//! take its time; the indexes of sealed segments make it short whatever the log's size.
//!
//! Nothing is ever appended to a segment of another run: what is not sealed yet is scanned, cut where a write was torn, and sealed.
use super::cache::Cache;
use super::checkpoint::{Checkpoints, Stamps};
use super::chores::write_index;
use super::class::{Class, Index, Sealed};
use super::counts::Counts;
use super::folder::{Folder, FolderError, Kind};
use super::format::SegmentHead;
use super::holes::Holes;
use super::index::{IndexError, IndexFile};
use super::keeper::{Keeper, Wake};
use super::mend::Mending;
use super::places::{OfTopic, Places, Sparse};
use super::read::Spots;
use super::recover;
use super::segment::{self, open_segment};
use super::{DiskLog, RESERVE, Recovered, bit};
use crate::config::{LogSync, Retain};
use hashbrown::HashMap;
use pubsub_stream::Now;
use rustix::fs::fdatasync;
use std::cell::RefCell;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The newest entries that are kept in memory, bytes, over all classes: some tens of milliseconds at full speed.
const TAIL_BYTES: u64 = 16 << 20;

/// Classes are bits of a word; former ones count.
const CLASSES_MAX: usize = 64;

/// What a log on disk is told.
pub struct Options<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// What it keeps; the first that matches a topic applies to it, and the last matches all.
    pub rules: &'a [Retain],
    /// When it syncs.
    pub sync: LogSync,
    /// Name of the sequence of offsets if the folder is new.
    pub epoch: &'a str,
    /// How large segments may be; [`SEGMENT_BYTES`](super::SEGMENT_BYTES) unless for a reason.
    pub segment_bytes: RangeInclusive<u64>,
    /// By how much it grows at least from one checkpoint to the next; [`GROWTH_BYTES`](super::GROWTH_BYTES) unless for a reason.
    pub growth_bytes: u64,
    /// Called by other threads when `commit` should be.
    pub wake: Wake,
}

/// Why there is no log.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// A file of it can't be.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are too many retention rules, those counted that the folder has segments of from before.
    #[error("the log in {} has segments of more than {CLASSES_MAX} retention patterns; use fewer patterns, or wait until those of former ones have left", .0.display())]
    Classes(PathBuf),
    /// The thread beside it can't be started.
    #[error("the log's thread can't be started: {0}")]
    Thread(#[source] io::Error),
}

impl OpenError {
    /// Another process has the folder.
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Folder(FolderError::Locked { .. }))
    }
}

/// A segment as it is found.
struct Found {
    class: usize,
    base: i64,
    path: PathBuf,
}

impl DiskLog {
    /// Opens the folder, or makes it.
    ///
    /// # Panics
    /// Without any rule; a checked configuration ends with one for `>`.
    pub fn open(now: Now, options: Options<'_>) -> Result<Self, OpenError> {
        assert!(
            !options.rules.is_empty(),
            "a log without a retention rule would grow for ever"
        );
        let mut folder = Folder::open(options.folder, options.epoch, now.wall_us)?;
        let boot = folder.boot();
        let mut recovery = Recovery::new(&folder, &options, boot)?;
        for found in recovery.segments()? {
            recovery.take(found)?;
        }
        let floor = recovery.classes.iter().map(Class::floor).max().unwrap_or(0);
        let passed = recovery.classes.iter().map(Class::floor).min().unwrap_or(0);
        let last = recovery.classes.iter().map(Class::last).max().unwrap_or(0);
        let marked = folder.mark().map_or(0, |mark| mark.upto);
        let goes_on = folder.mark().is_none_or(|mark| match mark.kind {
            // Whatever was given is in the file, if the machine has not been started anew since.
            Kind::Reserved => mark.boot == boot,
            Kind::Closed => mark.upto <= last,
        });
        let head = if goes_on && !recovery.is_cut {
            last
        } else {
            last.max(marked)
        };
        if head > last {
            tracing::warn!(
                from = last + 1,
                to = head,
                "what was published last may be lost; offsets go on behind all that may have been given"
            );
            folder
                .note_jump((last + 1, head), passed)
                .map_err(in_file(options.folder))?;
        }
        let mut holes = Holes::new(recovery.holes, folder.jumps());
        holes.forget_upto(0, passed);
        let folder = Arc::new(folder);
        folder
            .reserve(head + RESERVE)
            .map_err(in_file(options.folder))?;
        let (growth, wake) = (options.growth_bytes, Arc::clone(&options.wake));
        let mut checkpoints = Checkpoints::open(folder.path(), boot, head, growth, wake)
            .map_err(in_file(options.folder))?;
        let covered = checkpoints.covered();
        for class in &recovery.classes {
            let grown = class.sealed.iter().filter(|sealed| sealed.last > covered);
            checkpoints.note_grown(grown.map(|sealed| u64::from(sealed.bytes)).sum());
        }
        let keeper = Keeper::start(Arc::clone(&folder), options.sync, options.wake);
        let wall_ns = i64::try_from(now.wall_us.saturating_mul(1000)).unwrap_or(i64::MAX);
        let mono_ns = i64::try_from(now.mono_ns).unwrap_or(i64::MAX);
        Ok(Self {
            keeper: keeper.map_err(OpenError::Thread)?,
            epoch: folder.epoch().to_owned(),
            boot,
            head,
            mark: head + RESERVE,
            asked: head + RESERVE,
            floor,
            // See `DiskLog::forgotten_floor`.
            forgotten_floor: floor,
            synced: head,
            sync: options.sync,
            classes: recovery.classes,
            topics: Vec::new(),
            by_name: HashMap::new(),
            recovered: recovery.topics,
            holes,
            counts: Counts::default(),
            mending: Mending::default(),
            cache: RefCell::new(Cache::default()),
            spots: RefCell::new(Spots::default()),
            checkpoints,
            stamps: Stamps {
                mono_less_wall_ns: mono_ns.saturating_sub(wall_ns),
            },
            scratch: RefCell::default(),
            blocks: RefCell::default(),
            failed: None,
        })
    }
}

/// What is found, segment by segment in the order of their bases.
struct Recovery {
    boot: [u8; 16],
    sync: LogSync,
    classes: Vec<Class>,
    topics: HashMap<Arc<str>, Recovered>,
    holes: Vec<(i64, i64)>,
    /// Something may be lost that was there.
    is_cut: bool,
    /// Classes whose last segment so far ends in a write that was cut short; a bit for each.
    unfinished: u64,
    /// Classes of which a segment was found; a bit for each.
    begun: u64,
}

impl Recovery {
    /// The classes of the rules, and behind them those that only the folder has.
    fn new(folder: &Folder, options: &Options<'_>, boot: [u8; 16]) -> Result<Self, OpenError> {
        let (rules, sizes) = (options.rules, &options.segment_bytes);
        let mut classes = Vec::new();
        for rule in rules {
            let path = folder
                .class(&rule.pattern)
                .map_err(in_file(folder.path()))?;
            let tail_bytes = TAIL_BYTES / rules.len() as u64;
            classes
                .push(Class::new(rule, path.clone(), sizes, tail_bytes).map_err(in_file(&path))?);
        }
        for (pattern, path) in folder.classes().map_err(in_file(folder.path()))? {
            if classes.iter().any(|class| class.pattern == pattern) {
                continue;
            }
            let mut rule = rules[rules.len() - 1].clone();
            rule.pattern = pattern;
            classes.push(Class::former(&rule, path.clone(), sizes).map_err(in_file(&path))?);
        }
        if classes.len() > CLASSES_MAX {
            return Err(OpenError::Classes(folder.path().to_owned()));
        }
        Ok(Self {
            boot,
            sync: options.sync,
            classes,
            topics: HashMap::new(),
            holes: Vec::new(),
            is_cut: false,
            unfinished: 0,
            begun: 0,
        })
    }

    /// All segments, the lowest base first. What a crash has left half made is removed.
    fn segments(&self) -> Result<Vec<Found>, OpenError> {
        let mut all = Vec::new();
        for (number, class) in self.classes.iter().enumerate() {
            let entries = fs::read_dir(&class.folder).map_err(in_file(&class.folder))?;
            for entry in entries {
                let path = entry.map_err(in_file(&class.folder))?.path();
                if path.extension().is_some_and(|extension| extension == "new") {
                    fs::remove_file(&path).map_err(in_file(&path))?;
                } else if let Some(base) = segment::base_of(&path) {
                    all.push(Found {
                        class: number,
                        base,
                        path,
                    });
                }
            }
        }
        all.sort_unstable_by_key(|found| found.base);
        Ok(all)
    }

    /// Takes the next segment.
    fn take(&mut self, found: Found) -> Result<(), OpenError> {
        // Only in the newest one may a process have been killed while it wrote.
        self.is_cut |= self.unfinished & bit(found.class) != 0;
        let opened = open_segment(&found.path, found.base).map_err(in_file(&found.path))?;
        let Some((file, head)) = opened else {
            // It gets its name with its head in it, so this is a loss.
            self.is_cut = true;
            return fs::remove_file(&found.path).map_err(in_file(&found.path));
        };
        self.note_lost_between(found.class, &head);
        let file = Arc::new(file);
        let index = IndexFile::open(&found.path.with_extension("idx"));
        let usable = index.and_then(|index| {
            let sparse = index.sparse()?;
            Ok((index, sparse))
        });
        match usable {
            Ok((index, sparse)) => self.take_sealed(found, (file, head), index, sparse),
            Err(error) => self.take_scanned(found, (file, head), &error),
        }
    }

    /// The end of the segment before this one may be lost although this one is there: a disk keeps no order without a sync.
    fn note_lost_between(&mut self, class: usize, head: &SegmentHead) {
        let last = self.classes[class].last();
        if self.begun & bit(class) != 0 && head.before > last {
            tracing::error!(
                after = last,
                before = head.before + 1,
                "the end of a segment of the log is lost"
            );
            self.holes.push((last + 1, head.before));
        }
        self.begun |= bit(class);
    }

    /// One whose index says what is in it.
    fn take_sealed(
        &mut self,
        found: Found,
        (file, head): (Arc<File>, SegmentHead),
        index: IndexFile,
        sparse: Vec<super::index::Place>,
    ) -> Result<(), OpenError> {
        let said = *index.head();
        let number = found.class;
        let listed = index.rows(&mut |row| {
            let before = Recovered {
                classes: 0,
                floor: row.before,
                past: super::Past {
                    left: row.ordinal,
                    first: row.first,
                },
                ever: 0,
                last: 0,
            };
            let name: &str = &row.name;
            let of = match self.topics.get_mut(name) {
                Some(of) => of,
                None => self.topics.entry(name.into()).or_insert(before),
            };
            of.classes |= bit(number);
            of.ever = row.ordinal + u64::from(row.count);
            of.last = row.last;
        });
        if let Err(error) = listed {
            return self.take_scanned(found, (file, head), &error);
        }
        self.classes[number].push_recovered(Sealed {
            before: head.before,
            base: said.base,
            last: said.last,
            records: said.records,
            bytes: said.bytes,
            last_us: said.last_us,
            is_foreign: head.boot != self.boot,
            file,
            path: found.path,
            index: Index::File(index, Sparse::new(said.base, sparse)),
        });
        Ok(())
    }

    /// One that was being written, or whose index is damaged: it is read, and sealed.
    fn take_scanned(
        &mut self,
        found: Found,
        (file, head): (Arc<File>, SegmentHead),
        why: &IndexError,
    ) -> Result<(), OpenError> {
        tracing::info!(segment = %found.path.display(), %why, "a segment without a good index is read through");
        let path = found.path.clone();
        let failed = in_file(&path);
        let mut by_name: HashMap<Arc<str>, OfTopic> = HashMap::new();
        let mut places = Places::new(head.base);
        let number = found.class;
        let class = &self.classes[number];
        // A topic that is met here first may have had entries that have left.
        let floor = if class.sealed.is_empty() {
            head.before
        } else {
            class.floor()
        };
        let scanned = recover::scan(&file, head.base, &mut |shown| {
            let entry = &shown.entry;
            let known = match self.topics.get_key_value(entry.topic) {
                Some((name, _)) => Arc::clone(name),
                None => entry.topic.into(),
            };
            let of = self.topics.entry(Arc::clone(&known)).or_insert_with(|| {
                let mut of = Recovered::none(floor);
                of.past.first = entry.offset;
                of
            });
            if let Some(batch) = shown.batch {
                places.note_batch(entry.offset, batch);
            }
            let row = by_name
                .entry(Arc::clone(&known))
                .or_insert_with(|| OfTopic {
                    name: known,
                    ordinal: of.ever,
                    before: of.last.max(of.floor),
                    first: of.past.first,
                    places: Vec::new(),
                });
            row.places
                .push(places.count(entry.offset, shown.at, entry.ts_us));
            of.classes |= bit(number);
            of.ever += 1;
            of.last = entry.offset;
        });
        let scanned = scanned.map_err(&failed)?;
        self.cut(number, &file, &found.path, &scanned)?;
        if self.sync != LogSync::None {
            // Who wrote it may have died before its sync, and from now on it counts as synced.
            fdatasync(&*file).map_err(|error| failed(error.into()))?;
        }
        let bytes = scanned.end;
        if places.records == 0 {
            // It says how far the class had come, until another one does.
            self.classes[number].push_empty(head.before, found.path);
            return Ok(());
        }
        let index = places.encode(by_name.values(), bytes);
        let index = write_index(&found.path, &index).map_err(&failed)?;
        self.classes[number].push_recovered(Sealed {
            before: head.before,
            base: places.base,
            last: places.last,
            records: places.records,
            bytes,
            last_us: places.last_us,
            is_foreign: head.boot != self.boot,
            file,
            path: found.path,
            index: Index::File(index, places.sparse),
        });
        Ok(())
    }

    /// Says what can't be read, and cuts off what was never whole.
    fn cut(
        &mut self,
        class: usize,
        file: &File,
        path: &Path,
        found: &recover::Found,
    ) -> Result<(), OpenError> {
        for hole in &found.holes {
            tracing::error!(segment = %path.display(), from = hole.from_at, to = hole.to_at, after = hole.after, before = hole.before, "these bytes of the log are damaged");
            if hole.before > hole.after + 1 {
                self.holes.push((hole.after + 1, hole.before - 1));
            }
        }
        self.is_cut |= !found.holes.is_empty();
        if found.end < found.length {
            if found.is_unfinished {
                self.unfinished |= bit(class);
            } else {
                self.is_cut = true;
            }
            tracing::warn!(segment = %path.display(), at = found.end, bytes = found.length - found.end, "what was not written whole is cut off");
            recover::cut(file, found.end).map_err(in_file(path))?;
        }
        Ok(())
    }
}

fn in_file(path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::File {
        path: path.clone(),
        source,
    }
}
