//! What ends the program early: one line for the user, and an exit code that scripts can tell apart.
use std::fmt;

/// Exit codes, after `sysexits.h` where it has one.
pub mod exit {
    /// Books that do not close, or messages out of order: the run itself went wrong.
    pub const WRONG: u8 = 1;
    /// The run holds not all thresholds.
    pub const MISSED: u8 = 99;
    /// Arguments.
    pub const USAGE: u8 = 64;
    /// A server that is not there, or a limit of this machine.
    pub const UNAVAILABLE: u8 = 69;
    /// A fault of this program.
    pub const FAULT: u8 = 70;
}

/// Why it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    line: String,
}

impl Failure {
    /// Arguments that cannot be meant.
    pub fn usage(line: impl fmt::Display) -> Self {
        Self::new(exit::USAGE, line)
    }

    /// Something outside that is not to be had.
    pub fn unavailable(line: impl fmt::Display) -> Self {
        Self::new(exit::UNAVAILABLE, line)
    }

    /// A fault of this program.
    pub fn fault(line: impl fmt::Display) -> Self {
        Self::new(exit::FAULT, line)
    }

    /// Whatever the text was, it is one line.
    fn new(code: u8, line: impl fmt::Display) -> Self {
        let words: Vec<String> = line
            .to_string()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect();
        Self {
            code,
            line: words.join(" ").trim().to_owned(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line() {
        let failure = Failure::usage("first\n  second\n");
        assert_eq!(
            (failure.to_string().as_str(), failure.code),
            ("first second", 64)
        );
    }
}
