//! The scoreboard: one piece of memory shared by all processes of a node.
//!
//! Owns the mapping: a memfd made by the supervisor, inherited by every role, mapped shared. What lies in it is [`slots`](super::slots).
//! Must not contain: what the numbers mean, or any waiting.
//! Driven by the supervisor, which makes it, and by every role, which opens it once at its start.
//!
//! Laws: nothing but atomics lies in the mapping, so any process may write any of it at any time; its size is sealed, so that
//! no process can take pages away under another; pages that nobody has touched cost nothing (there is room for [`SLOTS`]
//! workers, and a reader must not look at slots past [`Scoreboard::workers_ever`], which would make them real).
#![allow(unsafe_code)]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create,
};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

pub use super::log_slot::LogSlot;
pub use super::slots::{
    AdminSlot, Closed, HubSlot, Lost, Method, NodeSlot, OUTCOMES, Rejected, SLOTS, SharedHistogram,
    State, WorkerSlot, advance,
};

/// "pubsubsb" in ASCII: says that a descriptor really is a scoreboard.
const MAGIC: u64 = 0x7075_6273_7562_7362;
/// Rises with every change of the layout, so that a process never reads another build's numbers as its own.
const LAYOUT: u64 = 4;
/// What must hold of a descriptor before it is mapped: nobody can shrink it afterwards.
const SEALS: SealFlags = SealFlags::SHRINK
    .union(SealFlags::GROW)
    .union(SealFlags::SEAL);

/// The whole mapping. Every field is made of atomics, for which any bit pattern, also all zeros, is a value.
#[repr(C)]
struct Board {
    magic: AtomicU64,
    layout: AtomicU64,
    size: AtomicU64,
    node: NodeSlot,
    hub: HubSlot,
    admin: AdminSlot,
    workers: [WorkerSlot; SLOTS as usize],
}

/// A mapping of the scoreboard; shared by reference.
#[derive(Debug)]
pub struct Scoreboard {
    board: NonNull<Board>,
}

// SAFETY: the mapping belongs to the process, not to a thread, and everything in it is atomic.
unsafe impl Send for Scoreboard {}
// SAFETY: as above; `&Scoreboard` only ever gives out references to atomics.
unsafe impl Sync for Scoreboard {}

impl Scoreboard {
    /// Made by the supervisor: sized for [`SLOTS`] workers, sparse, its size sealed. The descriptor is what the roles inherit.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let fd = memfd_create(
            "pubsub-scoreboard",
            MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING,
        )?;
        ftruncate(&fd, size_of::<Board>() as u64)?;
        fcntl_add_seals(&fd, SEALS)?;
        let made = Self::map(fd.as_fd())?;
        let board = made.board();
        board
            .size
            .store(size_of::<Board>() as u64, Ordering::Relaxed);
        board.layout.store(LAYOUT, Ordering::Relaxed);
        // No ordering needed: the descriptor is handed on by a spawn, which orders everything before it.
        board.magic.store(MAGIC, Ordering::Relaxed);
        Ok((made, fd))
    }

    /// Mapped by a role from the descriptor it inherited.
    ///
    /// An error of kind `InvalidData` when it is no scoreboard, or one of another layout.
    pub fn open(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let size = fstat(fd)?.st_size;
        if size != size_of::<Board>() as i64 {
            return Err(invalid(&format!(
                "its size is {size}, this build's is {}",
                size_of::<Board>()
            )));
        }
        if !fcntl_get_seals(fd).is_ok_and(|seals| seals.contains(SEALS)) {
            return Err(invalid("its size is not sealed"));
        }
        let opened = Self::map(fd)?;
        let board = opened.board();
        let (magic, layout, noted) = (&board.magic, &board.layout, &board.size);
        if magic.load(Ordering::Relaxed) != MAGIC {
            return Err(invalid("it does not begin with the scoreboard's mark"));
        }
        let (layout, noted) = (
            layout.load(Ordering::Relaxed),
            noted.load(Ordering::Relaxed),
        );
        if layout != LAYOUT || noted != size_of::<Board>() as u64 {
            return Err(invalid(&format!(
                "its layout is {layout} of {noted} bytes, this build's is {LAYOUT}"
            )));
        }
        Ok(opened)
    }

    /// One worker's slot.
    ///
    /// # Panics
    /// When `slot` is not below [`SLOTS`]: slots come from the supervisor, never from a peer.
    pub fn worker(&self, slot: u32) -> &WorkerSlot {
        &self.board().workers[slot as usize]
    }

    /// Slots in use are `0..workers()`; the supervisor sets it, also live.
    pub fn workers(&self) -> u32 {
        self.node().workers.load(Ordering::Relaxed).min(SLOTS)
    }

    /// Slots that ever had a process: counters of a worker that is no longer wanted still count.
    pub fn workers_ever(&self) -> u32 {
        let ever = self.node().workers_ever.load(Ordering::Relaxed);
        ever.max(self.workers()).min(SLOTS)
    }

    /// The hub's slot.
    pub fn hub(&self) -> &HubSlot {
        &self.board().hub
    }

    /// The admin role's slot.
    pub fn admin(&self) -> &AdminSlot {
        &self.board().admin
    }

    /// What the supervisor says of the node.
    pub fn node(&self) -> &NodeSlot {
        &self.board().node
    }

    fn board(&self) -> &Board {
        // SAFETY: `map` made a mapping of at least this size and alignment, readable and writable, that lives until `drop`;
        // the size is sealed, so its pages stay; and any content is a valid `Board` of atomics.
        unsafe { self.board.as_ref() }
    }

    /// Maps a descriptor whose size has been seen to be the board's.
    fn map(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other memory.
        let address = unsafe {
            mmap(
                std::ptr::null_mut(),
                size_of::<Board>(),
                access,
                MapFlags::SHARED,
                fd,
                0,
            )
        }?;
        let board =
            NonNull::new(address.cast()).ok_or_else(|| invalid("it was mapped at address zero"))?;
        Ok(Self { board })
    }
}

