//! The offset, the stamp and the place of a `msg`, found by where they stand.
//!
//! Our own server writes the fields of a `msg` in one order: `op`, `sub` (a pattern's subscriber only), `topic`, `offset`,
//! `part`, `resume` (where there are such), `ts`, `key` (where there is one), `data`; an item of a `batch` likewise from `topic` on.
//! At two million messages a second a parser of JSON is what a generator spends its core on, so the common case is a comparison of
//! bytes and two numbers. `None` is no error: it means "ask the parser".
use super::json;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What the generator wants of every message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Offset in the log.
    pub offset: i64,
    /// When it was numbered, microseconds since the Unix epoch.
    pub ts_us: u64,
    /// Its partition, where a pattern spans several.
    pub part: Option<u32>,
    /// The offset to resume after, where a rate has released it.
    pub resume: Option<i64>,
}

impl Head {
    /// Of a message that only has an offset and a stamp.
    pub fn plain(offset: i64, ts_us: u64) -> Self {
        Self {
            offset,
            ts_us,
            part: None,
            resume: None,
        }
    }
}

/// A message whose head was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its head.
    pub head: Head,
    /// What names its topic within its subscription.
    topic: &'a [u8],
    /// From behind the stamp on.
    pub(super) rest: &'a [u8],
}

impl Found<'_> {
    /// Names its topic and key among the messages of its subscription.
    pub fn identity(&self) -> u64 {
        identity(self.topic, key(self.rest).map(|(key, _)| key))
    }
}

/// Names a topic and a key. A message without key is its topic's; an empty key is one.
pub fn identity(topic: &[u8], key: Option<&[u8]>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (topic, key).hash(&mut hasher);
    hasher.finish()
}

/// What all messages on one topic begin with.
pub fn prefix(topic: &str) -> Box<[u8]> {
    format!(r#"{{"op":"msg","topic":"{topic}","offset":"#)
        .into_bytes()
        .into_boxed_slice()
}

/// The head of a message on the topic of this prefix.
#[inline]
pub fn after_prefix<'a>(prefix: &[u8], payload: &'a [u8]) -> Option<Found<'a>> {
    numbers(&[], payload.strip_prefix(prefix)?)
}

/// The head of a message on any topic.
#[inline]
pub fn on_any_topic(payload: &[u8]) -> Option<Found<'_>> {
    let rest = payload.strip_prefix(br#"{"op":"msg","#)?;
    let rest = match rest.strip_prefix(br#""sub":""#) {
        Some(sub) => plain_string(sub)?.1,
        None => rest,
    };
    from_topic(rest)
}

/// The head of an item that `bytes` begin with.
#[inline]
pub fn in_batch(bytes: &[u8]) -> Option<Found<'_>> {
    from_topic(bytes.strip_prefix(b"{")?)
}

