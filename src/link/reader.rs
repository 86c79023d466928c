//! Finds frames in a stream of bytes.
//!
//! Owns the read buffer of one link. Must not contain: a socket; whoever has one passes a closure that reads into the space
//! this lends. Driven by the worker's and the hub's link tasks.
//!
//! The buffer begins at nothing, grows to what one frame needs and no further than the frame limit, and goes back to nothing
//! when it is told that the link rests ([`LinkReader::release`]).
use super::codec::{FRAME_BYTES_MAX, LENGTH_BYTES, LinkError, split};
use super::event::decode_event;
use super::request::{WorkerFrame, decode_request};
use pubsub_stream::hub::HubEvent;

/// Space offered to the first read: an idle link needs little.
const SPACE_BYTES_MIN: usize = 4 << 10;

/// Space offered to a read of a busy link: a Unix socket's buffers hold about 200 KiB, and 64 KiB already make the cost of the
/// call vanish against decoding.
const SPACE_BYTES_MAX: usize = 64 << 10;

/// Bytes of one link on their way to being frames.
#[derive(Debug)]
pub struct LinkReader {
    /// All of it initialised; the frames are in `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Doubles when a read fills it.
    space: usize,
    frame_bytes_max: usize,
}

impl Default for LinkReader {
    fn default() -> Self {
        Self::new(FRAME_BYTES_MAX)
    }
}

