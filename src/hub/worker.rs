//! What the hub keeps of one worker: its cursor, what waits for its cursor, and the bytes that wait for its socket.
//!
//! Owns the bounds of these. Must not contain: the log or a socket. Driven by the hub's core.
//!
//! A worker is a subscriber one level up. At the head its cursor is the head and what it wants is copied into its outbox as it is
//! numbered. When its outbox is full its cursor stays behind, and costs a number; it reads on from there once the outbox was taken.
use super::interest::ViewId;
use super::read::Read;
use crate::link::encode_event;
use hashbrown::HashMap;
use pubsub_stream::hub::HubEvent;
use std::collections::{BTreeMap, VecDeque};

/// A buffer that rests keeps no more than this.
const RESTING_BYTES: usize = 16 << 10;

/// How long a worker may go without hearing that others moved the head.
const POSITION_NS: u64 = 1_000_000_000;

/// A worker's link; used again after it has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerId(pub(super) u32);

impl WorkerId {
    /// As the place in a table of workers.
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// What waits until the cursor has reached a position.
#[derive(Debug)]
pub(super) enum Parked {
    /// The answer to a watch.
    Watched(u32),
    /// A read that may not be answered earlier.
    Read(Read),
}

/// See the module.
#[derive(Debug)]
pub struct Worker {
    /// Entries go into the outbox until it holds this much.
    outbox_bytes: usize,
    outbox: Vec<u8>,
    spare: Vec<u8>,
    /// Bytes have passed since the last tick.
    busy: bool,
    /// It has been said that the outbox holds something.
    pub(super) announced: bool,
    /// Where the cursor stands when it is not at the head.
    pub(super) lag: Option<i64>,
    /// Newest offset in the outbox or before.
    pushed: i64,
    /// Its stream stands until it has said what it watches.
    pub(super) is_waiting: bool,
    /// The position it was told last, and when.
    told: i64,
    told_ns: u64,
    /// Its own numbers for what it watches.
    pub(super) views: HashMap<u32, ViewId>,
    parked: BTreeMap<(i64, u64), Parked>,
    parked_ever: u64,
    pub(super) reads: VecDeque<Read>,
    /// Bytes of history in the outbox.
    history_bytes: usize,
    /// Its interests that lost something it has not been told of.
    pub(super) overtaken: Vec<(ViewId, u32)>,
    /// Newest offset that left before the cursor reached it.
    pub(super) lost: i64,
    /// Its answers that the log is not ready for.
    pub(super) held_back: usize,
}

impl Worker {
    /// A worker whose cursor is at the head.
    pub(super) fn join(outbox_bytes: usize, now_ns: u64, epoch: &str, head: i64) -> Self {
        let mut worker = Self {
            outbox_bytes,
            outbox: Vec::new(),
            spare: Vec::new(),
            busy: true,
            announced: false,
            lag: None,
            is_waiting: false,
            pushed: head,
            told: head,
            told_ns: now_ns,
            views: HashMap::new(),
            parked: BTreeMap::new(),
            parked_ever: 0,
            reads: VecDeque::new(),
            history_bytes: 0,
            overtaken: Vec::new(),
            lost: 0,
            held_back: 0,
        };
        worker.send(HubEvent::Hello {
            epoch,
            position: head,
        });
        worker
    }

    /// Where the cursor stands.
    pub(super) fn cursor(&self, head: i64) -> i64 {
        self.lag.unwrap_or(head)
    }

    /// Appends an event that is no entry.
    pub(super) fn send(&mut self, event: HubEvent<'_>) {
        encode_event(&mut self.outbox, event);
    }

    /// Lets `write` append a slice of history.
    pub(super) fn send_history(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.outbox.len();
        write(&mut self.outbox);
        self.history_bytes += self.outbox.len() - before;
    }

    /// Whether history has had its share of the outbox, which is so much.
    pub(super) fn has_history(&self, share: usize) -> bool {
        self.history_bytes >= share
    }

