//! How far a long reading is.
//!
//! Owns the one line that is written over again. Must not contain: what is read. Driven by the tools, once a segment.
use crate::clock;
use std::io::{IsTerminal as _, Write};

/// Before this nobody has begun to wonder.
const QUIET_NS: u64 = 2_000_000_000;
/// So often the line changes.
const PAUSE_NS: u64 = 200_000_000;

/// See the module.
pub(super) struct Progress<'a> {
    err: &'a mut dyn Write,
    /// Somebody sees it.
    seen: bool,
    begun_ns: u64,
    said_ns: Option<u64>,
    done: u64,
}

/// From now on; nothing is said unless stderr is a terminal.
pub(super) fn start(err: &mut dyn Write) -> Progress<'_> {
    Progress {
        err,
        seen: std::io::stderr().is_terminal(),
        begun_ns: clock::mono_ns(),
        said_ns: None,
        done: 0,
    }
}

impl Progress<'_> {
    /// So many bytes more have been read, of so many in all.
    pub(super) fn note(&mut self, bytes: u64, total: u64) {
        self.done += bytes;
        self.show(clock::mono_ns(), total);
    }

    fn show(&mut self, now_ns: u64, total: u64) {
        let early = now_ns.saturating_sub(self.begun_ns) < QUIET_NS;
        let just_said = |said| now_ns.saturating_sub(said) < PAUSE_NS;
        if !self.seen || early || self.said_ns.is_some_and(just_said) {
            return;
        }
        self.said_ns = Some(now_ns);
        let (done, total) = (self.done >> 20, total >> 20);
        // Nothing depends on it.
        let _ = write!(self.err, "\rread {done} of {total} MiB ");
        let _ = self.err.flush();
    }

    /// Says something for people, in a line of its own.
    pub(super) fn say(&mut self, line: &str) {
        self.clear();
        let _ = writeln!(self.err, "{line}");
    }

    fn clear(&mut self) {
        if self.said_ns.take().is_some() {
            let _ = write!(self.err, "\r\x1b[K");
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_after_two_seconds_and_goes_at_the_end() {
        let mut err = Vec::new();
        let mut progress = Progress {
            err: &mut err,
            seen: true,
            begun_ns: 0,
            said_ns: None,
            done: 5 << 20,
        };
        progress.show(QUIET_NS - 1, 9 << 20);
        progress.show(QUIET_NS, 9 << 20);
        progress.show(QUIET_NS + 1, 9 << 20);
        drop(progress);
        assert_eq!(
            String::from_utf8(err).unwrap(),
            "\rread 5 of 9 MiB \r\x1b[K"
        );
    }
}
