//! The messages of a `batch`, found by where they stand, as [`super::head`] finds that of a `msg`.
//!
//! Pure. All or nothing: where one item is not as our own server writes it, the parser reads the whole batch.
use super::head::{self, Head};
use super::json;
use std::ops::Range;

/// One message of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its head.
    pub head: Head,
    /// Where it stands in the payload.
    pub at: Range<usize>,
}

/// What all batches of one subscription begin with.
pub fn prefix(topic: &str) -> Box<[u8]> {
    format!(r#"{{"op":"batch","topic":"{topic}","items":["#)
        .into_bytes()
        .into_boxed_slice()
}

/// Puts the items of the batch into `items`, which may hold anything before; `None`: ask the parser.
pub fn scan(prefix: &[u8], payload: &[u8], items: &mut Vec<Item>) -> Option<()> {
    items.clear();
    let mut rest = payload.strip_prefix(prefix)?;
    loop {
        let begin = payload.len() - rest.len();
        let (head, after) = item(rest)?;
        let end = payload.len() - after.len();
        items.push(Item {
            head,
            at: begin..end,
        });
        match after {
            [b',', next @ ..] => rest = next,
            b"]}" => return Some(()),
            _ => return None,
        }
    }
}

/// The head of the item that `bytes` begin with, and what follows the item.
fn item(bytes: &[u8]) -> Option<(Head, &[u8])> {
    let found = head::in_batch(bytes)?;
    let rest = head::key(found.rest).map_or(found.rest, |(_, after)| after);
    let data = rest.strip_prefix(br#","data":"#)?;
    let after = &data[json::value_end(data)?..];
    Some((found.head, after.strip_prefix(b"}")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pubsub_wire::encode::{self, MsgView, Place};

    fn scanned(payload: &[u8]) -> Option<Vec<Item>> {
        let mut items = Vec::new();
        scan(&prefix("q.*"), payload, &mut items).map(|()| items)
    }

    #[test]
    fn data_that_looks_like_items_is_data() {
        let item = r#"{"topic":"q.A","offset":7,"ts":9,"data":[{"topic":"q.A","offset":1,"ts":2,"data":1},{"topic":"#;
        let payload = format!(
            r#"{{"op":"batch","topic":"q.*","items":[{item}"q.A","offset":3,"ts":4,"data":"}}]}}"}}]}}]}}"#
        );
        let items = scanned(payload.as_bytes()).unwrap();
        assert_eq!(items.len(), 1, "{payload}");
        assert_eq!(items[0].head, Head::plain(7, 9));
        assert_eq!(items[0].at.end, payload.len() - 2);
    }

    #[test]
    fn what_is_not_as_the_server_writes_it_is_left_to_the_parser() {
        for payload in [
            r#"{"op":"batch","topic":"q.*","items":[]}"#,
            r#"{"op":"batch","topic":"other","items":[{"topic":"q","offset":1,"ts":2,"data":1}]}"#,
            r#"{"op":"batch","topic":"q.*","items":[{"offset":1,"topic":"q","ts":2,"data":1}]}"#,
            r#"{"op":"batch","topic":"q.*","items":[{"topic":"q","offset":1,"ts":2,"data":1,"new":1}]}"#,
            r#"{"op":"batch","topic":"q.*","items":[{"topic":"q","offset":1,"ts":2,"data":1}],"new":1}"#,
            r#"{"op":"batch","topic":"q.*","items":[{"topic":"q","offset":1,"ts":2,"data":1},"#,
        ] {
            assert_eq!(scanned(payload.as_bytes()), None, "{payload}");
        }
    }

    type Written = (String, i64, u64, Option<String>, String, Option<i64>);

    fn any_item() -> impl Strategy<Value = Written> {
        let data = prop_oneof![
            Just("null".to_owned()),
            any::<i32>().prop_map(|n| n.to_string()),
            ".{0,30}".prop_map(|text| serde_json::to_string(&text).unwrap()),
            ".{0,9}"
                .prop_map(|text| serde_json::json!({"a": [text, {"}": "]"}], "ü": 1}).to_string()),
        ];
        let key = proptest::option::of(".{0,5}");
        (
            "[a-z]{1,5}",
            any::<i32>().prop_map(i64::from),
            0u64..1u64 << 60,
            key,
            data,
            proptest::option::of(0i64..99),
        )
    }

    proptest! {
        #[test]
        fn items_are_those_the_server_wrote(written in proptest::collection::vec(any_item(), 1..9)) {
            let views = written.iter().map(|(topic, offset, ts, key, data, resume)| {
                let view = MsgView { sub: None, topic, offset: *offset, ts: *ts, key: key.as_deref(), data: data.as_bytes() };
                (view, Place { part: None, resume: *resume })
            });
            let mut payload = Vec::new();
            encode::batch(&mut payload, "q.*", views);
            let items = scanned(&payload).unwrap();
            let heads: Vec<Head> = items.iter().map(|item| item.head).collect();
            let expected: Vec<Head> = written.iter().map(|(_, offset, ts, _, _, resume)| {
                Head { resume: *resume, ..Head::plain(*offset, *ts) }
            }).collect();
            prop_assert_eq!(heads, expected);
            for item in items {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&payload[item.at.clone()]).is_ok());
            }
        }
    }
}
