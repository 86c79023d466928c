//! The driver with real sockets. A hub runs as a task of the test's own runtime; a peer speaks the link by hand. Everything waits
//! for events.
use super::*;
use crate::config::args::{Parsed, parse};
use crate::config::{Surroundings, load};
use crate::link::control::{self, SupervisorControl};
use crate::link::{encode_join, encode_request};
use pubsub_stream::hub::{HubEvent, HubRequest, SliceHead, Start};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// What a node is told by these flags, whatever the machine's environment says.
fn config(flags: &[&str]) -> Config {
    let words = ["pubsub-server", "--interval-ms", "0..0"]
        .into_iter()
        .chain(flags.iter().copied());
    let Ok(Parsed::Run(typed)) = parse(words.map(Into::into)) else {
        panic!("no command line: {flags:?}")
    };
    let here = Surroundings {
        env: std::collections::BTreeMap::new(),
        directory: PathBuf::from(env!("CARGO_MANIFEST_DIR")),
        cores: 1,
        host: "n".into(),
        run_base: PathBuf::from("/"),
        files: 20_000,
        memory: None,
    };
    load(&typed.node, &here)
        .expect("a good configuration")
        .config
}

fn without_sources() -> Config {
    config(&["--source", "none"])
}

/// What an event says, as far as these tests look.
#[derive(Debug, Clone, PartialEq)]
enum Told {
    Hello(String, i64),
    Entry(i64, String, String),
    Watched(u32, i64),
    Slice(SliceHead, Vec<(String, String)>),
    Published(u64, i64),
    PublishFailed(u64, String),
    Other,
}

impl Told {
    fn of(event: HubEvent<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        match event {
            HubEvent::Hello { epoch, position } => Self::Hello(epoch.to_owned(), position),
            HubEvent::Entry(entry) => {
                Self::Entry(entry.offset, entry.topic.to_owned(), text(entry.data))
            }
            HubEvent::Watched { view, position } => Self::Watched(view, position),
            HubEvent::Slice { head, entries } => Self::Slice(
                head,
                entries
                    .map(|e| (e.topic.to_owned(), text(e.data)))
                    .collect(),
            ),
            HubEvent::Published { request, offset } => Self::Published(request, offset),
            HubEvent::PublishFailed { request, why } => {
                Self::PublishFailed(request, why.message.to_owned())
            }
            _ => Self::Other,
        }
    }
}

/// A worker by hand.
struct Peer {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    reader: LinkReader,
}

async fn fill(reader: &mut LinkReader, read: &OwnedReadHalf) -> io::Result<usize> {
    loop {
        read.readable().await?;
        match reader.fill(|space| read.try_read(space)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            filled => return filled,
        }
    }
}

impl Peer {
    async fn connect(node: &Node) -> Self {
        let stream = UnixStream::connect(&node.path).await.unwrap();
        let (read, write) = stream.into_split();
        Self {
            read,
            write,
            reader: LinkReader::default(),
        }
    }

    async fn join(node: &Node) -> (Self, String, i64) {
        let mut peer = Self::connect(node).await;
        peer.send_join(LINK_VERSION).await;
        let Some(Told::Hello(epoch, position)) = peer.next().await else {
            panic!("no hello")
        };
        (peer, epoch, position)
    }

    async fn send_join(&mut self, version: u16) {
        let mut out = Vec::new();
        encode_join(
            &mut out,
            &Join {
                slot: 0,
                generation: 1,
                version,
                reached: None,
            },
        );
        self.write.write_all(&out).await.unwrap();
    }

    async fn send(&mut self, requests: &[HubRequest]) {
        let mut out = Vec::new();
        for request in requests {
            encode_request(&mut out, request);
        }
        self.write.write_all(&out).await.unwrap();
    }

