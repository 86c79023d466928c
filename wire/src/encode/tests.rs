//! The exact bytes of what is written by hand.
use super::*;
use crate::value::GapReason;

fn text(build: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    build(&mut out);
    String::from_utf8(out).unwrap()
}

const QUOTE: MsgView<'_> = MsgView {
    sub: None,
    topic: "quotes.AAPL",
    offset: 42,
    ts: 1_790_000_000_123_456,
    key: Some("AAPL"),
    data: br#"{"bid": 1.10}"#,
};

#[test]
fn a_message_is_written_as_the_protocol_shows_it() {
    assert_eq!(
        text(|out| msg(out, &QUOTE)),
        r#"{"op":"msg","topic":"quotes.AAPL","offset":42,"ts":1790000000123456,"key":"AAPL","data":{"bid": 1.10}}"#
    );
    let keyless = MsgView {
        sub: Some("quotes.*"),
        key: None,
        ..QUOTE
    };
    let place = Place {
        part: Some(3),
        resume: Some(40),
    };
    assert_eq!(
        text(|out| msg_at(out, &keyless, place)),
        r#"{"op":"msg","sub":"quotes.*","topic":"quotes.AAPL","offset":42,"part":3,"resume":40,"ts":1790000000123456,"data":{"bid": 1.10}}"#
    );
}

#[test]
fn a_batch_lists_its_items_with_commas_between_them_only() {
    let item = r#"{"topic":"quotes.AAPL","offset":42,"ts":1790000000123456,"key":"AAPL","data":{"bid": 1.10}}"#;
    for count in 0..3 {
        let items = std::iter::repeat_n((QUOTE, Place::default()), count);
        let expected = vec![item; count].join(",");
        assert_eq!(
            text(|out| batch(out, "quotes.*", items)),
            format!(r#"{{"op":"batch","topic":"quotes.*","items":[{expected}]}}"#)
        );
    }
}

#[test]
fn a_gap_says_null_where_nothing_is_known() {
    let mut lost = Gap {
        from: Some(43),
        to: Some(90),
        count: Some(48),
        reason: GapReason::DropOldest,
        epoch: "e1",
        offset: 90,
    };
    assert_eq!(
        text(|out| gap(out, "execs", &lost)),
        r#"{"op":"gap","topic":"execs","from":43,"to":90,"count":48,"reason":"drop_oldest","epoch":"e1","offset":90}"#
    );
    (lost.from, lost.to, lost.count, lost.reason) = (None, None, None, GapReason::Epoch);
    assert_eq!(
        text(|out| gap(out, "execs", &lost)),
        r#"{"op":"gap","topic":"execs","from":null,"to":null,"count":null,"reason":"epoch","epoch":"e1","offset":90}"#
    );
}

#[test]
fn an_error_carries_only_what_there_is() {
    let id = Id::text("a\"b");
    let mut frame = ErrorFrame {
        id: Some(&id),
        code: ErrorCode::BadField,
        message: "must be \"x\"",
        field: Some("bound.messages"),
        retry_after_ms: Some(7),
    };
    assert_eq!(
        text(|out| error(out, &frame)),
        r#"{"op":"error","id":"a\"b","code":"bad_field","message":"must be \"x\"","field":"bound.messages","retry_after_ms":7}"#
    );
    (frame.id, frame.field, frame.retry_after_ms) = (None, None, None);
    assert_eq!(
        text(|out| error(out, &frame)),
        r#"{"op":"error","code":"bad_field","message":"must be \"x\""}"#
    );
    let fields = [FieldError::new("qty", "is needed")];
    assert_eq!(
        text(|out| error_fields(out, &frame, &fields)),
        r#"{"op":"error","code":"bad_field","message":"must be \"x\"","fields":[{"field":"qty","message":"is needed"}]}"#
    );
}
