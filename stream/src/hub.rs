//! What the engine and the node's hub tell each other.
//!
//! Owns the two vocabularies; how they travel is the link's matter. One ordered stream of events comes to each worker;
//! requests go the other way in order.
use pubsub_wire::ErrorCode;
use pubsub_wire::value::Else;

/// One publication, borrowed from where it was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EntryRef<'a> {
    /// Offset in the log; rises strictly.
    pub offset: i64,
    /// When it was numbered, microseconds since the Unix epoch.
    pub ts_us: u64,
    /// When it was numbered, on the machine's monotonic clock.
    pub mono_ns: u64,
    /// Its topic.
    pub topic: &'a str,
    /// Its key, if it has one.
    pub key: Option<&'a str>,
    /// The publisher's JSON, byte for byte.
    pub data: &'a [u8],
}

/// What a worker asks of the hub, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubRequest {
    /// From now on entries of this topic or pattern are wanted.
    Watch {
        /// The worker's number for it, never used twice on one link.
        view: u32,
        /// Topic or pattern.
        text: String,
    },
    /// No longer.
    Unwatch {
        /// As in `Watch`.
        view: u32,
    },
    /// All that was watched before has been asked for: what comes after the position of the greeting may come.
    Resume,
    /// A piece of history of a watched view.
    Read {
        /// The worker's number for this question.
        request: u32,
        /// A watched view.
        view: u32,
        /// Where to begin.
        start: Start,
        /// How many bytes of entries the answer may hold; one entry is always allowed.
        budget_bytes: u32,
    },
    /// A publication to number.
    Publish {
        /// The worker's number for it; 0 when nobody waits for the acknowledgement.
        request: u64,
        /// Topic.
        topic: String,
        /// Key.
        key: Option<String>,
        /// JSON, byte for byte.
        data: Box<[u8]>,
    },
    /// A call to a service of the hub.
    Call {
        /// The worker's number for it.
        request: u64,
        /// Not to be begun from then on, on the machine's monotonic clock; 0: whenever.
        deadline_ns: u64,
        /// What is called, in the form that worker and hub share.
        bytes: Vec<u8>,
    },
}

/// Where a read begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The oldest entry held.
    Earliest,
    /// The newest of every key.
    Last,
    /// The newest `n`.
    Recent(u64),
    /// After a position that a client brought.
    After {
        /// Its epoch.
        epoch: String,
        /// Its offset.
        offset: i64,
        /// Where to begin when it is gone.
        otherwise: Else,
    },
    /// After the end of the slice before.
    Continue {
        /// That end.
        offset: i64,
        /// Whether only the newest of each key is wanted.
        compacted: bool,
    },
}

/// Why the place asked for is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostHistory {
    /// It left the log.
    Retention,
    /// It never was in this log.
    Epoch,
    /// Of the newest of each key, some left the node's table before they were read.
    Memory,
}

/// What is missing before a slice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceGap {
    /// Why.
    pub reason: LostHistory,
    /// First offset that is missing, where known.
    pub from: Option<i64>,
    /// Last offset that is missing, where known.
    pub to: Option<i64>,
    /// How many entries, where known.
    pub count: Option<u64>,
}

/// The head of a slice; its entries follow as an iterator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SliceHead {
    /// The question it answers.
    pub request: u32,
    /// Position after which its entries follow.
    pub start: i64,
    /// What is missing before `start`.
    pub gap: Option<SliceGap>,
    /// It was read up to this position; there may be no entries at all.
    pub end: i64,
    /// `end` is where the live stream of this worker stands: what follows comes live.
    pub joined: bool,
}

/// Why the hub refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal<'a> {
    /// Code for the client.
    pub code: ErrorCode,
    /// Text for the client.
    pub message: &'a str,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

/// What the hub tells a worker, one ordered stream.
pub enum HubEvent<'a> {
    /// First of all on a new link.
    Hello {
        /// Epoch of the log.
        epoch: &'a str,
        /// Where this worker's cursor stands.
        position: i64,
    },
    /// One publication of interest, once however many views it is in.
    Entry(EntryRef<'a>),
    /// The cursor has reached this position; ends a run of entries.
    Position {
        /// The position.
        position: i64,
    },
    /// Interest in a view begins exactly after this position.
    Watched {
        /// The view.
        view: u32,
        /// The position.
        position: i64,
    },
    /// The worker was overtaken by retention: entries of this view are gone. In its place in the stream.
    Lost {
        /// The view.
        view: u32,
        /// First offset that is missing.
        from: i64,
        /// Last offset that is missing.
        to: i64,
        /// How many, where known.
        count: Option<u64>,
    },
    /// A piece of history.
    Slice {
        /// What it answers and covers.
        head: SliceHead,
        /// Its entries, in log order.
        entries: &'a mut dyn Iterator<Item = EntryRef<'a>>,
    },
    /// A read that cannot be answered.
    ReadFailed {
        /// The question.
        request: u32,
        /// Why.
        why: Refusal<'a>,
    },
    /// A publication is in the log.
    Published {
        /// The request.
        request: u64,
        /// Its offset.
        offset: i64,
    },
    /// A publication was refused.
    PublishFailed {
        /// The request.
        request: u64,
        /// Why.
        why: Refusal<'a>,
    },
    /// A call was carried out.
    Replied {
        /// The request.
        request: u64,
        /// Its result, JSON.
        result: &'a str,
    },
    /// A call came to nothing.
    CallFailed {
        /// The request.
        request: u64,
        /// Why.
        why: Refusal<'a>,
    },
}
