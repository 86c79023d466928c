//! Frames that are partly with the kernel, kept for their rest.
//!
//! Sockets that refuse at the same place of a stream keep one frame together, which is counted once. Driven by the engine.

use std::rc::Rc;

use hashbrown::HashMap;

/// The frames under way, by where they are in memory.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    frames: HashMap<usize, u32>,
    bytes: u64,
}

impl Partials {
    /// One more session keeps this frame.
    pub(crate) fn keep(&mut self, frame: &Rc<[u8]>) {
        let count = self.frames.entry(frame.as_ptr() as usize).or_default();
        *count += 1;
        if *count == 1 {
            self.bytes += frame.len() as u64;
        }
    }

    /// One keeps it no more.
    pub(crate) fn drop(&mut self, frame: &Rc<[u8]>) {
        let at = frame.as_ptr() as usize;
        if let Some(count) = self.frames.get_mut(&at) {
            *count -= 1;
            if *count == 0 {
                self.frames.remove(&at);
                self.bytes -= frame.len() as u64;
            }
        }
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_that_many_keep_counts_once() {
        let mut partials = Partials::default();
        let (a, b): (Rc<[u8]>, Rc<[u8]>) = (Rc::from([0; 10]), Rc::from([0; 5]));
        partials.keep(&a);
        partials.keep(&a);
        partials.keep(&b);
        assert_eq!(partials.bytes(), 15);
        partials.drop(&a);
        assert_eq!(partials.bytes(), 15);
        partials.drop(&a);
        partials.drop(&b);
        assert_eq!(partials.bytes(), 0);
    }
}
