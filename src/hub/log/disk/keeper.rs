//! The thread that does for the log what a disk may make wait: syncs, the indexes of sealed segments, new segments, deletions, marks.
//!
//! Owns when a sync is due. Must not contain: what the log holds. Driven by the log, which gives it jobs and hears what became of them;
//! a few jobs at most are under way: at most one of a kind for each class, and one deletion for each segment that retention takes.
//!
//! Laws: what a sync has covered was written before it began. A sync that failed is never tried again, since the system may have
//! dropped what it could not write: the log is told, and ends. Everything else that fails for want of space is tried again.
use super::folder::{Folder, sync_dir};
use super::index::IndexFile;
use super::places::Places;
use super::segment::Writer;
use crate::clock;
use crate::config::LogSync;
use rustix::fs::fdatasync;
use std::collections::VecDeque;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What failed for want of space is tried again after this pause.
const RETRY_NS: u64 = 1_000_000_000;

/// What the log wants done.
#[derive(Debug)]
pub(super) enum Job {
    /// A segment is full: its bytes are to last, and its index is to be written.
    Seal {
        class: usize,
        places: Arc<Places>,
        file: Arc<File>,
        /// The segment's.
        path: PathBuf,
        bytes: u32,
    },
    /// A segment is to be ready in this folder before it is needed.
    Prepare {
        class: usize,
        folder: PathBuf,
        capacity: u64,
    },
    /// These files are to go, all of one folder.
    Remove(Vec<PathBuf>),
    /// Offsets up to here may be given.
    Reserve(i64),
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Done {
    /// A segment's index is written.
    Sealed {
        class: usize,
        base: i64,
        index: IndexFile,
    },
    /// A segment is ready.
    Prepared { class: usize, writer: Writer },
    /// There is no room for a segment.
    NoRoom { class: usize },
    /// Offsets up to here may be given, also after a crash.
    Reserved(i64),
    /// Everything written up to this offset lasts.
    Synced(i64),
    /// A sync has failed, or something that can't be tried again.
    Failed { what: String, error: io::Error },
}

/// Tells whoever drives the log that there is something to hear.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// See the module.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper").finish_non_exhaustive()
    }
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Job>,
    done: VecDeque<Done>,
    /// Files written since their last sync.
    dirty: Vec<Arc<File>>,
    /// Newest offset written.
    written: i64,
    /// Newest offset given, when the log is closed in order.
    closed: Option<i64>,
    stop: bool,
}

impl Keeper {
    /// Begins; `folder` is where marks go.
    pub(super) fn start(folder: Arc<Folder>, sync: LogSync, wake: Wake) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let work = Work {
            shared: Arc::clone(&shared),
            folder,
            sync,
            wake,
            synced_ns: clock::mono_ns(),
            again: VecDeque::new(),
        };
        let thread = Builder::new()
            .name("log-keeper".to_owned())
            .spawn(move || work.run())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Asks for something.
    pub(super) fn ask(&self, job: Job) {
        self.shared.lock().jobs.push_back(job);
        self.shared.changed.notify_one();
    }

    /// Bytes up to `offset` have been written to these files.
    pub(super) fn note_written(&self, files: Vec<Arc<File>>, offset: i64) {
        let mut state = self.shared.lock();
        let was_clean = state.dirty.is_empty();
        for file in files {
            if !state.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &file)) {
                state.dirty.push(file);
            }
        }
        state.written = offset;
        if was_clean {
            self.shared.changed.notify_one();
        }
    }

    /// The log ends in order: no larger offset than this was given, so the next one goes on behind it.
    pub(super) fn close(&self, head: i64) {
        self.shared.lock().closed = Some(head);
    }

    /// What has been done since the last time.
    pub(super) fn heard(&self) -> VecDeque<Done> {
        std::mem::take(&mut self.shared.lock().done)
    }
}

