//! Real folders, whole and with planted damage.
use super::super::disk::folder::Folder;
use super::super::disk::format::{BatchWriter, SegmentHead};
use super::super::disk::index::{IndexBuilder, Place};
use super::super::disk::recover::scan;
use super::super::disk::segment::{Writer, name};
use super::*;
use crate::config::args::{Parsed, parse};
use pubsub_stream::hub::EntryRef;
use serde_json::Value;
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;

/// Runs the tool with these words; what it printed on stdout and on stderr.
fn tool(dir: &Path, words: &[&str]) -> (Result<Verdict, ToolError>, String, String) {
    let all = [
        &["pubsub-server", "log", words[0], dir.to_str().unwrap()],
        &words[1..],
    ]
    .concat();
    let Ok(Parsed::Run(typed)) = parse(all.into_iter().map(Into::into)) else {
        panic!("{words:?}");
    };
    let Some(crate::config::args::Command::Log(args)) = typed.command else {
        panic!("{words:?}");
    };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let verdict = run(&args, &mut out, &mut err);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (verdict, text(out), text(err))
}

/// A class with two segments of three records each, the first sealed; offsets 1 to 6, topics a and b in turn.
fn folder(dir: &Path) -> Folder {
    let folder = Folder::open(dir, "e1", 5).unwrap();
    folder.reserve(1000).unwrap();
    let class = folder.class(">").unwrap();
    for base in [1, 4] {
        let head = SegmentHead {
            base,
            before: base - 1,
            boot: folder.boot(),
            created_us: 5,
        };
        let writer = Writer::prepare(&class, 1 << 16).unwrap();
        let (mut writer, _) = writer.begin(&class, &head).unwrap();
        for offset in base..base + 3 {
            let mut batch = BatchWriter::default();
            batch.push(&EntryRef {
                offset,
                ts_us: 7,
                mono_ns: 0,
                topic: ["a", "b"][usize::try_from(offset % 2).unwrap()],
                key: (offset == 2).then_some("k"),
                data: b"{\"n\":\n1.50}",
            });
            writer.append(batch.finish()).unwrap();
        }
        if base == 1 {
            std::fs::write(index_path(&class, base), index_of(&writer)).unwrap();
        }
    }
    folder
}

/// The index of the first segment.
fn index_of(writer: &Writer) -> Vec<u8> {
    let mut topics: BTreeMap<String, Vec<Place>> = BTreeMap::new();
    scan(writer.file(), 1, &mut |shown| {
        let delta = u32::try_from(shown.entry.offset - 1).unwrap();
        let place = Place {
            delta,
            at: shown.at,
        };
        let places = topics.entry(shown.entry.topic.to_owned()).or_default();
        places.push(place);
    })
    .unwrap();
    let mut builder = IndexBuilder::new(1);
    for (name, places) in &topics {
        builder.topic(name, 0, 0, 1 + i64::from(places[0].delta), places);
    }
    builder.encode(3, 3, writer.len(), (7, 7))
}

fn segment_path(class: &Path, base: i64) -> PathBuf {
    class.join(name(base))
}

fn index_path(class: &Path, base: i64) -> PathBuf {
    segment_path(class, base).with_extension("idx")
}

/// Flips a byte of a segment so far before its end.
fn flip(dir: &Path, base: i64, before_end: u64) -> u64 {
    let path = segment_path(&dir.join("classes/%3E"), base);
    let file = File::options().read(true).write(true).open(path).unwrap();
    let at = file.metadata().unwrap().len() - before_end;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    at
}

#[test]
fn a_whole_folder_is_said_to_be_whole_while_a_node_uses_it() {
    let dir = tempfile::tempdir().unwrap();
    let _used = folder(dir.path());
    let (verdict, out, err) = tool(dir.path(), &["verify"]);
    assert_eq!((verdict.unwrap(), err.as_str()), (Verdict::Whole, ""));
    assert!(out.starts_with("whole: 6 records in 2 segments"), "{out}");
}

#[test]
fn a_planted_damage_is_named_with_its_bytes_and_offsets() {
    let dir = tempfile::tempdir().unwrap();
    drop(folder(dir.path()));
    let record = 36 + 1 + 11;
    // The last byte of the record before the last batch.
    let at = flip(dir.path(), 1, 32 + record + 1);
    let (verdict, out, _) = tool(dir.path(), &["verify", "--json"]);
    assert_eq!(verdict.unwrap(), Verdict::Damaged);
    let said: Value = serde_json::from_str(&out).unwrap();
    let damage = &said["damages"][0];
    assert_eq!(
        (said["whole"].as_bool(), said["records"].as_u64()),
        (Some(false), Some(5))
    );
    assert_eq!(
        (
            damage["what"].as_str(),
            damage["after"].as_i64(),
            damage["before"].as_i64()
        ),
        (Some("hole"), Some(1), Some(3))
    );
    assert!(damage["from"].as_u64().unwrap() <= at && at < damage["to"].as_u64().unwrap());
    let (_, text, _) = tool(dir.path(), &["verify"]);
    assert!(
        text.contains("after offset 1 and before 3") && text.contains("DAMAGED in 1 places"),
        "{text}"
    );
}

