//! The configuration file: TOML taken apart into values that know their line.
//!
//! Owns which keys and tables a file may have. Must not contain: what a value means (`resolve`), or reading from disk (`load`).
//! Driven by `load`.
//!
//! Laws: an unknown key is refused with its line, never ignored; every value stays text, so that a wrong one is refused in the
//! same words as on the command line.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::given::{ConfigError, Given, Origin};
use super::setting::{self, SETTINGS, Takes, Typed};

/// Keys of `[limits]`: those of `welcome`, and the node's `topics`, `keys` and `orders`.
pub const LIMITS: &[&str] = &[
    "frame_bytes",
    "topic_bytes",
    "tokens",
    "key_bytes",
    "id_bytes",
    "subscriptions",
    "topics",
    "keys",
    "orders",
];
/// Keys of `[limits.bound]`.
pub const BOUND: &[&str] = &["messages", "bytes", "age_ms"];
/// Keys of `[worker]`.
pub const WORKER: &[&str] = &[
    "connections",
    "node_connections",
    "per_address",
    "handshakes",
    "handshake_ms",
    "header_bytes",
    "commands_per_s",
    "commands_burst",
    "publishes_per_s",
    "publish_bytes_per_s",
    "pending_publishes",
    "calls_per_session",
    "calls",
    "control_bytes",
    "ring_bytes",
    "read_bytes",
    "send_buffer_bytes",
    "notsent_lowat_bytes",
    "mode_hold_ms",
    "cohorts",
];
/// Keys of one `[[retain]]`.
pub const RETAIN: &[&str] = &["pattern", "size", "age", "count"];
/// Keys of one `[[defaults]]`.
pub const DEFAULTS: &[&str] = &[
    "pattern", "messages", "bytes", "age_ms", "overflow", "rate", "batch",
];
/// Keys of one `[[most]]`.
pub const MOST: &[&str] = &["pattern", "messages", "bytes", "age_ms"];

/// A key whose value is a table.
struct Inner {
    key: &'static str,
    /// Its own keys, as they stand in [`Table`]: behind its name and a dot.
    keys: &'static [&'static str],
    example: &'static str,
}

const INNER: &[Inner] = &[
    Inner {
        key: "rate",
        keys: &["rate.mode", "rate.ms", "rate.max_wait_ms", "rate.when"],
        example: "{ mode = \"sample\", ms = 100 }",
    },
    Inner {
        key: "batch",
        keys: &["batch.ms", "batch.messages", "batch.bytes"],
        example: "{ ms = 50, messages = 100 }",
    },
];

/// Values of one table, by key. A table in it stands there with its own key, for its line, and each of its values.
pub type Table = BTreeMap<&'static str, Given>;

/// What a file gives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Settings that are also flags.
    pub settings: Typed,
    /// `[limits]`.
    pub limits: Table,
    /// `[limits.bound]`.
    pub bound: Table,
    /// `[worker]`.
    pub worker: Table,
    /// Each `[[retain]]`, with the line it begins on.
    pub retain: Vec<(Origin, Table)>,
    /// Each `[[defaults]]`, with the line it begins on.
    pub defaults: Vec<(Origin, Table)>,
    /// Each `[[most]]`, with the line it begins on.
    pub most: Vec<(Origin, Table)>,
}