/// Its key as it stands there, and what follows it.
#[inline]
pub(super) fn key(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = rest.strip_prefix(br#","key":""#)?;
    let end = json::string_end(rest)?;
    Some((&rest[..end], &rest[end + 1..]))
}

#[inline]
fn from_topic(rest: &[u8]) -> Option<Found<'_>> {
    let (topic, rest) = plain_string(rest.strip_prefix(br#""topic":""#)?)?;
    numbers(topic, rest.strip_prefix(br#""offset":"#)?)
}

/// A string and what follows its comma: a topic holds no quote and no backslash, so the first quote ends it.
#[inline]
fn plain_string(rest: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'"', rest)?;
    Some((&rest[..end], rest[end + 1..].strip_prefix(b",")?))
}

#[inline(always)]
#[allow(clippy::inline_always)] // what is found stays in registers: handed on in memory it costs a fifth of a message
fn numbers<'a>(topic: &'a [u8], rest: &'a [u8]) -> Option<Found<'a>> {
    let (offset, mut rest) = signed(rest)?;
    let (mut part, mut resume) = (None, None);
    if !rest.starts_with(br#","ts":"#) {
        (part, resume, rest) = place(rest)?;
    }
    let (ts_us, rest) = stamp(rest.strip_prefix(br#","ts":"#)?)?;
    if !matches!(rest, [b',' | b'}', ..]) {
        return None;
    }
    let head = Head {
        offset,
        ts_us,
        part,
        resume,
    };
    Some(Found { head, topic, rest })
}

/// `part` (a pattern over several partitions) and `resume` (a rate), and what follows them.
#[cold]
fn place(mut rest: &[u8]) -> Option<(Option<u32>, Option<i64>, &[u8])> {
    let (mut part, mut resume) = (None, None);
    if let Some(value) = rest.strip_prefix(br#","part":"#) {
        let (number, after) = number(value)?;
        (part, rest) = (Some(u32::try_from(number).ok()?), after);
    }
    if let Some(value) = rest.strip_prefix(br#","resume":"#) {
        let (number, after) = signed(value)?;
        (resume, rest) = (Some(number), after);
    }
    Some((part, resume, rest))
}

#[inline]
fn signed(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, bytes),
    };
    let (value, rest) = number(digits)?;
    let value = i64::try_from(value).ok()?;
    Some((if negative { -value } else { value }, rest))
}

/// At most 19 digits; more is left to the parser.
#[inline]
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    let mut digits = 0;
    while let Some(digit) = bytes
        .get(digits)
        .map(|byte| byte.wrapping_sub(b'0'))
        .filter(|digit| *digit < 10)
    {
        if digits == 19 {
            return None;
        }
        value = value * 10 + u64::from(digit);
        digits += 1;
    }
    if digits == 0 {
        None
    } else {
        Some((value, &bytes[digits..]))
    }
}

/// Microseconds since 1970 have sixteen digits for the next three centuries: two words, no loop.
#[inline]
fn stamp(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let sixteen = bytes.first_chunk::<16>().and_then(|chunk| {
        let (high, low) = (
            eight_digits(chunk[..8].try_into().ok()?)?,
            eight_digits(chunk[8..].try_into().ok()?)?,
        );
        Some(high * 100_000_000 + low)
    });
    match (sixteen, bytes.get(16)) {
        (Some(value), Some(next)) if !next.is_ascii_digit() => Some((value, &bytes[16..])),
        _ => number(bytes),
    }
}

/// Eight ASCII digits at once: neighbours are joined to pairs, pairs to fours, fours to the whole.
#[inline]
fn eight_digits(chunk: [u8; 8]) -> Option<u64> {
    let text = u64::from_le_bytes(chunk);
    let above = text.wrapping_add(0x4646_4646_4646_4646);
    let digits = text.wrapping_sub(0x3030_3030_3030_3030);
    if (above | digits) & 0x8080_8080_8080_8080 != 0 {
        return None;
    }
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    Some(fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pubsub_wire::encode::{self, MsgView, Place};

    fn msg(sub: Option<&str>, topic: &str, offset: i64, ts: u64, place: Place) -> Vec<u8> {
        let data = br#"{"offset":1,"ts":2}"#;
        let view = MsgView {
            sub,
            topic,
            offset,
            ts,
            key: Some("k"),
            data,
        };
        let mut payload = Vec::new();
        encode::msg_at(&mut payload, &view, place);
        payload
    }

    #[test]
    fn another_topic_is_left_to_the_parser() {
        let payload = msg(None, "news.eu", 1, 1_790_000_000_123_456, Place::default());
        assert_eq!(after_prefix(&prefix("news"), &payload), None);
    }

    #[test]
    fn other_operations_and_orders_are_left_to_the_parser() {
        for payload in [
            r#"{"op":"gap","topic":"t","from":1,"to":2}"#,
            r#"{"op":"msg","offset":1,"topic":"t","ts":2}"#,
            r#"{"op":"msg","topic":"t","offset":x,"ts":2}"#,
            r#"{"op":"msg","topic":"t","offset":99999999999999999999,"ts":2}"#,
            r#"{"op":"msg","topic":"t","offset":1,"ts":2"#,
            r#"{"op":"msg","topic":"t"#,
            "",
        ] {
            assert_eq!(on_any_topic(payload.as_bytes()), None, "{payload}");
        }
    }

    #[test]
    fn an_identity_is_a_topic_with_its_key_and_no_key_is_not_an_empty_one() {
        let of = |topic: &str, rest: &str| {
            let text =
                format!(r#"{{"op":"msg","topic":"{topic}","offset":1,"ts":2{rest},"data":1}}"#);
            on_any_topic(text.as_bytes()).unwrap().identity()
        };
        let keyed = of("t", r#","key":"a\"b""#);
        assert_eq!(keyed, identity(b"t", Some(br#"a\"b"#)));
        let others = [
            of("t", ""),
            of("t", r#","key":"""#),
            of("u", r#","key":"a\"b""#),
        ];
        assert!(others.iter().all(|other| *other != keyed));
        assert_ne!(others[0], others[1]);
    }

    proptest! {
        #[test]
        fn the_head_is_what_the_server_wrote(
            offset in any::<i64>(),
            ts in prop_oneof![any::<u64>().prop_map(|n| n / 2), Just(1_790_000_000_123_456u64), 0u64..1000],
            topic in "[a-z]{1,9}(\\.[a-zäß]{1,9}){0,3}",
            sub in proptest::option::of(Just("quotes.*")),
            part in proptest::option::of(0u32..9),
            resume in proptest::option::of(-9i64..9),
        ) {
            prop_assume!(offset != i64::MIN);
            let payload = msg(sub, &topic, offset, ts, Place { part, resume });
            let head = Some(Head { offset, ts_us: ts, part, resume });
            let by_any = on_any_topic(&payload);
            prop_assert_eq!(by_any.map(|found| found.head), head);
            prop_assert_eq!(by_any.map(|found| found.identity()), Some(identity(topic.as_bytes(), Some(b"k"))));
            if sub.is_none() {
                prop_assert_eq!(after_prefix(&prefix(&topic), &payload).map(|found| found.head), head);
            }
        }

        #[test]
        fn eight_bytes_are_a_number_exactly_when_all_are_digits(chunk in any::<[u8; 8]>(), n in 0u64..100_000_000) {
            let expected = std::str::from_utf8(&chunk).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit())).and_then(|t| t.parse().ok());
            prop_assert_eq!(eight_digits(chunk), expected);
            let digits: [u8; 8] = format!("{n:08}").into_bytes().try_into().unwrap();
            prop_assert_eq!(eight_digits(digits), Some(n));
        }
    }
}
