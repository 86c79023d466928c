//! Log lines: one event a line on stderr, as text or JSON.
//!
//! Owns the form and the filter. Must not contain: what is logged; nothing of a client's (no token, no payload) ever is. Driven by
//! `main`, once per process.
//!
//! Law: an event is one line, whatever is in it.

use std::io::{self, IsTerminal};

use thiserror::Error;
use tracing::{Level, Subscriber};
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
    let subscriber = subscriber(
        format,
        filter,
        || OneLine(io::stderr()),
        Colour::of(io::stderr().is_terminal()),
    );
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Twice)
}

/// Whether text has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Colour {
    Yes,
    No,
}

impl Colour {
    fn of(terminal: bool) -> Self {
        if terminal { Self::Yes } else { Self::No }
    }
}

fn subscriber<W: io::Write>(
    format: LogFormat,
    filter: Filter,
    writer: impl Fn() -> W + Send + Sync + 'static,
    colour: Colour,
) -> impl Subscriber + Send + Sync {
    let lines = match format {
        LogFormat::Text => fmt::layer()
            .with_writer(writer)
            .with_ansi(colour == Colour::Yes)
            .boxed(),
        LogFormat::Json => {
            let flat = fmt::layer()
                .json()
                .flatten_event(true)
                .with_current_span(true)
                .with_span_list(false);
            flat.with_writer(writer).boxed()
        }
    };
    registry().with(lines.with_filter(filter.0))
}

/// A writer that is handed one event at a time and keeps it on one line.
struct OneLine<W>(W);

impl<W: io::Write> io::Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        if line.contains(&b'\n') {
            let mut joined = line
                .split(|b| *b == b'\n')
                .collect::<Vec<_>>()
                .join(&b"\\n"[..]);
            joined.push(b'\n');
            self.0.write_all(&joined)?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    /// A place for lines that outlives the subscriber.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, events: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let writer = kept.clone();
        let filter = Filter::read(Some(filter)).unwrap();
        let subscriber = subscriber(format, filter, move || OneLine(writer.clone()), Colour::No);
        tracing::subscriber::with_default(subscriber, events);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    fn evil() {
        let error = io::Error::other("two\nlines\r");
        let _inside = tracing::info_span!("worker", slot = 3).entered();
        tracing::warn!(%error, text = "a\nb", "message\nof two lines");
        tracing::info!("after");
    }

    #[test]
    fn an_event_is_one_line_whatever_is_in_it() {
        let text = logged(LogFormat::Text, "info", evil);
        assert_eq!(text.len(), 2, "{text:?}");
        assert!(
            text[0].contains("WARN worker{slot=3}:") && text[0].contains("error=two\\nlines"),
            "{}",
            text[0]
        );
        let json = logged(LogFormat::Json, "info", evil);
        assert_eq!(json.len(), 2, "{json:?}");
        let event: serde_json::Value = serde_json::from_str(&json[0]).unwrap();
        assert_eq!(event["message"], "message\nof two lines");
        assert_eq!(
            (event["level"].as_str(), event["span"]["slot"].as_u64()),
            (Some("WARN"), Some(3))
        );
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        assert_eq!(logged(LogFormat::Text, "warn", evil).len(), 1);
        assert_eq!(logged(LogFormat::Text, "off", evil).len(), 0);
        assert_eq!(
            logged(LogFormat::Text, "other=trace,pubsub_server=error", evil).len(),
            0
        );
    }

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
