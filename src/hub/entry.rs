//! One publication as the hub keeps it: exactly the bytes of its link frame.
//!
//! Owns the one allocation per publication. Must not contain: where entries are kept. Made by a log when it numbers a publication;
//! shared by the log and the table of newest values, copied into the workers' batches.
use crate::link::{decode_entry, encode_entry};
use pubsub_stream::hub::EntryRef;
use std::ops::Range;
use std::rc::Rc;

/// Where the offset lies in an entry's frame: behind the length (4) and the kind (1).
const OFFSET: Range<usize> = 5..13;
/// Where the monotonic stamp lies: behind the offset (8) and the time (8).
const MONO: Range<usize> = 21..29;
/// Where the topic's length lies: behind that; the topic follows, and then in the same way the key.
const TOPIC: usize = 29;
/// Length that stands for no key.
const NO_KEY: usize = u16::MAX as usize;

/// What is about to be numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publication<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key, if it has one.
    pub key: Option<&'a str>,
    /// JSON, byte for byte.
    pub data: &'a [u8],
}

impl<'a> Publication<'a> {
    /// By what its newest value is known within its topic.
    pub fn identity(&self) -> &'a str {
        self.key.unwrap_or(self.topic)
    }
}

/// A numbered publication; cheap to share.
#[derive(Debug, Clone)]
pub struct Entry(Rc<[u8]>);

impl Entry {
    /// Encodes it; `scratch` is overwritten and keeps its capacity for the next one.
    pub fn encode(scratch: &mut Vec<u8>, entry: &EntryRef<'_>) -> Self {
        scratch.clear();
        encode_entry(scratch, entry);
        Self(Rc::from(scratch.as_slice()))
    }

    /// The bytes to send.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Its place in the log.
    pub fn offset(&self) -> i64 {
        i64::from_le_bytes(self.eight(OFFSET))
    }

    /// When it was numbered, on the machine's monotonic clock.
    pub fn mono_ns(&self) -> u64 {
        u64::from_le_bytes(self.eight(MONO))
    }

    /// All its fields.
    ///
    /// # Panics
    /// Never: `encode` made the bytes.
    pub fn fields(&self) -> EntryRef<'_> {
        decode_entry(&self.0).expect("an entry's bytes were encoded by this process")
    }

    /// By what its newest value is known within its topic: a text, whose bytes are enough to tell it from others.
    pub fn identity(&self) -> &[u8] {
        let topic = TOPIC + 2..TOPIC + 2 + self.length(TOPIC);
        let key = topic.end + 2;
        match self.length(topic.end) {
            NO_KEY => &self.0[topic],
            bytes => &self.0[key..key + bytes],
        }
    }

    fn length(&self, at: usize) -> usize {
        usize::from(u16::from_le_bytes([self.0[at], self.0[at + 1]]))
    }

    fn eight(&self, range: Range<usize>) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[range]);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_read_in_place_are_those_of_the_frame() {
        let fields = EntryRef {
            offset: 0x0102_0304_0506_0708,
            ts_us: 9,
            mono_ns: 0x1112_1314_1516_1718,
            topic: "a.b",
            key: Some("k"),
            data: b"{}",
        };
        let entry = Entry::encode(&mut Vec::new(), &fields);
        assert_eq!(entry.offset(), fields.offset);
        assert_eq!(entry.mono_ns(), fields.mono_ns);
        assert_eq!(entry.fields(), fields);
    }

    #[test]
    fn without_a_key_it_is_known_by_its_topic() {
        let entry = |key| {
            let fields = EntryRef {
                offset: 1,
                ts_us: 0,
                mono_ns: 0,
                topic: "a.b",
                key,
                data: b"1",
            };
            Entry::encode(&mut Vec::new(), &fields)
        };
        assert_eq!(entry(None).identity(), b"a.b");
        assert_eq!(entry(Some("")).identity(), b"");
        assert_eq!(entry(Some("k")).identity(), b"k");
    }
}
