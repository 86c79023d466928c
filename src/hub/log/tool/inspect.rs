//! What is in a folder.
//!
//! Owns the summary: classes, segments, topics. Must not contain: reading what an index tells already. Driven by [`run`](super::run).
use super::verify::{Damage, damages};
use super::{Progress, SegmentFiles, ToolError, Verdict, open, read_error, survey};
use crate::hub::log::disk::checkpoint::checkpoints_in;
use crate::hub::log::disk::folder::Meta;
use crate::hub::log::disk::index::{IndexError, IndexFile};
use crate::hub::log::disk::recover::scan;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

/// See the module.
#[derive(Debug, Serialize)]
pub(super) struct Inspected {
    #[serde(flatten)]
    meta: Meta,
    /// Offsets up to it may have been given.
    reserved: Option<i64>,
    /// Their positions, the newest last.
    checkpoints: Vec<i64>,
    classes: Vec<Class>,
    topics: BTreeMap<String, Topic>,
    damages: Vec<Damage>,
}

#[derive(Debug, Serialize)]
struct Class {
    pattern: String,
    segments: Vec<Segment>,
}

#[derive(Debug, Serialize)]
struct Segment {
    base: i64,
    /// Null where it has no record.
    last: Option<i64>,
    records: u64,
    bytes: u64,
    sealed: bool,
}

/// Where a topic's records are.
#[derive(Debug, Serialize)]
struct Topic {
    first: i64,
    last: i64,
    count: u64,
}

type Topics = BTreeMap<String, Topic>;

/// Looks at everything; of topics only at those that match.
pub(super) fn inspect(
    dir: &Path,
    topic: Option<&str>,
    progress: &mut Progress<'_>,
) -> Result<Inspected, ToolError> {
    let (look, classes, total) = survey(dir)?;
    let mut found = Inspected {
        meta: look.meta,
        reserved: look.mark.map(|mark| mark.upto),
        checkpoints: positions(dir)?,
        classes: Vec::new(),
        topics: Topics::new(),
        damages: Vec::new(),
    };
    for class in &classes {
        let mut segments = Vec::new();
        for (place, files) in class.segments.iter().enumerate() {
            let newest = place + 1 == class.segments.len();
            let by_index = by_index(files, &mut found.topics).ok().flatten();
            let segment = match by_index {
                Some(segment) => Some(segment),
                None => by_scan(files, newest, &mut found)?,
            };
            progress.note(segment.as_ref().map_or(0, |one| one.bytes), total);
            segments.extend(segment);
        }
        found.classes.push(Class {
            pattern: class.pattern.clone(),
            segments,
        });
    }
    if let Some(pattern) = topic {
        let matches = |name: &String, _: &mut Topic| pubsub_wire::topic::matches(pattern, name);
        found.topics.retain(matches);
    }
    Ok(found)
}

/// Of the checkpoints there are.
fn positions(dir: &Path) -> Result<Vec<i64>, ToolError> {
    let all = checkpoints_in(dir).map_err(read_error(dir))?;
    Ok(all.into_iter().map(|(position, _)| position).collect())
}

/// By its index alone; nothing is added to `topics` unless all of it can be read.
fn by_index(files: &SegmentFiles, topics: &mut Topics) -> Result<Option<Segment>, IndexError> {
    let Some(path) = &files.index else {
        return Ok(None);
    };
    let index = IndexFile::open(path)?;
    let mut rows = Vec::new();
    index.rows(&mut |row| rows.push(row.clone()))?;
    let mut read = Vec::new();
    for row in rows {
        // Its first of all may have left the log long ago; the first that is here is its first posting's.
        let first = match index.postings(&row)?.first() {
            Some(place) => files.base + i64::from(place.delta),
            None => continue,
        };
        read.push((row, first));
    }
    for (row, first) in read {
        note(topics, &row.name, first, row.last, u64::from(row.count));
    }
    let head = index.head();
    Ok(Some(Segment {
        base: head.base,
        last: (head.records > 0).then_some(head.last),
        records: head.records,
        bytes: head.bytes.into(),
        sealed: true,
    }))
}

/// By reading it; `None` when it is gone.
fn by_scan(
    files: &SegmentFiles,
    newest: bool,
    found: &mut Inspected,
) -> Result<Option<Segment>, ToolError> {
    let Some(file) = open(&files.log)? else {
        return Ok(None);
    };
    let failed = || read_error(&files.log);
    let topics = &mut found.topics;
    let scan = scan(&file, files.base, &mut |shown| {
        let entry = &shown.entry;
        note(topics, entry.topic, entry.offset, entry.offset, 1);
    })
    .map_err(failed())?;
    let bytes = file.metadata().map_err(failed())?.len();
    found.damages.extend(damages(files, &scan, bytes, newest));
    Ok(Some(Segment {
        base: files.base,
        last: (scan.records > 0).then_some(scan.last),
        records: scan.records,
        bytes,
        sealed: files.index.is_some(),
    }))
}

fn note(topics: &mut Topics, name: &str, first: i64, last: i64, count: u64) {
    match topics.get_mut(name) {
        Some(topic) => {
            topic.first = topic.first.min(first);
            topic.last = topic.last.max(last);
            topic.count += count;
        }
        None => drop(topics.insert(name.to_owned(), Topic { first, last, count })),
    }
}

impl Inspected {
    pub(super) fn verdict(&self) -> Verdict {
        if self.damages.iter().any(Damage::counts) {
            Verdict::Damaged
        } else {
            Verdict::Whole
        }
    }

    pub(super) fn json(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        format!("{value}\n")
    }

    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        let Meta {
            format,
            epoch,
            created_us,
            jumps,
        } = &self.meta;
        let reserved = self
            .reserved
            .map_or("none".to_owned(), |upto| upto.to_string());
        let _ = writeln!(
            text,
            "epoch {epoch}, format {format}, made at {created_us} us, offsets reserved up to {reserved}"
        );
        if let Some(newest) = self.checkpoints.last() {
            let _ = writeln!(
                text,
                "a start reads newest values and orders from a checkpoint of {newest}, and what the log has behind it"
            );
        }
        for (first, last) in jumps {
            let _ = writeln!(
                text,
                "what was published as {first} to {last} may have been lost in a crash"
            );
        }
        for class in &self.classes {
            let _ = writeln!(text, "\nclass {}", class.pattern);
            let _ = writeln!(
                text,
                "{:>20} {:>20} {:>10} {:>12}  state",
                "base", "last", "records", "bytes"
            );
            for one in &class.segments {
                let last = one.last.map_or("-".to_owned(), |last| last.to_string());
                let state = if one.sealed { "sealed" } else { "open" };
                let (base, records, bytes) = (one.base, one.records, one.bytes);
                let _ = writeln!(
                    text,
                    "{base:>20} {last:>20} {records:>10} {bytes:>12}  {state}"
                );
            }
        }
        let _ = writeln!(
            text,
            "\n{:>20} {:>20} {:>10}  topic",
            "first", "last", "count"
        );
        for (name, Topic { first, last, count }) in &self.topics {
            let _ = writeln!(text, "{first:>20} {last:>20} {count:>10}  {name}");
        }
        for damage in &self.damages {
            let _ = writeln!(text, "{}", damage.line());
        }
        text
    }
}