impl File {
    /// Takes a file's text apart; `path` is for the errors.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let reader = Reader { path, text };
        let root = DeTable::parse(text).map_err(|error| {
            let line = error.span().map(|span| reader.line(span.start));
            ConfigError::File {
                path: path.to_owned(),
                line,
                why: format!("not TOML: {}", error.message()),
            }
        })?;
        reader.file(root.get_ref())
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

type Key<'a> = Spanned<DeString<'a>>;
type Value<'a> = Spanned<DeValue<'a>>;

impl Reader<'_> {
    fn file(&self, root: &DeTable<'_>) -> Result<File, ConfigError> {
        let mut file = File::default();
        for (key, value) in root {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("limits", DeValue::Table(table)) => self.limits(table, &mut file)?,
                ("worker", DeValue::Table(table)) => {
                    file.worker = self.table("worker", WORKER, table)?;
                }
                ("retain", DeValue::Array(tables)) => {
                    file.retain = self.tables("retain", RETAIN, tables)?;
                }
                ("defaults", DeValue::Array(tables)) => {
                    file.defaults = self.tables("defaults", DEFAULTS, tables)?;
                }
                ("most", DeValue::Array(tables)) => {
                    file.most = self.tables("most", MOST, tables)?;
                }
                ("limits" | "worker", _) => {
                    return Err(self.refuse(value, format!("{key} must be a table, [{key}]")));
                }
                (name @ ("defaults" | "most"), _) => {
                    return Err(self.refuse(value, format!("{name} must be tables, [[{name}]]")));
                }
                (name, _) => self.setting(name, key.span().start, value, &mut file.settings)?,
            }
        }
        Ok(file)
    }

    fn setting(
        &self,
        name: &str,
        at: usize,
        value: &Value<'_>,
        settings: &mut Typed,
    ) -> Result<(), ConfigError> {
        let Some(setting) = setting::find(name) else {
            let known: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
            return Err(self.unknown(
                name,
                at,
                &[&known[..], &["limits", "worker", "defaults", "most"]].concat(),
            ));
        };
        match value.get_ref() {
            DeValue::Array(values) if setting.takes == Takes::Repeated && values.is_empty() => {
                return Err(self.refuse(
                    value,
                    format!("{name} is empty: expected \"none\" for none"),
                ));
            }
            DeValue::Array(values) if setting.takes != Takes::One => {
                for value in values {
                    settings.add(
                        setting,
                        &self.scalar(name, value)?,
                        &self.origin(value.span().start),
                    );
                }
            }
            _ => settings.add(
                setting,
                &self.scalar(name, value)?,
                &self.origin(value.span().start),
            ),
        }
        Ok(())
    }

    fn limits(&self, table: &DeTable<'_>, file: &mut File) -> Result<(), ConfigError> {
        for (key, value) in table {
            match (key.get_ref().as_ref(), value.get_ref()) {
                ("bound", DeValue::Table(bound)) => {
                    file.bound = self.table("limits.bound", BOUND, bound)?;
                }
                ("bound", _) => {
                    return Err(
                        self.refuse(value, "bound must be a table, [limits.bound]".to_owned())
                    );
                }
                _ => self.entry("limits", LIMITS, (key, value), &mut file.limits)?,
            }
        }
        Ok(())
    }

    fn tables(
        &self,
        name: &str,
        known: &'static [&'static str],
        tables: &[Value<'_>],
    ) -> Result<Vec<(Origin, Table)>, ConfigError> {
        let read = |value: &Value<'_>| match value.get_ref() {
            DeValue::Table(table) => Ok((
                self.origin(value.span().start),
                self.table(name, known, table)?,
            )),
            _ => Err(self.refuse(value, format!("{name} must be tables, [[{name}]]"))),
        };
        tables.iter().map(read).collect()
    }

    fn table(
        &self,
        name: &str,
        known: &'static [&'static str],
        table: &DeTable<'_>,
    ) -> Result<Table, ConfigError> {
        let mut read = Table::new();
        for entry in table {
            self.entry(name, known, entry, &mut read)?;
        }
        Ok(read)
    }

    fn entry(
        &self,
        table: &str,
        known: &'static [&'static str],
        (key, value): (&Key<'_>, &Value<'_>),
        read: &mut Table,
    ) -> Result<(), ConfigError> {
        let name = format!("{table}.{}", key.get_ref());
        let Some(&found) = known.iter().find(|known| *known == key.get_ref()) else {
            return Err(self.unknown(&name, key.span().start, known));
        };
        let text = match INNER.iter().find(|inner| inner.key == found) {
            Some(inner) => self.inner(table, inner, value, read)?,
            None => self.scalar(&name, value)?,
        };
        let origin = self.origin(value.span().start);
        read.insert(found, Given { text, origin });
        Ok(())
    }

    /// Reads the values of a table inside a table. The text that stands for it as a whole is empty.
    fn inner(
        &self,
        table: &str,
        inner: &Inner,
        value: &Value<'_>,
        read: &mut Table,
    ) -> Result<String, ConfigError> {
        let name = format!("{table}.{}", inner.key);
        let DeValue::Table(values) = value.get_ref() else {
            let (kind, example) = (kind(value.get_ref()), inner.example);
            let why = format!("{name} is {kind}: expected a table such as {example}");
            return Err(self.refuse(value, why));
        };
        for (key, value) in values {
            let text = format!("{}.{}", inner.key, key.get_ref());
            let name = format!("{table}.{text}");
            let Some(&found) = inner.keys.iter().find(|known| **known == text) else {
                let known: Vec<&str> = inner.keys.iter().filter_map(|key| own_name(key)).collect();
                return Err(self.unknown(&name, key.span().start, &known));
            };
            let (text, origin) = (self.scalar(&name, value)?, self.origin(value.span().start));
            read.insert(found, Given { text, origin });
        }
        Ok(String::new())
    }

    /// A string, whole number or switch as text.
    fn scalar(&self, name: &str, value: &Value<'_>) -> Result<String, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Boolean(on) => Ok(on.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Ok(number.to_string()),
                    // More than any setting takes: its range refuses it.
                    Err(_) => Ok(number.as_str().to_owned()),
                }
            }
            other => Err(self.refuse(
                value,
                format!(
                    "{name} is {}: expected a string or a whole number",
                    kind(other)
                ),
            )),
        }
    }

    fn unknown(&self, name: &str, at: usize, known: &[&str]) -> ConfigError {
        let why = format!(
            "unknown setting {name}: expected one of {}",
            known.join(", ")
        );
        ConfigError::File {
            path: self.path.to_owned(),
            line: Some(self.line(at)),
            why,
        }
    }

    fn refuse(&self, value: &Value<'_>, why: String) -> ConfigError {
        ConfigError::File {
            path: self.path.to_owned(),
            line: Some(self.line(value.span().start)),
            why,
        }
    }

    fn origin(&self, at: usize) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: self.line(at),
        }
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at.min(self.text.len())].matches('\n').count() + 1
    }
}

