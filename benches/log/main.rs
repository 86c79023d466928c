//! The log on disk beside what it stands on: a bare loop of writes, and of syncs, to the same disk in the same run. With `always` the log
//! has up to four batches under way, as publishers that don't wait for each other bring them; the bare loop syncs each.
//!
//! `cargo bench --bench log -- [--mib N] [--dir FOLDER] [--restart-gib N]`: N MiB for each line (default 1024) in a folder of FOLDER (default:
//! the temp folder); with `--restart-gib` a hub fills a log of so many GiB and begins anew on it.
#![allow(clippy::disallowed_methods, reason = "a benchmark lives in real time")]
mod restart;

use anyhow::{Context, Result, bail};
use mimalloc::MiMalloc;
use pubsub_server::config::{LogSync, Retain};
use pubsub_server::hub::entry::Publication;
use pubsub_server::hub::log::disk::{GROWTH_BYTES, Options, SEGMENT_BYTES};
use pubsub_server::hub::log::{DiskLog, Log, Scope};
use pubsub_server::hub::topics::{TopicId, Topics};
use pubsub_stream::Now;
use std::fs::{self, File};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// The server's own.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Bytes of one publication's data, and how many make a batch.
const DATA_BYTES: usize = 494;
const BATCH: usize = 64;
const TOPICS: usize = 1000;
/// Batches that are not synced yet when another one comes: what one sync covers together.
const UNDER_WAY: usize = 4;
/// Bytes of a topic's name, which count as appended: they are the publisher's too.
const TOPIC_BYTES: usize = "quotes.S0000".len();
/// A slice of history is no longer.
const SLICE_BYTES: usize = 128 << 10;

struct Asked {
    bytes: u64,
    folder: PathBuf,
    restart_gib: Option<u64>,
}

fn main() -> Result<()> {
    let asked = asked()?;
    let folder = tempfile::tempdir_in(&asked.folder)?;
    println!(
        "{} MiB a line, batches of {BATCH} x {DATA_BYTES} B over {TOPICS} topics, in {}",
        asked.bytes >> 20,
        asked.folder.display()
    );
    appends(folder.path(), asked.bytes)?;
    reads(folder.path(), asked.bytes)?;
    if let Some(gib) = asked.restart_gib {
        restart::restart(folder.path(), gib << 30)?;
    }
    Ok(())
}

fn asked() -> Result<Asked> {
    let mut asked = Asked {
        bytes: 1 << 30,
        folder: std::env::temp_dir(),
        restart_gib: None,
    };
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        let value = words
            .next()
            .with_context(|| format!("{word} takes a value"))?;
        match word.as_str() {
            "--mib" => asked.bytes = value.parse::<u64>()? << 20,
            "--dir" => asked.folder = value.into(),
            "--restart-gib" => asked.restart_gib = Some(value.parse()?),
            _ => bail!("--mib N, --dir FOLDER and --restart-gib N are known, not {word}"),
        }
    }
    Ok(asked)
}

/// What a loop came to.
struct Pace {
    bytes: u64,
    took: Duration,
    longest: Duration,
    written: u64,
}

impl Pace {
    fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }
}

