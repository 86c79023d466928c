//! Single values with a form of their own: addresses, sources, the log, retention, origins, names.
//!
//! Owns their spelling. Must not contain: which setting is which, or where a value came from. Driven by `resolve`, `tables` and
//! `print`.
//!
//! Law: each reader says in its error what would be right; a value of a part that this build lacks is refused in so many words.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use pubsub_wire::value::Overflow;

use super::resolved::{Log, LogFormat, LogSync, PublishFrom, Retain, Source, Venue};
use super::units;

/// Longest node name: it is in every `welcome`.
const NODE_BYTES: usize = 64;
/// Least a log may keep: a few publications of the largest size.
const RETAIN_BYTES_MIN: u64 = 64 << 10;

/// How long what was published may wait to be synced: less would be `always`, more no promise.
const LOG_SYNC_MS: RangeInclusive<u64> = 1..=60_000;

/// What would have been right.
pub type Expected = String;

/// `IP:PORT`, or `localhost:PORT`.
pub fn address(text: &str) -> Result<SocketAddr, Expected> {
    if let Some(port) = text.strip_prefix("localhost:")
        && let Ok(port) = port.parse()
    {
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| {
        "an IP address and a port, such as 127.0.0.1:8124, 0.0.0.0:8124 or [::1]:8124".to_owned()
    })
}

/// An address, or `none`.
pub fn address_or_none(text: &str) -> Result<Option<SocketAddr>, Expected> {
    match text {
        "none" => Ok(None),
        _ => address(text)
            .map(Some)
            .map_err(|expected| format!("{expected}, or none")),
    }
}

/// `synthetic`, `replay:FILE[,loop]`, or `none`. A relative file is under `directory`.
pub fn source(text: &str, directory: &Path) -> Result<Option<Source>, Expected> {
    let expected = || "synthetic, replay:FILE, replay:FILE,loop or none".to_owned();
    match text.split_once(':') {
        None if text == "none" => Ok(None),
        None if text == "synthetic" => Ok(Some(Source::Synthetic)),
        Some(("replay", file)) => {
            let (file, again) = match file.strip_suffix(",loop") {
                Some(file) => (file, true),
                None => (file, false),
            };
            if file.is_empty() {
                return Err(expected());
            }
            Ok(Some(Source::Replay {
                file: directory.join(file),
                again,
            }))
        }
        _ => Err(expected()),
    }
}

/// Writes a source as it is read.
pub fn source_text(source: &Source) -> String {
    match source {
        Source::Synthetic => "synthetic".to_owned(),
        Source::Replay { file, again } => {
            format!(
                "replay:{}{}",
                file.display(),
                if *again { ",loop" } else { "" }
            )
        }
    }
}

/// `memory` or `disk:FOLDER`, a relative one under `directory`; what this build lacks is refused by name.
pub fn log(text: &str, directory: &Path) -> Result<Log, Expected> {
    match text.split_once(':') {
        None if text == "memory" => Ok(Log::Memory),
        Some(("disk", folder)) if !folder.is_empty() => Ok(Log::Disk {
            folder: directory.join(folder),
        }),
        Some(("kafka", _)) => {
            Err("memory or disk:FOLDER: this build has no kafka log yet".to_owned())
        }
        _ => Err("memory or disk:FOLDER".to_owned()),
    }
}

/// Writes a log as it is read.
pub fn log_text(log: &Log) -> String {
    match log {
        Log::Memory => "memory".to_owned(),
        Log::Disk { folder } => format!("disk:{}", folder.display()),
    }
}

/// `none`, `interval:TIME` or `always`.
pub fn log_sync(text: &str) -> Result<LogSync, Expected> {
    let expected = || {
        let (least, most) = (
            units::millis_text(*LOG_SYNC_MS.start()),
            units::millis_text(*LOG_SYNC_MS.end()),
        );
        format!(
            "none, always or interval:TIME with a time from {least} to {most}, such as interval:100ms"
        )
    };
    match text.split_once(':') {
        None if text == "none" => Ok(LogSync::None),
        None if text == "always" => Ok(LogSync::Always),
        Some(("interval", time)) => units::millis(time)
            .filter(|ms| LOG_SYNC_MS.contains(ms))
            .map(|ms| LogSync::Interval { ms })
            .ok_or_else(expected),
        _ => Err(expected()),
    }
}

/// Writes when a log syncs as it is read.
pub fn log_sync_text(sync: LogSync) -> String {
    match sync {
        LogSync::None => "none".to_owned(),
        LogSync::Always => "always".to_owned(),
        LogSync::Interval { ms } => format!("interval:{}", units::millis_text(ms)),
    }
}

