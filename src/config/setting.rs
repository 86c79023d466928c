//! Which settings there are: one name for flag, environment and file.
//!
//! Owns the names. Must not contain: what a value means (`resolve`), or what `--help` says (`args`). Driven by everything that
//! reads a source of settings; a test holds it against the flags that clap knows.

use std::collections::BTreeMap;

use super::given::{Given, Origin};

/// A setting of the node, by its one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// `--NAME`, and the key in the file.
    pub name: &'static str,
    /// Environment variables, the first one that is set counts.
    pub env: &'static [&'static str],
    /// How many values it takes.
    pub takes: Takes,
}

/// How many values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// One.
    One,
    /// Any number, separated by commas wherever it is one text.
    List,
    /// Any number, by repeating the flag; each may hold commas, so that the environment separates them by semicolons.
    Repeated,
}

const fn one(name: &'static str, env: &'static [&'static str]) -> Setting {
    Setting {
        name,
        env,
        takes: Takes::One,
    }
}

/// All settings. Names of a `Setting` never change their meaning.
pub const SETTINGS: &[Setting] = &[
    one("workers", &["PUBSUB_WORKERS", "MAX_THREADS"]),
    one("listen", &["PUBSUB_LISTEN"]),
    one("admin", &["PUBSUB_ADMIN"]),
    Setting {
        name: "source",
        env: &["PUBSUB_SOURCE"],
        takes: Takes::Repeated,
    },
    one("interval-ms", &["PUBSUB_INTERVAL_MS"]),
    one("rows", &["PUBSUB_ROWS", "MAX_ROWS"]),
    one("log", &["PUBSUB_LOG"]),
    one("log-sync", &["PUBSUB_LOG_SYNC"]),
    one("retain", &["PUBSUB_RETAIN"]),
    one("heartbeat", &["PUBSUB_HEARTBEAT"]),
    one("write-stall", &["PUBSUB_WRITE_STALL"]),
    one("partitions", &["PUBSUB_PARTITIONS"]),
    one("run-dir", &["PUBSUB_RUN_DIR"]),
    one("log-format", &["PUBSUB_LOG_FORMAT"]),
    one("publish", &["PUBSUB_PUBLISH"]),
    Setting {
        name: "origins",
        env: &["PUBSUB_ORIGINS"],
        takes: Takes::List,
    },
    one("drain", &["PUBSUB_DRAIN"]),
    one("node", &["PUBSUB_NODE"]),
    one("venue", &["PUBSUB_VENUE"]),
    one("echo", &["PUBSUB_ECHO"]),
];

/// The setting of this name.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// What one source (the flags, the environment, the file) gave: values by the setting's name, never an empty list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Typed {
    values: BTreeMap<&'static str, Vec<Given>>,
}

impl Typed {
    /// What the environment gives. A variable that is set and empty gives nothing, as container files write it.
    pub fn from_env(env: &BTreeMap<String, String>) -> Self {
        let mut typed = Self::default();
        for setting in SETTINGS {
            let set = setting
                .env
                .iter()
                .find_map(|name| env.get(*name).filter(|v| !v.is_empty()).map(|v| (*name, v)));
            if let Some((name, value)) = set {
                typed.add(setting, value, &Origin::Env(name));
            }
        }
        typed
    }

    /// Adds a value, taken apart where the setting takes many.
    pub fn add(&mut self, setting: &'static Setting, text: &str, origin: &Origin) {
        let values = self.values.entry(setting.name).or_default();
        let mut push = |text: &str| {
            values.push(Given {
                text: text.to_owned(),
                origin: origin.clone(),
            });
        };
        match (setting.takes, origin) {
            (Takes::List, _) => text.split(',').map(str::trim).for_each(push),
            (Takes::Repeated, Origin::Env(_)) => text.split(';').map(str::trim).for_each(push),
            (Takes::One | Takes::Repeated, _) => push(text),
        }
    }

    /// The values given for a setting.
    pub fn get(&self, name: &str) -> Option<&[Given]> {
        self.values.get(name).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Typed {
        Typed::from_env(
            &pairs
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
        )
    }

    fn texts(typed: &Typed, name: &str) -> Vec<String> {
        typed
            .get(name)
            .unwrap_or_default()
            .iter()
            .map(|given| given.text.clone())
            .collect()
    }

    #[test]
    fn every_setting_has_an_environment_variable_of_its_name() {
        for setting in SETTINGS {
            let wanted = format!("PUBSUB_{}", setting.name.to_uppercase().replace('-', "_"));
            assert_eq!(setting.env[0], wanted);
            assert_eq!(
                SETTINGS
                    .iter()
                    .filter(|other| other.name == setting.name)
                    .count(),
                1
            );
        }
    }

    #[test]
    fn the_older_variables_count_when_the_newer_are_not_set() {
        let older = env(&[
            ("MAX_THREADS", "3"),
            ("MAX_ROWS", "5"),
            ("PUBSUB_ROWS", "6"),
        ]);
        assert_eq!(
            older.get("workers").unwrap()[0].origin,
            Origin::Env("MAX_THREADS")
        );
        assert_eq!(texts(&older, "rows"), ["6"]);
    }

    #[test]
    fn an_empty_variable_gives_nothing() {
        let empty = env(&[
            ("PUBSUB_WORKERS", ""),
            ("MAX_THREADS", "4"),
            ("PUBSUB_LISTEN", ""),
        ]);
        assert_eq!(texts(&empty, "workers"), ["4"]);
        assert_eq!(empty.get("listen"), None);
    }

    #[test]
    fn lists_are_taken_apart() {
        let mut lists = env(&[
            ("PUBSUB_SOURCE", "synthetic; replay:a,b.csv,loop"),
            ("PUBSUB_ORIGINS", "https://a, https://b"),
        ]);
        assert_eq!(
            texts(&lists, "source"),
            ["synthetic", "replay:a,b.csv,loop"]
        );
        assert_eq!(texts(&lists, "origins"), ["https://a", "https://b"]);
        lists.add(
            find("source").unwrap(),
            "replay:c;d.csv",
            &Origin::Flag("source"),
        );
        assert_eq!(texts(&lists, "source")[2], "replay:c;d.csv");
    }
}