    /// The next event; `None` when the hub has closed the link.
    async fn next(&mut self) -> Option<Told> {
        loop {
            let mut told = None;
            if self
                .reader
                .next_event(|event| told = Some(Told::of(event)))
                .unwrap()
            {
                return told;
            }
            if fill(&mut self.reader, &self.read).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn until(&mut self, wanted: impl Fn(&Told) -> bool) -> Told {
        loop {
            let told = self.next().await.expect("the link is up");
            if wanted(&told) {
                return told;
            }
        }
    }
}

/// A hub at work, as its supervisor sees it.
struct Node {
    path: PathBuf,
    control: SupervisorControl,
    scoreboard: Arc<Scoreboard>,
}

/// Runs `test` beside a hub, and stops the hub behind it.
fn beside<F: Future<Output = Node>>(config: Config, test: impl FnOnce(Node) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.sock");
        let listener = StdUnixListener::bind(&path).unwrap();
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let scoreboard = Arc::new(Scoreboard::create().unwrap().0);
        let node = Node {
            path,
            control: control::open(ours).unwrap(),
            scoreboard: Arc::clone(&scoreboard),
        };
        let hub = run(
            Arc::new(config),
            listener,
            scoreboard,
            control::open(theirs).unwrap(),
        );
        let test = async {
            let mut node = node;
            assert_eq!(node.control.1.recv().await.unwrap(), Some(Report::Ready));
            let mut node = test(node).await;
            node.control.0.send(&Order::Stop).await.unwrap();
        };
        let (outcome, ()) = tokio::join!(hub, test);
        outcome.unwrap();
    });
}

fn watch(view: u32, text: &str) -> HubRequest {
    HubRequest::Watch {
        view,
        text: text.into(),
    }
}

fn publish(request: u64, topic: &str, data: &str) -> HubRequest {
    HubRequest::Publish {
        request,
        topic: topic.into(),
        key: None,
        data: data.as_bytes().into(),
    }
}

fn read(request: u32, view: u32, start: Start) -> HubRequest {
    HubRequest::Read {
        request,
        view,
        start,
        budget_bytes: 1 << 20,
    }
}

#[test]
fn what_one_worker_publishes_another_receives_once_and_the_first_is_told() {
    beside(without_sources(), |node| async move {
        let (mut a, epoch, position) = Peer::join(&node).await;
        assert_eq!((epoch.len(), position), (16, 0));
        let (mut b, same, _) = Peer::join(&node).await;
        assert_eq!(same, epoch);
        b.send(&[watch(1, "t.*"), watch(2, "t.a")]).await;
        b.until(|told| matches!(told, Told::Watched(2, 0))).await;
        a.send(&[
            publish(7, "t.a", "1"),
            publish(0, "t.b", "2"),
            publish(8, "u", "3"),
            publish(9, "t.a", "4"),
        ])
        .await;
        let acks = [a.next().await, a.next().await, a.next().await].map(Option::unwrap);
        assert_eq!(
            acks,
            [
                Told::Published(7, 1),
                Told::Published(8, 3),
                Told::Published(9, 4)
            ]
        );
        let mut seen = Vec::new();
        while seen.len() < 3 {
            if let Told::Entry(offset, _, data) = b.next().await.unwrap() {
                seen.push((offset, data));
            }
        }
        assert_eq!(
            seen,
            [
                (1, "1".to_owned()),
                (2, "2".to_owned()),
                (4, "4".to_owned())
            ]
        );
        node
    });
}

#[test]
fn a_refused_publication_is_answered_and_leaves_no_hole() {
    beside(without_sources(), |node| async move {
        let (mut peer, ..) = Peer::join(&node).await;
        peer.send(&[publish(1, "a.*", "1"), publish(2, "a", "2")])
            .await;
        assert!(matches!(peer.next().await, Some(Told::PublishFailed(1, _))));
        assert_eq!(peer.next().await, Some(Told::Published(2, 1)));
        node
    });
}

#[test]
fn a_replayed_file_is_all_there_for_who_comes_late() {
    let replay = config(&["--source", "replay:tests/data/prices.csv.gz"]);
    beside(replay, |node| async move {
        let (mut peer, ..) = Peer::join(&node).await;
        peer.send(&[watch(1, "quotes.>"), read(1, 1, Start::Earliest)])
            .await;
        let (mut rows, mut request) = (Vec::new(), 1);
        let head = loop {
            let slice = peer.until(|told| matches!(told, Told::Slice(..))).await;
            let Told::Slice(head, entries) = slice else {
                unreachable!()
            };
            assert_eq!((head.request, head.gap), (request, None));
            rows.extend(entries);
            if head.joined {
                break head;
            }
            request += 1;
            peer.send(&[read(
                request,
                1,
                Start::Continue {
                    offset: head.end,
                    compacted: false,
                },
            )])
            .await;
        };
        while rows.len() < 40_000 {
            let entry = peer.until(|told| matches!(told, Told::Entry(..))).await;
            let Told::Entry(offset, topic, data) = entry else {
                unreachable!()
            };
            if offset > head.end {
                rows.push((topic, data));
            }
        }
        let line = |(topic, data): &(String, String)| {
            let quote: serde_json::Value = serde_json::from_str(data).unwrap();
            let price = data
                .split("\"last\":")
                .nth(1)
                .and_then(|rest| rest.split(',').next())
                .unwrap();
            assert_eq!(topic.strip_prefix("quotes."), quote["symbol"].as_str());
            format!(
                "{},{},{price}\n",
                quote["time"].as_str().unwrap(),
                quote["symbol"].as_str().unwrap()
            )
        };
        let text: String = std::iter::once("time,symbol,price\n".to_owned())
            .chain(rows.iter().map(line))
            .collect();
        let mut expected = String::new();
        let packed = &include_bytes!("../../../tests/data/prices.csv.gz")[..];
        io::Read::read_to_string(&mut flate2::read::GzDecoder::new(packed), &mut expected).unwrap();
        assert!(text == expected, "the rows differ from the file's");
        node
    });
}