impl Drop for Scoreboard {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this size, unmapped once, and every reference into it borrows from `self`.
        let unmapped = unsafe { munmap(self.board.as_ptr().cast(), size_of::<Board>()) };
        debug_assert!(
            unmapped.is_ok(),
            "the scoreboard was not mapped as noted: {unmapped:?}"
        );
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("not this build's scoreboard: {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_mapping_writes_another_reads() {
        let (made, fd) = Scoreboard::create().unwrap();
        let opened = Scoreboard::open(fd.as_fd()).unwrap();
        made.node().workers.store(3, Ordering::Relaxed);
        opened
            .worker(1023)
            .delivered
            .fetch_add(7, Ordering::Relaxed);
        opened.hub().set_epoch("e-0123456789abcdef");
        assert_eq!(opened.workers(), 3);
        assert_eq!(made.worker(1023).delivered.load(Ordering::Relaxed), 7);
        assert_eq!(made.worker(1022).delivered.load(Ordering::Relaxed), 0);
        assert_eq!(made.hub().epoch(), "e-0123456789abcdef");
    }

    #[test]
    fn an_untouched_slot_takes_no_memory() {
        let (made, fd) = Scoreboard::create().unwrap();
        made.worker(0).pid.store(1, Ordering::Relaxed);
        let stat = fstat(&fd).unwrap();
        assert!(
            stat.st_blocks * 512 < stat.st_size / 16,
            "{} of {} bytes are real",
            stat.st_blocks * 512,
            stat.st_size
        );
    }

    #[test]
    fn a_descriptor_of_another_size_or_without_seals_or_mark_is_refused() {
        let plain = memfd_create("t", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        assert!(
            Scoreboard::open(plain.as_fd())
                .unwrap_err()
                .to_string()
                .contains("its size is 0")
        );
        ftruncate(&plain, size_of::<Board>() as u64).unwrap();
        assert!(
            Scoreboard::open(plain.as_fd())
                .unwrap_err()
                .to_string()
                .contains("not sealed")
        );
        fcntl_add_seals(&plain, SEALS).unwrap();
        assert!(
            Scoreboard::open(plain.as_fd())
                .unwrap_err()
                .to_string()
                .contains("mark")
        );
    }

    #[test]
    fn another_layout_is_refused() {
        let (made, fd) = Scoreboard::create().unwrap();
        made.board().layout.store(LAYOUT + 1, Ordering::Relaxed);
        assert_eq!(
            Scoreboard::open(fd.as_fd()).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn its_size_cannot_be_changed_under_a_mapping() {
        let (_made, fd) = Scoreboard::create().unwrap();
        assert!(ftruncate(&fd, 4096).is_err());
    }
}