fn appends(folder: &Path, bytes: u64) -> Result<()> {
    println!(
        "{:<34}{:>10}{:>10}{:>12}{:>14}",
        "append", "MB/s", "of bare", "longest", "written/byte"
    );
    let always = bytes / 8;
    let kinds = [
        ("no sync", LogSync::None, bytes),
        ("interval:100ms", LogSync::Interval { ms: 100 }, bytes),
        ("always", LogSync::Always, always),
    ];
    for (name, sync, bytes) in kinds {
        let bare = bare(&folder.join("bare"), sync, bytes)?;
        let log = log(&folder.join("log"), sync, bytes)?;
        println!(
            "{:<34}{:>10.0}{:>10}{:>9.1} ms{:>14}",
            format!("bare writes, {name}"),
            bare.mb_per_s(),
            "",
            ms(bare.longest),
            ""
        );
        println!(
            "{:<34}{:>10.0}{:>10.2}{:>9.1} ms{:>14.2}",
            format!("the log, {name}"),
            log.mb_per_s(),
            log.mb_per_s() / bare.mb_per_s(),
            ms(log.longest),
            log.written as f64
                / (log.bytes / DATA_BYTES as u64 * (DATA_BYTES + TOPIC_BYTES) as u64) as f64
        );
    }
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Writes batches of the same size to files of the same size, and syncs as often.
fn bare(folder: &Path, sync: LogSync, bytes: u64) -> Result<Pace> {
    fs::create_dir_all(folder)?;
    let batch = vec![b'x'; BATCH * DATA_BYTES];
    let stop = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let (mut done, mut longest, mut file, mut syncer) = (0, Duration::ZERO, None, None);
    while done < bytes {
        if done % (64 << 20) < batch.len() as u64 {
            let made = Arc::new(File::create(folder.join(format!("{done}")))?);
            file = Some(Arc::clone(&made));
            if let (LogSync::Interval { ms }, None) = (sync, &syncer) {
                let stop = Arc::clone(&stop);
                syncer = Some(thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        let _ = made.sync_data();
                        thread::park_timeout(Duration::from_millis(ms));
                    }
                }));
            }
        }
        let turn = Instant::now();
        let mut to: &File = file.as_deref().context("a file")?;
        to.write_all(&batch)?;
        if sync == LogSync::Always {
            to.sync_data()?;
        }
        longest = longest.max(turn.elapsed());
        done += batch.len() as u64;
    }
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    if let Some(syncer) = syncer {
        syncer.thread().unpark();
        let _ = syncer.join();
    }
    fs::remove_dir_all(folder)?;
    Ok(Pace {
        bytes: done,
        took,
        longest,
        written: done,
    })
}

/// A log with its topics.
struct Stand {
    log: DiskLog,
    topics: Vec<(TopicId, String)>,
    thread: thread::Thread,
}

impl Stand {
    fn open(folder: &Path, sync: LogSync, retain: u64) -> Result<Self> {
        let rule = Retain {
            pattern: ">".to_owned(),
            bytes: retain,
            age_ms: None,
            count: None,
        };
        let thread = thread::current();
        let waker = thread.clone();
        let options = Options {
            folder,
            rules: &[rule],
            sync,
            epoch: "0123456789abcdef",
            segment_bytes: SEGMENT_BYTES,
            growth_bytes: GROWTH_BYTES,
            wake: Arc::new(move || waker.unpark()),
        };
        let mut log = DiskLog::open(now(), options)?;
        let mut names = Topics::new(1 << 20);
        let mut topics = Vec::new();
        let mut known = log.recovered();
        known.sort();
        let all = (0..TOPICS).map(|number| format!("quotes.S{number:04}"));
        for name in all {
            let topic = names.insert(&name)?;
            log.add_topic(topic, &name);
            topics.push((topic, name));
        }
        Ok(Self {
            log,
            topics,
            thread,
        })
    }

    fn append_batch(&mut self, number: u64, data: &[u8]) -> Result<()> {
        let now = now();
        for at in 0..BATCH {
            let (topic, name) = &self.topics[(number as usize * BATCH + at) % TOPICS];
            self.log
                .check_room(now, Some(*topic), name, name.len() + data.len())?;
            let publication = Publication {
                topic: name,
                key: None,
                data,
            };
            self.log.append(now, *topic, &publication);
        }
        self.log.commit(now)?;
        Ok(())
    }

    /// Waits until no more than so many batches are not synced yet.
    fn wait_for_sync(&mut self, under_way: usize) -> Result<()> {
        debug_assert_eq!(self.thread.id(), thread::current().id());
        let most = (under_way * BATCH) as i64;
        while self.log.acknowledged() + most < self.log.head() {
            thread::park_timeout(Duration::from_millis(100));
            self.log.commit(now())?;
        }
        Ok(())
    }
}

