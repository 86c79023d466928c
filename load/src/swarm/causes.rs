//! Troubles grouped by what caused them, in words.
//!
//! Pure. The words come from the other side, so only so many different ones are kept; the rest is counted together.
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Different causes told apart.
const CAUSES_MAX: usize = 32;

/// Characters of a cause that are kept.
const TEXT_MAX: usize = 200;

/// How often each cause was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Causes {
    told_apart: BTreeMap<String, u64>,
    others: u64,
}

impl Causes {
    /// One more.
    pub fn count(&mut self, cause: &str) {
        self.count_many(cause, 1);
    }

    /// Adds those of others.
    pub fn add_all(&mut self, others: &Self) {
        for (cause, count) in &others.told_apart {
            self.count_many(cause, *count);
        }
        self.others += others.others;
    }

    /// The causes with their counts, the most frequent first, then what was not told apart.
    pub fn ranked(&self) -> Vec<(&str, u64)> {
        let told = self.told_apart.iter();
        let mut ranked: Vec<(&str, u64)> = told
            .map(|(cause, count)| (cause.as_str(), *count))
            .collect();
        ranked.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        if self.others > 0 {
            ranked.push(("others", self.others));
        }
        ranked
    }

    /// So many more.
    pub fn count_many(&mut self, cause: &str, count: u64) {
        let end = cause.char_indices().nth(TEXT_MAX);
        let cause = &cause[..end.map_or(cause.len(), |(at, _)| at)];
        if let Some(known) = self.told_apart.get_mut(cause) {
            *known += count;
        } else if self.told_apart.len() < CAUSES_MAX {
            self.told_apart.insert(cause.to_owned(), count);
        } else {
            self.others += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_cause_comes_first() {
        let mut causes = Causes::default();
        for cause in ["refused", "closed", "closed"] {
            causes.count(cause);
        }
        assert_eq!(causes.ranked(), [("closed", 2), ("refused", 1)]);
    }

    #[test]
    fn more_causes_than_are_kept_are_counted_together() {
        let mut causes = Causes::default();
        for number in 0..CAUSES_MAX + 3 {
            causes.count(&format!("cause {number:03}"));
        }
        causes.count("cause 000");
        let ranked = causes.ranked();
        assert_eq!(ranked.len(), CAUSES_MAX + 1);
        assert_eq!(ranked[0], ("cause 000", 2));
        assert_eq!(ranked.last(), Some(&("others", 3)));
        let mut sum = Causes::default();
        sum.add_all(&causes);
        sum.add_all(&causes);
        let counts = |causes: &Causes| causes.ranked().iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(counts(&sum), 2 * counts(&causes));
    }

    #[test]
    fn a_long_cause_is_cut_between_characters() {
        let mut causes = Causes::default();
        causes.count(&"ä".repeat(TEXT_MAX + 50));
        assert_eq!(causes.ranked()[0].0.chars().count(), TEXT_MAX);
    }
}
