//! The resolved configuration as a file that resolves to the same.
//!
//! Owns how it is shown. Must not contain: defaults. Driven by `check` and `--print-config`.
//!
//! Law: what is printed is a valid configuration file, and means the same.

use std::fmt::{self, Display, Write as _};

use pubsub_wire::value::{Batch, Bound, Rate, RateMode};

use super::given::Origin;
use super::resolve::Resolved;
use super::resolved::{Config, Defaults, Most, Retain};
use super::{spec, units};

/// Column where the origins begin, so that values can be read down the page.
const ORIGIN_COLUMN: usize = 40;

/// Everything a node would run with, as TOML, each value with where it came from.
pub fn toml(resolved: &Resolved) -> String {
    let mut page = Page {
        text: String::new(),
        resolved,
    };
    // Writing to a string cannot fail.
    let _ = page.settings(&resolved.config);
    let _ = page.tables(&resolved.config);
    page.text
}

struct Page<'a> {
    text: String,
    resolved: &'a Resolved,
}

impl Page<'_> {
    fn settings(&mut self, config: &Config) -> fmt::Result {
        let sources: Vec<String> = config
            .sources
            .iter()
            .map(|source| quoted(&spec::source_text(source)))
            .collect();
        let sources = if sources.is_empty() {
            vec![quoted("none")]
        } else {
            sources
        };
        let origins: Vec<String> = config.origins.iter().map(|origin| quoted(origin)).collect();
        let (low, high) = config.interval_ms;
        let admin = config
            .admin
            .map_or_else(|| "none".to_owned(), |admin| admin.to_string());
        self.line("workers", "workers", &config.workers)?;
        self.line("listen", "listen", &quoted(&config.listen.to_string()))?;
        self.line("admin", "admin", &quoted(&admin))?;
        self.line("source", "source", &format!("[{}]", sources.join(", ")))?;
        self.line(
            "interval-ms",
            "interval-ms",
            &quoted(&format!("{low}..{high}")),
        )?;
        self.line("rows", "rows", &config.rows)?;
        self.line("log", "log", &quoted(&spec::log_text(&config.log)))?;
        self.line(
            "log-sync",
            "log-sync",
            &quoted(&spec::log_sync_text(config.log_sync)),
        )?;
        self.line(
            "heartbeat",
            "heartbeat",
            &quoted(&units::millis_text(config.heartbeat_ms)),
        )?;
        self.line(
            "write-stall",
            "write-stall",
            &quoted(&units::millis_text(config.write_stall_ms)),
        )?;
        self.line(
            "run-dir",
            "run-dir",
            &quoted(&config.run_dir.to_string_lossy()),
        )?;
        self.line(
            "log-format",
            "log-format",
            &quoted(spec::log_format_text(config.log_format)),
        )?;
        self.line(
            "publish",
            "publish",
            &quoted(spec::publish_text(config.publish)),
        )?;
        self.line("origins", "origins", &format!("[{}]", origins.join(", ")))?;
        self.line(
            "drain",
            "drain",
            &quoted(&units::millis_text(config.drain_ms)),
        )?;
        self.line("node", "node", &quoted(&config.node))?;
        self.line("venue", "venue", &quoted(spec::venue_text(config.venue)))?;
        self.line("echo", "echo", &config.echo)
    }

    fn tables(&mut self, config: &Config) -> fmt::Result {
        let (limits, worker) = (&config.limits, &config.worker);
        self.table(
            "limits",
            &[
                ("frame_bytes", size(limits.frame_bytes as u64)),
                ("topic_bytes", limits.topic_bytes.to_string()),
                ("tokens", limits.tokens.to_string()),
                ("key_bytes", limits.key_bytes.to_string()),
                ("id_bytes", limits.id_bytes.to_string()),
                ("subscriptions", limits.subscriptions.to_string()),
                ("topics", config.topics_max.to_string()),
                ("keys", config.keys_max.to_string()),
                ("orders", config.orders_max.to_string()),
            ],
        )?;
        self.table(
            "limits.bound",
            &[
                ("messages", limits.bound.messages.to_string()),
                ("bytes", size(limits.bound.bytes)),
                ("age_ms", limits.bound.age_ms.to_string()),
            ],
        )?;
        self.table(
            "worker",
            &[
                ("connections", worker.connections.to_string()),
                ("node_connections", worker.node_connections.to_string()),
                ("per_address", worker.per_address.to_string()),
                ("handshakes", worker.handshakes.to_string()),
                ("handshake_ms", worker.handshake_ms.to_string()),
                ("header_bytes", size(worker.header_bytes as u64)),
                ("commands_per_s", worker.commands_per_s.to_string()),
                ("commands_burst", worker.commands_burst.to_string()),
                ("publishes_per_s", worker.publishes_per_s.to_string()),
                (
                    "publish_bytes_per_s",
                    size(u64::from(worker.publish_bytes_per_s)),
                ),
                ("pending_publishes", worker.pending_publishes.to_string()),
                ("calls_per_session", worker.calls_per_session.to_string()),
                ("calls", worker.calls.to_string()),
                ("control_bytes", size(worker.control_bytes as u64)),
                ("ring_bytes", size(worker.ring_bytes as u64)),
                ("read_bytes", size(u64::from(worker.read_bytes))),
                ("send_buffer_bytes", size(worker.send_buffer_bytes as u64)),
                (
                    "notsent_lowat_bytes",
                    size(u64::from(worker.notsent_lowat_bytes)),
                ),
                ("mode_hold_ms", worker.mode_hold_ms.to_string()),
                ("cohorts", worker.cohorts.to_string()),
            ],
        )?;
        config
            .retain
            .iter()
            .try_for_each(|retain| self.retain(retain))?;
        config
            .defaults
            .iter()
            .try_for_each(|entry| self.default(entry))?;
        config.most.iter().try_for_each(|entry| self.most(entry))
    }

    fn retain(&mut self, retain: &Retain) -> fmt::Result {
        let named = format!("retain {}", retain.pattern);
        let origin = match (self.resolved.origins.get("retain"), retain.pattern.as_str()) {
            (Some(_), ">") => "retain",
            _ => &named,
        };
        write!(self.text, "\n[[retain]]\n")?;
        self.line(origin, "pattern", &quoted(&retain.pattern))?;
        self.line(origin, "size", &size(retain.bytes))?;
        if let Some(age_ms) = retain.age_ms {
            self.line(origin, "age", &quoted(&units::millis_text(age_ms)))?;
        }
        if let Some(count) = retain.count {
            self.line(origin, "count", &count)?;
        }
        Ok(())
    }

    fn default(&mut self, entry: &Defaults) -> fmt::Result {
        self.bound("defaults", &entry.pattern, entry.bound)?;
        let origin = |key: &str| format!("defaults {} {key}", entry.pattern);
        if let Some(overflow) = entry.overflow {
            self.line(&origin("overflow"), "overflow", &quoted(overflow.as_str()))?;
        }
        if let Some(rate) = entry.rate {
            self.line(&origin("rate"), "rate", &inline(&rate_values(rate)))?;
        }
        if let Some(batch) = entry.batch {
            self.line(&origin("batch"), "batch", &inline(&batch_values(batch)))?;
        }
        Ok(())
    }

    fn most(&mut self, entry: &Most) -> fmt::Result {
        let most = entry.bound;
        let bound = Bound {
            messages: Some(most.messages),
            bytes: Some(most.bytes),
            age_ms: Some(most.age_ms),
        };
        self.bound("most", &entry.pattern, bound)
    }

    /// Begins an entry of a list by pattern with what all of them can name.
    fn bound(&mut self, list: &str, pattern: &str, bound: Bound) -> fmt::Result {
        let values = [
            ("messages", bound.messages.map(|n| n.to_string())),
            ("bytes", bound.bytes.map(size)),
            ("age_ms", bound.age_ms.map(|ms| ms.to_string())),
        ];
        write!(self.text, "\n[[{list}]]\npattern = {}\n", quoted(pattern))?;
        for (key, value) in values {
            if let Some(value) = value {
                self.line(&format!("{list} {pattern} {key}"), key, &value)?;
            }
        }
        Ok(())
    }

    fn table(&mut self, name: &str, values: &[(&str, String)]) -> fmt::Result {
        write!(self.text, "\n[{name}]\n")?;
        values
            .iter()
            .try_for_each(|(key, value)| self.line(&format!("{name}.{key}"), key, value))
    }

    fn line(&mut self, setting: &str, key: &str, value: &dyn Display) -> fmt::Result {
        let line = format!("{key} = {value}");
        match self.resolved.origin(setting) {
            Origin::Default => writeln!(self.text, "{line}"),
            origin => writeln!(self.text, "{line:ORIGIN_COLUMN$} # {origin}"),
        }
    }
}