/// Appends to a log that keeps a quarter of what is appended.
fn log(folder: &Path, sync: LogSync, bytes: u64) -> Result<Pace> {
    let mut stand = Stand::open(folder, sync, bytes / 4)?;
    let (data, mut gone) = (vec![b'x'; DATA_BYTES], Vec::new());
    let before = io_counter("wchar")?;
    let begun = Instant::now();
    let (mut done, mut longest) = (0, Duration::ZERO);
    for number in 0.. {
        let turn = Instant::now();
        stand.append_batch(number, &data)?;
        if sync == LogSync::Always {
            stand.wait_for_sync(UNDER_WAY)?;
        }
        gone.clear();
        stand.log.retain(now(), &mut gone);
        longest = longest.max(turn.elapsed());
        done += (BATCH * DATA_BYTES) as u64;
        if done >= bytes {
            break;
        }
    }
    let took = begun.elapsed();
    drop(stand);
    let written = io_counter("wchar")? - before;
    fs::remove_dir_all(folder)?;
    Ok(Pace {
        bytes: done,
        took,
        longest,
        written,
    })
}

fn reads(folder: &Path, bytes: u64) -> Result<()> {
    let folder = folder.join("log");
    let mut stand = filled(&folder, bytes)?;
    let all = read_all(&stand.log, Scope::All)?;
    println!(
        "{:<34}{:>10.0} MB/s of payload",
        "read all, slices of 128 KiB",
        all.mb_per_s()
    );
    let topic = [stand.topics[7].0];
    let before = io_counter("rchar")?;
    let one = read_all(&stand.log, Scope::Topics(&topic))?;
    let read = io_counter("rchar")? - before;
    println!(
        "{:<34}{:>10.0} MB/s of payload, {:.2} bytes read for each",
        format!("read one topic of {TOPICS}"),
        one.mb_per_s(),
        read as f64 / one.bytes as f64
    );
    stand.log.commit(now())?;
    drop(stand);
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn filled(folder: &Path, bytes: u64) -> Result<Stand> {
    let mut stand = Stand::open(folder, LogSync::None, 2 * bytes)?;
    let data = vec![b'x'; DATA_BYTES];
    for number in 0..bytes / (BATCH * DATA_BYTES) as u64 {
        stand.append_batch(number, &data)?;
    }
    Ok(stand)
}

/// Reads everything as a subscriber that catches up does.
fn read_all(log: &DiskLog, scope: Scope<'_>) -> Result<Pace> {
    let (mut reached, mut bytes) = (0, 0);
    let begun = Instant::now();
    while reached < log.head() {
        let (mut scan, mut slice, before) = (8192, 0, reached);
        reached = log.read(scope, reached, log.head(), &mut scan, &mut |held| {
            slice += held.entry.bytes().len();
            if slice > SLICE_BYTES {
                return ControlFlow::Break(());
            }
            bytes += DATA_BYTES as u64;
            ControlFlow::Continue(())
        });
        if reached == before {
            bail!("nothing more can be read after {before}");
        }
    }
    Ok(Pace {
        bytes,
        took: begun.elapsed(),
        longest: Duration::ZERO,
        written: 0,
    })
}

fn now() -> Now {
    static BEGUN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Now {
        mono_ns: BEGUN.get_or_init(Instant::now).elapsed().as_nanos() as u64,
        wall_us: wall.map_or(0, |wall| wall.as_micros() as u64),
    }
}

/// Bytes that this process has had read or written, as the kernel counts them.
fn io_counter(name: &str) -> Result<u64> {
    let text = fs::read_to_string("/proc/self/io")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    Ok(line
        .with_context(|| format!("no {name} in /proc/self/io"))?
        .parse()?)
}
