//! A checkpoint on its way into its file.
//!
//! Owns the batches that wait, and the thread that writes them. Must not contain: when it is time for one. Filled by whoever drives the
//! log, whose thread never waits for the disk: it is told when there is no room, and woken when there is.
use super::{EXTENSION, KEPT, OF_ACCEPTED, OF_END, OF_ORDER, Outcome, all};
use crate::hub::log::checkpoint::{Saved, Saving};
use crate::hub::log::disk::folder::sync_dir;
use crate::hub::log::disk::format::{self, BatchWriter, SegmentHead};
use crate::hub::log::disk::keeper::Wake;
use pubsub_stream::hub::EntryRef;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::Builder;

/// A batch is handed over when it has so much.
const BATCH_BYTES: usize = 256 << 10;

/// So many batches wait at most; one more, and the end, when it is the last.
const WAITING_MAX: usize = 4;

/// What was written is synced in pieces of so much, so that a sync of the log beside it never has to wait for more.
const SYNC_BYTES: u64 = 8 << 20;

/// Names aside are numbered: one that was given up may still have to find that out.
static ASIDE: AtomicU64 = AtomicU64::new(0);

enum Piece {
    Batch(Vec<u8>),
    End,
}

/// See the module.
#[derive(Debug)]
pub(in super::super) struct Writer {
    position: i64,
    batch: BatchWriter,
    records: u64,
    out: SyncSender<Piece>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    /// Starts the thread, which leaves behind in `outcome` what came of it.
    pub(super) fn start(
        folder: &Path,
        head: SegmentHead,
        outcome: &Outcome,
        wake: &Wake,
    ) -> io::Result<Self> {
        let (out, pieces) = sync_channel(WAITING_MAX + 2);
        let waiting = Arc::new(AtomicUsize::new(0));
        let work = Work {
            folder: folder.to_owned(),
            pieces,
            waiting: Arc::clone(&waiting),
            wake: Arc::clone(wake),
        };
        let outcome = Arc::clone(outcome);
        Builder::new()
            .name("log-checkpoint".to_owned())
            .spawn(move || {
                let done = work.run(&head);
                if done.is_err() {
                    // Nothing waits for anybody any more.
                    work.waiting.store(0, Ordering::Relaxed);
                }
                *outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
                (work.wake)();
            })?;
        Ok(Self {
            position: head.base,
            batch: BatchWriter::default(),
            records: 0,
            out,
            waiting,
        })
    }

    fn push(&mut self, offset: i64, number: u64, data: &[u8]) {
        self.batch.push(&EntryRef {
            offset,
            ts_us: number,
            mono_ns: 0,
            topic: "",
            key: None,
            data,
        });
    }

    fn hand_over(&mut self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if self.out.try_send(Piece::Batch(self.batch.take())).is_err() {
            // The thread has ended, and says why.
            self.waiting.store(0, Ordering::Relaxed);
        }
    }
}

impl Saving for Writer {
    fn position(&self) -> i64 {
        self.position
    }

    fn has_room(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) < WAITING_MAX
    }

    fn save(&mut self, saved: Saved<'_>) {
        self.records += 1;
        match saved {
            Saved::Newest(entry) => {
                self.batch.push(&entry);
            }
            Saved::Order { told, accepted_us } => self.push(OF_ORDER, accepted_us, told),
            Saved::Accepted(orders) => self.push(OF_ACCEPTED, orders, &[]),
        }
        if self.batch.len() >= BATCH_BYTES {
            self.hand_over();
        }
    }

    fn finish(mut self: Box<Self>) {
        self.push(OF_END, self.records, &[]);
        self.hand_over();
        // As for a batch.
        let _ = self.out.try_send(Piece::End);
    }
}

/// The thread's own.
struct Work {
    folder: PathBuf,
    pieces: Receiver<Piece>,
    waiting: Arc<AtomicUsize>,
    wake: Wake,
}

impl Work {
    fn run(&self, head: &SegmentHead) -> io::Result<u64> {
        let number = ASIDE.fetch_add(1, Ordering::Relaxed);
        let aside = self.folder.join(format!("checkpoint-{number}.new"));
        let written = self.write(&aside, head).and_then(|bytes| {
            let name = format!("{:020}.{EXTENSION}", head.base);
            fs::rename(&aside, self.folder.join(name))?;
            sync_dir(&self.folder)?;
            Ok(bytes)
        });
        if written.is_err() {
            // It may not be there.
            let _ = fs::remove_file(&aside);
        } else if let Err(error) = self.remove_older() {
            tracing::warn!(%error, "an older checkpoint of the log can't be removed");
        }
        written
    }

    /// Writes all of it, and has it last.
    fn write(&self, aside: &Path, head: &SegmentHead) -> io::Result<u64> {
        let mut file = create(aside)?;
        file.write_all(&format::write_checkpoint_head(head))?;
        let (mut bytes, mut unsynced) = (format::SEGMENT_HEAD_BYTES as u64, 0);
        loop {
            match self.pieces.recv() {
                Ok(Piece::Batch(batch)) => {
                    file.write_all(&batch)?;
                    bytes += batch.len() as u64;
                    unsynced += batch.len() as u64;
                    if unsynced >= SYNC_BYTES {
                        file.sync_data()?;
                        unsynced = 0;
                    }
                    if self.waiting.fetch_sub(1, Ordering::Relaxed) == WAITING_MAX {
                        (self.wake)();
                    }
                }
                Ok(Piece::End) => break,
                Err(_) => return Err(io::Error::other("it was given up")),
            }
        }
        file.sync_all()?;
        Ok(bytes)
    }

    fn remove_older(&self) -> io::Result<()> {
        let mut found = all(&self.folder)?;
        found.truncate(found.len().saturating_sub(KEPT));
        for (_, path) in found {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path)
}