fn rate_values(rate: Rate) -> Vec<(&'static str, String)> {
    let mut values = vec![("mode", quoted(rate.mode.as_str()))];
    if rate.mode != RateMode::All {
        values.push(("ms", rate.ms.to_string()));
    }
    values.extend(rate.max_wait_ms.map(|ms| ("max_wait_ms", ms.to_string())));
    values.push(("when", quoted(rate.when.as_str())));
    values
}

fn batch_values(batch: Batch) -> Vec<(&'static str, String)> {
    let values = [
        ("ms", batch.ms.map(|ms| ms.to_string())),
        ("messages", batch.messages.map(|n| n.to_string())),
        ("bytes", batch.bytes.map(size)),
    ];
    let some = |(key, value): (_, Option<_>)| Some((key, value?));
    values.into_iter().filter_map(some).collect()
}

/// A TOML table in one line.
fn inline(values: &[(&str, String)]) -> String {
    let values: Vec<String> = values
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    format!("{{ {} }}", values.join(", "))
}

/// A TOML string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// A size as a TOML value: with a unit where one divides it.
fn size(bytes: u64) -> String {
    let text = units::bytes_text(bytes);
    if text.bytes().all(|b| b.is_ascii_digit()) {
        text
    } else {
        quoted(&text)
    }
}
