//! Holds the direction of the arrows inside `src/`, which the compiler does not: who may know whom.
//!
//! Owns the table of what each room may name. It reads the sources as text: comments, and code that is only compiled for tests, are
//! left out. Between crates the compiler holds the arrows; what the pure crates must not take from `std` is held here too.

use std::fs;
use std::path::{Path, PathBuf};

/// What the roles that data passes through may name.
const DATA_ROLES: &[&str] = &[
    "clock",
    "config",
    "kernel",
    "link",
    "orders",
    "quotes",
    "telemetry",
];

/// Each room of `src/` and the rooms it may name; the order is bottom up.
const ROOMS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("kernel", &[]),
    ("config", &[]),
    ("quotes", &["config"]),
    ("orders", &[]),
    ("link", &[]),
    ("telemetry", &["config", "link"]),
    ("hub", DATA_ROLES),
    ("worker", DATA_ROLES),
    ("admin", &["clock", "config", "link", "telemetry"]),
    ("supervisor", &["clock", "config", "link", "telemetry"]),
    (
        "testing",
        &["clock", "config", "hub", "link", "telemetry", "worker"],
    ),
];

/// The only room that may name the engine itself; others may name its vocabulary: times, histograms, the hub's messages.
const ENGINE_ROOM: &str = "worker";

/// Texts that only these places may hold, and why.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    (
        "clock_gettime",
        &["src/clock.rs"],
        "one reader of operating-system time",
    ),
    ("Instant::now", &["src/clock.rs"], "time is an argument"),
    ("SystemTime", &["src/clock.rs"], "time is an argument"),
    (
        "thread::sleep",
        &[],
        "a role has one thread, and it must not sleep",
    ),
    ("thread::spawn", &[], "a role has one thread"),
    (
        "thread::Builder",
        &[
            "src/testing/role.rs",
            "src/hub/log/disk/keeper.rs",
            "src/hub/log/disk/checkpoint/write.rs",
        ],
        "a role has one thread; those of a node in a test are made in one place, and the hub has them for what a disk makes wait",
    ),
    (
        "process::exit",
        &["src/role.rs"],
        "roles end by returning, so that a test can run them as threads",
    ),
    (
        "allow(unsafe_code)",
        &[
            "src/telemetry/scoreboard.rs",
            "src/supervisor/inherit.rs",
            "src/kernel/watched.rs",
        ],
        "shared memory, inherited descriptors and one borrowed by tokio, and nothing else",
    ),
];

/// What the pure crates take neither from `std` nor from elsewhere.
const NOT_PURE: &[&str] = &[
    "std::net",
    "std::fs",
    "std::io",
    "std::thread",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::process",
    "std::env",
    "Mutex",
    "RwLock",
    "tokio",
    "tracing",
    "async fn",
    "unsafe",
];

/// A source file: where it is under the package, and its code without comments and tests.
struct Source {
    path: String,
    code: String,
}

fn package() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The sources under a folder of the package that are compiled into the product.
fn sources(folder: &str) -> Vec<Source> {
    let mut found = Vec::new();
    collect(&package().join(folder), &mut found);
    assert!(
        found.len() > 1,
        "there are no sources under {folder}: this test would hold nothing"
    );
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("an entry").path();
        let stem = path
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        if stem == "tests" || stem.ends_with("_tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source");
            let place = path.strip_prefix(package()).expect("inside the package");
            found.push(Source {
                path: place.to_string_lossy().into_owned(),
                code: code(&text),
            });
        }
    }
}

/// Without comments, and without a module of tests: one in the file is its end, one beside it only a line.
fn code(text: &str) -> String {
    let mut kept = Vec::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().copied().unwrap_or_default();
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") && next.ends_with('{') {
            break;
        }
        kept.push(line.split("//").next().unwrap_or_default());
    }
    kept.join("\n")
}

/// The room a file of `src/` is in; `None` for `main`, `lib` and `role`, which know all.
fn room(path: &str) -> Option<&str> {
    let first = path.strip_prefix("src/")?.split(['/', '.']).next()?;
    ROOMS
        .iter()
        .map(|(name, _)| *name)
        .find(|name| *name == first)
}

/// The rooms that a file names: behind `crate::`, in its braces, or behind enough `super::` to reach the root.
fn named(source: &Source) -> Vec<String> {
    let mut names = Vec::new();
    for (at, root) in source.code.match_indices("crate::") {
        names.extend(heads(&source.code[at + root.len()..]));
    }
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    for (at, _) in source.code.match_indices("super::") {
        let chain = &source.code[at..];
        let rest = chain.trim_start_matches("super::");
        let ups = (chain.len() - rest.len()) / "super::".len();
        if ups >= depth {
            names.extend(heads(rest));
        }
    }
    names
}

