//! The layout of the folder, and the bytes of what lies in it.
//!
//! ```text
//! FOLDER/
//!   lock                      held by the node that uses the folder; its process
//!   meta                      version of the format, epoch
//!   mark                      offsets up to here may have been given, and in which run of the machine
//!   classes/PATTERN/          the topics that one retention rule keeps
//!     00000000000000000001.log    a segment, named by its base: its first offset
//!     00000000000000000001.idx    where its records are; there once it is sealed
//!   checkpoints/              newest values and orders
//!     00000000000000001234.ckp    as they were at this position; see [`checkpoint`](super::checkpoint)
//!
//! segment   head (64 bytes), then batches
//!   head    magic "PSLG" · version u32 · base i64 · before i64 · boot 16 bytes · created_us u64 · zeros · crc u32
//! batch     head (32 bytes), then records; what one commit wrote
//!   head    magic u32 · bytes behind the head u32 · records u32 · zero u32 · base i64 · zero u32 · crc u32
//! record    bytes behind this field u32 · crc u32 of what follows · offset i64 · ts_us u64 · mono_ns u64 ·
//!           bytes of the topic u16 · bytes of the key u16, 65535: it has none · topic · key · data
//! ```
//!
//! All numbers are little endian, all checks CRC-32C. Offsets rise strictly within a class and may skip. `before` is the newest offset the
//! class had before the segment, 0 for none: it says how far the class had come when everything before has left. A batch's magic is larger
//! than any record may be, so that the two are told apart where reading begins anew.
//!
//! Owns these bytes. Must not contain: files. Used by whoever writes or reads segments. What is read is believed in nothing: a length that
//! can't be, a text that is none and a check that fails are a [`Fault`].
use pubsub_stream::hub::EntryRef;
use std::str;

/// Version of everything in the folder.
pub const FORMAT: u32 = 1;

/// Bytes of a segment's head.
pub const SEGMENT_HEAD_BYTES: usize = 64;
/// Bytes of a batch's head.
pub const BATCH_HEAD_BYTES: usize = 32;
/// Bytes of a record besides topic, key and data.
pub const RECORD_HEAD_BYTES: usize = 36;
/// A record is no longer: the largest frame there may be, and what belongs to it.
pub const RECORD_BYTES_MAX: usize = 32 << 20;

const SEGMENT_MAGIC: [u8; 4] = *b"PSLG";
const CHECKPOINT_MAGIC: [u8; 4] = *b"PSCP";
const BATCH_MAGIC: u32 = 0xB47C_5EED;
const NO_KEY: u16 = u16::MAX;

/// A batch's buffer that has grown beyond this is given back.
const RESTING_BYTES: usize = 1 << 20;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// They end too early.
    #[error("{needed} bytes are needed")]
    Short {
        /// So many are needed to go on.
        needed: usize,
    },
    /// A check fails.
    #[error("its check fails")]
    Crc,
    /// They can't have been written.
    #[error("it can't have been written like this")]
    Shape,
    /// Another version wrote them.
    #[error("it is of version {0} of the format, this build knows {FORMAT}")]
    Version(u32),
}

/// What stands at the beginning of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHead {
    /// Its first offset.
    pub base: i64,
    /// Newest offset of its class before it; 0 for none.
    pub before: i64,
    /// Which run of the machine made it.
    pub boot: [u8; 16],
    /// When, microseconds since the Unix epoch.
    pub created_us: u64,
}

/// What stands at the beginning of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHead {
    /// Offset of its first record.
    pub base: i64,
    /// How many records it has.
    pub records: u32,
    /// Bytes of them.
    pub bytes: u32,
}

/// The bytes of a segment's head.
pub fn write_segment_head(head: &SegmentHead) -> [u8; SEGMENT_HEAD_BYTES] {
    write_head(head, SEGMENT_MAGIC)
}

/// The bytes of a checkpoint's head, whose base is its position.
pub fn write_checkpoint_head(head: &SegmentHead) -> [u8; SEGMENT_HEAD_BYTES] {
    write_head(head, CHECKPOINT_MAGIC)
}

fn write_head(head: &SegmentHead, magic: [u8; 4]) -> [u8; SEGMENT_HEAD_BYTES] {
    let mut bytes = [0; SEGMENT_HEAD_BYTES];
    bytes[..4].copy_from_slice(&magic);
    bytes[4..8].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[8..16].copy_from_slice(&head.base.to_le_bytes());
    bytes[16..24].copy_from_slice(&head.before.to_le_bytes());
    bytes[24..40].copy_from_slice(&head.boot);
    bytes[40..48].copy_from_slice(&head.created_us.to_le_bytes());
    seal(&mut bytes);
    bytes
}

/// Reads a segment's head.
pub fn read_segment_head(bytes: &[u8]) -> Result<SegmentHead, Fault> {
    read_head(bytes, SEGMENT_MAGIC)
}

/// Reads a checkpoint's head.
pub fn read_checkpoint_head(bytes: &[u8]) -> Result<SegmentHead, Fault> {
    read_head(bytes, CHECKPOINT_MAGIC)
}

