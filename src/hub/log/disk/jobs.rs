//! What the log has its keeper do, and how each of these is done.
//!
//! Owns the words between the two. Must not contain: when something is done, or waiting. Driven by the keeper.
use super::chores::{is_full, remove, write_index};
use super::folder::Folder;
use super::index::IndexFile;
use super::mend::{Unmendable, mend};
use super::places::Places;
use super::segment::Writer;
use crate::config::LogSync;
use rustix::fs::fdatasync;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// A segment's index is damaged and is to be made anew.
    Mend {
        class: usize,
        base: i64,
        file: Arc<File>,
        /// The segment's.
        path: PathBuf,
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
    /// A segment's index is made anew.
    Mended {
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

/// Does a job; an error says what failed and why.
pub(super) fn attempt(
    job: &Job,
    folder: &Folder,
    sync: LogSync,
) -> Result<Option<Done>, (String, io::Error)> {
    match job {
        Job::Seal {
            class,
            places,
            file,
            path,
            bytes,
        } => seal(*class, places, file, (path, *bytes), sync).map(Some),
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
        Job::Mend {
            class,
            base,
            file,
            path,
        } => mend_index((*class, *base), file, path),
        Job::Remove(paths) => {
            remove(paths);
            Ok(None)
        }
        Job::Reserve(upto) => {
            let reserved = folder.reserve(*upto);
            reserved.map_err(|error| ("the mark could not be written".to_owned(), error))?;
            Ok(Some(Done::Reserved(*upto)))
        }
    }
}

fn seal(
    class: usize,
    places: &Places,
    file: &File,
    (path, bytes): (&Path, u32),
    sync: LogSync,
) -> Result<Done, (String, io::Error)> {
    let failed = |error| (format!("{} could not be sealed", path.display()), error);
    if sync != LogSync::None {
        fdatasync(file).map_err(|error| failed(error.into()))?;
    }
    let index = write_index(path, &places.encode(places.topics.values(), bytes)).map_err(failed)?;
    Ok(Done::Sealed {
        class,
        base: places.base,
        index,
    })
}

/// What fails is no reason to end: readers are told of a gap.
fn mend_index(
    (class, base): (usize, i64),
    file: &File,
    path: &Path,
) -> Result<Option<Done>, (String, io::Error)> {
    match mend(path, file) {
        Ok(index) => {
            tracing::warn!(segment = %path.display(), "the index of a segment was damaged and is made anew");
            Ok(Some(Done::Mended { class, base, index }))
        }
        Err(Unmendable::Io(error)) if is_full(&error) => {
            Err((format!("{} gets no index", path.display()), error))
        }
        Err(error) => {
            tracing::error!(segment = %path.display(), %error, "the index of a segment is damaged and can't be made anew before the next start");
            Ok(None)
        }
    }
}