#[test]
fn a_worker_that_reads_nothing_holds_up_nobody_and_loses_nothing_the_log_holds() {
    beside(without_sources(), |node| async move {
        let (mut stopped, ..) = Peer::join(&node).await;
        stopped.send(&[watch(1, ">")]).await;
        stopped
            .until(|told| matches!(told, Told::Watched(..)))
            .await;
        let (mut other, ..) = Peer::join(&node).await;
        let data = format!("\"{}\"", "x".repeat(1000));
        for n in 1..=5000 {
            other.send(&[publish(n, "t", &data)]).await;
            let ack = other
                .until(|told| matches!(told, Told::Published(..)))
                .await;
            assert_eq!(ack, Told::Published(n, n as i64));
        }
        for offset in 1..=5000 {
            let entry = stopped.until(|told| matches!(told, Told::Entry(..))).await;
            assert_eq!(entry, Told::Entry(offset, "t".into(), data.clone()));
        }
        node
    });
}

#[test]
fn who_does_not_join_as_agreed_is_hung_up_on() {
    beside(without_sources(), |node| async move {
        let mut stranger = Peer::connect(&node).await;
        stranger.send(&[publish(1, "a", "1")]).await;
        assert_eq!(stranger.next().await, None);
        let mut foreign = Peer::connect(&node).await;
        foreign.send_join(LINK_VERSION + 1).await;
        assert_eq!(foreign.next().await, None);
        let (mut twice, ..) = Peer::join(&node).await;
        twice.send_join(LINK_VERSION).await;
        assert_eq!(twice.next().await, None);
        let (mut reused, ..) = Peer::join(&node).await;
        reused.send(&[watch(1, "a"), watch(1, "b")]).await;
        while reused.next().await.is_some() {}
        let (mut no_call, ..) = Peer::join(&node).await;
        let call = HubRequest::Call {
            request: 1,
            deadline_ns: 0,
            bytes: (*b"order.get").into(),
        };
        no_call.send(&[call]).await;
        assert_eq!(no_call.next().await, None);
        let (mut garbled, ..) = Peer::join(&node).await;
        garbled.write.write_all(&[0xff; 64]).await.unwrap();
        assert_eq!(garbled.next().await, None);
        Peer::join(&node).await;
        node
    });
}

#[test]
fn the_hub_goes_on_when_its_supervisor_is_gone_and_when_a_worker_is() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hub.sock");
        let listener = StdUnixListener::bind(&path).unwrap();
        let (ours, theirs) = StdUnixStream::pair().unwrap();
        let scoreboard = Arc::new(Scoreboard::create().unwrap().0);
        let node = Node {
            path,
            control: control::open(ours).unwrap(),
            scoreboard: Arc::clone(&scoreboard),
        };
        let hub = run(
            Arc::new(without_sources()),
            listener,
            scoreboard,
            control::open(theirs).unwrap(),
        );
        let test = async move {
            let Node {
                path,
                control,
                scoreboard,
            } = node;
            let (orders, mut reports) = control;
            assert_eq!(reports.recv().await.unwrap(), Some(Report::Ready));
            drop((orders, reports));
            let rest = |control| Node {
                path,
                control,
                scoreboard,
            };
            let node = rest(control::open(StdUnixStream::pair().unwrap().0).unwrap());
            let (gone, ..) = Peer::join(&node).await;
            drop(gone);
            let (mut peer, ..) = Peer::join(&node).await;
            peer.send(&[publish(1, "a", "1")]).await;
            assert_eq!(peer.next().await, Some(Told::Published(1, 1)));
        };
        tokio::select! {
            biased;
            () = test => {}
            outcome = hub => panic!("the hub has ended: {outcome:?}"),
        }
    });
}

