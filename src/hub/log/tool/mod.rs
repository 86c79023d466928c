//! `pubsub-server log`: looking into a log folder from outside.
//!
//! Owns what is said of a folder, and its form. Must not contain: locks or anything that writes to the folder: it may belong to a
//! running node, whose newest segment grows and whose oldest are removed meanwhile. Driven by `main`.
//!
//! - `inspect`: what is in it
//! - `verify`: whether all of it can be read
//! - `export`: its records as lines of JSON
mod export;
mod inspect;
mod progress;
mod verify;

#[cfg(test)]
mod tests;

use super::disk::folder::{FolderError, Look, look};
use super::disk::segment::{SegmentFiles, segments};
use crate::config::args::{LogArgs, LogCommand};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use progress::Progress;

/// Why nothing, or no more, can be said. Each text is one line.
#[derive(Debug, thiserror::Error)]
pub enum ToolError {
    /// The folder as a whole.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// One of its files.
    #[error("{path:?} cannot be read: {error}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// What was to be said could not be written.
    #[error("writing failed: {0}")]
    Write(#[from] io::Error),
}

/// What a folder turned out to be, as far as it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// All of it could be read.
    Whole,
    /// There is damage; it has been named.
    Damaged,
}

/// Does what was asked for; prints on `out`, and on `err` what is for people beside it.
pub fn run(args: &LogArgs, out: &mut dyn Write, err: &mut dyn Write) -> Result<Verdict, ToolError> {
    match &args.command {
        LogCommand::Inspect { dir, topic, json } => {
            let found = inspect::inspect(dir, topic.as_deref(), &mut progress::start(err))?;
            let text = if *json { found.json() } else { found.text() };
            out.write_all(text.as_bytes())?;
            Ok(found.verdict())
        }
        LogCommand::Verify { dir, json } => {
            let found = verify::verify(dir, &mut progress::start(err))?;
            let text = if *json { found.json() } else { found.text() };
            out.write_all(text.as_bytes())?;
            Ok(found.verdict())
        }
        LogCommand::Export { dir, topic, from } => {
            let wanted = export::Wanted {
                topic: topic.as_deref(),
                from: *from,
            };
            export::export(dir, &wanted, out, &mut progress::start(err))
        }
    }
}

/// One class as it is found.
struct ClassFiles {
    pattern: String,
    segments: Vec<SegmentFiles>,
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> ToolError {
    let path = path.to_owned();
    move |error| ToolError::Read { path, error }
}

/// What a folder has, and how many bytes of segments.
fn survey(dir: &Path) -> Result<(Look, Vec<ClassFiles>, u64), ToolError> {
    let look = look(dir)?;
    let (mut classes, mut bytes) = (Vec::new(), 0);
    for (pattern, path) in &look.classes {
        let segments = segments(path).map_err(read_error(path))?;
        let lens = segments.iter().filter_map(|one| one.log.metadata().ok());
        bytes += lens.map(|metadata| metadata.len()).sum::<u64>();
        classes.push(ClassFiles {
            pattern: pattern.clone(),
            segments,
        });
    }
    Ok((look, classes, bytes))
}

/// Opens a segment; `None` when retention has removed it since it was found.
fn open(path: &Path) -> Result<Option<File>, ToolError> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read_error(path)(error)),
    }
}
