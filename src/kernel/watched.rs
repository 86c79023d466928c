//! A file that the runtime watches for input.
//!
//! Owns the file and its registration, which ends before the file is closed. Must not contain: what the file is.
#![allow(unsafe_code)]
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};
use tokio::io::Interest;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

/// Says that the file was found to have input, and can take that back.
pub(crate) type Ready<'a> = AsyncFdReadyGuard<'a, OwnedFd>;

/// A watched file. The runtime is told of new input only; who is told must look until there is none, and then say so.
#[derive(Debug)]
pub(crate) struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Call it inside the runtime that is to watch it.
    pub(crate) fn new(file: OwnedFd) -> io::Result<Self> {
        Ok(Self(watch(file, Interest::READABLE)?))
    }

    /// Ready when there is input.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready<'_>>> {
        self.0.poll_read_ready(cx)
    }

    /// Waits until there is input.
    pub(crate) async fn readable(&self) -> io::Result<Ready<'_>> {
        self.0.readable().await
    }

    /// Waits until output is taken. For that it is watched apart, and only as long as somebody waits.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        let same = self.0.get_ref().try_clone()?;
        watch(same, Interest::WRITABLE)?
            .writable()
            .await?
            .retain_ready();
        Ok(())
    }
}

fn watch(file: OwnedFd, interest: Interest) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open, and stays open and the same until it is dropped; it is private here and is neither replaced nor
    // taken out.
    let watched = unsafe { AsyncFd::register_with_interest(file, interest) };
    Ok(watched?)
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}