/// `SIZE[,AGE][,COUNT]`.
pub fn retain(pattern: &str, text: &str) -> Result<Retain, Expected> {
    let expected = || "SIZE[,AGE][,COUNT], such as 64MiB, 1GiB,24h or 1GiB,24h,1000000".to_owned();
    let mut parts = text.split(',');
    let bytes = retain_bytes(parts.next().unwrap_or_default())?;
    let mut retain = Retain {
        pattern: pattern.to_owned(),
        bytes,
        age_ms: None,
        count: None,
    };
    for part in parts {
        match (units::count(part), units::millis(part)) {
            (Some(_), _) if retain.count.is_none() => retain.count = Some(retain_count(part)?),
            (None, Some(_)) if retain.age_ms.is_none() && retain.count.is_none() => {
                retain.age_ms = Some(retain_age(part)?);
            }
            _ => return Err(expected()),
        }
    }
    Ok(retain)
}

/// The size of a retention.
pub fn retain_bytes(text: &str) -> Result<u64, Expected> {
    let least = RETAIN_BYTES_MIN;
    units::bytes(text)
        .filter(|bytes| *bytes >= least)
        .ok_or_else(|| {
            format!(
                "a size of at least {}, such as 64MiB or 1GiB",
                units::bytes_text(least)
            )
        })
}

/// The age of a retention, milliseconds.
pub fn retain_age(text: &str) -> Result<u64, Expected> {
    units::millis(text)
        .filter(|age| *age > 0)
        .ok_or_else(|| "an age above zero, such as 10m or 24h".to_owned())
}

/// The count of a retention.
pub fn retain_count(text: &str) -> Result<u64, Expected> {
    units::count(text)
        .filter(|count| *count > 0)
        .ok_or_else(|| "a whole number of at least 1".to_owned())
}

/// `loopback`, `anyone` or `nobody`.
pub fn publish(text: &str) -> Result<PublishFrom, Expected> {
    match text {
        "loopback" => Ok(PublishFrom::Loopback),
        "anyone" => Ok(PublishFrom::Anyone),
        "nobody" => Ok(PublishFrom::Nobody),
        _ => Err("loopback, anyone or nobody".to_owned()),
    }
}

/// Writes who may publish as it is read.
pub fn publish_text(publish: PublishFrom) -> &'static str {
    match publish {
        PublishFrom::Loopback => "loopback",
        PublishFrom::Anyone => "anyone",
        PublishFrom::Nobody => "nobody",
    }
}

/// `paper` or `none`.
pub fn venue(text: &str) -> Result<Venue, Expected> {
    match text {
        "paper" => Ok(Venue::Paper),
        "none" => Ok(Venue::None),
        _ => Err("paper or none".to_owned()),
    }
}

/// Writes a venue as it is read.
pub fn venue_text(venue: Venue) -> &'static str {
    match venue {
        Venue::Paper => "paper",
        Venue::None => "none",
    }
}

/// `text` or `json`.
pub fn log_format(text: &str) -> Result<LogFormat, Expected> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("text or json".to_owned()),
    }
}

/// Writes a form of log lines as it is read.
pub fn log_format_text(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
}

/// `SCHEME://HOST[:PORT]`, as browsers send it: lower case, without the port that the scheme implies.
pub fn origin(text: &str) -> Result<String, Expected> {
    let expected = || {
        "an origin as browsers send it, such as https://example.com or http://10.0.0.7:3000"
            .to_owned()
    };
    let lower = text.to_ascii_lowercase();
    let (scheme, authority) = lower.split_once("://").ok_or_else(expected)?;
    let usual = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let sound = authority
        .parse::<http::uri::Authority>()
        .is_ok_and(|parsed| !parsed.host().is_empty());
    if !sound
        || authority.contains('@')
        || !scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
    {
        return Err(expected());
    }
    Ok(format!(
        "{scheme}://{}",
        authority.strip_suffix(usual).unwrap_or(authority)
    ))
}

/// A name that is harmless wherever it is shown.
pub fn node(text: &str) -> Result<String, Expected> {
    let sound = |c: char| c.is_ascii_alphanumeric() || "-_.:@/".contains(c);
    if text.is_empty() || text.len() > NODE_BYTES || !text.chars().all(sound) {
        return Err(format!(
            "1 to {NODE_BYTES} letters, digits or any of - _ . : @ /"
        ));
    }
    Ok(text.to_owned())
}

/// An overflow policy.
pub fn overflow(text: &str) -> Result<Overflow, Expected> {
    choice(text, &Overflow::ALL, Overflow::as_str)
}

