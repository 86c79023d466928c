//! WebSocket frames as a server sends them (RFC 6455 section 5.2), found in a byte run without copying.
//!
//! Pure: bytes in, one frame out, or how much is missing. Server frames carry no mask, so a payload is a slice of what was
//! read. What a message means is none of this file's business.
use thiserror::Error;

/// Largest payload that is taken. A server's frames are far smaller; what claims more is not a WebSocket.
pub const PAYLOAD_MAX: usize = 16 << 20;

/// Kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Opcode {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

/// One whole frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Kind.
    pub opcode: Opcode,
    /// Last frame of its message.
    pub fin: bool,
    /// Payload.
    pub payload: &'a [u8],
}

/// What stands at the beginning of a byte run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan<'a> {
    /// A whole frame, and how many bytes it takes with its header.
    Whole(Frame<'a>, usize),
    /// The frame is complete once the run is at least this long (asked again then: the header itself may be what is missing).
    Needs(usize),
}

/// What a server must not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// RSV bits without an extension.
    #[error("a reserved bit is set")]
    Reserved,
    /// Not an opcode of RFC 6455.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// Section 5.1: a server masks nothing.
    #[error("a server's frame is masked")]
    Masked,
    /// Section 5.5: a control frame is whole and at most 125 bytes long.
    #[error("a control frame is fragmented or too long")]
    Control,
    /// More than [`PAYLOAD_MAX`].
    #[error("a frame of {0} bytes")]
    TooLong(u64),
    /// A continuation of nothing, or a new message inside an unfinished one.
    #[error("fragments out of order")]
    Fragments,
    /// Text that is not UTF-8, or a message that is not this protocol's.
    #[error("not a pubsub.v1 message")]
    NotOurs,
}

/// Looks at the frame that begins `bytes`.
#[inline]
pub fn scan(bytes: &[u8]) -> Result<Scan<'_>, FrameError> {
    let [first, second, ..] = *bytes else {
        return Ok(Scan::Needs(2));
    };
    let (header, payload) = match second {
        0..=125 => (2, usize::from(second)),
        126 => match bytes {
            [_, _, high, low, ..] => (4, usize::from(u16::from_be_bytes([*high, *low]))),
            _ => return Ok(Scan::Needs(4)),
        },
        127 => match bytes.get(2..10) {
            Some(length) => (10, long(length)?),
            None => return Ok(Scan::Needs(10)),
        },
        128.. => return Err(FrameError::Masked),
    };
    let (opcode, fin) = kind(first, payload)?;
    let whole = header + payload;
    match bytes.get(header..whole) {
        Some(payload) => Ok(Scan::Whole(
            Frame {
                opcode,
                fin,
                payload,
            },
            whole,
        )),
        None => Ok(Scan::Needs(whole)),
    }
}

fn long(length: &[u8]) -> Result<usize, FrameError> {
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    if length > PAYLOAD_MAX as u64 {
        Err(FrameError::TooLong(length))
    } else {
        Ok(length as usize)
    }
}

