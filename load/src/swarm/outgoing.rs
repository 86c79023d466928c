//! Masked client frames (RFC 6455 sections 5.1 and 5.3), appended to a byte run.
//!
//! Pure but for the mask, which a client draws anew for every frame.
use super::frames::Opcode;

/// Appends one whole frame.
pub fn frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    let mask = fastrand::u32(..).to_ne_bytes();
    out.push(0x80 | number(opcode));
    match payload.len() {
        short @ 0..=125 => out.push(0x80 | short as u8),
        middle @ 126..=0xffff => {
            out.push(0xfe);
            out.extend_from_slice(&(middle as u16).to_be_bytes());
        }
        long => {
            out.push(0xff);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let begin = out.len();
    out.extend_from_slice(payload);
    apply(mask, &mut out[begin..]);
}

/// Appends a close frame.
pub fn close(out: &mut Vec<u8>, code: u16) {
    frame(out, Opcode::Close, &code.to_be_bytes());
}

fn number(opcode: Opcode) -> u8 {
    match opcode {
        Opcode::Continuation => 0,
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    }
}

/// Eight bytes at a time: at 100,000 publications a second this is the larger part of their encoding.
fn apply(mask: [u8; 4], bytes: &mut [u8]) {
    let narrow = u32::from_ne_bytes(mask);
    let wide = u64::from(narrow) << 32 | u64::from(narrow);
    let mut words = bytes.chunks_exact_mut(8);
    for word in &mut words {
        let masked = u64::from_ne_bytes((&*word).try_into().expect("a chunk of eight")) ^ wide;
        word.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;
    use tungstenite::Message;
    use tungstenite::protocol::{Role, WebSocket};

    fn read_by_a_server(wire: Vec<u8>) -> Message {
        WebSocket::from_raw_socket(Cursor::new(wire), Role::Server, None)
            .read()
            .unwrap()
    }

    proptest! {
        #[test]
        fn a_server_reads_what_was_said(text in ".{0,400}") {
            let mut wire = Vec::new();
            frame(&mut wire, Opcode::Text, text.as_bytes());
            prop_assert_eq!(read_by_a_server(wire), Message::text(text));
        }

        #[test]
        fn every_length_form_is_read(len in prop_oneof![124usize..128, 65_534usize..65_538]) {
            let mut wire = Vec::new();
            frame(&mut wire, Opcode::Binary, &vec![7; len]);
            prop_assert_eq!(read_by_a_server(wire), Message::binary(vec![7; len]));
        }
    }

    #[test]
    fn a_close_carries_its_code() {
        let mut wire = Vec::new();
        close(&mut wire, 1000);
        let Message::Close(Some(said)) = read_by_a_server(wire) else {
            panic!("no close")
        };
        assert_eq!(u16::from(said.code), 1000);
    }
}
