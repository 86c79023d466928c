use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use std::io::Write;
use tempfile::NamedTempFile;

fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

type Push = Vec<(String, Option<String>, String)>;

fn push(replay: &mut Replay) -> (Push, Flow) {
    let mut push = Vec::new();
    let flow = replay
        .push(&mut |topic, key, data| {
            let data = String::from_utf8(data.to_vec()).unwrap();
            push.push((topic.to_owned(), key.map(str::to_owned), data));
        })
        .unwrap();
    (push, flow)
}

fn complaint(bytes: &[u8]) -> String {
    let file = file(bytes);
    let error = check(file.path()).unwrap_err().to_string();
    error
        .strip_prefix(&file.path().display().to_string())
        .expect("names the file")
        .to_owned()
}

const SMALL: &[u8] = b"time,symbol,price\nt1,A,1.50\nt1,B,2\nt2,A,1.5\n";

#[test]
fn a_push_is_all_rows_of_the_next_time_with_numbers_as_in_the_file() {
    for bytes in [SMALL.to_vec(), gzip(SMALL)] {
        let file = file(&bytes);
        let mut replay = Replay::open(file.path(), AtEnd::Stop).unwrap();
        let (first, flow) = push(&mut replay);
        assert_eq!(flow, Flow::More);
        let data = r#"{"symbol":"A","bid":1.50,"ask":1.50,"last":1.50,"volume":0,"time":"t1"}"#;
        assert_eq!(
            first[0],
            ("quotes.A".to_owned(), Some("A".to_owned()), data.to_owned())
        );
        assert_eq!(first[1].0, "quotes.B");
        assert_eq!(first.len(), 2);
        let (second, flow) = push(&mut replay);
        assert_eq!((second.len(), flow), (1, Flow::Finished));
        assert_eq!(push(&mut replay), (vec![], Flow::Finished));
    }
}

#[test]
fn a_loop_begins_again_with_the_first_row() {
    let file = file(SMALL);
    let mut replay = Replay::open(file.path(), AtEnd::Again).unwrap();
    let first = push(&mut replay);
    push(&mut replay);
    assert_eq!(push(&mut replay), first);
}

#[test]
fn the_recorded_file_has_40_000_rows_in_order() {
    let path = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/prices.csv.gz"
    ));
    check(path).unwrap();
    let mut replay = Replay::open(path, AtEnd::Stop).unwrap();
    let (mut rows, mut pushes, mut last) = (0, 0, String::new());
    loop {
        let (push, flow) = push(&mut replay);
        (rows, pushes) = (rows + push.len(), pushes + 1);
        let quote: serde_json::Value = serde_json::from_str(&push[0].2).unwrap();
        let time = quote["time"].as_str().unwrap().to_owned();
        assert!(time > last, "{time} after {last}");
        last = time;
        if flow == Flow::Finished {
            break;
        }
    }
    assert_eq!((rows, pushes, last.as_str()), (40_000, 2000, "2022-12-28"));
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let row = |row: &str| complaint(format!("time,symbol,price\nt,A,1\n{row}\nt,A,1\n").as_bytes());
    assert_eq!(
        row("t,A,1.").as_str(),
        ":3: the price `1.` is not a number as JSON writes it (such as 24.581)"
    );
    assert_eq!(row("t,A"), ":3: has 2 fields, not 3 (time,symbol,price)");
    assert_eq!(
        row("t,A,1,2"),
        ":3: has 4 fields, not 3 (time,symbol,price)"
    );
    assert_eq!(row(",A,1"), ":3: the time is empty");
    assert_eq!(
        row("t,B.C,1"),
        ":3: the symbol `B.C` cannot be part of a topic: it has a dot"
    );
    assert!(row("t,,1").starts_with(":3: the symbol `` cannot be part of a topic: "));
    assert!(row("t,*,1").starts_with(":3: the symbol `*` cannot be part of a topic: "));
    assert!(row("t,a b,1").starts_with(":3: the symbol `a b` cannot be part of a topic: "));
}

#[test]
fn lines_are_counted_also_behind_a_quoted_line_break() {
    let bytes = b"time,symbol,price\n\"t\nu\",A,1\nt,A,x\n";
    assert!(complaint(bytes).starts_with(":4: the price `x`"));
}

#[test]
fn other_files_are_refused() {
    assert_eq!(
        complaint(b""),
        ":1: the first line is ``, not `time,symbol,price`"
    );
    assert_eq!(
        complaint(b"symbol,time,price\nA,t,1\n"),
        ":1: the first line is `symbol,time,price`, not `time,symbol,price`"
    );
    assert_eq!(complaint(b"time,symbol,price\n"), ": holds no rows");
    assert_eq!(
        complaint(b"time,symbol,price\nt,\xff,1\n"),
        ":2: is not UTF-8"
    );
    let mut cut = gzip(SMALL);
    cut.truncate(cut.len() - 9);
    assert!(complaint(&cut).contains(": cannot be read: "));
    let gone = check(Path::new("/nowhere/at/all.csv"))
        .unwrap_err()
        .to_string();
    assert!(
        gone.starts_with("/nowhere/at/all.csv: cannot be read: "),
        "{gone}"
    );
}

proptest! {
    #[test]
    fn numbers_are_those_that_a_json_parser_takes(text in "-?[0-9.eE+-]{0,8}") {
        let parsed = serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
        prop_assert_eq!(is_json_number(&text), parsed && !text.is_empty());
    }

    #[test]
    fn any_text_survives_as_a_json_string(text in any::<String>()) {
        let mut escaped = String::new();
        escape(&mut escaped, &text);
        let parsed: String = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
        prop_assert_eq!(parsed, text);
    }
}