/// One of a few words.
pub fn choice<T: Copy>(
    text: &str,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, Expected> {
    let words: Vec<&str> = all.iter().map(|one| word(*one)).collect();
    let found = words.iter().position(|word| *word == text);
    found
        .map(|i| all[i])
        .ok_or_else(|| format!("one of {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_or_localhost() {
        assert_eq!(
            address("localhost:80").unwrap(),
            "127.0.0.1:80".parse().unwrap()
        );
        assert_eq!(address("[::1]:8124").unwrap().port(), 8124);
        assert_eq!(address_or_none("none").unwrap(), None);
        for text in [
            "8124",
            ":8124",
            "127.0.0.1",
            "example.com:80",
            "localhost:",
            "127.0.0.1:99999",
            "",
        ] {
            assert!(
                address(text).unwrap_err().contains("127.0.0.1:8124"),
                "{text:?}"
            );
        }
    }

    #[test]
    fn sources_name_a_file_or_a_kind() {
        let here = Path::new("/data");
        let replay = |file: &str, again| {
            Some(Source::Replay {
                file: file.into(),
                again,
            })
        };
        assert_eq!(source("none", here), Ok(None));
        assert_eq!(source("synthetic", here), Ok(Some(Source::Synthetic)));
        assert_eq!(
            source("replay:a,b.csv", here),
            Ok(replay("/data/a,b.csv", false))
        );
        assert_eq!(
            source("replay:/x/a.csv.gz,loop", here),
            Ok(replay("/x/a.csv.gz", true))
        );
        for text in [
            "",
            "replay",
            "replay:",
            "replay:,loop",
            "synthetic:1",
            "file:a",
            "Synthetic",
        ] {
            assert!(source(text, here).is_err(), "{text:?}");
        }
    }

    #[test]
    fn logs_are_read_as_they_are_written_and_one_that_is_not_there_yet_is_refused_by_name() {
        let log = |text| log(text, Path::new("/here"));
        for text in ["memory", "disk:/var/lib/x"] {
            assert_eq!(log(text).map(|log| log_text(&log)).as_deref(), Ok(text));
        }
        assert_eq!(
            log("disk:data"),
            Ok(Log::Disk {
                folder: "/here/data".into()
            })
        );
        assert_eq!(
            log("kafka://h:9092/p").unwrap_err(),
            "memory or disk:FOLDER: this build has no kafka log yet"
        );
        assert_eq!(log("ram").unwrap_err(), "memory or disk:FOLDER");
        assert_eq!(log("disk:").unwrap_err(), "memory or disk:FOLDER");
    }

    #[test]
    fn a_time_to_sync_is_read_as_it_is_written() {
        for text in ["none", "always", "interval:100ms", "interval:1m"] {
            assert_eq!(log_sync(text).map(log_sync_text).as_deref(), Ok(text));
        }
        for text in ["", "interval", "interval:0ms", "interval:61s", "100ms"] {
            assert!(log_sync(text).is_err(), "{text}");
        }
    }

    #[test]
    fn retention_is_a_size_then_an_age_then_a_count() {
        let keeps = |text: &str| retain(">", text).map(|r| (r.bytes, r.age_ms, r.count));
        assert_eq!(keeps("64MiB"), Ok((64 << 20, None, None)));
        assert_eq!(
            keeps("1GiB,24h,1000"),
            Ok((1 << 30, Some(86_400_000), Some(1000)))
        );
        assert_eq!(keeps("1GiB,1000"), Ok((1 << 30, None, Some(1000))));
        for text in [
            "",
            "1h",
            "1KiB",
            "1GiB,1000,1h",
            "1GiB,1h,2h",
            "1GiB,",
            "1GiB,0",
            "1GiB,0s",
            "1GiB,1,1,1",
        ] {
            assert!(keeps(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn origins_are_kept_as_browsers_send_them() {
        assert_eq!(
            origin("https://Example.com:443").unwrap(),
            "https://example.com"
        );
        assert_eq!(origin("http://a.b:3000").unwrap(), "http://a.b:3000");
        assert_eq!(origin("http://[::1]:80").unwrap(), "http://[::1]");
        for text in [
            "",
            "null",
            "*",
            "example.com",
            "https://",
            "https://a/",
            "https://a/b",
            "https://u@a",
            "ht tp://a",
        ] {
            assert!(origin(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn node_names_are_short_and_plain() {
        assert_eq!(node("eu-1.example"), Ok("eu-1.example".to_owned()));
        for text in ["", "a b", "a\"b", "ä", &"x".repeat(65)] {
            assert!(node(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for text in ["synthetic", "replay:/a/b.csv", "replay:/a/b.csv,loop"] {
            assert_eq!(
                source_text(&source(text, Path::new("/")).unwrap().unwrap()),
                text
            );
        }
        for policy in Overflow::ALL {
            assert_eq!(overflow(policy.as_str()), Ok(policy));
        }
        for text in ["loopback", "anyone", "nobody"] {
            assert_eq!(publish_text(publish(text).unwrap()), text);
        }
        for text in ["paper", "none"] {
            assert_eq!(venue_text(venue(text).unwrap()), text);
        }
    }
}