#[inline]
fn kind(first: u8, payload: usize) -> Result<(Opcode, bool), FrameError> {
    if first == 0x81 {
        return Ok((Opcode::Text, true));
    }
    if first & 0x70 != 0 {
        return Err(FrameError::Reserved);
    }
    let fin = first & 0x80 != 0;
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        other => return Err(FrameError::Opcode(other)),
    };
    let control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    if control && (!fin || payload > 125) {
        Err(FrameError::Control)
    } else {
        Ok((opcode, fin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Cursor, Read, Write};
    use tungstenite::protocol::frame::coding::{Control, Data, OpCode};
    use tungstenite::protocol::frame::{Frame as Theirs, FrameHeader};
    use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
    use tungstenite::{Bytes, Message};

    #[test]
    fn a_masked_frame_is_refused() {
        assert_eq!(scan(&[0x81, 0x80, 1, 2, 3, 4]), Err(FrameError::Masked));
    }

    #[test]
    fn a_reserved_bit_is_refused() {
        assert_eq!(scan(&[0xc1, 0x00]), Err(FrameError::Reserved));
    }

    #[test]
    fn a_long_control_frame_is_refused() {
        assert_eq!(scan(&[0x89, 126, 0, 126]), Err(FrameError::Control));
    }

    #[test]
    fn a_length_nobody_sends_is_refused_before_it_arrives() {
        assert_eq!(
            scan(&[0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0]),
            Err(FrameError::TooLong(0xff << 56))
        );
    }

    /// Gives what is there, then says that there is no more for now.
    struct Fed(Cursor<Vec<u8>>);

    impl Read for Fed {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(to)? {
                0 => Err(std::io::ErrorKind::WouldBlock.into()),
                n => Ok(n),
            }
        }
    }

    impl Write for Fed {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn messages_by_tungstenite(wire: &[u8]) -> Vec<Message> {
        let config = WebSocketConfig::default();
        let mut socket =
            WebSocket::from_raw_socket(Fed(Cursor::new(wire.to_vec())), Role::Client, Some(config));
        std::iter::from_fn(|| socket.read().ok()).collect()
    }

    fn frame(opcode: OpCode, payload: Vec<u8>) -> Vec<u8> {
        let header = FrameHeader {
            opcode,
            ..FrameHeader::default()
        };
        let mut wire = Vec::new();
        Theirs::from_payload(header, Bytes::from(payload))
            .format(&mut wire)
            .unwrap();
        wire
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        let control = prop_oneof![Just(Control::Ping), Just(Control::Pong)];
        prop_oneof![
            ".{0,300}".prop_map(|text| frame(OpCode::Data(Data::Text), text.into_bytes())),
            proptest::collection::vec(any::<u8>(), 0..200_000)
                .prop_map(|b| frame(OpCode::Data(Data::Binary), b)),
            (control, proptest::collection::vec(any::<u8>(), 0..126))
                .prop_map(|(kind, b)| frame(OpCode::Control(kind), b)),
        ]
    }

    fn as_message(frame: Frame<'_>) -> Message {
        let bytes = Bytes::copy_from_slice(frame.payload);
        match frame.opcode {
            Opcode::Text => Message::text(std::str::from_utf8(frame.payload).unwrap()),
            Opcode::Binary => Message::Binary(bytes),
            Opcode::Ping => Message::Ping(bytes),
            Opcode::Pong => Message::Pong(bytes),
            Opcode::Continuation | Opcode::Close => unreachable!("not sent in this test"),
        }
    }

    /// Takes frames off a run that grows by the given pieces, as a reader of a socket does.
    fn messages_by_scan(wire: &[u8], pieces: &[usize]) -> Vec<Message> {
        let (mut held, mut rest, mut found) = (Vec::new(), wire, Vec::new());
        let mut sizes = pieces.iter().copied().cycle();
        while !rest.is_empty() {
            let (piece, later) = rest.split_at(sizes.next().unwrap().min(rest.len()));
            held.extend_from_slice(piece);
            rest = later;
            while let Scan::Whole(frame, len) = scan(&held).unwrap() {
                found.push(as_message(frame));
                held.drain(..len);
            }
        }
        assert!(held.is_empty(), "{} bytes were left over", held.len());
        found
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_are_found_as_tungstenite_finds_them_however_they_are_chopped(
            frames in proptest::collection::vec(any_frame(), 1..12),
            pieces in proptest::collection::vec(1usize..9000, 1..20),
        ) {
            let wire = frames.concat();
            prop_assert_eq!(messages_by_scan(&wire, &pieces), messages_by_tungstenite(&wire));
        }

        #[test]
        fn a_frame_is_whole_exactly_when_its_last_byte_is_there(wire in any_frame(), cut in any::<proptest::sample::Index>()) {
            let cut = cut.index(wire.len());
            match scan(&wire[..cut]).unwrap() {
                Scan::Needs(needs) => prop_assert!(needs > cut && needs <= wire.len()),
                Scan::Whole(..) => prop_assert!(false, "whole without its last byte"),
            }
            prop_assert!(matches!(scan(&wire), Ok(Scan::Whole(_, len)) if len == wire.len()));
        }
    }
}
