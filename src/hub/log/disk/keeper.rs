//! The thread that does for the log what a disk may make wait: syncs, the indexes of sealed segments, new segments, deletions, marks.
//!
//! Owns when a sync is due, and how long each took. Must not contain: what the log holds, or what a job is (that is `jobs`).
//! Driven by the log, which gives it jobs and hears what became of them; a few jobs at most are under way: at most one of a kind for each
//! class, and one deletion for each segment that retention takes.
//!
//! Laws: what a sync has covered was written before it began. A sync that failed is never tried again, since the system may have
//! dropped what it could not write: the log is told, and ends. Everything else that fails for want of space is tried again. However
//! often a sync is due, a job that waits is done behind the next one.
use super::chores::{free_bytes, is_full, sync_all};
use super::folder::Folder;
use super::jobs::{Done, Job, attempt};
use crate::clock;
use crate::config::LogSync;
use crate::hub::log::Meters;
use pubsub_stream::Histogram;
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// What failed for want of space is tried again after this pause.
const RETRY_NS: u64 = 1_000_000_000;

/// Free space is looked at so often: others may fill the disk while this log is quiet.
const SPACE_NS: u64 = 5_000_000_000;

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
    /// When the oldest of that was.
    dirty_since_ns: u64,
    /// When the oldest of what the sync under way is to cover was written.
    syncing_since_ns: Option<u64>,
    /// How long syncs took.
    sync: Histogram,
    /// How long segments took to be sealed.
    seal: Histogram,
    /// Space that the disk has left, if that can be said.
    free_bytes: Option<u64>,
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
            owes_job: false,
            look_ns: 0,
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
    pub(super) fn note_written(&self, now_ns: u64, files: Vec<Arc<File>>, offset: i64) {
        let mut state = self.shared.lock();
        let was_clean = state.dirty.is_empty();
        for file in files {
            if !state.dirty.iter().any(|dirty| Arc::ptr_eq(dirty, &file)) {
                state.dirty.push(file);
            }
        }
        state.written = offset;
        if was_clean {
            state.dirty_since_ns = now_ns;
            self.shared.changed.notify_one();
        }
    }

    /// Says what it has counted.
    pub(super) fn meter(&self, meters: &mut Meters) {
        let state = self.shared.lock();
        let waits = (!state.dirty.is_empty()).then_some(state.dirty_since_ns);
        meters.unsynced_since_ns = state.syncing_since_ns.or(waits);
        meters.sync.clone_from(&state.sync);
        meters.seal.clone_from(&state.seal);
        meters.free_bytes = state.free_bytes;
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
    /// A sync has gone before the jobs that wait.
    owes_job: bool,
    /// When free space is to be looked at.
    look_ns: u64,
    /// What had no space, and when it is tried again.
    again: VecDeque<(u64, Job)>,
}

/// What is to be done next.
enum Next {
    Job(Job),
    Sync(Vec<Arc<File>>, i64),
    Look,
    Stop,
}

impl Work {
    fn run(mut self) {
        loop {
            match self.next() {
                Next::Stop => return self.close(),
                Next::Sync(files, upto) => self.sync_files(&files, upto),
                Next::Look => {
                    let free = free_bytes(self.folder.path());
                    self.shared.lock().free_bytes = free;
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
            let owes_job = self.owes_job && !state.jobs.is_empty();
            if !owes_job && due_ns.is_some_and(|due| due <= now_ns || state.stop) {
                self.owes_job = true;
                state.syncing_since_ns = Some(state.dirty_since_ns);
                let files = std::mem::take(&mut state.dirty);
                return Next::Sync(files, state.written);
            }
            self.owes_job = false;
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
            if self.look_ns <= now_ns {
                self.look_ns = now_ns.saturating_add(SPACE_NS);
                return Next::Look;
            }
            let others = due_ns.into_iter().chain(again_ns);
            let pause = others.fold(self.look_ns, u64::min) - now_ns;
            let waited = shared
                .changed
                .wait_timeout(state, Duration::from_nanos(pause));
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn sync_files(&mut self, files: &[Arc<File>], upto: i64) {
        self.synced_ns = clock::mono_ns();
        let outcome = sync_all(files);
        let took_ns = clock::mono_ns().saturating_sub(self.synced_ns);
        let done = match outcome {
            Ok(()) => {
                let mut state = self.shared.lock();
                state.sync.record(took_ns);
                state.syncing_since_ns = None;
                Done::Synced(upto)
            }
            Err(error) => Done::Failed {
                what: "the log could not be synced".to_owned(),
                error,
            },
        };
        self.tell(done);
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
        let begun_ns = clock::mono_ns();
        match attempt(&job, &self.folder, self.sync) {
            Ok(done) => {
                if let Some(Done::Sealed { .. }) = done {
                    let took_ns = clock::mono_ns().saturating_sub(begun_ns);
                    self.shared.lock().seal.record(took_ns);
                }
                done
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_waits_for_one_sync_and_not_for_as_long_as_there_is_something_to_sync() {
        let path = tempfile::tempdir().unwrap();
        let folder = Arc::new(Folder::open(path.path(), "e", 1).unwrap());
        let file = Arc::new(File::open(path.path()).unwrap());
        let mut work = Work {
            shared: Arc::new(Shared {
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            folder,
            sync: LogSync::Always,
            wake: Arc::new(|| {}),
            synced_ns: 0,
            owes_job: false,
            look_ns: u64::MAX,
            again: VecDeque::new(),
        };
        let mut done = Vec::new();
        for upto in [1, 2] {
            work.shared.lock().jobs.push_back(Job::Reserve(upto));
        }
        for _ in 0..4 {
            work.shared.lock().dirty.push(Arc::clone(&file));
            done.push(match work.next() {
                Next::Sync(..) => 's',
                Next::Job(_) => 'j',
                Next::Look | Next::Stop => '-',
            });
        }
        assert_eq!(done, ['s', 'j', 's', 'j']);
    }
}
