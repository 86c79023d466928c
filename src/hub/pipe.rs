//! The socket of one worker's link.
//!
//! Owns the reading into a [`LinkReader`] and the writing of whole batches. Must not contain: what is read or written. Driven by the
//! link's two tasks.
//!
//! It is watched for input, and for output only while the worker takes none: watched all the time, every read of the worker would wake
//! the hub, once for each batch.
use crate::kernel::Watched;
use crate::link::LinkReader;
use rustix::io::Errno;
use rustix::net::{SendFlags, send};
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::UnixStream;

#[derive(Debug)]
pub(super) struct Pipe(Watched);

impl Pipe {
    /// Call it inside the runtime that is to watch it.
    pub(super) fn new(stream: UnixStream) -> io::Result<Self> {
        // As the runtime leaves it, it does not block.
        let file = OwnedFd::from(stream.into_std()?);
        Ok(Self(Watched::new(file)?))
    }

    /// Waits for input and reads what is there into the reader's buffer; 0 is the end of the stream.
    pub(super) async fn fill(&self, reader: &mut LinkReader) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let mut offered = 0;
            let read = reader.fill(|space| {
                offered = space.len();
                rustix::io::read(&self.0, space)
            });
            match read {
                Ok(bytes) => {
                    if bytes < offered {
                        // It is empty: what comes from now on is told.
                        ready.clear_ready();
                    }
                    return Ok(bytes);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Writes all of it.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match send(&self.0, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => bytes = &bytes[taken..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.0.writable().await?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
