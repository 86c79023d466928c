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

/// Whether every topic that a subscription of `text` matches is matched by `pattern` too. Both have been checked.
pub fn covers(pattern: &str, text: &str) -> bool {
    let (mut outer, mut inner) = (pattern.split('.'), text.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), TopicError> {
        check_subscription(text, &Limits::default())
    }

    #[test]
    fn names_and_patterns_of_the_protocol_are_allowed() {
        for text in [
            "execs",
            "quotes.AAPL",
            "*",
            ">",
            "quotes.*",
            "*.eu.>",
            "a.*.b",
            "größe.日本",
            "a-b_c/d:e",
            "~!#[]^`{|}",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn each_rule_has_its_own_error() {
        use TopicError::*;
        for (text, error) in [
            ("", Empty),
            (".", EmptyToken),
            ("a.", EmptyToken),
            (".a", EmptyToken),
            ("a..b", EmptyToken),
            ("a b", Character(' ')),
            ("a\u{a0}b", Character('\u{a0}')),
            ("a\u{2028}b", Character('\u{2028}')),
            ("a\tb", Character('\t')),
            ("a\u{0}", Character('\u{0}')),
            ("a\u{7f}", Character('\u{7f}')),
            ("a\u{85}", Character('\u{85}')),
            ("a\"b", Character('"')),
            ("a\\b", Character('\\')),
            ("a*", PartOfToken),
            ("a.b>.c", PartOfToken),
            ("**", PartOfToken),
            ("a.>.b", NotLast),
            (">.>", NotLast),
        ] {
            assert_eq!(check(text), Err(error), "{text:?}");
        }
    }

    #[test]
    fn bytes_and_tokens_are_allowed_up_to_their_limit_and_no_further() {
        let longest = "x".repeat(255);
        assert_eq!(check(&longest), Ok(()));
        let bytes = TopicError::TooLong {
            bytes: 256,
            max: 255,
        };
        assert_eq!(check(&format!("{longest}x")), Err(bytes));
        assert_eq!(check(&["a"; 16].join(".")), Ok(()));
        let tokens = TopicError::TooManyTokens { max: 16 };
        assert_eq!(check(&["a"; 17].join(".")), Err(tokens));
    }

    #[test]
    fn a_pattern_is_no_name_to_publish_to() {
        let limits = Limits::default();
        for pattern in ["*", ">", "quotes.*", "a.*.b", "a.>"] {
            assert!(is_pattern(pattern), "{pattern}");
            assert_eq!(check_topic(pattern, &limits), Err(TopicError::Pattern));
        }
        assert!(!is_pattern("quotes.AAPL"));
        assert_eq!(check_topic("quotes.AAPL", &limits), Ok(()));
    }

    #[test]
    fn a_tail_takes_one_token_or_more_and_a_star_exactly_one() {
        for (pattern, topic, expected) in [
            (">", "a", true),
            (">", "a.b.c", true),
            ("a.>", "a", false),
            ("a.>", "a.b", true),
            ("a.>", "a.b.c", true),
            ("*", "a", true),
            ("*", "a.b", false),
            ("a.*", "a", false),
            ("a.*", "a.b", true),
            ("a.*", "ab.b", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("*.>", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("a.b", "a", false),
        ] {
            assert_eq!(matches(pattern, topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn a_pattern_covers_those_that_match_no_more() {
        for (pattern, text, wanted) in [
            (">", ">", true),
            (">", "a", true),
            ("a.>", "a.*.b", true),
            ("a.>", "a", false),
            ("a.>", "a.>", true),
            ("a.*", "a.>", false),
            ("a.>", ">", false),
            ("a.>", "a.>", true),
            ("a.*", "a.>", false),
            ("*.>", ">", false),
            ("*", ">", false),
            ("*", "*", true),
            ("a.*", "a.b", true),
            ("a.b", "a.*", false),
            ("a", "a.b", false),
        ] {
            assert_eq!(covers(pattern, text), wanted, "{pattern} {text}");
        }
    }
}