impl LinkReader {
    /// Accepts frames of up to `frame_bytes_max`.
    pub fn new(frame_bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            end: 0,
            space: SPACE_BYTES_MIN,
            frame_bytes_max,
        }
    }

    /// Bytes that have arrived and are not taken yet.
    pub fn pending(&self) -> usize {
        self.end - self.start
    }

    /// Lends space to `read`, which says how many bytes it put there; their number is passed on (0 is the end of the stream).
    pub fn fill<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        self.make_space();
        let space = &mut self.buffer[self.end..];
        let (offered, got) = (space.len(), read(space)?);
        self.end += got.min(offered);
        if got >= offered {
            self.space = (self.space * 2).min(SPACE_BYTES_MAX);
        }
        Ok(got)
    }

    /// The next whole frame: kind and body. `None`: fill again.
    pub fn next_frame(&mut self) -> Result<Option<(u8, &[u8])>, LinkError> {
        let found = split(&self.buffer[self.start..self.end], self.frame_bytes_max)?;
        Ok(found.map(|(kind, body, bytes)| {
            self.start += bytes;
            (kind, body)
        }))
    }

    /// The next whole request of a worker. `None`: fill again.
    pub fn next_request(&mut self) -> Result<Option<WorkerFrame<'_>>, LinkError> {
        match self.next_frame()? {
            Some((kind, body)) => decode_request(kind, body).map(Some),
            None => Ok(None),
        }
    }

    /// Hands the next whole event of the hub to `visit`. `false`: there was none, fill again.
    pub fn next_event(&mut self, visit: impl FnOnce(HubEvent<'_>)) -> Result<bool, LinkError> {
        match self.next_frame()? {
            Some((kind, body)) => decode_event(kind, body, visit).map(|()| true),
            None => Ok(false),
        }
    }

    /// Hands every event that has wholly arrived to `visit`; their number.
    pub fn drain(&mut self, visit: &mut dyn FnMut(HubEvent<'_>)) -> Result<usize, LinkError> {
        let mut events = 0;
        while self.next_event(&mut *visit)? {
            events += 1;
        }
        Ok(events)
    }

    /// The link rests: gives the buffer back if nothing waits in it.
    pub fn release(&mut self) {
        if self.pending() == 0 {
            *self = Self::new(self.frame_bytes_max);
        }
    }

    /// Moves what waits to the front when the tail has become short, and grows for a frame that is larger than the buffer.
    fn make_space(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        // The last one only counts when the caller has not taken all frames: then too there is space.
        let wanted = self
            .frame_under_way()
            .max(self.space)
            .max(self.pending() + 1);
        if self.buffer.len() - self.start < wanted || self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.buffer.len() < wanted {
            self.buffer.resize(wanted, 0);
        }
        debug_assert!(self.end < self.buffer.len());
    }

    /// Bytes of the frame at the front, as far as its length is known and allowed.
    fn frame_under_way(&self) -> usize {
        match self.buffer[self.start..self.end].first_chunk::<LENGTH_BYTES>() {
            Some(length) => {
                LENGTH_BYTES + (u32::from_le_bytes(*length) as usize).min(self.frame_bytes_max)
            }
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::codec::frame;
    use proptest::collection::vec;
    use proptest::prelude::*;

    /// Feeds `bytes` in pieces of the given sizes, taking every frame as soon as it is there.
    fn frames_of(
        reader: &mut LinkReader,
        mut bytes: &[u8],
        pieces: &[usize],
    ) -> Result<Vec<(u8, Vec<u8>)>, LinkError> {
        let mut frames = Vec::new();
        let mut pieces = pieces.iter().cycle();
        while !bytes.is_empty() {
            let piece = *pieces.next().unwrap_or(&1);
            let got = reader.fill(|space| {
                let n = piece.min(space.len()).min(bytes.len());
                space[..n].copy_from_slice(&bytes[..n]);
                Ok::<_, ()>(n)
            });
            bytes = &bytes[got.unwrap_or(0)..];
            while let Some((kind, body)) = reader.next_frame()? {
                frames.push((kind, body.to_vec()));
            }
        }
        Ok(frames)
    }

    proptest! {
        #[test]
        fn frames_come_out_as_they_went_in_whatever_the_pieces(
            sent in vec((any::<u8>(), vec(any::<u8>(), 0..300)), 0..40),
            pieces in vec(1usize..700, 1..5),
        ) {
            let mut bytes = Vec::new();
            for (kind, body) in &sent {
                frame(&mut bytes, *kind, |out| out.extend_from_slice(body));
            }
            let mut reader = LinkReader::new(1000);
            prop_assert_eq!(frames_of(&mut reader, &bytes, &pieces), Ok(sent));
            prop_assert_eq!(reader.pending(), 0);
        }

        #[test]
        fn garbage_never_panics_and_never_grows_past_the_limit(bytes in vec(any::<u8>(), 0..3000)) {
            let mut reader = LinkReader::new(100_000);
            let _ = frames_of(&mut reader, &bytes, &[97]);
            prop_assert!(reader.buffer.len() <= 100_000 + LENGTH_BYTES);
        }
    }

    #[test]
    fn a_frame_larger_than_the_buffer_is_taken_whole() {
        let mut bytes = Vec::new();
        frame(&mut bytes, 1, |out| {
            out.resize(out.len() + 5 * SPACE_BYTES_MAX, 7);
        });
        frame(&mut bytes, 2, |_| {});
        let mut reader = LinkReader::default();
        let frames = frames_of(&mut reader, &bytes, &[SPACE_BYTES_MAX]).expect("well formed");
        assert_eq!(
            frames
                .iter()
                .map(|(kind, body)| (*kind, body.len()))
                .collect::<Vec<_>>(),
            [(1, 5 * SPACE_BYTES_MAX), (2, 0)]
        );
    }

    #[test]
    fn a_rested_link_holds_no_buffer_but_one_with_half_a_frame_does() {
        let mut reader = LinkReader::default();
        let mut bytes = Vec::new();
        frame(&mut bytes, 1, |out| out.push(1));
        frames_of(&mut reader, &bytes, &[100]).expect("well formed");
        reader.release();
        assert_eq!(reader.buffer.capacity(), 0);
        frames_of(&mut reader, &bytes[..3], &[100]).expect("well formed");
        reader.release();
        assert_eq!(reader.pending(), 3);
        assert_eq!(
            frames_of(&mut reader, &bytes[3..], &[100])
                .expect("well formed")
                .len(),
            1
        );
    }
}