/// The first words of what follows a path's root: one name, or those between its braces.
fn heads(rest: &str) -> Vec<String> {
    let word = |text: &str| {
        text.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    };
    let Some(inside) = rest.strip_prefix('{') else {
        return vec![word(rest)];
    };
    let (mut depth, mut item, mut items) = (1, String::new(), Vec::new());
    for c in inside.chars() {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        if depth == 0 || (depth == 1 && c == ',') {
            items.push(word(item.trim()));
            item.clear();
        } else {
            item.push(c);
        }
        if depth == 0 {
            break;
        }
    }
    items
}

fn report(broken: &[String], law: &str) {
    assert!(broken.is_empty(), "{law}:\n  {}\n", broken.join("\n  "));
}

#[test]
fn rooms_name_only_the_rooms_below_them() {
    let mut broken = Vec::new();
    for source in sources("src") {
        let Some(own) = room(&source.path) else {
            continue;
        };
        let (_, allowed) = ROOMS
            .iter()
            .find(|(name, _)| *name == own)
            .expect("a room of the table");
        for name in named(&source) {
            let is_room = ROOMS.iter().any(|(room, _)| *room == name);
            if is_room && name != own && !allowed.contains(&name.as_str()) {
                broken.push(format!(
                    "{} names crate::{name}; {own} may name {allowed:?}",
                    source.path
                ));
            }
        }
    }
    report(
        &broken,
        "an arrow points the wrong way (tests/arrows.rs has the table, docs/architecture.md the reason)",
    );
}

#[test]
fn every_room_is_in_the_table() {
    let rooms = fs::read_dir(package().join("src"))
        .expect("src")
        .map(|entry| entry.expect("an entry").path());
    let names = rooms.map(|path| {
        path.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    });
    let unknown: Vec<String> = names
        .filter(|name| !["main", "lib", "role"].contains(&name.as_str()))
        .filter(|name| ROOMS.iter().all(|(room, _)| room != name))
        .collect();
    report(
        &unknown,
        "rooms of src/ whose arrows nobody has written down",
    );
}

#[test]
fn only_the_worker_knows_the_engine() {
    let sources = sources("src");
    let names_engine = |source: &Source| {
        let behind = source
            .code
            .match_indices("pubsub_stream::")
            .map(|(at, root)| &source.code[at + root.len()..]);
        behind.flat_map(heads).any(|name| name == "Engine")
    };
    let outside =
        |source: &&Source| names_engine(source) && room(&source.path) != Some(ENGINE_ROOM);
    let broken: Vec<String> = sources
        .iter()
        .filter(outside)
        .map(|source| source.path.clone())
        .collect();
    report(
        &broken,
        "only src/worker brings sockets and the engine together",
    );
    assert!(
        sources.iter().any(names_engine),
        "nobody names the engine: this test would hold nothing"
    );
}

#[test]
fn what_has_one_place_is_nowhere_else() {
    let mut broken = Vec::new();
    for source in sources("src") {
        for (text, places, why) in ONLY_IN {
            if source.code.contains(text) && !places.contains(&source.path.as_str()) {
                broken.push(format!(
                    "{} has `{text}`: {why}; its places are {places:?}",
                    source.path
                ));
            }
        }
    }
    report(&broken, "something is where it must not be");
}

#[test]
fn the_pure_crates_know_no_socket_file_clock_thread_or_log() {
    let mut broken = Vec::new();
    for source in ["wire/src", "stream/src"].into_iter().flat_map(sources) {
        for text in NOT_PURE {
            if source.code.contains(text) {
                broken.push(format!("{} has `{text}`", source.path));
            }
        }
    }
    report(
        &broken,
        "wire and stream are pure: bytes and times in, values out",
    );
}

#[test]
fn names_are_found_in_every_form_of_import() {
    let read = |path: &str, text: &str| {
        named(&Source {
            path: path.to_owned(),
            code: code(text),
        })
    };
    assert_eq!(read("src/hub/a.rs", "use crate::link::control;"), ["link"]);
    assert_eq!(
        read(
            "src/hub/a.rs",
            "use crate::{clock, link::{a, b}, worker as w};"
        ),
        ["clock", "link", "worker"]
    );
    assert_eq!(
        read("src/hub/a.rs", "use super::super::worker::x;"),
        ["worker"]
    );
    assert_eq!(read("src/hub/mod.rs", "use super::worker::x;"), ["worker"]);
    assert!(
        read(
            "src/hub/a.rs",
            "use super::worker::x; // crate::link\n#[cfg(test)]\nmod tests {\nuse crate::admin; }"
        )
        .is_empty()
    );
}