#[test]
fn the_end_of_the_newest_segment_may_be_unfinished_but_a_sealed_one_may_not() {
    let dir = tempfile::tempdir().unwrap();
    drop(folder(dir.path()));
    let cut = |base| {
        let path = segment_path(&dir.path().join("classes/%3E"), base);
        let file = File::options().write(true).open(path).unwrap();
        file.set_len(file.metadata().unwrap().len() - 1).unwrap();
    };
    cut(4);
    let (verdict, out, _) = tool(dir.path(), &["verify"]);
    assert_eq!(verdict.unwrap(), Verdict::Whole);
    assert!(out.contains("unfinished write"), "{out}");
    cut(1);
    let (verdict, out, _) = tool(dir.path(), &["verify"]);
    assert_eq!(verdict.unwrap(), Verdict::Damaged);
    assert!(out.contains("ends too early"), "{out}");
}

#[test]
fn a_damaged_index_is_named_and_not_needed_to_inspect() {
    let dir = tempfile::tempdir().unwrap();
    drop(folder(dir.path()));
    let index = index_path(&dir.path().join("classes/%3E"), 1);
    let mut bytes = std::fs::read(&index).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&index, bytes).unwrap();
    let (verdict, out, _) = tool(dir.path(), &["verify"]);
    assert_eq!(verdict.unwrap(), Verdict::Damaged);
    assert!(out.contains("index is not its segment's"), "{out}");
    let (_, out, _) = tool(dir.path(), &["inspect", "--json"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(said["topics"]["b"]["count"], 3);
}

#[test]
fn what_is_in_a_folder_is_counted_by_class_segment_and_topic() {
    let dir = tempfile::tempdir().unwrap();
    drop(folder(dir.path()));
    let (_, out, _) = tool(dir.path(), &["inspect", "--json", "--topic", "a"]);
    let said: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (said["epoch"].as_str(), said["reserved"].as_i64()),
        (Some("e1"), Some(1000))
    );
    let segments = &said["classes"][0]["segments"];
    assert_eq!(
        (
            segments[0]["sealed"].as_bool(),
            segments[1]["sealed"].as_bool()
        ),
        (Some(true), Some(false))
    );
    assert_eq!(
        (
            segments[0]["last"].as_i64(),
            segments[1]["records"].as_u64()
        ),
        (Some(3), Some(3))
    );
    assert_eq!(
        said["topics"],
        serde_json::json!({"a": {"first": 2, "last": 6, "count": 3}})
    );
    let (_, text, _) = tool(dir.path(), &["inspect"]);
    assert!(
        text.contains("class >") && text.contains("sealed") && text.contains("open"),
        "{text}"
    );
}

#[test]
fn records_are_exported_one_a_line_with_their_data_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let _used = folder(dir.path());
    let (verdict, out, _) = tool(dir.path(), &["export"]);
    assert_eq!((verdict.unwrap(), out.lines().count()), (Verdict::Whole, 6));
    let second = "{\"topic\":\"a\",\"key\":\"k\",\"offset\":2,\"ts\":7,\"data\":{\"n\": 1.50}}";
    assert_eq!(out.lines().nth(1), Some(second));
    let offsets = |words: &[&str]| -> Vec<i64> {
        let (_, out, _) = tool(dir.path(), words);
        let offset = |line| serde_json::from_str::<Value>(line).unwrap()["offset"].as_i64();
        out.lines().filter_map(offset).collect()
    };
    assert_eq!(offsets(&["export", "--topic", "b"]), [1, 3, 5]);
    assert_eq!(offsets(&["export", "--from", "3"]), [3, 4, 5, 6]);
    assert_eq!(
        offsets(&["export", "--from", "4", "--topic", ">"]),
        [4, 5, 6]
    );
}

#[test]
fn export_goes_on_behind_damage_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    drop(folder(dir.path()));
    flip(dir.path(), 1, 32 + 48 + 1);
    let (verdict, out, err) = tool(dir.path(), &["export"]);
    assert_eq!(
        (verdict.unwrap(), out.lines().count()),
        (Verdict::Damaged, 5)
    );
    assert!(err.contains("after offset 1 and before 3"), "{err}");
}

#[test]
fn a_folder_without_a_log_is_refused_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (verdict, ..) = tool(dir.path(), &["inspect"]);
    assert!(verdict.unwrap_err().to_string().contains("holds no log"));
    assert_eq!(dir.path().read_dir().unwrap().count(), 0);
}
