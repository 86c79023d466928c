//! The grammar that all link frames share: kinds, the frame around a body, numbers and texts in a body.
//!
//! Owns the layout below the level of messages. Must not contain: any message's fields. Driven by `request`, `event`, `reader`.
//!
//! Texts are UTF-8 behind a `u16` length; a text that may be absent has the length `u16::MAX` then.
use pubsub_wire::ErrorCode;

/// Spoken by this build; a peer that speaks another one is refused at its `Join`.
pub const LINK_VERSION: u16 = 3;

/// Largest frame that is accepted, the length field not counted. The largest payload a node can be configured to take (16 MiB)
/// and a slice that holds one beyond its budget fit in; more is a broken peer.
pub const FRAME_BYTES_MAX: usize = 32 << 20;

/// Bytes of the length field before each frame.
pub const LENGTH_BYTES: usize = 4;

/// Length that stands for an absent text.
const ABSENT: u16 = u16::MAX;

/// Why bytes of the peer are not a message. The link cannot go on after any of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The length field says more than the limit.
    #[error("a frame of {bytes} bytes is over the limit of {max}")]
    TooLarge {
        /// What it says.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A frame without even a kind.
    #[error("an empty frame")]
    Empty,
    /// A kind that nobody sends in this direction.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// The body ends inside a field.
    #[error("a frame ends in the middle of a field")]
    Truncated,
    /// The body goes on after its last field.
    #[error("{0} bytes follow the last field of a frame")]
    Trailing(usize),
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    NotText,
    /// A field holds a value that has no meaning.
    #[error("no such {field}: {value}")]
    BadValue {
        /// The field.
        field: &'static str,
        /// What it holds.
        value: u8,
    },
}

/// Appends one frame of `kind` whose body `fill` writes.
pub(crate) fn frame(out: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend_from_slice(&[0, 0, 0, 0, kind]);
    fill(out);
    let length = (out.len() - at - LENGTH_BYTES) as u32;
    out[at..at + LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
}

/// One frame where it lies: kind, body, and how many bytes all of it takes.
pub(crate) type Framed<'a> = (u8, &'a [u8], usize);

/// Splits the first whole frame off `bytes`. `None` when it has not all arrived.
pub(crate) fn split(bytes: &[u8], max: usize) -> Result<Option<Framed<'_>>, LinkError> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH_BYTES>() else {
        return Ok(None);
    };
    let length = u32::from_le_bytes(*length) as usize;
    if length > max {
        return Err(LinkError::TooLarge { bytes: length, max });
    }
    if length == 0 {
        return Err(LinkError::Empty);
    }
    Ok(rest
        .get(..length)
        .map(|frame| (frame[0], &frame[1..], LENGTH_BYTES + length)))
}

/// Appends a text of at most `u16::MAX - 1` bytes; what is longer is cut at a character (only ever a message for people).
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let mut end = text.len().min(usize::from(ABSENT) - 1);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.extend_from_slice(&(end as u16).to_le_bytes());
    out.extend_from_slice(&text.as_bytes()[..end]);
}

/// Appends a text or its absence.
pub(crate) fn put_option(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put_text(out, text),
        None => out.extend_from_slice(&ABSENT.to_le_bytes()),
    }
}

/// What is left of a body while it is read.
pub(crate) struct Body<'a>(pub(crate) &'a [u8]);

impl<'a> Body<'a> {
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], LinkError> {
        let (head, rest) = self.0.split_first_chunk().ok_or(LinkError::Truncated)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, LinkError> {
        self.chunk::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, LinkError> {
        self.chunk().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, LinkError> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, LinkError> {
        self.chunk().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, LinkError> {
        self.chunk().map(i64::from_le_bytes)
    }

    pub(crate) fn bool(&mut self, field: &'static str) -> Result<bool, LinkError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(LinkError::BadValue { field, value }),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a str, LinkError> {
        self.option()?.ok_or(LinkError::NotText)
    }

    pub(crate) fn option(&mut self) -> Result<Option<&'a str>, LinkError> {
        let length = self.u16()?;
        if length == ABSENT {
            return Ok(None);
        }
        let (text, rest) = self
            .0
            .split_at_checked(usize::from(length))
            .ok_or(LinkError::Truncated)?;
        self.0 = rest;
        str::from_utf8(text)
            .map(Some)
            .map_err(|_| LinkError::NotText)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// All that is left, as text.
    pub(crate) fn rest_text(&mut self) -> Result<&'a str, LinkError> {
        str::from_utf8(self.rest()).map_err(|_| LinkError::NotText)
    }

    /// The message is read; nothing may be left.
    pub(crate) fn end(self) -> Result<(), LinkError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(LinkError::Trailing(self.0.len()))
        }
    }
}

/// A code travels as its place in the protocol's list.
pub(crate) fn put_code(out: &mut Vec<u8>, code: ErrorCode) {
    let place = ErrorCode::ALL.iter().position(|&c| c == code);
    debug_assert!(place.is_some(), "{code:?} is not in the list of codes");
    out.push(place.unwrap_or(usize::from(u8::MAX)) as u8);
}

pub(crate) fn take_code(body: &mut Body<'_>) -> Result<ErrorCode, LinkError> {
    let value = body.u8()?;
    let code = ErrorCode::ALL.get(usize::from(value));
    code.copied().ok_or(LinkError::BadValue {
        field: "error code",
        value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_only_when_all_of_it_is_there() {
        let mut out = Vec::new();
        frame(&mut out, 7, |body| body.extend_from_slice(b"abc"));
        for end in 0..out.len() {
            assert_eq!(split(&out[..end], 100), Ok(None));
        }
        assert_eq!(split(&out, 100), Ok(Some((7, &b"abc"[..], 8))));
    }

    #[test]
    fn a_length_over_the_limit_is_refused_before_the_bytes_arrive() {
        assert_eq!(
            split(&101u32.to_le_bytes(), 100),
            Err(LinkError::TooLarge {
                bytes: 101,
                max: 100
            })
        );
    }

    #[test]
    fn a_frame_without_a_kind_is_refused() {
        assert_eq!(split(&[0, 0, 0, 0], 100), Err(LinkError::Empty));
    }

    #[test]
    fn an_overlong_text_is_cut_at_a_character() {
        let mut out = Vec::new();
        put_text(&mut out, &"ä".repeat(40_000));
        let text = Body(&out).text().expect("a text").to_owned();
        assert_eq!(text.len(), 65_534);
        assert!(text.chars().all(|c| c == 'ä'));
    }
}
