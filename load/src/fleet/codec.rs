//! Messages on a stream: four bytes of length, least significant first, then JSON.
//!
//! Pure. What arrives is checked as if a stranger had sent it: a length beyond the limit and text that is no such message are errors,
//! and nothing is kept beyond one message that is not whole.
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Write};
use thiserror::Error;

/// Longest message: the histograms of a window of all groups are a few megabytes at the very most.
pub const MESSAGE_MAX: usize = 16 << 20;

/// Bytes of a length.
const PREFIX: usize = 4;

/// Why a stream cannot be read on.
#[derive(Debug, Error)]
pub enum CodecError {
    /// It claims to be longer than any message.
    #[error("a message of {0} bytes, expected at most {MESSAGE_MAX}")]
    TooLong(usize),
    /// It is not what was expected.
    #[error("no message: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// Writes one message.
pub fn write(out: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; PREFIX];
    serde_json::to_writer(&mut bytes, message)?;
    let len = bytes.len() - PREFIX;
    if len > MESSAGE_MAX {
        return Err(io::Error::other(CodecError::TooLong(len)));
    }
    bytes[..PREFIX].copy_from_slice(&(len as u32).to_le_bytes());
    out.write_all(&bytes)
}

/// Bytes that arrived and are not whole messages yet.
#[derive(Debug, Default)]
pub struct Reader {
    bytes: Vec<u8>,
    taken: usize,
}

impl Reader {
    /// These arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// Takes the next message, if it is whole.
    pub fn poll<T: DeserializeOwned>(&mut self) -> Result<Option<T>, CodecError> {
        let rest = &self.bytes[self.taken..];
        let Some((prefix, rest)) = rest.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let len = u32::from_le_bytes(*prefix) as usize;
        if len > MESSAGE_MAX {
            return Err(CodecError::TooLong(len));
        }
        let Some(text) = rest.get(..len) else {
            return Ok(None);
        };
        let message = serde_json::from_slice(text)?;
        self.taken += PREFIX + len;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(message: &impl Serialize) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&mut bytes, message).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn messages_arrive_whole_and_in_order_however_they_are_cut(messages in proptest::collection::vec(".{0,60}", 0..8), piece in 1usize..50) {
            let bytes: Vec<u8> = messages.iter().flat_map(written).collect();
            let (mut reader, mut got) = (Reader::default(), Vec::<String>::new());
            for piece in bytes.chunks(piece) {
                reader.push(piece);
                while let Some(message) = reader.poll().unwrap() {
                    got.push(message);
                }
            }
            prop_assert_eq!(got, messages);
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let mut reader = Reader::default();
            reader.push(&bytes);
            while let Ok(Some(_)) = reader.poll::<Vec<String>>() {}
        }
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_it_is_waited_for() {
        let mut reader = Reader::default();
        reader.push(&[255; 4]);
        assert!(matches!(
            reader.poll::<String>(),
            Err(CodecError::TooLong(_))
        ));
    }

    #[test]
    fn another_message_than_was_expected_is_refused() {
        let mut reader = Reader::default();
        reader.push(&written(&7));
        assert!(matches!(
            reader.poll::<String>(),
            Err(CodecError::Malformed(_))
        ));
    }
}
