//! What the tests of this folder stand on: a node of workers on threads, a small hub and a client.
//!
//! Reads have a timeout only so that a failure ends; no test waits for time to pass.
use crate::config::{Config, Log, LogFormat, PublishFrom, Venue, WorkerLimits};
use crate::link::control::{self, Order, Report};
use crate::link::{LinkReader, WorkerFrame, encode_event};
use crate::telemetry::scoreboard::{Scoreboard, WorkerSlot};
use crate::worker::{Terminate, WorkerArgs, WorkerError, run};
use pubsub_stream::hub::{EntryRef, HubEvent, HubRequest, SliceHead};
use pubsub_wire::Limits;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;
use tungstenite::{Message, WebSocket};

/// After this a test that still waits has failed.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration in which nothing happens by itself.
pub(super) fn config() -> Config {
    Config {
        workers: 1,
        listen: ([127, 0, 0, 1], 0).into(),
        admin: None,
        sources: Vec::new(),
        interval_ms: (10, 100),
        rows: 2,
        log_sync: crate::config::LogSync::None,
        log: Log::Memory,
        retain: Vec::new(),
        topics_max: 1000,
        keys_max: 1000,
        venue: Venue::None,
        orders_max: 1000,
        heartbeat_ms: 60_000,
        write_stall_ms: 60_000,
        run_dir: PathBuf::new(),
        log_format: LogFormat::Text,
        publish: PublishFrom::Loopback,
        origins: Vec::new(),
        drain_ms: 1000,
        node: "test".to_owned(),
        echo: true,
        limits: Limits::default(),
        worker: WorkerLimits {
            connections: 10_000,
            node_connections: 10_000,
            per_address: 10_000,
            handshakes: 1000,
            handshake_ms: 10_000,
            header_bytes: 8192,
            commands_per_s: 100_000,
            commands_burst: 100_000,
            publishes_per_s: 100_000,
            publish_bytes_per_s: 1 << 30,
            pending_publishes: 10_000,
            calls_per_session: 1000,
            calls: 10_000,
            control_bytes: 64 << 10,
            ring_bytes: 64 << 20,
            read_bytes: 256 << 10,
            send_buffer_bytes: 0,
            notsent_lowat_bytes: 16 << 10,
            mode_hold_ms: 1000,
            cohorts: 1000,
        },
        defaults: Vec::new(),
        most: Vec::new(),
    }
}

/// Workers of one node, each on a thread.
pub(super) struct Node {
    pub(super) address: SocketAddr,
    pub(super) scoreboard: Arc<Scoreboard>,
    pub(super) workers: Vec<Running>,
    pub(super) hub: TestHub,
    pub(super) config: Config,
    listener: TcpListener,
}

/// One worker, as its supervisor sees it.
pub(super) struct Running {
    pub(super) orders: UnixStream,
    pub(super) reports: Receiver<Report>,
    pub(super) thread: JoinHandle<Result<(), WorkerError>>,
}

impl Node {
    pub(super) fn start(config: Config) -> Self {
        let hub = TestHub::start();
        let listener = TcpListener::bind(config.listen).expect("a port");
        let (scoreboard, _) = Scoreboard::create().expect("a scoreboard");
        scoreboard.node().workers.store(config.workers, Relaxed);
        let mut node = Self {
            address: listener.local_addr().expect("bound"),
            scoreboard: Arc::new(scoreboard),
            workers: Vec::new(),
            hub,
            config,
            listener,
        };
        for slot in 0..node.config.workers {
            let worker = node.worker(slot, 0);
            assert_eq!(worker.report(), Report::Ready);
            node.workers.push(worker);
        }
        node
    }

    /// Starts a worker in a slot.
    pub(super) fn worker(&self, slot: u32, generation: u32) -> Running {
        self.worker_until(slot, generation, None)
    }

    /// Starts a worker that can be asked to end.
    pub(super) fn worker_until(
        &self,
        slot: u32,
        generation: u32,
        terminate: Option<Terminate>,
    ) -> Running {
        let (orders, control) = UnixStream::pair().expect("a pair");
        let args = (
            self.config.clone(),
            self.listener.try_clone().expect("shared"),
            self.hub.path.clone(),
            Arc::clone(&self.scoreboard),
        );
        let thread = spawn(move || {
            let (config, listener, hub_path, scoreboard) = args;
            runtime().block_on(run(WorkerArgs {
                config,
                slot,
                generation,
                listener,
                hub_path,
                scoreboard,
                control: Some(control),
                terminate,
            }))
        });
        let reports = read_reports(orders.try_clone().expect("shared"));
        Running {
            orders,
            reports,
            thread,
        }
    }

    pub(super) fn slot(&self, slot: u32) -> &WorkerSlot {
        self.scoreboard.worker(slot)
    }

