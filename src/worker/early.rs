//! Says that a text is not UTF-8 as soon as that can be known, not when its frame is whole.
//!
//! Owns the following of frames and characters through bytes as they arrive. Must not contain: any other rule of frames; those are
//! tungstenite's, which looks at a text when its frame is whole. Driven by `echo`, for suites that are strict about it (RFC 6455, 8.1
//! leaves the moment open).
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Longest header of a frame.
const HEADER_BYTES: usize = 14;
/// Bytes unmasked at a time.
const CHUNK_BYTES: usize = 512;
/// An unfinished character is shorter than this.
const CHARACTER_BYTES: usize = 4;

/// No continuation makes these bytes UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotText;

/// One connection's bytes, as far as they have come.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// A header that has not all arrived.
    header: Vec<u8>,
    payload: Payload,
    /// The message under way is a text, and frames continue it.
    text: Texts,
    /// The unfinished character of the text.
    character: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Texts {
    #[default]
    No,
    Yes,
}

/// What is left of the frame under way.
#[derive(Debug, Default)]
struct Payload {
    left: u64,
    mask: [u8; 4],
    /// Bytes of it that have been seen.
    seen: usize,
    /// Whether they belong to a text.
    text: Option<Last>,
}

/// Whether a text ends with the frame under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Yes,
    No,
}

impl Early {
    /// Follows the next bytes.
    pub(super) fn follow(&mut self, mut bytes: &[u8]) -> Result<(), NotText> {
        while !bytes.is_empty() {
            if self.payload.left == 0 {
                bytes = self.follow_header(bytes);
            } else {
                let (these, rest) = bytes.split_at(bytes.len().min(self.payload.left as usize));
                self.follow_payload(these)?;
                bytes = rest;
            }
        }
        Ok(())
    }

    /// Takes a header's bytes; what is behind it.
    fn follow_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let before = self.header.len();
        let taken = bytes.len().min(HEADER_BYTES - before);
        self.header.extend_from_slice(&bytes[..taken]);
        let mut cursor = Cursor::new(&self.header);
        let Ok(parsed) = FrameHeader::parse(&mut cursor) else {
            // The decoder ends the connection here.
            return &[];
        };
        let Some((header, length)) = parsed else {
            return &bytes[taken..];
        };
        let used = cursor.position() as usize - before;
        self.header.clear();
        self.begin(&header, length);
        &bytes[used..]
    }

    fn begin(&mut self, header: &FrameHeader, length: u64) {
        let continues = header.opcode == OpCode::Data(Data::Continue);
        let text = match header.opcode {
            OpCode::Data(Data::Text) => true,
            OpCode::Data(Data::Continue) => self.text == Texts::Yes,
            _ => false,
        };
        if let OpCode::Data(_) = header.opcode {
            self.text = if text && !header.is_final {
                Texts::Yes
            } else {
                Texts::No
            };
        }
        if !continues && text {
            self.character.clear();
        }
        let last = if header.is_final { Last::Yes } else { Last::No };
        self.payload = Payload {
            left: length,
            mask: header.mask.unwrap_or_default(),
            seen: 0,
            text: text.then_some(last),
        };
    }

    fn follow_payload(&mut self, bytes: &[u8]) -> Result<(), NotText> {
        let (mask, seen) = (self.payload.mask, self.payload.seen);
        self.payload.left -= bytes.len() as u64;
        self.payload.seen += bytes.len();
        let Some(last) = self.payload.text else {
            return Ok(());
        };
        let mut clear = [0; CHUNK_BYTES + CHARACTER_BYTES];
        for (at, chunk) in bytes.chunks(CHUNK_BYTES).enumerate() {
            let held = self.character.len();
            clear[..held].copy_from_slice(&self.character);
            for (i, byte) in chunk.iter().enumerate() {
                clear[held + i] = byte ^ mask[(seen + at * CHUNK_BYTES + i) % mask.len()];
            }
            self.check(&clear[..held + chunk.len()])?;
        }
        if self.payload.left == 0 && last == Last::Yes && !self.character.is_empty() {
            return Err(NotText);
        }
        Ok(())
    }

    fn check(&mut self, clear: &[u8]) -> Result<(), NotText> {
        self.character.clear();
        match str::from_utf8(clear) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_some() => Err(NotText),
            Err(error) => {
                let unfinished = &clear[error.valid_up_to()..];
                self.character.extend_from_slice(unfinished);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first, 0xfe];
        out.extend_from_slice(&(payload.len() as u16).to_be_bytes());
        let mask = [0x11, 0x22, 0x33, 0x44];
        out.extend_from_slice(&mask);
        out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        out
    }

    /// How many bytes are followed before it is known.
    fn known_after(bytes: &[u8]) -> Option<usize> {
        let mut early = Early::default();
        let known = bytes
            .iter()
            .position(|byte| early.follow(&[*byte]).is_err());
        known.map(|at| at + 1)
    }

    #[test]
    fn a_wrong_byte_is_known_when_it_arrives() {
        let bytes = frame(0x81, b"good \xff and more");
        assert_eq!(known_after(&bytes), Some(8 + 6));
    }

    #[test]
    fn a_character_may_be_cut_by_frames_and_control_frames_may_stand_between() {
        let euro = "€".as_bytes();
        let cut = [
            frame(0x01, &euro[..1]),
            frame(0x89, b"\xff"),
            frame(0x00, &euro[1..2]),
            frame(0x80, &euro[2..]),
        ];
        assert_eq!(known_after(&cut.concat()), None);
        let wrong = [frame(0x01, &euro[..1]), frame(0x80, b"x")].concat();
        assert_eq!(known_after(&wrong), Some(wrong.len()));
    }

    #[test]
    fn a_text_may_not_end_within_a_character() {
        let bytes = frame(0x81, &"€".as_bytes()[..2]);
        assert_eq!(known_after(&bytes), Some(bytes.len()));
    }

    #[test]
    fn binaries_are_not_texts() {
        let bytes = [frame(0x02, b"\xff"), frame(0x80, b"\xfe")].concat();
        assert_eq!(known_after(&bytes), None);
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_whole_text_however_that_is_cut(
            payload in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                ".{0,900}".prop_map(String::into_bytes),
            ],
            cuts in proptest::collection::vec(1usize..700, 1..6),
        ) {
            let bytes = frame(0x81, &payload);
            let (mut early, mut rest, mut known) = (Early::default(), &bytes[..], Ok(()));
            for cut in cuts.iter().cycle() {
                if rest.is_empty() || known.is_err() {
                    break;
                }
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                known = early.follow(piece);
                rest = behind;
            }
            prop_assert_eq!(known.is_ok(), str::from_utf8(&payload).is_ok());
        }

        #[test]
        fn any_bytes_are_followed_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = known_after(&bytes);
        }
    }
}
