//! Whether all of a folder can be read.
//!
//! Owns what counts as damage. Must not contain: mending it. Driven by [`run`](super::run).
use super::{Progress, SegmentFiles, ToolError, Verdict, open, read_error, survey};
use crate::hub::log::disk::checkpoint::{self, checkpoints_in};
use crate::hub::log::disk::folder::look;
use crate::hub::log::disk::index::IndexFile;
use crate::hub::log::disk::recover::{Found, Hole, scan};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What reading everything came to.
#[derive(Debug, Default, Serialize)]
pub(super) struct Verified {
    segments: u64,
    records: u64,
    bytes: u64,
    damages: Vec<Damage>,
}

/// One damage, or the end of a write under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Damage {
    pub(super) file: PathBuf,
    pub(super) what: What,
    /// First byte, and the first that is whole again.
    pub(super) from: u64,
    pub(super) to: u64,
    /// Offsets between which it lies.
    pub(super) after: i64,
    pub(super) before: Option<i64>,
}

/// Its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum What {
    /// Bytes of a segment are not what was written.
    Hole,
    /// A segment that was finished ends too early.
    Torn,
    /// The newest segment ends in the middle of a write: one under way, or one that a crash cut short. No damage.
    Unfinished,
    /// An index; a start of the node makes it anew.
    Index,
    /// A segment's offsets are not those of its place.
    Order,
    /// A checkpoint; a start of the node uses the one before it, or reads all of the log.
    Checkpoint,
}

/// Reads everything.
pub(super) fn verify(dir: &Path, progress: &mut Progress<'_>) -> Result<Verified, ToolError> {
    let (_, classes, total) = survey(dir)?;
    let mut found = Verified::default();
    for class in &classes {
        let mut last = i64::MIN;
        for (place, segment) in class.segments.iter().enumerate() {
            let newest = place + 1 == class.segments.len();
            let Some((scan, bytes)) = scan_only(segment)? else {
                continue;
            };
            found.segments += 1;
            found.records += scan.records;
            found.bytes += bytes;
            found.damages.extend(damages(segment, &scan, bytes, newest));
            if segment.base <= last {
                found
                    .damages
                    .push(whole_file(segment, What::Order, bytes, last));
            }
            found.damages.extend(index_damage(segment, &scan));
            last = scan.last.max(last);
            progress.note(bytes, total);
        }
    }
    found.damages.extend(checkpoint_damages(dir)?);
    // Its meta and mark once more: a node may have written them meanwhile, and they must still be whole.
    look(dir)?;
    Ok(found)
}

fn scan_only(segment: &SegmentFiles) -> Result<Option<(Found, u64)>, ToolError> {
    let Some(file) = open(&segment.log)? else {
        return Ok(None);
    };
    let failed = || read_error(&segment.log);
    let scan = scan(&file, segment.base, &mut |_| {}).map_err(failed())?;
    let bytes = file.metadata().map_err(failed())?.len();
    Ok(Some((scan, bytes)))
}

/// What a scan found wrong with a segment of `bytes` bytes.
pub(super) fn damages(
    segment: &SegmentFiles,
    scan: &Found,
    bytes: u64,
    newest: bool,
) -> Vec<Damage> {
    let hole = |hole: &Hole| Damage {
        file: segment.log.clone(),
        what: What::Hole,
        from: hole.from_at.into(),
        to: hole.to_at.into(),
        after: hole.after,
        before: Some(hole.before),
    };
    let mut found: Vec<Damage> = scan.holes.iter().map(hole).collect();
    if scan.end < scan.length {
        let torn = u64::from(scan.end);
        let finished = segment.index.is_some() || !newest;
        found.push(Damage {
            file: segment.log.clone(),
            what: if finished {
                What::Torn
            } else {
                What::Unfinished
            },
            from: torn,
            to: bytes.max(torn),
            after: scan.last,
            before: None,
        });
    }
    found
}

fn whole_file(segment: &SegmentFiles, what: What, bytes: u64, after: i64) -> Damage {
    Damage {
        file: segment.log.clone(),
        what,
        from: 0,
        to: bytes,
        after,
        before: None,
    }
}

/// An index that cannot be read, or that is not its segment's.
fn index_damage(segment: &SegmentFiles, scan: &Found) -> Option<Damage> {
    let path = segment.index.as_ref()?;
    let checked = IndexFile::open(path).and_then(|index| index.verify().map(|()| *index.head()));
    let right = checked.is_ok_and(|head| {
        let as_scanned = head.records == scan.records && head.last == scan.last;
        head.base == segment.base
            && (as_scanned || !scan.holes.is_empty() || scan.end < scan.length)
    });
    let bytes = path.metadata().map(|metadata| metadata.len());
    // Without the file retention has removed the segment meanwhile.
    let bytes = bytes.ok()?;
    (!right).then(|| Damage {
        file: path.clone(),
        ..whole_file(segment, What::Index, bytes, segment.base - 1)
    })
}

/// Checkpoints that are not whole.
fn checkpoint_damages(dir: &Path) -> Result<Vec<Damage>, ToolError> {
    let mut found = Vec::new();
    for (position, path) in checkpoints_in(dir).map_err(read_error(dir))? {
        let Some(file) = open(&path)? else {
            continue;
        };
        let bytes = file.metadata().map_err(read_error(&path))?.len();
        if !matches!(checkpoint::verify(&path, position), Ok(Some(_))) {
            found.push(Damage {
                file: path,
                what: What::Checkpoint,
                from: 0,
                to: bytes,
                after: position,
                before: None,
            });
        }
    }
    Ok(found)
}

impl Damage {
    pub(super) fn line(&self) -> String {
        let Self { from, to, .. } = self;
        let what = match self.what {
            What::Hole => "damaged",
            What::Torn => "ends too early",
            What::Unfinished => "unfinished write (no damage: one under way or cut short)",
            What::Index => "index is not its segment's (made anew at the next start)",
            What::Order => "its offsets are below those of the segment before it",
            What::Checkpoint => "checkpoint is damaged (the next start reads more of the log)",
        };
        let before = match self.before {
            Some(before) => format!(" and before {before}"),
            None => String::new(),
        };
        let after = self.after;
        let file = self.file.display();
        format!("{file}: {what}: bytes {from}..{to}, after offset {after}{before}")
    }

    pub(super) fn counts(&self) -> bool {
        self.what != What::Unfinished
    }
}

impl Verified {
    pub(super) fn verdict(&self) -> Verdict {
        if self.damages.iter().any(Damage::counts) {
            Verdict::Damaged
        } else {
            Verdict::Whole
        }
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for damage in &self.damages {
            let _ = writeln!(text, "{}", damage.line());
        }
        let (segments, records, bytes) = (self.segments, self.records, self.bytes);
        let verdict = match self.verdict() {
            Verdict::Whole => "whole".to_owned(),
            Verdict::Damaged => {
                let places = self.damages.iter().filter(|damage| damage.counts()).count();
                format!("DAMAGED in {places} places")
            }
        };
        let _ = writeln!(
            text,
            "{verdict}: {records} records in {segments} segments, {bytes} bytes"
        );
        text
    }

    pub(super) fn json(&self) -> String {
        let whole = self.verdict() == Verdict::Whole;
        let value = serde_json::json!({
            "whole": whole,
            "segments": self.segments,
            "records": self.records,
            "bytes": self.bytes,
            "damages": self.damages,
        });
        format!("{value}\n")
    }
}