    /// A plain connection.
    pub(super) fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect(self.address).expect("connected");
        socket.set_read_timeout(Some(PATIENCE)).expect("set");
        socket
    }

    /// A client that has been welcomed.
    pub(super) fn client(&self) -> Client {
        let mut client = self.open("/ws");
        assert_eq!(client.json()["op"], "welcome");
        client
    }

    /// A WebSocket.
    pub(super) fn open(&self, path: &str) -> Client {
        let url = format!("ws://{}{path}", self.address);
        let (socket, _) = tungstenite::client(url, self.socket()).expect("upgraded");
        Client { socket }
    }

    /// What one request is answered, until the server closes.
    pub(super) fn ask(&self, request: &str) -> String {
        let mut socket = self.socket();
        socket.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("answered");
        answer
    }

    /// Comes back when a number on the scoreboard is as wanted: whoever changes it does so in a turn of its loop.
    pub(super) fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let begun = crate::clock::mono_ns();
        let patience = PATIENCE.as_nanos() as u64;
        while !is(self) {
            assert!(crate::clock::mono_ns() - begun < patience, "never: {what}");
            std::thread::yield_now();
        }
    }

    pub(super) fn connections(&self) -> u64 {
        let of = |slot| self.slot(slot).connections.load(Relaxed);
        (0..self.config.workers).map(of).sum()
    }
}

impl Running {
    pub(super) fn order(&mut self, order: &Order) {
        let line = serde_json::to_string(order).expect("JSON") + "\n";
        self.orders.write_all(line.as_bytes()).expect("told");
    }