#[test]
fn the_scoreboard_shows_what_happened() {
    beside(without_sources(), |node| async move {
        let (mut peer, epoch, _) = Peer::join(&node).await;
        peer.send(&[
            publish(1, "a", "12345"),
            publish(2, "b", "1"),
            publish(3, "a b", "1"),
        ])
        .await;
        peer.until(|told| matches!(told, Told::PublishFailed(3, _)))
            .await;
        let slot = node.scoreboard.hub();
        assert_eq!(slot.epoch(), epoch);
        while slot.published.load(Ordering::Relaxed) < 2 {
            yield_now().await;
        }
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(
            (
                read(&slot.published),
                read(&slot.published_bytes),
                read(&slot.refused)
            ),
            (2, 6, 1)
        );
        assert_eq!(
            (
                read(&slot.topics),
                read(&slot.keys),
                read(&slot.head),
                read(&slot.first)
            ),
            (2, 2, 2, 1)
        );
        assert_eq!((read(&slot.log_entries), read(&slot.workers)), (2, 1));
        assert!(read(&slot.heartbeat_ns) > 0 && read(&slot.blocked_ns) > 0);
        assert!(slot.loop_lag.read().counts.iter().sum::<u64>() > 0);
        node
    });
}

/// More acknowledgements than all buffers between the two hold.
const REQUESTS: u64 = 60_000;

#[test]
fn a_worker_that_does_not_read_its_answers_is_not_read_until_it_does() {
    beside(without_sources(), |node| async move {
        let (mut peer, ..) = Peer::join(&node).await;
        let mut bytes = Vec::new();
        for n in 1..=REQUESTS {
            encode_request(&mut bytes, &publish(n, "t", "1"));
        }
        // The hub runs on this thread too: when it takes nothing though it was let run so often, it will not.
        let (mut sent, mut refused) = (0, 0);
        while sent < bytes.len() && refused < 1000 {
            match peer.write.try_write(&bytes[sent..]) {
                Ok(n) => (sent, refused) = (sent + n, 0),
                Err(_) => refused += 1,
            }
            yield_now().await;
        }
        assert!(sent < bytes.len(), "it took everything");
        let (read, mut write) = (peer.read, peer.write);
        let send_rest = async { write.write_all(&bytes[sent..]).await.unwrap() };
        let read_all = async {
            let mut acks = 0;
            while acks < REQUESTS {
                assert!(fill(&mut peer.reader, &read).await.unwrap() > 0);
                peer.reader
                    .drain(&mut |event| {
                        acks += 1;
                        assert_eq!(Told::of(event), Told::Published(acks, acks as i64));
                    })
                    .unwrap();
            }
        };
        tokio::join!(send_rest, read_all);
        node
    });
}

#[test]
fn many_watches_of_many_topics_are_not_handled_in_one_go() {
    let settings = Settings::new(pubsub_wire::Limits::default(), 100_000, 1_000_000);
    let config = without_sources();
    let mut hub = Hub::new(MemoryLog::new("e".into(), &config.retain), settings);
    let now = Now {
        mono_ns: 1,
        wall_us: 1,
    };
    let worker = hub.handle_join(now, None);
    for n in 0..TOPICS_PER_BATCH / 2 {
        let topic = format!("t.{n}");
        hub.publish(
            now,
            &Publication {
                topic: &topic,
                key: None,
                data: b"1",
            },
        )
        .unwrap();
    }
    let mut bytes = Vec::new();
    for view in 0..5 {
        encode_request(&mut bytes, &watch(view, &format!("*.{view}")));
    }
    let mut reader = LinkReader::default();
    reader
        .fill(|space| {
            space[..bytes.len()].copy_from_slice(&bytes);
            Ok::<_, ()>(bytes.len())
        })
        .unwrap();
    let mut batches = 1;
    while matches!(
        handle_frames(&mut hub, now, worker, &mut reader),
        Ok(Batch::Cut)
    ) {
        batches += 1;
    }
    assert_eq!((batches, reader.pending()), (3, 0));
}
