//! A hub that begins anew on a large log: how long until it serves, and until newest values and orders are there.
//!
//! Owns the hub that fills the log. Must not contain: how fast a log is.
use crate::{DATA_BYTES, TOPICS, ms, now};
use anyhow::{Context, Result};
use pubsub_server::config::{LogSync, Retain};
use pubsub_server::hub::core::Hub;
use pubsub_server::hub::entry::Publication;
use pubsub_server::hub::log::DiskLog;
use pubsub_server::hub::log::disk::checkpoint::checkpoints_in;
use pubsub_server::hub::log::disk::{GROWTH_BYTES, Options, SEGMENT_BYTES};
use pubsub_server::hub::settings::Settings;
use pubsub_server::link::CallRef;
use pubsub_server::orders::book::Book;
use pubsub_server::orders::desk::{Call, Desk};
use pubsub_server::orders::venue::Paper;
use pubsub_wire::Limits;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Keys of each topic, and orders that rest.
const KEYS: usize = 100;
const ORDERS: usize = 100_000;
/// Publications of one turn.
const TURN: usize = 64;

/// Fills a log of so many bytes through a hub, and begins anew on it, with its checkpoint and without.
pub(crate) fn restart(folder: &Path, bytes: u64) -> Result<()> {
    let folder = folder.join("large");
    let mut hub = open(&folder, bytes)?;
    fill(&mut hub, bytes)?;
    drop(hub);
    let (position, path) = checkpoints_in(&folder)?
        .pop()
        .context("there should be a checkpoint")?;
    println!(
        "{:<34}{:>10} entries, {} keys, {ORDERS} orders; the newest checkpoint is of {position} and has {:.0} MB",
        format!("a log of {} GiB", bytes >> 30),
        bytes / DATA_BYTES as u64,
        TOPICS * KEYS,
        path.metadata()?.len() as f64 / 1e6,
    );
    begin_anew(&folder, bytes, "with it")?;
    fs::remove_dir_all(folder.join("checkpoints"))?;
    begin_anew(&folder, bytes, "without it")?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

fn open(folder: &Path, bytes: u64) -> Result<Hub> {
    let rule = Retain {
        pattern: ">".to_owned(),
        bytes: 2 * bytes,
        age_ms: None,
        count: None,
    };
    let options = Options {
        folder,
        rules: &[rule],
        sync: LogSync::Interval { ms: 100 },
        epoch: "0123456789abcdef",
        segment_bytes: SEGMENT_BYTES,
        growth_bytes: GROWTH_BYTES,
        wake: Arc::new(|| {}),
    };
    let log = DiskLog::open(now(), options)?;
    let mut hub = Hub::new(log, Settings::new(Limits::default(), 1 << 20, 1 << 24));
    hub.open_desk(Desk::new(
        Book::new("01234567", ORDERS),
        Box::<Paper>::default(),
    ));
    Ok(hub)
}

fn fill(hub: &mut Hub, bytes: u64) -> Result<()> {
    let names: Vec<String> = (0..TOPICS).map(|n| format!("quotes.S{n:04}")).collect();
    let keys: Vec<String> = (0..KEYS).map(|n| n.to_string()).collect();
    let quote = Publication {
        topic: "quotes.ABC",
        key: None,
        data: br#"{"symbol":"ABC","bid":9.5,"ask":10.5,"last":10}"#,
    };
    hub.publish(now(), &quote)?;
    let worker = hub.handle_join(now(), None);
    for number in 0..ORDERS {
        let params = format!(
            r#"{{"client_order_id":"{number}","account":"a{}","symbol":"ABC","side":"buy","qty":1,"type":"limit","limit_price":9}}"#,
            number % 100
        );
        let call = Call::read("order.submit", &params).context("a method")?;
        let bytes = call
            .map_err(|_| anyhow::anyhow!("wrong parameters"))?
            .pack();
        let call = CallRef {
            request: 1 + number as u64,
            deadline_ns: 0,
            bytes: &bytes,
        };
        hub.handle_call(now(), worker, &call)?;
        if number % TURN == 0 {
            hub.turn(now());
            let (told, _) = hub.take(worker);
            hub.give_back(worker, told);
        }
    }
    hub.handle_leave(worker);
    let data = vec![b'x'; DATA_BYTES];
    for number in 0..bytes as usize / DATA_BYTES {
        let publication = Publication {
            topic: &names[number % TOPICS],
            key: Some(&keys[number / TOPICS % KEYS]),
            data: &data,
        };
        hub.publish(now(), &publication)?;
        if number % TURN == 0 {
            hub.turn(now());
        }
    }
    hub.turn(now());
    Ok(())
}

fn begin_anew(folder: &Path, bytes: u64, how: &str) -> Result<()> {
    let begun = Instant::now();
    let mut hub = open(folder, bytes)?;
    let opened = begun.elapsed();
    while hub.is_restoring() {
        hub.turn(now());
    }
    println!(
        "{:<34}{:>10.0} ms until it serves, {:.0} ms until {} newest values and the orders are there",
        format!("  begun anew {how}"),
        ms(opened),
        ms(begun.elapsed()),
        hub.keys(),
    );
    Ok(())
}
