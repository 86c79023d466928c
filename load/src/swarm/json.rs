//! Where a JSON value ends, without reading what is in it.
//!
//! Pure. It trusts that the bytes are JSON: strings are skipped by their quotes, the rest by its brackets. What is not JSON gives
//! `None` or a wrong place, and whoever asked finds something else there than it expects.

/// Where the string ends whose opening quote stands just before `bytes`: the place of its closing quote.
#[inline]
pub fn string_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let stop = at + memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[stop] == b'"' {
            return Some(stop);
        }
        at = stop + 2;
    }
}

/// How many bytes the value takes that `bytes` begin with.
#[inline]
pub fn value_end(bytes: &[u8]) -> Option<usize> {
    match bytes.first()? {
        b'"' => Some(string_end(&bytes[1..])? + 2),
        b'{' | b'[' => nested_end(bytes),
        _ => bytes
            .iter()
            .position(|byte| matches!(byte, b',' | b'}' | b']')),
    }
}

#[inline]
fn nested_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0usize);
    loop {
        match bytes.get(at)? {
            b'"' => at += string_end(&bytes[at + 1..])? + 1,
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth == 1 => return Some(at + 1),
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    #[test]
    fn brackets_and_quotes_inside_strings_end_nothing() {
        let value = r#"{"a":["}]\"","\\"],"b":{}}"#;
        assert_eq!(
            value_end(format!("{value},1]").as_bytes()),
            Some(value.len())
        );
    }

    #[test]
    fn what_does_not_end_has_no_end() {
        for open in ["", "{", "[1,2", r#""a\""#, r#"{"a":"}"#, "12", r#""\"#] {
            assert_eq!(value_end(open.as_bytes()), None, "{open}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_ends_where_it_was_written_to(value in any_json(), pretty in any::<bool>(), after in "[,}\\]].{0,9}") {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(value_end(format!("{text}{after}").as_bytes()), Some(text.len()));
        }
    }
}
