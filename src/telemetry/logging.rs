//! Log lines: one event a line on stderr, as text or JSON.
//!
//! Owns the form and the filter. Must not contain: what is logged; nothing of a client's (no token, no payload) ever is. Driven by
//! `main`, once per process.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry;
use tracing_subscriber::{Layer, fmt};

use crate::config::LogFormat;

/// The environment variable with the filter, such as `debug` or `pubsub_server::worker=debug,warn`.
pub const FILTER_VARIABLE: &str = "RUST_LOG";

/// Why logging cannot begin.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The filter is none.
    #[error(
        "{FILTER_VARIABLE} = {0:?} (from environment variable {FILTER_VARIABLE}): expected a level such as info or debug, or target=level pairs separated by commas"
    )]
    Filter(String),
    /// It was begun before.
    #[error("logging was set up twice")]
    Twice,
}

/// Which events are logged.
#[derive(Debug, Clone)]
pub struct Filter(Targets);

impl Filter {
    /// Reads a filter; `None` or empty is `info`.
    pub fn read(text: Option<&str>) -> Result<Self, LoggingError> {
        match text.filter(|text| !text.is_empty()) {
            Some(text) => text
                .parse()
                .map(Self)
                .map_err(|_| LoggingError::Filter(text.to_owned())),
            None => Ok(Self(Targets::new().with_default(Level::INFO))),
        }
    }
}

/// Begins logging in this process.
pub fn init(format: LogFormat, filter: Filter) -> Result<(), LoggingError> {
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            .boxed(),
        LogFormat::Json => {
            let flat = fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false);
            flat.with_writer(io::stderr).boxed()
        }
    };
    let subscriber = registry().with(lines.with_filter(filter.0));
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Twice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_levels_or_targets_with_levels() {
        for text in [
            None,
            Some(""),
            Some("debug"),
            Some("pubsub_server::worker=trace,warn"),
            Some("off"),
        ] {
            assert!(Filter::read(text).is_ok(), "{text:?}");
        }
        let line = Filter::read(Some("loud\n=x")).unwrap_err().to_string();
        assert!(
            line.starts_with("RUST_LOG = ") && !line.contains('\n'),
            "{line}"
        );
    }
}