fn read_head(bytes: &[u8], magic: [u8; 4]) -> Result<SegmentHead, Fault> {
    let head = checked::<SEGMENT_HEAD_BYTES>(bytes, magic)?;
    match u32_at(head, 4) {
        FORMAT => Ok(SegmentHead {
            base: i64_at(head, 8),
            before: i64_at(head, 16),
            boot: array_at(head, 24),
            created_us: u64_at(head, 40),
        }),
        other => Err(Fault::Version(other)),
    }
}

/// Whether a batch, and no record, begins here.
pub fn is_batch_head(bytes: &[u8]) -> bool {
    bytes.starts_with(&BATCH_MAGIC.to_le_bytes())
}

/// Whether a batch's head may begin with these bytes, fewer than it has.
pub fn is_begun_head(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .zip(BATCH_MAGIC.to_le_bytes())
        .all(|(byte, of)| *byte == of)
}

/// Reads a batch's head.
pub fn read_batch_head(bytes: &[u8]) -> Result<BatchHead, Fault> {
    let head = checked::<BATCH_HEAD_BYTES>(bytes, BATCH_MAGIC.to_le_bytes())?;
    Ok(BatchHead {
        bytes: u32_at(head, 4),
        records: u32_at(head, 8),
        base: i64_at(head, 16),
    })
}

/// Bytes of the record that begins here by its own word, if there can be such a record.
pub fn record_bytes(bytes: &[u8]) -> Option<usize> {
    let behind = u32_at(bytes.get(..4)?, 0) as usize;
    let possible = RECORD_HEAD_BYTES - 4..=RECORD_BYTES_MAX;
    possible.contains(&behind).then_some(behind + 4)
}

/// Reads the record at the beginning of `bytes`, and says how many they are.
pub fn read_record(bytes: &[u8]) -> Result<(EntryRef<'_>, usize), Fault> {
    if bytes.len() < 4 {
        return Err(Fault::Short { needed: 4 });
    }
    let whole = record_bytes(bytes).ok_or(Fault::Shape)?;
    let record = bytes.get(..whole).ok_or(Fault::Short { needed: whole })?;
    if crc32c::crc32c(&record[8..]) != u32_at(record, 4) {
        return Err(Fault::Crc);
    }
    let (topic_bytes, key_bytes) = (u16_at(record, 32), u16_at(record, 34));
    let texts = &record[RECORD_HEAD_BYTES..];
    let (topic, rest) = text(texts, topic_bytes)?;
    let (key, data) = match key_bytes {
        NO_KEY => (None, rest),
        bytes => text(rest, bytes).map(|(key, data)| (Some(key), data))?,
    };
    let entry = EntryRef {
        offset: i64_at(record, 8),
        ts_us: u64_at(record, 16),
        mono_ns: u64_at(record, 24),
        topic,
        key,
        data,
    };
    Ok((entry, whole))
}

fn text(bytes: &[u8], length: u16) -> Result<(&str, &[u8]), Fault> {
    let (text, rest) = bytes.split_at_checked(length.into()).ok_or(Fault::Shape)?;
    Ok((str::from_utf8(text).map_err(|_| Fault::Shape)?, rest))
}

/// Collects records until they are written with one call.
#[derive(Debug, Default)]
pub struct BatchWriter {
    bytes: Vec<u8>,
    base: i64,
    records: u32,
}

impl BatchWriter {
    /// Takes a record; where it begins, counted from the batch's beginning.
    pub fn push(&mut self, entry: &EntryRef<'_>) -> u32 {
        if self.records == 0 {
            self.base = entry.offset;
            self.bytes.resize(BATCH_HEAD_BYTES, 0);
        }
        self.records += 1;
        let begin = self.bytes.len();
        let key = entry.key.unwrap_or_default();
        let length = RECORD_HEAD_BYTES + entry.topic.len() + key.len() + entry.data.len();
        debug_assert!(length <= RECORD_BYTES_MAX, "limits are far below");
        let key_bytes = entry.key.map_or(NO_KEY, |key| key.len() as u16);
        let out = &mut self.bytes;
        out.reserve(length);
        out.extend_from_slice(&(length as u32 - 4).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&entry.offset.to_le_bytes());
        out.extend_from_slice(&entry.ts_us.to_le_bytes());
        out.extend_from_slice(&entry.mono_ns.to_le_bytes());
        out.extend_from_slice(&(entry.topic.len() as u16).to_le_bytes());
        out.extend_from_slice(&key_bytes.to_le_bytes());
        out.extend_from_slice(entry.topic.as_bytes());
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(entry.data);
        let crc = crc32c::crc32c(&out[begin + 8..]);
        out[begin + 4..begin + 8].copy_from_slice(&crc.to_le_bytes());
        begin as u32
    }

