//! The answer, for people and as JSON.
//!
//! Owns how it is laid out and the schema. Must not contain: what is needed or how much there is (`need`).
//!
//! The JSON: `schema` (1; a number of its own for each change that a reader would notice), `connections`, `ends`, `workers`, `fits`,
//! `profile`, and `items`, each as [`Item`].

use crate::need::{Item, Of, Unit, Verdict};
use crate::plan::{Ends, Plan};
use crate::profile::Profile;
use serde::Serialize;
use std::fmt::Write as _;

/// How the answer is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: at most 100 columns.
    Table,
    /// For programs.
    Json,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    schema: u32,
    /// Connections asked about.
    pub connections: u64,
    /// Which ends of them are on this machine.
    pub ends: Ends,
    /// Workers of the node.
    pub workers: u64,
    /// Whether nothing is short.
    pub fits: bool,
    /// The profile for so many.
    pub profile: &'static str,
    /// One for each limit.
    pub items: Vec<Item>,
}

impl Report {
    pub(crate) fn new(plan: &Plan, items: Vec<Item>) -> Self {
        Self {
            schema: 1,
            connections: plan.connections,
            ends: plan.ends,
            workers: plan.workers,
            fits: items.iter().all(|item| item.verdict != Verdict::Short),
            profile: Profile::of(plan.connections).path,
            items,
        }
    }

    /// What is short, in one line; `None` where all fits.
    pub fn shortage(&self) -> Option<String> {
        let short = self
            .items
            .iter()
            .filter(|item| item.verdict == Verdict::Short);
        let names: Vec<&str> = short.map(|item| item.name).collect();
        (!self.fits).then(|| {
            format!(
                "short for {} connections: {}; the table says how to change each, {} has settings for so many",
                grouped(self.connections),
                names.join(", "),
                self.profile
            )
        })
    }

    /// The whole of it.
    pub fn text(&self, form: Form) -> String {
        match form {
            Form::Table => self.table(),
            // Numbers and texts of our own: there is nothing in it that cannot be written.
            Form::Json => serde_json::to_string_pretty(self).unwrap_or_default() + "\n",
        }
    }

    fn table(&self) -> String {
        let here = match self.ends {
            Ends::Server => "their node here",
            Ends::Load => "their load generator here",
            Ends::Both => "both ends here",
        };
        let mut text = format!(
            "{} connections, {here}; settings for so many: {}\n",
            grouped(self.connections),
            self.profile
        );
        for of in [Of::Server, Of::Load, Of::Machine] {
            let own: Vec<&Item> = self.items.iter().filter(|item| item.of == of).collect();
            if !own.is_empty() {
                let title = match of {
                    Of::Server => format!("node, {} workers", self.workers),
                    Of::Load => "load generator".to_owned(),
                    Of::Machine => "machine".to_owned(),
                };
                // Writing to a string cannot fail.
                let _ = writeln!(text, "\n{title:<43}{:>20}{:>20}", "is", "needed");
                for item in own {
                    row(&mut text, item);
                }
            }
        }
        let _ = match self.shortage() {
            None => writeln!(text, "\nfits"),
            Some(short) => writeln!(text, "\n{}", wrapped(&short, 0)),
        };
        text
    }
}

/// A row: what is and what is needed, then why, and how to change what is not as it should be.
fn row(text: &mut String, item: &Item) {
    let verdict = match item.verdict {
        Verdict::Ok => "ok",
        Verdict::Short => "short",
        Verdict::Large => "large",
        Verdict::Unknown => "unknown",
    };
    let _ = writeln!(
        text,
        "  {verdict:<9}{:<32}{:>20}{:>20}",
        item.name,
        shown(item.is, item.unit),
        shown(Some(item.needed), item.unit)
    );
    let _ = writeln!(text, "{}", wrapped(&item.why, INDENT));
    if matches!(item.verdict, Verdict::Short | Verdict::Large) {
        let profile = item
            .profile
            .map_or_else(String::new, |path| format!(" ({path})"));
        let change = format!("> {}{profile}", item.change);
        let _ = writeln!(text, "{}", wrapped(&change, INDENT));
    }
}

fn shown(number: Option<u64>, unit: Unit) -> String {
    match (number, unit) {
        (None, _) => "unknown".to_owned(),
        (Some(u64::MAX), _) => "unlimited".to_owned(),
        (Some(number), Unit::Count) => grouped(number),
        (Some(number), Unit::Bytes) => bytes(number),
    }
}

/// Columns of the table.
const WIDTH: usize = 100;
/// Where what belongs to a row begins.
const INDENT: usize = 11;

/// Broken between words.
fn wrapped(text: &str, indent: usize) -> String {
    let margin = " ".repeat(indent);
    let (mut lines, mut line) = (Vec::new(), margin.clone());
    for word in text.split(' ') {
        if line.len() > indent && line.len() + 1 + word.len() > WIDTH {
            lines.push(std::mem::replace(&mut line, margin.clone()));
        }
        if line.len() > indent {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines.push(line);
    lines.join("\n")
}

/// A number in groups of three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size to two or three digits.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KB", "MB", "GB", "TB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < UNITS.len() {
        size /= 1000.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0 && size < 100.0);
    format!("{size:.digits$} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_are_short() {
        let text = |number| (grouped(number), bytes(number));
        let of = |grouped: &str, bytes: &str| (grouped.to_owned(), bytes.to_owned());
        assert_eq!(text(999), of("999", "999 B"));
        assert_eq!(text(1000), of("1,000", "1.0 KB"));
        assert_eq!(text(123_456_789), of("123,456,789", "123 MB"));
    }

    #[test]
    fn long_texts_are_broken_between_words() {
        let text = wrapped(&"four ".repeat(40), 11);
        assert!(text.lines().count() > 2);
        assert!(
            text.lines()
                .all(|line| line.len() <= WIDTH && line.starts_with("           four"))
        );
    }
}
