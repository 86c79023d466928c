//! The hub's driver: sockets, time and sources around the pure core.
//!
//! Owns the tasks: one that accepts, a reader and a writer per worker, one per source, one that ticks, one that goes on with
//! what a turn left undone. Must not contain: decisions about publications. Everything runs on one thread, in a `LocalSet`.
//!
//! A batch of input (all that one read of a socket gave, or some pushes of a source) is handled as a whole and stamped once; then
//! one turn is taken, and the writers of workers that have output are woken. A writer takes all there is, so that the batches grow
//! with the load and there is neither a wake-up nor a system call per publication.
use super::core::Hub;
use super::entry::Publication;
use super::feed::publish;
use super::log::disk::{self, DiskLog, OpenError};
use super::log::{LogFailed, MemoryLog};
use super::pipe::Pipe;
use super::record::Recorder;
use super::settings::{Settings, Violation};
use super::worker::WorkerId;
use crate::clock;
use crate::config::{self, Config, Venue};
use crate::kernel::Timer;
use crate::link::control::{Order, Receiver, Report, RoleControl, Sender};
use crate::link::{Join, LINK_VERSION, LinkError, LinkReader, WorkerFrame};
use crate::orders::book::Book;
use crate::orders::desk::Desk;
use crate::orders::venue::Paper;
use crate::quotes::{Feed, SourceError};
use crate::telemetry::scoreboard::Scoreboard;
use fastrand::Rng;
use hashbrown::HashMap;
use pubsub_stream::Now;
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How often the hub shows that it lives; retention by age acts as often.
const TICK: Duration = Duration::from_millis(250);

/// A worker says who it is with its first bytes; whoever connects and is silent for this long is none.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Links at once: every slot there can be, twice while workers are being replaced, and as many that have not joined yet.
const LINKS_MAX: usize = 4096;

/// Pause after a failed accept: descriptors or memory are short, and trying at once would only burn the rest.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How often, and after which pauses, the folder of a log is tried that another process still has.
const LOCK_TRIES: usize = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(100);

/// Topics looked at for the watches in one batch, after which other links get their turn. One new pattern looks at all of them.
const TOPICS_PER_BATCH: usize = 8192;

