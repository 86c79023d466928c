//! What `pubsub-server log` says of a folder, and with which exit code.
mod harness;

use harness::run_to_end;
use pubsub_server::hub::log::disk::folder::Folder;
use pubsub_server::hub::log::disk::format::{BatchWriter, SEGMENT_HEAD_BYTES, SegmentHead};
use pubsub_server::hub::log::disk::segment::{Writer, name};
use pubsub_stream::hub::EntryRef;
use std::fs;
use std::path::Path;

const DAMAGED: i32 = 65;
const UNAVAILABLE: i32 = 69;

/// A folder with one segment of three batches, a record each; it is held as a node would hold it.
fn folder(dir: &Path) -> Folder {
    let folder = Folder::open(dir, "e1", 5).expect("a folder");
    let class = folder.class(">").expect("a class");
    let head = SegmentHead {
        base: 1,
        before: 0,
        boot: folder.boot(),
        created_us: 5,
    };
    let writer = Writer::prepare(&class, 1 << 20).expect("a segment");
    let (mut writer, _) = writer.begin(&class, &head).expect("a segment");
    for offset in 1..=3 {
        let mut batch = BatchWriter::default();
        batch.push(&EntryRef {
            offset,
            ts_us: 7,
            mono_ns: 0,
            topic: "quotes.eur",
            key: None,
            data: br#"{"bid":1.10}"#,
        });
        writer.append(batch.finish()).expect("a batch");
    }
    folder
}

#[tokio::test]
async fn a_folder_is_looked_into_beside_the_node_that_uses_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let _used = folder(dir.path());
    let path = dir.path().to_str().expect("a path");
    for (command, part) in [
        ("inspect", "quotes.eur"),
        ("verify", "whole: 3 records"),
        ("export", r#""offset":3,"ts":7,"data":{"bid":1.10}"#),
    ] {
        let finished = run_to_end(&["log", command, path], &[]).await;
        assert_eq!(
            (finished.code, finished.stderr.as_str()),
            (Some(0), ""),
            "{finished:?}"
        );
        assert!(finished.stdout.contains(part), "{finished:?}");
    }
}

#[tokio::test]
async fn damage_has_an_exit_code_of_its_own() {
    let dir = tempfile::tempdir().expect("a folder");
    drop(folder(dir.path()));
    let segment = dir.path().join("classes/%3E").join(name(1));
    let mut bytes = fs::read(&segment).expect("a segment");
    let batch = (bytes.len() - SEGMENT_HEAD_BYTES) / 3;
    // The last byte of the second record.
    let place = SEGMENT_HEAD_BYTES + 2 * batch - 1;
    bytes[place] ^= 1;
    fs::write(&segment, bytes).expect("a segment");
    let path = dir.path().to_str().expect("a path");
    let verified = run_to_end(&["log", "verify", path], &[]).await;
    assert_eq!(verified.code, Some(DAMAGED), "{verified:?}");
    assert!(
        verified.stdout.contains("after offset 1 and before 3"),
        "{verified:?}"
    );
    let exported = run_to_end(&["log", "export", path], &[]).await;
    assert_eq!(exported.code, Some(DAMAGED), "{exported:?}");
    assert_eq!(exported.stdout.lines().count(), 2, "{exported:?}");
    assert!(
        exported.stderr.contains("after offset 1 and before 3"),
        "{exported:?}"
    );
}

#[tokio::test]
async fn where_there_is_no_log_nothing_is_made() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("none");
    let words = ["log", "verify", path.to_str().expect("a path")];
    let finished = run_to_end(&words, &[]).await;
    assert_eq!(finished.code, Some(UNAVAILABLE), "{finished:?}");
    assert!(finished.stderr.contains("holds no log"), "{finished:?}");
    assert!(!path.exists());
}
