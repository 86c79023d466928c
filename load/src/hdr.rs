//! `--hdr FILE`: the latencies of each line and group as a log of histograms that other tools read (`HdrHistogram`'s log format 1.3:
//! `HistogramLogProcessor`, `hdr-plot` and the like).
//!
//! Values are microseconds. Intervals begin at seconds since `BaseTime`. Each line goes out whole, so that the file is whole whenever the
//! run ends.
use crate::swarm::Tally;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// What stands above the lines.
const LEGEND: &str =
    r#""StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram""#;

/// A log under way.
#[derive(Debug)]
pub struct HdrLog<W> {
    out: W,
}

/// A stretch of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// When it began, from the beginning of the run.
    pub at: Duration,
    /// How long it was.
    pub length: Duration,
}

impl HdrLog<File> {
    /// Begins a log of a run that began then, microseconds since the Unix epoch.
    pub fn create(path: &Path, begun_us: u64) -> io::Result<Self> {
        Self::begin(File::create(path)?, begun_us)
    }
}

impl<W: Write> HdrLog<W> {
    /// The same, anywhere.
    pub fn begin(mut out: W, begun_us: u64) -> io::Result<Self> {
        let begun = UNIX_EPOCH + Duration::from_micros(begun_us);
        let mut head = Vec::new();
        IntervalLogWriterBuilder::new()
            .add_comment("[Histogram log format version 1.3]")
            .add_comment(" Latencies of pubsub-load in microseconds")
            .with_start_time(begun)
            .with_base_time(begun)
            .begin_log_with(&mut head, &mut V2DeflateSerializer::new())?;
        writeln!(head, "{LEGEND}")?;
        out.write_all(&head)?;
        Ok(Self { out })
    }

    /// Adds what came in an interval; of a group by that name, where there are several.
    pub fn add(
        &mut self,
        interval: Interval,
        group: Option<&str>,
        tally: &Tally,
    ) -> io::Result<()> {
        let name = group.map(plain);
        let mut line = Vec::new();
        IntervalLogWriterBuilder::new()
            .begin_log_with(&mut line, &mut V2DeflateSerializer::new())?
            .write_histogram(
                tally.latencies_us(),
                interval.at,
                interval.length,
                name.as_deref().and_then(Tag::new),
            )
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

/// A tag has neither commas nor spaces.
fn plain(name: &str) -> String {
    name.replace([',', ' ', '\r', '\n'], "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use hdrhistogram::Histogram;
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    fn tally(latencies_us: &[u64]) -> Tally {
        let mut tally = Tally::new(0);
        for us in latencies_us {
            tally.receive(*us, 1);
        }
        tally
    }

    #[test]
    fn what_is_written_is_read_back_by_a_reader_of_such_logs() {
        let second = |at| Interval {
            at: Duration::from_secs(at),
            length: Duration::from_millis(1500),
        };
        let mut log = HdrLog::begin(Vec::new(), 1_790_000_000_250_000).unwrap();
        log.add(second(0), None, &tally(&[1000, 5000])).unwrap();
        log.add(second(2), Some("5%:read=2KB/s, so"), &tally(&[7]))
            .unwrap();
        let text = log.out;
        assert!(text.starts_with(b"#[Histogram log format version 1.3]\n"));
        let entries: Vec<_> = IntervalLogIterator::new(&text)
            .map(Result::unwrap)
            .collect();
        let begun = Duration::from_millis(1_790_000_000_250);
        let [
            LogEntry::StartTime(start),
            LogEntry::BaseTime(base),
            LogEntry::Interval(first),
            LogEntry::Interval(second),
        ] = &entries[..]
        else {
            panic!("{entries:?}")
        };
        assert_eq!((*start, *base), (begun, begun));
        assert_eq!(
            (first.tag(), first.start_timestamp(), first.duration()),
            (None, Duration::ZERO, Duration::from_millis(1500))
        );
        assert_eq!(
            second.tag().map(|tag| tag.as_str()),
            Some("5%:read=2KB/s__so")
        );
        let bytes = STANDARD.decode(first.encoded_histogram()).unwrap();
        let histogram: Histogram<u64> = Deserializer::new()
            .deserialize(&mut bytes.as_slice())
            .unwrap();
        assert_eq!((histogram.len(), histogram.count_at(1000)), (2, 1));
        assert!(histogram.equivalent(histogram.max(), 5000));
    }
}
