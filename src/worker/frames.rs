//! Where frames end in a run of bytes from a client.
//!
//! Owns the scan that lets `reader` decide what it must remember between two reads. Must not contain: the rules of frames; those
//! are tungstenite's, and whatever looks wrong here is passed on to it whole. Driven by `reader`.
use std::io::Cursor;
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

/// Whether the last message of a run is still missing fragments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Message {
    /// The next data frame begins a message.
    Whole,
    /// The next data frame continues one.
    Fragmented,
}

/// What a run of bytes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scan {
    /// Bytes of whole frames at its front. All bytes when a header is not allowed: the error is for the decoder to find.
    pub(super) whole: usize,
    /// Messages in those, control frames counted: a decoder is asked so often. Where one is in fragments, or a header is not allowed,
    /// it is asked until it has no more.
    pub(super) messages: usize,
    /// How the message under way stands after those.
    pub(super) message: Message,
}

/// Scans `bytes`, which begin at a frame and continue `message`; frames may hold up to `frame_bytes`.
pub(super) fn scan(bytes: &[u8], mut message: Message, frame_bytes: usize) -> Scan {
    let (mut whole, mut messages) = (0, 0_usize);
    while whole < bytes.len() {
        let rest = &bytes[whole..];
        let mut cursor = Cursor::new(rest);
        let (header, length) = match FrameHeader::parse(&mut cursor) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => break,
            Err(_) => return all(bytes, message),
        };
        if length > frame_bytes as u64 {
            return all(bytes, message);
        }
        let end = cursor.position() as usize + length as usize;
        if end > rest.len() {
            break;
        }
        message = after(&header, message);
        messages = if header.is_final {
            messages.saturating_add(1)
        } else {
            usize::MAX
        };
        whole += end;
    }
    Scan {
        whole,
        messages,
        message,
    }
}

fn all(bytes: &[u8], message: Message) -> Scan {
    Scan {
        whole: bytes.len(),
        messages: usize::MAX,
        message,
    }
}

/// How the message under way stands after a frame (RFC 6455, 5.4); control frames may stand between fragments.
fn after(header: &FrameHeader, before: Message) -> Message {
    match (header.opcode, header.is_final) {
        (OpCode::Control(_), _) | (OpCode::Data(Data::Continue), false) => before,
        (OpCode::Data(_), true) => Message::Whole,
        (OpCode::Data(_), false) => Message::Fragmented,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'a'];
    const BEGIN: &[u8] = &[0x01, 0x81, 0, 0, 0, 0, b'a'];
    const PING: &[u8] = &[0x89, 0x80, 0, 0, 0, 0];
    const END: &[u8] = &[0x80, 0x80, 0, 0, 0, 0];

    fn scanned(parts: &[&[u8]], message: Message) -> (usize, Message) {
        let scan = scan(&parts.concat(), message, 100);
        (scan.whole, scan.message)
    }

    #[test]
    fn whole_frames_are_found_and_the_tail_left() {
        assert_eq!(
            scanned(&[TEXT, PING, TEXT], Message::Whole),
            (20, Message::Whole)
        );
        for cut in 0..TEXT.len() {
            assert_eq!(
                scanned(&[TEXT, &TEXT[..cut]], Message::Whole),
                (7, Message::Whole)
            );
        }
    }

    #[test]
    fn messages_are_counted_where_none_is_in_fragments() {
        let messages = |parts: &[&[u8]]| scan(&parts.concat(), Message::Whole, 100).messages;
        assert_eq!(messages(&[TEXT, PING, TEXT, &TEXT[..3]]), 3);
        assert_eq!(messages(&[TEXT, BEGIN, PING, END]), usize::MAX);
    }

    #[test]
    fn a_message_in_fragments_is_known_by_its_headers() {
        assert_eq!(scanned(&[BEGIN], Message::Whole), (7, Message::Fragmented));
        assert_eq!(
            scanned(&[PING, PING], Message::Fragmented),
            (12, Message::Fragmented)
        );
        assert_eq!(
            scanned(&[BEGIN, PING, END, TEXT], Message::Whole),
            (26, Message::Whole)
        );
    }

    #[test]
    fn what_is_not_allowed_is_passed_on_whole() {
        let reserved = [0x83, 0x80, 0, 0, 0, 0, 1, 2, 3];
        assert_eq!(
            scanned(&[TEXT, &reserved], Message::Whole),
            (16, Message::Whole)
        );
        let long = [0x81, 0xfe, 0, 101, 0, 0, 0, 0, 1];
        assert_eq!(
            scanned(&[TEXT, &long], Message::Whole),
            (16, Message::Whole)
        );
    }
}