    /// A publication it wants has just been numbered; it may be told so once per view.
    pub(super) fn push_new(&mut self, offset: i64, bytes: &[u8]) {
        if self.lag.is_some() || self.pushed == offset {
            return;
        }
        if self.is_full() {
            self.lag = Some(offset - 1);
            return;
        }
        self.push(offset, bytes);
    }

    /// Appends an entry.
    pub(super) fn push(&mut self, offset: i64, bytes: &[u8]) {
        debug_assert!(
            offset > self.pushed,
            "an entry goes to a worker once, in order"
        );
        self.pushed = offset;
        self.outbox.extend_from_slice(bytes);
    }

    /// No more entries fit.
    pub(super) fn is_full(&self) -> bool {
        self.outbox.len() >= self.outbox_bytes
    }

    /// Bytes wait to be taken.
    pub(super) fn has_output(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Whether more requests of this worker should be read: not while acknowledgements have made the outbox twice as large as
    /// entries may, or `waiting_max` requests wait.
    pub(super) fn wants_input(&self, waiting_max: usize) -> bool {
        self.outbox.len() < 2 * self.outbox_bytes && self.waiting() + self.held_back < waiting_max
    }

    /// How many of its reads and watches are not answered yet.
    pub(super) fn waiting(&self) -> usize {
        self.reads.len() + self.parked.len()
    }

    /// Ends a run of entries, so that the worker knows how far it is.
    pub(super) fn end_run(&mut self, now_ns: u64, head: i64) {
        if self.pushed > self.told {
            self.tell_position(now_ns, head);
        }
    }

    /// Says where the cursor is if it moved long ago and nothing said so.
    pub(super) fn tick(&mut self, now_ns: u64, head: i64) {
        let cursor = self.cursor(head);
        if cursor > self.told && now_ns.saturating_sub(self.told_ns) >= POSITION_NS {
            self.tell_position(now_ns, head);
        }
        if !std::mem::take(&mut self.busy) {
            self.rest();
        }
    }

    fn tell_position(&mut self, now_ns: u64, head: i64) {
        let position = self.cursor(head);
        self.told = position;
        self.told_ns = now_ns;
        self.send(HubEvent::Position { position });
    }

    /// Gives back the buffers that a burst has left.
    fn rest(&mut self) {
        if self.outbox.is_empty() && self.outbox.capacity() > RESTING_BYTES {
            self.outbox = Vec::new();
        }
        if self.spare.capacity() > RESTING_BYTES {
            self.spare = Vec::new();
        }
    }

    /// Hands out the bytes to send.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.announced = false;
        self.history_bytes = 0;
        self.busy = true;
        std::mem::replace(&mut self.outbox, std::mem::take(&mut self.spare))
    }

    /// Takes a buffer back whose bytes have been sent.
    pub(super) fn give_back(&mut self, mut sent: Vec<u8>) {
        sent.clear();
        if sent.capacity() > self.spare.capacity() {
            self.spare = sent;
        }
    }

    /// Keeps something until the cursor has reached `position`.
    pub(super) fn park(&mut self, position: i64, what: Parked) {
        self.parked_ever += 1;
        self.parked.insert((position, self.parked_ever), what);
    }

    /// What waits for a position that the cursor has reached, the earliest first.
    pub(super) fn unpark(&mut self, cursor: i64) -> Option<Parked> {
        let first = self.parked.first_entry()?;
        (first.key().0 <= cursor).then(|| first.remove())
    }

    /// The next position at which something waits.
    pub(super) fn parked_at(&self) -> Option<i64> {
        self.parked
            .first_key_value()
            .map(|((position, _), _)| *position)
    }

    /// Forgets what waits for a view that is no longer watched; the reads among it.
    pub(super) fn drop_waiting(&mut self, view: u32) -> Vec<Read> {
        let (gone, kept) = std::mem::take(&mut self.reads)
            .into_iter()
            .partition(|read| read.view == view);
        self.reads = kept;
        let mut dropped: VecDeque<Read> = gone;
        self.parked.retain(|_, parked| match parked {
            Parked::Watched(id) => *id != view,
            Parked::Read(read) if read.view == view => {
                dropped.push_back(read.clone());
                false
            }
            Parked::Read(_) => true,
        });
        dropped.into()
    }
}
