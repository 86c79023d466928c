//! Topics and patterns: which texts are allowed, and which pattern matches which topic.
//!
//! A topic is tokens separated by `.`; in a pattern the token `*` stands for any one token and `>`, last, for one or
//! more. Allocation-free; matching trusts that both sides were checked.
use crate::limits::Limits;
use thiserror::Error;

/// Why a text is no topic or pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TopicError {
    /// No text at all.
    #[error("a topic has at least one byte")]
    Empty,
    /// Over the limit of bytes.
    #[error("a topic has at most {max} bytes, this one has {bytes}")]
    TooLong {
        /// The length found.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// Over the limit of tokens.
    #[error("a topic has at most {max} tokens")]
    TooManyTokens {
        /// The limit.
        max: usize,
    },
    /// A dot at an end, or two in a row.
    #[error("no token of a topic may be empty")]
    EmptyToken,
    /// White space, a control character, a quote or a backslash.
    #[error(
        "a topic holds no white space, control character, quote or backslash, this one has {0:?}"
    )]
    Character(char),
    /// A wildcard inside a token.
    #[error("`*` and `>` stand only as whole tokens")]
    PartOfToken,
    /// `>` before the end.
    #[error("`>` stands only as the last token")]
    NotLast,
    /// A pattern where a name is needed.
    #[error("a pattern can be subscribed to but not published to")]
    Pattern,
}

/// Checks a name that something may be published to.
pub fn check_topic(text: &str, limits: &Limits) -> Result<(), TopicError> {
    check_subscription(text, limits)?;
    if is_pattern(text) {
        return Err(TopicError::Pattern);
    }
    Ok(())
}

/// Checks a text that may be subscribed to: a topic or a pattern.
pub fn check_subscription(text: &str, limits: &Limits) -> Result<(), TopicError> {
    if text.is_empty() {
        return Err(TopicError::Empty);
    }
    if text.len() > limits.topic_bytes {
        return Err(TopicError::TooLong {
            bytes: text.len(),
            max: limits.topic_bytes,
        });
    }
    if let Some(bad) = text.chars().find(|&c| is_forbidden(c)) {
        return Err(TopicError::Character(bad));
    }
    check_tokens(text, limits.tokens)
}

fn is_forbidden(c: char) -> bool {
    match c {
        '!' | '#'..='[' | ']'..='~' => false,
        _ => c == '"' || c == '\\' || c.is_whitespace() || c.is_control(),
    }
}

fn check_tokens(text: &str, max: usize) -> Result<(), TopicError> {
    let mut tail = false;
    for (index, token) in text.split('.').enumerate() {
        if index >= max {
            return Err(TopicError::TooManyTokens { max });
        }
        if tail {
            return Err(TopicError::NotLast);
        }
        if token.is_empty() {
            return Err(TopicError::EmptyToken);
        }
        if token.len() > 1 && token.bytes().any(is_wildcard) {
            return Err(TopicError::PartOfToken);
        }
        tail = token == ">";
    }
    Ok(())
}

fn is_wildcard(byte: u8) -> bool {
    byte == b'*' || byte == b'>'
}

/// Whether the text has a whole token `*` or `>`.
pub fn is_pattern(text: &str) -> bool {
    memchr::memchr2(b'*', b'>', text.as_bytes()).is_some()
        && text.split('.').any(|token| token == "*" || token == ">")
}

/// Whether entries of `topic` belong to a subscription of `pattern`. Both have been checked; a topic matches itself only.
pub fn matches(pattern: &str, topic: &str) -> bool {
    let (mut pattern, mut topic) = (pattern.as_bytes(), topic.as_bytes());
    loop {
        if pattern == b">" {
            return true;
        }
        let (wanted, pattern_rest) = first_token(pattern);
        let (found, topic_rest) = first_token(topic);
        if wanted != b"*" && wanted != found {
            return false;
        }
        match (pattern_rest, topic_rest) {
            (Some(p), Some(t)) => (pattern, topic) = (p, t),
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// The bytes before the first dot, and those behind it if there is one.
fn first_token(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'.', text) {
        Some(dot) => (&text[..dot], Some(&text[dot + 1..])),
        None => (text, None),
    }
}
