//! A recorded file as a source: CSV, plain or gzipped, `time,symbol,price`.
//!
//! Owns the reading and checking of such files. Must not contain: a timer. Driven as any source, and by the check of the
//! configuration, which reads the whole file before a port is bound.
//!
//! One push is all rows of the next `time`, in the file's order. A price travels as the text it is in the file (so it has to be
//! a JSON number), a symbol becomes a token of a topic (so it has to be one), a time becomes a JSON text. The file is streamed; a
//! row is held at a time.
use super::quote::{Quote, TOPIC_PREFIX};
use super::{Flow, Publish};
use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use flate2::bufread::MultiGzDecoder;
use pubsub_wire::Limits;
use pubsub_wire::topic::{TopicError, check_topic};
use std::fmt::{self, Write};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The first line of every file.
const HEADER: [&str; 3] = ["time", "symbol", "price"];

/// Read at once from the file: large enough that a slow disk is asked seldom.
const BUFFER_BYTES: usize = 64 << 10;

/// How a gzipped file begins (RFC 1952, section 2.3.1).
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// What a replay does at the end of its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// It is over.
    Stop,
    /// It begins again.
    Again,
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {fault}", file.display(), AtLine(*line))]
pub struct SourceError {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1 (in the unpacked text), where there is one to name.
    pub line: Option<u64>,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a file or one of its rows.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// It cannot be opened or read, or is no valid gzip.
    #[error("cannot be read: {0}")]
    Unreadable(io::Error),
    /// The first line is another.
    #[error("the first line is `{0}`, not `time,symbol,price`")]
    Header(String),
    /// Nothing after the first line.
    #[error("holds no rows")]
    NoRows,
    /// Not three fields.
    #[error("has {0} fields, not 3 (time,symbol,price)")]
    Fields(u64),
    /// Not UTF-8.
    #[error("is not UTF-8")]
    NotText,
    /// No time.
    #[error("the time is empty")]
    NoTime,
    /// The symbol cannot be a token of a topic.
    #[error("the symbol `{symbol}` cannot be part of a topic: {why}")]
    Symbol {
        /// As in the file.
        symbol: String,
        /// Why.
        why: SymbolFault,
    },
    /// The price is no number that JSON knows.
    #[error("the price `{0}` is not a number as JSON writes it (such as 24.581)")]
    Price(String),
}

/// Why a symbol is not one token of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SymbolFault {
    /// It would be several tokens.
    #[error("it has a dot")]
    Dot,
    /// It is not allowed in any topic.
    #[error(transparent)]
    Topic(TopicError),
}

/// Behind the file's name.
struct AtLine(Option<u64>);

impl fmt::Display for AtLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Reads the whole of a file, as a replay would.
pub fn check(path: &Path) -> Result<(), SourceError> {
    let mut rows = Rows::open(path)?;
    let mut row = Row::default();
    if !rows.next(&mut row)? {
        return Err(rows.fault(None, Fault::NoRows));
    }
    while rows.next(&mut row)? {}
    Ok(())
}

/// See the module.
#[derive(Debug)]
pub struct Replay {
    rows: Rows,
    at_end: AtEnd,
    /// The first row of the next push.
    next: Row,
    has_next: bool,
    /// Scratch.
    row: Row,
    data: Vec<u8>,
}

impl Replay {
    /// At the beginning of a file.
    pub fn open(path: &Path, at_end: AtEnd) -> Result<Self, SourceError> {
        let mut rows = Rows::open(path)?;
        let mut next = Row::default();
        if !rows.next(&mut next)? {
            return Err(rows.fault(None, Fault::NoRows));
        }
        let (row, data) = (Row::default(), Vec::new());
        Ok(Self {
            rows,
            at_end,
            next,
            has_next: true,
            row,
            data,
        })
    }

    /// Publishes all rows of the next time.
    pub fn push(&mut self, publish: &mut Publish<'_>) -> Result<Flow, SourceError> {
        if !self.has_next {
            return Ok(Flow::Finished);
        }
        self.next.publish(&mut self.data, publish);
        loop {
            self.has_next = self.rows.next(&mut self.row)?;
            let is_same_time = self.has_next && self.row.time == self.next.time;
            std::mem::swap(&mut self.row, &mut self.next);
            if !is_same_time {
                break;
            }
            self.next.publish(&mut self.data, publish);
        }
        match (self.has_next, self.at_end) {
            (true, _) => Ok(Flow::More),
            (false, AtEnd::Stop) => Ok(Flow::Finished),
            (false, AtEnd::Again) => {
                *self = Self::open(&self.rows.path, AtEnd::Again)?;
                Ok(Flow::More)
            }
        }
    }
}