impl Drop for Keeper {
    /// What was asked for is done, and what was written is synced.
    fn drop(&mut self) {
        self.shared.lock().stop = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It has told why before, if it panicked.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's own.
struct Work {
    shared: Arc<Shared>,
    folder: Arc<Folder>,
    sync: LogSync,
    wake: Wake,
    /// When the last sync began.
    synced_ns: u64,
    /// What had no space, and when it is tried again.
    again: VecDeque<(u64, Job)>,
}

/// What is to be done next.
enum Next {
    Job(Job),
    Sync(Vec<Arc<File>>, i64),
    Stop,
}

impl Work {
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Stop => return self.close(),
                Next::Sync(files, upto) => {
                    self.synced_ns = clock::mono_ns();
                    let done = match sync_all(&files) {
                        Ok(()) => Done::Synced(upto),
                        Err(error) => Done::Failed {
                            what: "the log could not be synced".to_owned(),
                            error,
                        },
                    };
                    self.tell(done);
                }
                Next::Job(job) => {
                    if let Some(done) = self.carry_out(job) {
                        self.tell(done);
                    }
                }
            }
        }
    }

    /// Waits for something to do.
    fn next(&mut self) -> Next {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let due_ns = self.due_ns(&state);
            let now_ns = clock::mono_ns();
            if due_ns.is_some_and(|due| due <= now_ns || state.stop) {
                let files = std::mem::take(&mut state.dirty);
                return Next::Sync(files, state.written);
            }
            if let Some(job) = state.jobs.pop_front() {
                return Next::Job(job);
            }
            if state.stop {
                return Next::Stop;
            }
            let again_ns = self.again.front().map(|(at, _)| *at);
            if again_ns.is_some_and(|at| at <= now_ns)
                && let Some((_, job)) = self.again.pop_front()
            {
                return Next::Job(job);
            }
            let pause = due_ns.into_iter().chain(again_ns).min();
            let pause = pause.map_or(u64::MAX, |at| at - now_ns);
            let waited = shared
                .changed
                .wait_timeout(state, Duration::from_nanos(pause));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn close(&self) {
        let closed = self.shared.lock().closed;
        if let Some(head) = closed
            && let Err(error) = self.folder.close(head)
        {
            tracing::warn!(%error, "the mark of the log could not be written; its next offsets will skip some");
        }
    }

    /// When the next sync is due, if anything is to be synced.
    fn due_ns(&self, state: &State) -> Option<u64> {
        if state.dirty.is_empty() {
            return None;
        }
        match self.sync {
            LogSync::None => None,
            LogSync::Always => Some(0),
            LogSync::Interval { ms } => {
                Some(self.synced_ns.saturating_add(ms.saturating_mul(1_000_000)))
            }
        }
    }

    /// Does it, or puts it off for want of space.
    fn carry_out(&mut self, job: Job) -> Option<Done> {
        match self.attempt(&job) {
            Ok(done) => done,
            Err((_, error)) if is_full(&error) => {
                let no_room = match &job {
                    Job::Prepare { class, .. } => Some(Done::NoRoom { class: *class }),
                    _ => None,
                };
                let at = clock::mono_ns() + RETRY_NS;
                self.again.push_back((at, job));
                no_room
            }
            Err((what, error)) => Some(Done::Failed { what, error }),
        }
    }

    fn attempt(&self, job: &Job) -> Result<Option<Done>, (String, io::Error)> {
        match job {
            Job::Seal {
                class,
                places,
                file,
                path,
                bytes,
            } => self.seal(*class, places, file, (path, *bytes)).map(Some),
            Job::Prepare {
                class,
                folder,
                capacity,
            } => {
                let writer = Writer::prepare(folder, *capacity).map_err(|error| {
                    (
                        format!("no segment could be made in {}", folder.display()),
                        error,
                    )
                })?;
                Ok(Some(Done::Prepared {
                    class: *class,
                    writer,
                }))
            }
            Job::Remove(paths) => {
                remove(paths);
                Ok(None)
            }
            Job::Reserve(upto) => {
                let reserved = self.folder.reserve(*upto);
                reserved.map_err(|error| ("the mark could not be written".to_owned(), error))?;
                Ok(Some(Done::Reserved(*upto)))
            }
        }
    }

    fn seal(
        &self,
        class: usize,
        places: &Places,
        file: &File,
        (path, bytes): (&Path, u32),
    ) -> Result<Done, (String, io::Error)> {
        let failed = |error| (format!("{} could not be sealed", path.display()), error);
        if self.sync != LogSync::None {
            fdatasync(file).map_err(|error| failed(error.into()))?;
        }
        let index =
            write_index(path, &places.encode(places.topics.values(), bytes)).map_err(failed)?;
        Ok(Done::Sealed {
            class,
            base: places.base,
            index,
        })
    }

    fn tell(&self, done: Done) {
        let matters = !matches!(
            (&done, self.sync),
            (Done::Synced(_), LogSync::Interval { .. })
        );
        self.shared.lock().done.push_back(done);
        if matters {
            (self.wake)();
        }
    }
}

fn sync_all(files: &[Arc<File>]) -> io::Result<()> {
    for file in files {
        fdatasync(file)?;
    }
    Ok(())
}

/// Writes a segment's index: aside, so that a name is only ever that of a whole one.
pub(super) fn write_index(segment: &Path, bytes: &[u8]) -> io::Result<IndexFile> {
    let (aside, path) = (
        segment.with_extension("idx.new"),
        segment.with_extension("idx"),
    );
    let mut file = File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_data()?;
    fs::rename(&aside, &path)?;
    if let Some(folder) = path.parent() {
        sync_dir(folder)?;
    }
    IndexFile::open(&path).map_err(io::Error::other)
}

/// What can't be removed now is found and removed when the folder is opened the next time.
fn remove(paths: &[PathBuf]) {
    for path in paths {
        if let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a part of the log that is over its limits can't be removed");
        }
    }
    if let Some(folder) = paths.first().and_then(|path| path.parent())
        && let Err(error) = sync_dir(folder)
    {
        tracing::warn!(folder = %folder.display(), %error, "a folder of the log can't be synced");
    }
}

/// Whether it is space that is wanting.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
