//! Whole server frames, built once and shared by all who get the same message.
//!
//! RFC 6455 section 5.2: final, unmasked (a server's frames are never masked), the payload length in 7, 16 or 64 bits.
//! The payload is written first and its header right before it, so that nothing is moved.
use crate::text::clip;

/// Longest header of an unmasked frame.
const HEADER_MAX: usize = 10;
/// Longest payload of a control frame, RFC 6455 section 5.5.
pub const CONTROL_MAX: usize = 125;
/// Scratch space that is kept for the next frame; most frames are below it, and one that isn't must not pin its size.
const KEPT_BYTES: usize = 256 * 1024;

/// Opcodes of RFC 6455 section 5.2.
pub mod opcode {
    /// Text.
    pub const TEXT: u8 = 0x1;
    /// Close.
    pub const CLOSE: u8 = 0x8;
    /// Ping.
    pub const PING: u8 = 0x9;
    /// Pong.
    pub const PONG: u8 = 0xA;
}

const FIN: u8 = 0x80;

/// Length of a whole unmasked frame with `payload` bytes.
pub const fn frame_len(payload: usize) -> usize {
    header_len(payload) + payload
}

const fn header_len(payload: usize) -> usize {
    match payload {
        0..=125 => 2,
        126..=0xFFFF => 4,
        _ => HEADER_MAX,
    }
}

/// Scratch space that builds one whole frame at a time.
#[derive(Debug, Default)]
pub struct FrameBuf(Vec<u8>);

impl FrameBuf {
    /// Empty; allocates with the first frame.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A text frame of what `build` appends. `build` must append only.
    pub fn text(&mut self, build: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.frame(opcode::TEXT, build)
    }

    /// A control frame. A payload over [`CONTROL_MAX`] is cut, since a longer one would be no valid frame.
    pub fn control(&mut self, opcode: u8, payload: &[u8]) -> &[u8] {
        let payload = &payload[..payload.len().min(CONTROL_MAX)];
        self.frame(opcode, |out| out.extend_from_slice(payload))
    }

    /// A close frame. A reason that doesn't fit beside the code is cut between characters.
    pub fn close(&mut self, code: u16, reason: &str) -> &[u8] {
        let reason = clip(reason, CONTROL_MAX - 2);
        self.frame(opcode::CLOSE, |out| {
            out.extend_from_slice(&code.to_be_bytes());
            out.extend_from_slice(reason.as_bytes());
        })
    }

    fn frame(&mut self, opcode: u8, build: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        if self.0.capacity() > KEPT_BYTES {
            self.0 = Vec::new();
        }
        self.0.clear();
        self.0.resize(HEADER_MAX, 0);
        build(&mut self.0);
        let payload = self.0.len() - HEADER_MAX;
        let start = HEADER_MAX - header_len(payload);
        write_header(&mut self.0[start..HEADER_MAX], opcode, payload);
        &self.0[start..]
    }
}

/// `header` is as long as the header of this payload.
fn write_header(header: &mut [u8], opcode: u8, payload: usize) {
    header[0] = FIN | opcode;
    match header.len() {
        2 => header[1] = payload as u8,
        4 => {
            header[1] = 126;
            header[2..].copy_from_slice(&(payload as u16).to_be_bytes());
        }
        _ => {
            header[1] = 127;
            header[2..].copy_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_the_shortest_form_at_each_border() {
        let mut frame = FrameBuf::new();
        for (payload, header) in [
            (0, vec![0x81, 0]),
            (125, vec![0x81, 125]),
            (126, vec![0x81, 126, 0, 126]),
            (0xFFFF, vec![0x81, 126, 0xFF, 0xFF]),
            (0x1_0000, vec![0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let text = vec![b'x'; payload];
            let bytes = frame.text(|out| out.extend_from_slice(&text));
            assert_eq!(bytes.len(), frame_len(payload));
            assert_eq!(bytes, [header, text].concat());
        }
    }

    #[test]
    fn a_frame_holds_nothing_of_the_one_before() {
        let mut frame = FrameBuf::new();
        frame.text(|out| out.extend_from_slice(b"a long payload"));
        assert_eq!(frame.text(|out| out.push(b'b')), [0x81, 1, b'b']);
    }

    #[test]
    fn a_huge_frame_does_not_pin_its_memory() {
        let mut frame = FrameBuf::new();
        frame.text(|out| out.resize(4 << 20, b'x'));
        frame.text(|out| out.push(b'x'));
        assert!(frame.0.capacity() <= KEPT_BYTES);
    }

    #[test]
    fn control_frames_are_never_over_their_limit() {
        let mut frame = FrameBuf::new();
        assert_eq!(frame.control(opcode::PING, b"hi"), [0x89, 2, b'h', b'i']);
        assert_eq!(
            frame.control(opcode::PONG, &[0; 200]).len(),
            2 + CONTROL_MAX
        );
        assert_eq!(
            frame.close(1001, "bye"),
            [0x88, 5, 0x03, 0xE9, b'b', b'y', b'e']
        );
        let cut = frame.close(1008, &"€".repeat(60)).to_vec();
        assert_eq!(cut[..2], [0x88, 125]);
        assert_eq!(std::str::from_utf8(&cut[4..]), Ok("€".repeat(41).as_str()));
        assert_eq!(frame.close(1008, &"ü".repeat(62))[1], 124);
    }
}