    pub(super) fn report(&self) -> Report {
        self.reports.recv_timeout(PATIENCE).expect("a report")
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn read_reports(socket: UnixStream) -> Receiver<Report> {
    let (to, reports) = channel();
    spawn(move || {
        runtime().block_on(async {
            let line = control::open::<Order, Report>(socket);
            let (_keep, mut receiver) = line.expect("a line");
            while let Ok(Some(report)) = receiver.recv().await {
                if to.send(report).is_err() {
                    return;
                }
            }
        });
    });
    reports
}

/// A client of the protocol.
pub(super) struct Client {
    pub(super) socket: WebSocket<TcpStream>,
}

impl Client {
    pub(super) fn say(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("sent");
    }

    pub(super) fn hear(&mut self) -> Message {
        self.socket.read().expect("a message")
    }

    pub(super) fn json(&mut self) -> serde_json::Value {
        match self.hear() {
            Message::Text(text) => serde_json::from_str(&text).expect("JSON"),
            other => panic!("{other:?}"),
        }
    }

    /// The next object with this `op`, whatever comes before.
    pub(super) fn json_of(&mut self, op: &str) -> serde_json::Value {
        loop {
            let value = self.json();
            if value["op"] == op {
                return value;
            }
        }
    }

    pub(super) fn subscribe(&mut self, topic: &str) {
        self.say(&format!(r#"{{"op":"subscribe","id":1,"topic":"{topic}"}}"#));
        let answer = self.json();
        assert_eq!(answer["op"], "subscribed", "{answer}");
    }

    /// The code of the close frame, then the end of the connection; data before it is skipped.
    pub(super) fn close_code(&mut self) -> u16 {
        let code = loop {
            match self.hear() {
                Message::Close(Some(frame)) => break frame.code.into(),
                Message::Close(None) => break 0,
                _ => {}
            }
        };
        let _ = self.socket.flush();
        assert!(
            matches!(
                self.socket.read(),
                Err(tungstenite::Error::ConnectionClosed)
            ),
            "the server closes first, and without a reset"
        );
        code
    }

    pub(super) fn stream(&mut self) -> &mut TcpStream {
        self.socket.get_mut()
    }

    pub(super) fn end(&mut self) {
        let _ = self.stream().shutdown(Shutdown::Both);
    }
}

/// A hub with one log in memory and no limits.
pub(super) struct TestHub {
    pub(super) path: PathBuf,
    _folder: tempfile::TempDir,
    links: Arc<Mutex<Vec<UnixStream>>>,
    joins: Receiver<()>,
    to_log: Sender<ToLog>,
}

enum ToLog {
    Link(u64, UnixStream),
    Ask(u64, HubRequest),
    Gone(u64),
    /// A new log: of a hub that died.
    Reset,
}

impl TestHub {
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hub.sock");
        let listener = UnixListener::bind(&path).expect("bound");
        let (to_log, asked) = channel();
        let (joined, joins) = channel();
        let links = Arc::new(Mutex::new(Vec::new()));
        spawn(move || keep_log(&asked, &joined));
        let (of_accept, kept) = (to_log.clone(), Arc::clone(&links));
        spawn(move || {
            for (id, socket) in listener.incoming().flatten().enumerate() {
                kept.lock()
                    .expect("whole")
                    .push(socket.try_clone().expect("shared"));
                let to_log = of_accept.clone();
                spawn(move || read_link(id as u64, socket, &to_log));
            }
        });
        Self {
            path,
            _folder: folder,
            links,
            joins,
            to_log,
        }
    }

    /// Comes back when a worker has joined since the last call.
    pub(super) fn joined(&self) {
        self.joins.recv_timeout(PATIENCE).expect("a worker joins");
    }

    /// All links break, and the log is another one.
    pub(super) fn die(&self) {
        self.to_log.send(ToLog::Reset).expect("it runs");
        for link in self.links.lock().expect("whole").drain(..) {
            let _ = link.shutdown(Shutdown::Both);
        }
    }
}

fn read_link(id: u64, mut socket: UnixStream, to_log: &Sender<ToLog>) {
    let mut reader = LinkReader::default();
    let write = socket.try_clone().expect("shared");
    let mut write = Some(write);
    while let Ok(1..) = reader.fill(|space| socket.read(space)) {
        while let Some(frame) = reader.next_request().expect("well formed") {
            let ask = match frame {
                WorkerFrame::Join(_) => ToLog::Link(id, write.take().expect("joined once")),
                WorkerFrame::Request(request) => ToLog::Ask(id, request),
                WorkerFrame::Publish(publish) => ToLog::Ask(
                    id,
                    HubRequest::Publish {
                        request: publish.request,
                        topic: publish.topic.to_owned(),
                        key: publish.key.map(str::to_owned),
                        data: publish.data.into(),
                    },
                ),
                WorkerFrame::Call(call) => ToLog::Ask(
                    id,
                    HubRequest::Call {
                        request: call.request,
                        deadline_ns: call.deadline_ns,
                        bytes: call.bytes.into(),
                    },
                ),
            };
            if to_log.send(ask).is_err() {
                return;
            }
        }
    }
    let _ = to_log.send(ToLog::Gone(id));
}

#[derive(Default)]
struct LinkOfLog {
    write: Option<UnixStream>,
    views: Vec<(u32, String)>,
}

fn keep_log(asked: &Receiver<ToLog>, joined: &Sender<()>) {
    let mut links = std::collections::HashMap::<u64, LinkOfLog>::new();
    let (mut head, mut epoch) = (0, 0);
    for ask in asked {
        match ask {
            ToLog::Reset => (head, epoch) = (0, epoch + 1),
            ToLog::Gone(id) => drop(links.remove(&id)),
            ToLog::Link(id, write) => {
                let link = links.entry(id).or_default();
                link.write = Some(write);
                let epoch = format!("epoch-{epoch}");
                tell(
                    link,
                    HubEvent::Hello {
                        epoch: &epoch,
                        position: head,
                    },
                );
                let _ = joined.send(());
            }
            ToLog::Ask(id, request) => answer(&mut links, id, &mut head, request),
        }
    }
}

fn answer(
    links: &mut std::collections::HashMap<u64, LinkOfLog>,
    id: u64,
    head: &mut i64,
    request: HubRequest,
) {
    let Some(link) = links.get_mut(&id) else {
        return;
    };
    match request {
        HubRequest::Watch { view, text } => {
            link.views.push((view, text));
            tell(
                link,
                HubEvent::Watched {
                    view,
                    position: *head,
                },
            );
        }
        HubRequest::Resume => {}
        HubRequest::Unwatch { view } => link.views.retain(|(v, _)| *v != view),
        // This log keeps nothing: there is no history.
        HubRequest::Read { request, .. } => {
            let position = *head;
            let head = SliceHead {
                request,
                start: position,
                gap: None,
                end: position,
                joined: true,
            };
            let entries = &mut std::iter::empty();
            tell(link, HubEvent::Slice { head, entries });
        }
        HubRequest::Call { request, .. } => {
            let result = "{}";
            tell(link, HubEvent::Replied { request, result });
        }
        HubRequest::Publish {
            request,
            topic,
            key,
            data,
        } => {
            *head += 1;
            if request != 0 {
                tell(
                    link,
                    HubEvent::Published {
                        request,
                        offset: *head,
                    },
                );
            }
            let now = crate::clock::now();
            let entry = EntryRef {
                offset: *head,
                ts_us: now.wall_us,
                mono_ns: now.mono_ns,
                topic: &topic,
                key: key.as_deref(),
                data: &data,
            };
            for link in links.values_mut() {
                let wants = |(_, text): &(u32, String)| pubsub_wire::topic::matches(text, &topic);
                if link.views.iter().any(wants) {
                    tell(link, HubEvent::Entry(entry));
                }
                tell(link, HubEvent::Position { position: *head });
            }
        }
    }
}

fn tell(link: &mut LinkOfLog, event: HubEvent<'_>) {
    let mut bytes = Vec::new();
    encode_event(&mut bytes, event);
    if let Some(write) = &mut link.write
        && write.write_all(&bytes).is_err()
    {
        link.write = None;
    }
}
