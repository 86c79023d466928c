//! What is done to files beside the log, one function each.
//!
//! Owns how a file comes to last, and how one that others rely on gets its name. Must not contain: when. Driven by the keeper, and by the
//! recovery before there is one.
use super::folder::sync_dir;
use super::index::IndexFile;
use rustix::fs::{fdatasync, statvfs};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Has all of these files last.
pub(super) fn sync_all(files: &[Arc<File>]) -> io::Result<()> {
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
pub(super) fn remove(paths: &[PathBuf]) {
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

/// Bytes that a file in this folder could still take; `None`: the system does not say.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let of = statvfs(folder).ok()?;
    Some(of.f_bavail.saturating_mul(of.f_frsize))
}
