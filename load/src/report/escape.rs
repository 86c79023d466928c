//! Text as it may stand in HTML and in its attributes. Pure.
//!
//! Everything that comes from a command line or from a server goes through here.
use std::fmt;

/// Displays a text with what has a meaning in HTML replaced.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escaped<T>(pub(super) T);

impl<T: AsRef<str>> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            '\n' | '\t' => fmt::Write::write_char(f, c),
            // No control character may stand in a document at all.
            c if c.is_control() => f.write_str("\u{fffd}"),
            c => fmt::Write::write_char(f, c),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_has_a_meaning_is_replaced() {
        let text = Escaped("<b a='1' c=\"2\">&amp;\u{0}</b>").to_string();
        assert_eq!(
            text,
            "&lt;b a=&#39;1&#39; c=&quot;2&quot;&gt;&amp;amp;\u{fffd}&lt;/b&gt;"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in "[ -~äß€\n]{0,60}") {
            let document = format!("<p a=\"{0}\">{0}</p>", Escaped(&text));
            let parsed = roxmltree::Document::parse(&document).unwrap();
            let root = parsed.root_element();
            prop_assert_eq!(root.text().unwrap_or_default(), text.as_str());
            // A line's end in an attribute is read as a space.
            prop_assert_eq!(root.attribute("a").unwrap(), text.replace('\n', " "));
        }
    }
}
