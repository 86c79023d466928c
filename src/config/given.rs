//! One value as somebody gave it, and what is said when it is wrong.
//!
//! Owns the notion of where a value came from, and the error that names it. Must not contain: which settings there are, or what
//! they mean. Driven by everything in this folder.
//!
//! Law: an error of configuration is exactly one line, whatever was typed.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// Longest part of a value that an error repeats: enough to recognise it, short enough to read.
const SHOWN_CHARS: usize = 120;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// `--name` on the command line.
    Flag(&'static str),
    /// An environment variable.
    Env(&'static str),
    /// A line of the configuration file.
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// Nobody gave it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Env(name) => write!(f, "environment variable {name}"),
            Self::File { path, line } => write!(f, "{}:{line}", one_line(&path.to_string_lossy())),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as text, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// As typed.
    pub text: String,
    /// Where.
    pub origin: Origin,
}

impl Given {
    /// The error that this value is not what the setting `field` takes; `expected` says what would be right.
    pub fn wrong(&self, field: &str, expected: impl Into<String>) -> ConfigError {
        ConfigError::Value {
            field: field.to_owned(),
            value: self.text.clone(),
            origin: self.origin.clone(),
            expected: expected.into(),
        }
    }
}

/// Why a configuration is refused. Its text is one line: the field, the value, where it came from, what would be right.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A value is wrong.
    #[error(
        "{} = {} (from {origin}): expected {expected}",
        one_line(field),
        shown(value)
    )]
    Value {
        /// The setting.
        field: String,
        /// What it was given.
        value: String,
        /// By what.
        origin: Origin,
        /// What would be right.
        expected: String,
    },
    /// The command line is not understood.
    #[error("{}", one_line(.0))]
    Usage(String),
    /// The machine has less than what is asked for.
    #[error("{}", one_line(.0))]
    Machine(String),
    /// The configuration file cannot be read or is not TOML, or has a name in it that is none of ours.
    #[error("{}{}: {}", one_line(&path.to_string_lossy()), line.map(|l| format!(":{l}")).unwrap_or_default(), one_line(why))]
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1, where there is one.
        line: Option<usize>,
        /// What is wrong and what would be right.
        why: String,
    },
}

/// A value in quotes, without line breaks, not too long.
fn shown(value: &str) -> String {
    match value.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{:?}...", &value[..end]),
        None => format!("{value:?}"),
    }
}

/// Text without line breaks and other control characters.
pub(super) fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_field_the_value_its_origin_and_what_would_be_right() {
        let given = Given {
            text: "0".into(),
            origin: Origin::Env("MAX_THREADS"),
        };
        assert_eq!(
            given
                .wrong("workers", "a whole number from 1 to 1024")
                .to_string(),
            r#"workers = "0" (from environment variable MAX_THREADS): expected a whole number from 1 to 1024"#
        );
    }

    #[test]
    fn an_error_is_one_line_whatever_was_typed() {
        let evil = "a\nb\r\u{7}\"c\"".repeat(100);
        let origin = Origin::File {
            path: PathBuf::from("x\ny.toml"),
            line: 3,
        };
        let errors = [
            Given {
                text: evil.clone(),
                origin,
            }
            .wrong(&evil, "sense"),
            ConfigError::Usage(evil.clone()),
            ConfigError::Machine(evil.clone()),
            ConfigError::File {
                path: PathBuf::from("x\ny"),
                line: None,
                why: evil,
            },
        ];
        for error in errors {
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}