/// The key of a table inside a table as it is written there.
fn own_name(key: &'static str) -> Option<&'static str> {
    key.split_once('.').map(|(_, own)| own)
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::Float(_) => "a fraction",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Boolean(_) => "a plain value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<File, String> {
        File::parse(Path::new("node.toml"), text).map_err(|error| error.to_string())
    }

    #[test]
    fn values_know_their_line() {
        let file = read("# a node\nworkers = 0x10\n\n[limits]\nframe_bytes = \"64KiB\"\n[limits.bound]\nage_ms = 5\n").unwrap();
        let given = &file.settings.get("workers").unwrap()[0];
        assert_eq!(
            (given.text.as_str(), given.origin.to_string()),
            ("16", "node.toml:2".into())
        );
        assert_eq!(file.limits["frame_bytes"].origin.to_string(), "node.toml:5");
        assert_eq!(file.bound["age_ms"].text, "5");
    }

    #[test]
    fn lists_may_be_arrays_or_one_text() {
        let texts = |text: &str, name: &str| -> Vec<String> {
            let file = read(text).unwrap();
            file.settings
                .get(name)
                .unwrap()
                .iter()
                .map(|given| given.text.clone())
                .collect()
        };
        assert_eq!(
            texts("source = ['synthetic', 'replay:a.csv,loop']", "source"),
            ["synthetic", "replay:a.csv,loop"]
        );
        assert_eq!(texts("source = 'none'", "source"), ["none"]);
        assert_eq!(
            texts("origins = 'https://a,https://b'", "origins"),
            ["https://a", "https://b"]
        );
    }

    #[test]
    fn retain_is_a_setting_or_tables() {
        assert_eq!(
            read("retain = '1GiB'")
                .unwrap()
                .settings
                .get("retain")
                .unwrap()[0]
                .text,
            "1GiB"
        );
        let file = read(
            "[[retain]]\npattern='a.>'\nsize='1MiB'\n[[retain]]\npattern='>'\nsize=1000\ncount=7",
        )
        .unwrap();
        assert_eq!(file.retain.len(), 2);
        assert_eq!(file.retain[1].1["count"].text, "7");
    }

    #[test]
    fn a_table_inside_a_table_may_be_written_in_any_form_of_toml() {
        for text in [
            "[[defaults]]\nrate = { mode = 'sample', ms = 100 }",
            "[[defaults]]\nrate.mode = 'sample'\nrate.ms = 100",
            "[[defaults]]\n[defaults.rate]\nmode = 'sample'\nms = 100",
        ] {
            let (_, table) = &read(text).unwrap().defaults[0];
            let texts: Vec<(&str, &str)> = table
                .iter()
                .map(|(key, given)| (*key, given.text.as_str()))
                .collect();
            assert_eq!(
                texts,
                [("rate", ""), ("rate.mode", "sample"), ("rate.ms", "100")],
                "{text}"
            );
        }
    }

    #[test]
    fn an_unknown_name_is_refused_with_its_line_and_the_known_ones() {
        let line = read("workers = 1\nwrokers = 2").unwrap_err();
        assert!(
            line.starts_with(
                "node.toml:2: unknown setting wrokers: expected one of workers, listen"
            ),
            "{line}"
        );
        let line = read("[worker]\nconections = 2").unwrap_err();
        assert!(
            line.starts_with(
                "node.toml:2: unknown setting worker.conections: expected one of connections"
            ),
            "{line}"
        );
        let line = read("[[defaults]]\nkey = 2").unwrap_err();
        assert!(
            line.contains("defaults.key: expected one of pattern, messages"),
            "{line}"
        );
        let line = read("[[most]]\noverflow = 2").unwrap_err();
        assert!(
            line.ends_with("most.overflow: expected one of pattern, messages, bytes, age_ms"),
            "{line}"
        );
        let line = read("[[defaults]]\npattern = 'a'\nrate = { mod = 'all' }").unwrap_err();
        assert!(
            line.ends_with(
                "node.toml:3: unknown setting defaults.rate.mod: expected one of mode, ms, max_wait_ms, when"
            ),
            "{line}"
        );
    }

    #[test]
    fn what_has_the_wrong_shape_is_refused_with_its_line() {
        for (text, part) in [
            (
                "workers = 1.5",
                "node.toml:1: workers is a fraction: expected a string or a whole number",
            ),
            ("workers = [1]", "workers is an array"),
            (
                "source = []",
                "node.toml:1: source is empty: expected \"none\" for none",
            ),
            ("limits = 1", "limits must be a table, [limits]"),
            ("worker = []", "worker must be a table, [worker]"),
            (
                "[limits]\nbound = 1",
                "node.toml:2: bound must be a table, [limits.bound]",
            ),
            ("[defaults]", "defaults must be tables, [[defaults]]"),
            ("most = 1", "most must be tables, [[most]]"),
            (
                "[[defaults]]\nrate = 'sample'",
                "node.toml:2: defaults.rate is a plain value: expected a table such as { mode = \"sample\", ms = 100 }",
            ),
            (
                "[[defaults]]\nbatch = [1]",
                "defaults.batch is an array: expected a table such as { ms = 50, messages = 100 }",
            ),
            (
                "[[defaults]]\nbatch = { ms = 1.5 }",
                "defaults.batch.ms is a fraction",
            ),
            (
                "[[defaults]]\nmessages = { ms = 1 }",
                "defaults.messages is a table: expected a string or a whole number",
            ),
            (
                "[[defaults]]\n'rate.ms' = 1",
                "unknown setting defaults.rate.ms",
            ),
            ("retain = [1]", "retain must be tables, [[retain]]"),
            ("workers = ", "node.toml:1: not TOML: "),
            (
                "workers = 1\nworkers = 2",
                "node.toml:2: not TOML: duplicate key",
            ),
        ] {
            let line = read(text).unwrap_err();
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
    }
}