    /// All bytes, ready to be written; there is at least one record.
    pub fn finish(&mut self) -> &[u8] {
        let behind = (self.bytes.len() - BATCH_HEAD_BYTES) as u32;
        let mut head = [0; BATCH_HEAD_BYTES];
        head[..4].copy_from_slice(&BATCH_MAGIC.to_le_bytes());
        head[4..8].copy_from_slice(&behind.to_le_bytes());
        head[8..12].copy_from_slice(&self.records.to_le_bytes());
        head[16..24].copy_from_slice(&self.base.to_le_bytes());
        seal(&mut head);
        self.bytes[..BATCH_HEAD_BYTES].copy_from_slice(&head);
        &self.bytes
    }

    /// All bytes, to be written by somebody else; there is at least one record. It is empty again.
    pub fn take(&mut self) -> Vec<u8> {
        self.finish();
        self.records = 0;
        std::mem::take(&mut self.bytes)
    }

    /// Forgets what was written.
    pub fn clear(&mut self) {
        self.records = 0;
        if self.bytes.capacity() > RESTING_BYTES {
            self.bytes = Vec::new();
        }
        self.bytes.clear();
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Bytes, the head's among them.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Puts the check of a head into its last four bytes.
fn seal(head: &mut [u8]) {
    let end = head.len() - 4;
    let crc = crc32c::crc32c(&head[..end]);
    head[end..].copy_from_slice(&crc.to_le_bytes());
}

/// The head at the beginning of `bytes`, if it is one.
fn checked<const N: usize>(bytes: &[u8], magic: [u8; 4]) -> Result<&[u8], Fault> {
    let head = bytes.get(..N).ok_or(Fault::Short { needed: N })?;
    if !head.starts_with(&magic) {
        return Err(Fault::Shape);
    }
    if crc32c::crc32c(&head[..N - 4]) != u32_at(head, N - 4) {
        return Err(Fault::Crc);
    }
    Ok(head)
}

/// Bytes at a place where there are so many.
pub(super) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

pub(super) fn i64_at(bytes: &[u8], at: usize) -> i64 {
    i64::from_le_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    type Fields = (i64, u64, u64, String, Option<String>, Vec<u8>);

    fn fields() -> impl Strategy<Value = Fields> {
        (
            any::<i64>(),
            any::<u64>(),
            any::<u64>(),
            "[a-zé.]{0,20}",
            of("[a-zé]{0,9}"),
            vec(any::<u8>(), 0..60),
        )
    }

    fn entry(fields: &Fields) -> EntryRef<'_> {
        let (offset, ts_us, mono_ns, topic, key, data) = fields;
        EntryRef {
            offset: *offset,
            ts_us: *ts_us,
            mono_ns: *mono_ns,
            topic,
            key: key.as_deref(),
            data,
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(all in vec(fields(), 1..8)) {
            let mut batch = BatchWriter::default();
            let begins: Vec<u32> = all.iter().map(|fields| batch.push(&entry(fields))).collect();
            let bytes = batch.finish();
            let head = read_batch_head(bytes).unwrap();
            prop_assert!(is_batch_head(bytes));
            prop_assert_eq!((head.base, head.records as usize), (all[0].0, all.len()));
            prop_assert_eq!(head.bytes as usize + BATCH_HEAD_BYTES, bytes.len());
            let mut at = BATCH_HEAD_BYTES;
            for (fields, begin) in all.iter().zip(begins) {
                prop_assert_eq!(at, begin as usize);
                prop_assert!(!is_batch_head(&bytes[at..]));
                let (found, length) = read_record(&bytes[at..]).unwrap();
                prop_assert_eq!(found, entry(fields));
                at += length;
            }
            prop_assert_eq!(at, bytes.len());
        }

        #[test]
        fn a_changed_byte_is_noticed_and_nothing_panics(one in fields(), place in 0.0..1.0f64, by in 1u8..) {
            let mut batch = BatchWriter::default();
            batch.push(&entry(&one));
            let mut bytes = batch.finish().to_vec();
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] ^= by;
            if at < BATCH_HEAD_BYTES {
                prop_assert!(read_batch_head(&bytes).is_err());
            } else {
                prop_assert!(read_record(&bytes[BATCH_HEAD_BYTES..]).is_err());
            }
        }

        #[test]
        fn whatever_stands_there_is_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
            let _ = (read_record(&bytes), read_batch_head(&bytes), read_segment_head(&bytes));
        }
    }

    #[test]
    fn a_batch_is_used_again() {
        let mut batch = BatchWriter::default();
        let one = (1, 0, 0, "a".to_owned(), None, vec![1; RESTING_BYTES]);
        batch.push(&entry(&one));
        let first = batch.finish().to_vec();
        batch.clear();
        assert!(batch.is_empty());
        assert_eq!(batch.push(&entry(&one)) as usize, BATCH_HEAD_BYTES);
        assert_eq!(batch.finish(), first);
    }

    #[test]
    fn a_segment_of_another_version_is_named() {
        let head = SegmentHead {
            base: 5,
            before: 3,
            boot: *b"0123456789abcdef",
            created_us: 9,
        };
        let mut bytes = write_segment_head(&head);
        assert_eq!(read_segment_head(&bytes), Ok(head));
        bytes[4] = 2;
        seal(&mut bytes);
        assert_eq!(read_segment_head(&bytes), Err(Fault::Version(2)));
    }
}