/// Why the hub could not run.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Its listener cannot be used.
    #[error("the hub's socket cannot be served: {0}")]
    Listener(#[source] io::Error),
    /// There is no timer for a source.
    #[error("a source gets no timer: {0}")]
    Timer(#[source] io::Error),
    /// A source cannot be opened.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The log has failed while it was in use; a hub that begins anew recovers what it has.
    #[error("the log has failed: {0}")]
    Log(String),
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkEnd {
    #[error("closed")]
    Closed,
    #[error("no join within {} s", JOIN_TIMEOUT.as_secs())]
    Silent,
    #[error("its first frame was no join")]
    NoJoin,
    #[error("it joined twice")]
    JoinTwice,
    #[error("it speaks version {0} of the link, this hub speaks {LINK_VERSION}")]
    Version(u16),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Violation(#[from] Violation),
}

/// Serves workers until the supervisor says stop. Run it on a current-thread runtime.
///
/// Without a supervisor (its end of `control` is closed) it goes on. Ready is reported once workers are accepted; sources run from
/// then on.
pub async fn run(
    config: Arc<Config>,
    listener: StdUnixListener,
    scoreboard: Arc<Scoreboard>,
    control: RoleControl,
) -> Result<(), HubError> {
    listener.set_nonblocking(true).map_err(HubError::Listener)?;
    let listener = UnixListener::from_std(listener).map_err(HubError::Listener)?;
    // The keys of a `RandomState` are the system's random numbers.
    let random = || RandomState::new().hash_one(clock::mono_ns());
    let mut feeds = Vec::new();
    for source in &config.sources {
        let feed = Feed::open(source, config.rows, random())?;
        feeds.push((feed, Timer::new().map_err(HubError::Timer)?));
    }
    let epoch = format!("{:016x}", random());
    let settings = Settings::new(config.limits, config.topics_max, config.keys_max);
    let undone = Arc::new(Notify::new());
    let mut hub = match &config.log {
        config::Log::Memory => Hub::new(MemoryLog::new(epoch, &config.retain), settings),
        config::Log::Disk { folder } => {
            let log = open_disk(folder, &config, &epoch, &undone).await?;
            Hub::new(log, settings)
        }
    };
    if config.venue == Venue::Paper {
        let book = Book::new(&hub.log().epoch()[..8], config.orders_max as usize);
        hub.open_desk(Desk::new(book, Box::<Paper>::default()));
    }
    let shared = Rc::new(Shared::new(hub, scoreboard, undone));
    let serve = async {
        spawn_local(accept(Rc::clone(&shared), listener));
        spawn_local(pump(Rc::clone(&shared)));
        spawn_local(tick(Rc::clone(&shared)));
        let (mut reports, orders) = control;
        if reports.send(&Report::Ready).await.is_err() {
            tracing::warn!("the supervisor is gone; serving on");
        }
        for (feed, timer) in feeds {
            let rng = Rng::with_seed(random());
            spawn_local(publish(
                Rc::clone(&shared),
                feed,
                rng,
                timer,
                config.interval_ms,
            ));
        }
        tokio::select! {
            () = obey(reports, orders) => Ok(()),
            error = shared.failed() => Err(error),
        }
    };
    LocalSet::new().run_until(serve).await
}

/// Opens the log on disk; a hub before this one may be about to let go of it.
async fn open_disk(
    folder: &Path,
    config: &Config,
    epoch: &str,
    pump: &Arc<Notify>,
) -> Result<DiskLog, OpenError> {
    let mut tries = 0;
    loop {
        let pump = Arc::clone(pump);
        let options = disk::Options {
            folder,
            rules: &config.retain,
            sync: config.log_sync,
            epoch,
            segment_bytes: disk::SEGMENT_BYTES,
            growth_bytes: disk::GROWTH_BYTES,
            wake: Arc::new(move || pump.notify_one()),
        };
        match DiskLog::open(clock::now(), options) {
            Err(error) if error.is_locked() && tries < LOCK_TRIES => sleep(LOCK_PAUSE).await,
            opened => return opened,
        }
        tries += 1;
    }
}

/// What the tasks share.
pub(super) struct Shared {
    pub(super) hub: RefCell<Hub>,
    links: RefCell<HashMap<WorkerId, Rc<Wakes>>>,
    open: Cell<usize>,
    /// Also woken by the log, from another thread.
    pump: Arc<Notify>,
    failed: Notify,
    recorder: RefCell<Recorder>,
}

/// What a link's two tasks wait for besides their socket.
#[derive(Default)]
struct Wakes {
    output: Notify,
    input: Notify,
}

impl Shared {
    fn new(hub: Hub, scoreboard: Arc<Scoreboard>, pump: Arc<Notify>) -> Self {
        let recorder = RefCell::new(Recorder::new(scoreboard, hub.log().epoch()));
        Self {
            hub: RefCell::new(hub),
            links: RefCell::default(),
            open: Cell::new(0),
            pump,
            failed: Notify::new(),
            recorder,
        }
    }

    /// After a batch of input: takes a turn and wakes whoever has to do with what came of it.
    pub(super) fn settle(&self, now: Now) {
        let mut hub = self.hub.borrow_mut();
        if hub.turn(now) {
            self.pump.notify_one();
        }
        if hub.failed().is_some() {
            self.failed.notify_one();
        }
        let links = self.links.borrow();
        while let Some(worker) = hub.poll_write() {
            if let Some(wakes) = links.get(&worker) {
                wakes.output.notify_one();
            }
        }
        let mut recorder = self.recorder.borrow_mut();
        recorder.note_turn(clock::mono_ns().saturating_sub(now.mono_ns));
        recorder.record_some(now, &hub);
    }

    /// Waits until the log has failed.
    async fn failed(&self) -> HubError {
        self.failed.notified().await;
        let hub = self.hub.borrow();
        // The last that is heard of this hub.
        self.recorder.borrow_mut().record(clock::now(), &hub);
        let why = hub.failed().map(LogFailed::to_string);
        HubError::Log(why.unwrap_or_default())
    }

    fn join(&self, now: Now, join: &Join) -> (WorkerId, Rc<Wakes>) {
        let reached = join.reached.as_ref();
        let reached = reached.map(|(epoch, position)| (epoch.as_str(), *position));
        let worker = self.hub.borrow_mut().handle_join(now, reached);
        let wakes = Rc::new(Wakes::default());
        self.links.borrow_mut().insert(worker, Rc::clone(&wakes));
        (worker, wakes)
    }

    fn leave(&self, worker: WorkerId) {
        self.links.borrow_mut().remove(&worker);
        self.hub.borrow_mut().handle_leave(worker);
    }
}

/// Follows the supervisor; returns when it is to stop.
async fn obey(mut reports: Sender<Report>, mut orders: Receiver<Order>) {
    loop {
        let answer = match orders.recv().await {
            Ok(Some(Order::Stop)) => return,
            // Nobody is connected here: workers are, and they drain for themselves.
            Ok(Some(Order::Drain { .. })) => Report::Drained,
            Ok(Some(Order::Slow { id, .. })) => Report::Slow {
                id,
                rows: Vec::new(),
            },
            Ok(None) => {
                tracing::warn!("the supervisor is gone; serving on");
                return std::future::pending().await;
            }
            Err(error) => {
                tracing::warn!(%error, "an order was not understood");
                continue;
            }
        };
        // If it cannot be sent the supervisor is gone, which the next `recv` finds out.
        let _ = reports.send(&answer).await;
    }
}

async fn accept(shared: Rc<Shared>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if shared.open.get() < LINKS_MAX => {
                spawn_local(link(Rc::clone(&shared), stream));
            }
            Ok(_) => tracing::warn!(links = LINKS_MAX, "as many links as there may be"),
            Err(error) => {
                tracing::warn!(%error, "accepting a worker failed");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// One worker's link from its first byte to its last.
async fn link(shared: Rc<Shared>, stream: UnixStream) {
    shared.open.set(shared.open.get() + 1);
    let mut reader = LinkReader::default();
    match join(&mut reader, stream).await {
        Ok((join, pipe)) => {
            let pipe = Rc::new(pipe);
            let now = clock::now();
            let (worker, wakes) = shared.join(now, &join);
            let writer = spawn_local(write_all(
                Rc::clone(&shared),
                worker,
                Rc::clone(&wakes),
                Rc::clone(&pipe),
            ));
            shared.settle(now);
            let end = read_all(&shared, worker, &wakes, &mut reader, &pipe).await;
            writer.abort();
            shared.leave(worker);
            let Join {
                slot, generation, ..
            } = join;
            tracing::info!(slot, generation, why = %end, "a worker's link has ended");
        }
        Err(end) => tracing::warn!(why = %end, "a link was refused"),
    }
    shared.open.set(shared.open.get() - 1);
}

/// Waits for the worker to say who it is.
async fn join(reader: &mut LinkReader, stream: UnixStream) -> Result<(Join, Pipe), LinkEnd> {
    let pipe = Pipe::new(stream)?;
    let joined = timeout(JOIN_TIMEOUT, read_join(reader, &pipe)).await;
    Ok((joined.unwrap_or(Err(LinkEnd::Silent))?, pipe))
}

async fn read_join(reader: &mut LinkReader, pipe: &Pipe) -> Result<Join, LinkEnd> {
    loop {
        match reader.next_request()? {
            Some(WorkerFrame::Join(join)) if join.version == LINK_VERSION => return Ok(join),
            Some(WorkerFrame::Join(join)) => return Err(LinkEnd::Version(join.version)),
            Some(_) => return Err(LinkEnd::NoJoin),
            None => {}
        }
        if pipe.fill(reader).await? == 0 {
            return Err(LinkEnd::Closed);
        }
    }
}

async fn read_all(
    shared: &Shared,
    worker: WorkerId,
    wakes: &Wakes,
    reader: &mut LinkReader,
    pipe: &Pipe,
) -> LinkEnd {
    loop {
        // First what came behind the join, then what comes. What is woken by a batch goes before the next one.
        loop {
            let outcome = handle_batch(shared, worker, reader);
            yield_now().await;
            match outcome {
                Ok(Batch::Whole) => break,
                Ok(Batch::Cut) => {}
                Err(end) => return end,
            }
        }
        while !shared.hub.borrow().wants_input(worker) {
            wakes.input.notified().await;
        }
        match pipe.fill(reader).await {
            Ok(0) => return LinkEnd::Closed,
            Ok(_) => {}
            Err(error) => return error.into(),
        }
    }
}

/// How a batch of requests ended.
enum Batch {
    /// All that had arrived is handled.
    Whole,
    /// There is more, but others come first.
    Cut,
}

/// Handles what has arrived. Also of a batch that ends the link, what came before the fault counts.
fn handle_batch(
    shared: &Shared,
    worker: WorkerId,
    reader: &mut LinkReader,
) -> Result<Batch, LinkEnd> {
    let now = clock::now();
    let outcome = handle_frames(&mut shared.hub.borrow_mut(), now, worker, reader);
    shared.settle(now);
    outcome
}

/// Up to as many costly requests as take about a millisecond.
fn handle_frames(
    hub: &mut Hub,
    now: Now,
    worker: WorkerId,
    reader: &mut LinkReader,
) -> Result<Batch, LinkEnd> {
    let mut looked_at = 0;
    while let Some(frame) = reader.next_request()? {
        match frame {
            WorkerFrame::Publish(publish) => {
                let (topic, key, data) = (publish.topic, publish.key, publish.data);
                let publication = Publication { topic, key, data };
                hub.handle_publish(now, worker, publish.request, &publication);
            }
            WorkerFrame::Call(call) => hub.handle_call(now, worker, &call)?,
            WorkerFrame::Request(request) => {
                looked_at += hub.handle_request(now, worker, request)?;
            }
            WorkerFrame::Join(_) => return Err(LinkEnd::JoinTwice),
        }
        if looked_at >= TOPICS_PER_BATCH {
            return Ok(Batch::Cut);
        }
    }
    Ok(Batch::Whole)
}

/// Sends what waits for a worker whenever there is something. Ends with the socket, which the reader then notices too.
async fn write_all(shared: Rc<Shared>, worker: WorkerId, wakes: Rc<Wakes>, pipe: Rc<Pipe>) {
    loop {
        let (bytes, more) = shared.hub.borrow_mut().take(worker);
        if bytes.is_empty() {
            shared.hub.borrow_mut().give_back(worker, bytes);
            wakes.output.notified().await;
            continue;
        }
        wakes.input.notify_one();
        if more {
            shared.pump.notify_one();
        }
        if pipe.write_all(&bytes).await.is_err() {
            return;
        }
        shared.hub.borrow_mut().give_back(worker, bytes);
    }
}

/// Goes on with what turns have left undone, between everything else.
async fn pump(shared: Rc<Shared>) {
    loop {
        shared.pump.notified().await;
        shared.settle(clock::now());
        yield_now().await;
    }
}

async fn tick(shared: Rc<Shared>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due_ns = clock::mono_ns();
    loop {
        ticks.tick().await;
        let now = clock::now();
        shared.hub.borrow_mut().tick(now);
        shared.settle(now);
        let mut recorder = shared.recorder.borrow_mut();
        recorder.note_late(now.mono_ns.saturating_sub(due_ns));
        recorder.record(now, &shared.hub.borrow());
        due_ns = now.mono_ns + TICK.as_nanos() as u64;
    }
}

#[cfg(test)]
mod tests;