/// One checked row, ready to be published.
#[derive(Debug, Default)]
struct Row {
    /// Escaped for JSON.
    time: String,
    /// With the prefix before the symbol.
    topic: String,
    price: String,
}

impl Row {
    fn publish(&self, data: &mut Vec<u8>, publish: &mut Publish<'_>) {
        let (symbol, price) = (&self.topic[TOPIC_PREFIX.len()..], self.price.as_str());
        let time = &self.time;
        Quote {
            symbol,
            bid: price,
            ask: price,
            last: price,
            volume: 0,
            time,
        }
        .write(data);
        publish(&self.topic, Some(symbol), data);
    }
}

/// The rows of a file, each checked as it is read.
struct Rows {
    path: PathBuf,
    csv: Reader<Box<dyn Read>>,
    record: StringRecord,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Rows {
    fn open(path: &Path) -> Result<Self, SourceError> {
        let unreadable = |error| SourceError {
            file: path.to_owned(),
            line: None,
            fault: Fault::Unreadable(error),
        };
        let mut file =
            BufReader::with_capacity(BUFFER_BYTES, File::open(path).map_err(unreadable)?);
        let is_gzip = file
            .fill_buf()
            .map_err(unreadable)?
            .starts_with(&GZIP_MAGIC);
        let text: Box<dyn Read> = if is_gzip {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        let csv = ReaderBuilder::new().has_headers(false).from_reader(text);
        let mut rows = Self {
            path: path.to_owned(),
            csv,
            record: StringRecord::new(),
        };
        rows.read_header()?;
        Ok(rows)
    }

    fn read_header(&mut self) -> Result<(), SourceError> {
        let found = self.read_record()?;
        if found && self.record == HEADER[..] {
            return Ok(());
        }
        let line: Vec<&str> = self.record.iter().collect();
        let fault = Fault::Header(line.join(","));
        Err(self.fault(Some(1), fault))
    }

    /// The next row; `false` at the end.
    fn next(&mut self, row: &mut Row) -> Result<bool, SourceError> {
        if !self.read_record()? {
            return Ok(false);
        }
        let fields = [&self.record[0], &self.record[1], &self.record[2]];
        match row.set(fields) {
            Ok(()) => Ok(true),
            Err(fault) => {
                let line = self.record.position().map(csv::Position::line);
                Err(self.fault(line, fault))
            }
        }
    }

    fn read_record(&mut self) -> Result<bool, SourceError> {
        self.csv.read_record(&mut self.record).map_err(|error| {
            let line = error.position().map(csv::Position::line);
            let fault = match error.into_kind() {
                ErrorKind::Io(error) => Fault::Unreadable(error),
                ErrorKind::UnequalLengths { len, .. } => Fault::Fields(len),
                ErrorKind::Utf8 { .. } => Fault::NotText,
                other => Fault::Unreadable(io::Error::other(format!("{other:?}"))),
            };
            let line = line.or_else(|| Some(self.csv.position().line()));
            self.fault(line, fault)
        })
    }

    fn fault(&self, line: Option<u64>, fault: Fault) -> SourceError {
        SourceError {
            file: self.path.clone(),
            line,
            fault,
        }
    }
}

impl Row {
    fn set(&mut self, [time, symbol, price]: [&str; 3]) -> Result<(), Fault> {
        if time.is_empty() {
            return Err(Fault::NoTime);
        }
        if !is_json_number(price) {
            return Err(Fault::Price(price.to_owned()));
        }
        self.topic.clear();
        self.topic.push_str(TOPIC_PREFIX);
        self.topic.push_str(symbol);
        let limits = Limits::default();
        let fits = if symbol.contains('.') {
            Err(SymbolFault::Dot)
        } else {
            check_topic(&self.topic, &limits).map_err(SymbolFault::Topic)
        };
        fits.map_err(|why| Fault::Symbol {
            symbol: symbol.to_owned(),
            why,
        })?;
        self.price.clear();
        self.price.push_str(price);
        self.time.clear();
        escape(&mut self.time, time);
        Ok(())
    }
}

/// Whether the text is a number by the grammar of JSON (RFC 8259, section 6).
fn is_json_number(text: &str) -> bool {
    let digits =
        |text: &str| text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let rest = text.strip_prefix('-').unwrap_or(text);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let places = digits(fraction);
        if places == 0 {
            return false;
        }
        rest = &fraction[places..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let places = digits(exponent);
        return places > 0 && places == exponent.len();
    }
    rest.is_empty()
}

/// Appends a text as it stands between the quotes of a JSON string (RFC 8259, section 7).
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\u{0}'..'\u{20}' => {
                // Writing into a String cannot fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests;
