//! The records of a folder as lines of JSON.
//!
//! Owns the form of a line. Must not contain: the layout of a segment. Driven by [`run`](super::run).
//!
//! Class by class, and within each in the order of the log: `{"topic","key","offset","ts","data"}`; `ts` in microseconds since the
//! Unix epoch, `key` null where there is none. `data` is the publisher's JSON; a line break in it, which can only stand
//! between its values, becomes a space.
use super::verify::{Damage, damages};
use super::{Progress, SegmentFiles, ToolError, Verdict, open, read_error, survey};
use crate::hub::log::disk::recover::{Shown, scan};
use pubsub_stream::hub::EntryRef;
use serde::Serialize;
use serde_json::value::RawValue;
use std::io::{self, Write};
use std::path::Path;

/// Which records.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// Of topics that match this.
    pub(super) topic: Option<&'a str>,
    /// With offsets from this one on.
    pub(super) from: i64,
}

impl Wanted<'_> {
    fn takes(&self, entry: &EntryRef<'_>) -> bool {
        let matches = |pattern| pubsub_wire::topic::matches(pattern, entry.topic);
        entry.offset >= self.from && self.topic.is_none_or(matches)
    }
}

/// A line.
#[derive(Serialize)]
struct Line<'a> {
    topic: &'a str,
    key: Option<&'a str>,
    offset: i64,
    ts: u64,
    data: &'a RawValue,
}

/// Writes the wanted records on `out`; damage on the way is named and passed over.
pub(super) fn export(
    dir: &Path,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
    progress: &mut Progress<'_>,
) -> Result<Verdict, ToolError> {
    let (_, classes, total) = survey(dir)?;
    let mut verdict = Verdict::Whole;
    for class in &classes {
        for (place, segment) in class.segments.iter().enumerate() {
            // All that comes before the next segment's base is in this one.
            let next = class.segments.get(place + 1);
            if next.is_some_and(|next| next.base <= wanted.from) {
                continue;
            }
            let (bytes, found) = segment_lines(segment, next.is_none(), wanted, out)?;
            for damage in found.iter().filter(|damage| damage.counts()) {
                verdict = Verdict::Damaged;
                progress.say(&damage.line());
            }
            progress.note(bytes, total);
        }
    }
    out.flush()?;
    Ok(verdict)
}

/// Writes one segment's; its bytes, and what is wrong with it.
fn segment_lines(
    segment: &SegmentFiles,
    newest: bool,
    wanted: &Wanted<'_>,
    out: &mut dyn Write,
) -> Result<(u64, Vec<Damage>), ToolError> {
    let Some(file) = open(&segment.log)? else {
        return Ok((0, Vec::new()));
    };
    let mut written = Ok(());
    let mut visit = |shown: &Shown<'_>| {
        if written.is_ok() && wanted.takes(&shown.entry) {
            written = line(out, &shown.entry);
        }
    };
    let failed = || read_error(&segment.log);
    let scan = scan(&file, segment.base, &mut visit).map_err(failed())?;
    written?;
    let bytes = file.metadata().map_err(failed())?.len();
    Ok((bytes, damages(segment, &scan, bytes, newest)))
}

fn line(out: &mut dyn Write, entry: &EntryRef<'_>) -> io::Result<()> {
    let data = String::from_utf8_lossy(entry.data).replace(['\n', '\r'], " ");
    // The node took only JSON; should it be none after all, it is shown as a text.
    let data = RawValue::from_string(data)
        .or_else(|_| serde_json::value::to_raw_value(&String::from_utf8_lossy(entry.data)))?;
    let line = Line {
        topic: entry.topic,
        key: entry.key,
        offset: entry.offset,
        ts: entry.ts_us,
        data: &data,
    };
    serde_json::to_writer(&mut *out, &line)?;
    out.write_all(b"\n")
}
