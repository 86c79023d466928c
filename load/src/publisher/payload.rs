//! What is published: JSON of exactly so many bytes that says which publication it is.
//!
//! Pure.
use std::io::Write;

/// Smallest payload: room for one digit of the sequence number.
pub const SIZE_MIN: usize = "{\"seq\":0}".len();

/// A size no session may exceed: the server's default limit of a frame, less room for the command around the data.
pub const SIZE_MAX: usize = 256 * 1024 - 1024;

/// Writes publication number `seq`, due at `at_us`, as exactly `size` bytes of JSON: `{"seq":N,"at":US,"pad":"…"}`, without what
/// does not fit. Where not even the number fits its last digits stand for it.
pub fn write(out: &mut Vec<u8>, size: usize, seq: u64, at_us: u64) {
    let begin = out.len();
    let digits = (size.max(SIZE_MIN) - SIZE_MIN + 1).min(19) as u32;
    let shown = if digits == 19 {
        seq
    } else {
        seq % 10u64.pow(digits)
    };
    put(out, format_args!("{{\"seq\":{shown}"));
    let room = |out: &Vec<u8>| size.saturating_sub(out.len() - begin);
    if room(out) >= r#","at":18446744073709551615}"#.len() {
        put(out, format_args!(",\"at\":{at_us}"));
    }
    let bare = r#","pad":""}"#.len();
    if room(out) >= bare {
        let pad = room(out) - bare;
        out.extend_from_slice(br#","pad":""#);
        out.resize(out.len() + pad, b'x');
        out.push(b'"');
    }
    // White space is JSON too: the last few bytes when a field would not fit.
    out.resize(out.len().max(begin + size.max(1) - 1), b' ');
    out.push(b'}');
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_size_is_met_exactly_with_json_that_counts(size in SIZE_MIN..700, seq in 0u64..5_000_000_000_000, at in 0u64..2_000_000_000_000_000) {
            let mut out = b"before".to_vec();
            write(&mut out, size, seq, at);
            let data = &out[b"before".len()..];
            prop_assert_eq!(data.len(), size);
            let value: serde_json::Value = serde_json::from_slice(data).unwrap();
            let said = value["seq"].as_u64().unwrap();
            prop_assert!(said == seq || seq.to_string().ends_with(&said.to_string()) || size < 32);
            if size >= 64 {
                prop_assert_eq!((said, value["at"].as_u64()), (seq, Some(at)));
            }
        }
    }
}
