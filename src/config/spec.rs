//! Single values with a form of their own: addresses, sources, the log, retention, origins, names.
//!
//! Owns their spelling. Must not contain: which setting is which, or where a value came from. Driven by `resolve`, `tables` and
//! `print`.
//!
//! Law: each reader says in its error what would be right; a value of a part that this build lacks is refused in so many words.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use pubsub_wire::value::Overflow;

use super::resolved::{Log, LogFormat, PublishFrom, Retain, Source, Venue};
use super::units;

/// Longest node name: it is in every `welcome`.
const NODE_BYTES: usize = 64;
/// Least a log may keep: a few publications of the largest size.
const RETAIN_BYTES_MIN: u64 = 64 << 10;

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

/// `memory`; the other logs are refused by name.
pub fn log(text: &str) -> Result<Log, Expected> {
    let missing = |log: &str| Err(format!("memory: this build has no {log} log yet"));
    match text {
        "memory" => Ok(Log::Memory),
        _ if text.starts_with("disk:") => missing("disk"),
        _ if text.starts_with("kafka:") => missing("kafka"),
        _ => Err("memory".to_owned()),
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
    fn logs_that_are_not_there_yet_are_refused_by_name() {
        assert_eq!(log("memory"), Ok(Log::Memory));
        assert_eq!(
            log("disk:/var/lib/x").unwrap_err(),
            "memory: this build has no disk log yet"
        );
        assert_eq!(
            log("kafka://h:9092/p").unwrap_err(),
            "memory: this build has no kafka log yet"
        );
        assert_eq!(log("ram").unwrap_err(), "memory");
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
