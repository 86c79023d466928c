//! Several rising sequences of offsets walked as one, forwards or backwards.
//!
//! Owns the choice of the next one and nothing else. The sequences are few (retention classes, or the topics of a narrow
//! view), so each step looks at all of them.

/// A step: which sequence, the place in it, and the offset there.
pub(super) type Step = (usize, usize, i64);

/// Forwards from the places in `next`; `at` reads a sequence.
pub(super) fn forward(
    mut next: Vec<usize>,
    at: impl Fn(usize, usize) -> Option<i64>,
) -> impl Iterator<Item = Step> {
    let mut heads: Vec<Option<i64>> = next
        .iter()
        .enumerate()
        .map(|(run, &index)| at(run, index))
        .collect();
    std::iter::from_fn(move || {
        let (run, offset) = smallest(&heads)?;
        let index = next[run];
        next[run] += 1;
        heads[run] = at(run, next[run]);
        Some((run, index, offset))
    })
}

/// Backwards; the places in `ends` are the first ones not to be visited.
pub(super) fn backward(
    mut ends: Vec<usize>,
    at: impl Fn(usize, usize) -> Option<i64>,
) -> impl Iterator<Item = Step> {
    let before = move |at: &dyn Fn(usize, usize) -> Option<i64>, run: usize, end: usize| {
        end.checked_sub(1).and_then(|index| at(run, index))
    };
    let mut tails: Vec<Option<i64>> = ends
        .iter()
        .enumerate()
        .map(|(run, &end)| before(&at, run, end))
        .collect();
    std::iter::from_fn(move || {
        let (run, offset) = largest(&tails)?;
        ends[run] -= 1;
        tails[run] = before(&at, run, ends[run]);
        Some((run, ends[run], offset))
    })
}

fn smallest(heads: &[Option<i64>]) -> Option<(usize, i64)> {
    let heads = heads.iter().enumerate();
    heads
        .filter_map(|(run, offset)| Some((run, (*offset)?)))
        .min_by_key(|(_, offset)| *offset)
}

fn largest(tails: &[Option<i64>]) -> Option<(usize, i64)> {
    let tails = tails.iter().enumerate();
    tails
        .filter_map(|(run, offset)| Some((run, (*offset)?)))
        .max_by_key(|(_, offset)| *offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_ways_visit_everything_in_order(runs in vec(btree_set(0i64..200, 0..20), 0..5)) {
            // Each offset belongs to one sequence only.
            let mut seen = std::collections::BTreeSet::new();
            let runs: Vec<Vec<i64>> =
                runs.into_iter().map(|run| run.into_iter().filter(|o| seen.insert(*o)).collect()).collect();
            let all: Vec<i64> = seen.into_iter().collect();
            let at = |run: usize, index: usize| runs[run].get(index).copied();
            let steps: Vec<Step> = forward(vec![0; runs.len()], at).collect();
            prop_assert_eq!(steps.iter().map(|s| s.2).collect::<Vec<_>>(), all.clone());
            prop_assert!(steps.iter().all(|s| runs[s.0][s.1] == s.2));
            let mut back: Vec<Step> = backward(runs.iter().map(Vec::len).collect(), at).collect();
            back.reverse();
            prop_assert_eq!(back, steps);
        }
    }
}
