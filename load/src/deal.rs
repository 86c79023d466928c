//! Deals connections out to groups by their shares, and to settings in turn.
//!
//! Pure, and the same every time. Evenly: of any run of connections a group has its share, less than one over or under. The settings
//! take turns within each group, so that no group has all of one.
use crate::units::Share;
use serde::{Deserialize, Serialize};

/// Which turns are one's own where several take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seat {
    /// Whose, counted from 0.
    pub index: usize,
    /// How many take turns.
    pub of: usize,
}

impl Default for Seat {
    /// All turns.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Seat {
    /// The how manieth turn of all this own one is.
    pub fn number(self, own: usize) -> usize {
        own * self.of + self.index
    }

    /// How many of so many turns, from the first on, are one's own.
    pub fn share(self, all: usize) -> usize {
        all.saturating_sub(self.index).div_ceil(self.of.max(1))
    }

    fn has(self, number: usize) -> bool {
        number % self.of.max(1) == self.index
    }
}

/// Who gets the next connection.
#[derive(Debug, Clone)]
pub struct Deal {
    groups: Vec<Place>,
    settings: usize,
    dealt: usize,
}

/// A group, and what it is owed.
#[derive(Debug, Clone)]
struct Place {
    ppm: u64,
    owed_ppm: i64,
    turn: usize,
}

/// Connections that go to the same place, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// How many.
    pub n: usize,
    /// 0 has what the shares leave; then in the order of the shares.
    pub group: usize,
    /// Which of the settings.
    pub settings: usize,
}

impl Deal {
    /// Shares that add up to no more than the whole, and how many settings there are.
    pub fn new(shares: impl IntoIterator<Item = Share>, settings: usize) -> Self {
        let shares: Vec<u64> = shares.into_iter().map(Share::ppm).collect();
        let left = Share::WHOLE_PPM.saturating_sub(shares.iter().sum());
        let place = |ppm| Place {
            ppm,
            owed_ppm: 0,
            turn: 0,
        };
        Self {
            groups: std::iter::once(left).chain(shares).map(place).collect(),
            settings: settings.max(1),
            dealt: 0,
        }
    }

    /// Deals out so many, in order.
    pub fn deal(&mut self, n: usize) -> Vec<Run> {
        self.deal_to(Seat::default(), n)
    }

    /// Deals out so many, in order, and gives those that fall to this seat: all who sit around the same deal have what it deals.
    pub fn deal_to(&mut self, seat: Seat, n: usize) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        for _ in 0..n {
            let (group, settings) = self.next();
            self.dealt += 1;
            if !seat.has(self.dealt - 1) {
                continue;
            }
            match runs.last_mut() {
                Some(run) if (run.group, run.settings) == (group, settings) => run.n += 1,
                _ => runs.push(Run {
                    n: 1,
                    group,
                    settings,
                }),
            }
        }
        runs
    }

    /// The group that is owed most is next; the first of several.
    fn next(&mut self) -> (usize, usize) {
        let mut most = 0;
        for group in 0..self.groups.len() {
            self.groups[group].owed_ppm += self.groups[group].ppm as i64;
            if self.groups[group].owed_ppm > self.groups[most].owed_ppm {
                most = group;
            }
        }
        let place = &mut self.groups[most];
        place.owed_ppm -= Share::WHOLE_PPM as i64;
        let settings = place.turn;
        place.turn = (settings + 1) % self.settings;
        (most, settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(runs: &[Run], by: impl Fn(&Run) -> usize, kinds: usize) -> Vec<usize> {
        let mut counts = vec![0; kinds];
        for run in runs {
            counts[by(run)] += run.n;
        }
        counts
    }

    #[test]
    fn without_shares_all_are_in_the_first_group_and_in_one_run() {
        let run = Run {
            n: 100,
            group: 0,
            settings: 0,
        };
        assert_eq!(Deal::new([], 1).deal(100), [run]);
    }

    #[test]
    fn every_step_has_its_shares_and_they_do_not_stand_together() {
        let mut deal = Deal::new([Share(0.05), Share(0.01)], 1);
        for _ in 0..7 {
            let runs = deal.deal(100);
            assert_eq!(counts(&runs, |run| run.group, 3), [94, 5, 1]);
            assert!(runs.iter().all(|run| run.group == 0 || run.n == 1));
        }
    }

    #[test]
    fn steps_too_small_for_a_share_have_it_between_them() {
        let mut deal = Deal::new([Share(0.05)], 1);
        let runs: Vec<Run> = (0..40).flat_map(|_| deal.deal(1)).collect();
        assert_eq!(counts(&runs, |run| run.group, 2), [38, 2]);
    }

    #[test]
    fn settings_take_turns_within_every_group() {
        let runs = Deal::new([Share(0.5)], 2).deal(8);
        for group in 0..2 {
            let own: Vec<Run> = runs
                .iter()
                .copied()
                .filter(|run| run.group == group)
                .collect();
            assert_eq!(counts(&own, |run| run.settings, 2), [2, 2]);
        }
    }

    #[test]
    fn what_several_seats_are_dealt_is_what_is_dealt() {
        let deal = || Deal::new([Share(0.05), Share(0.01)], 2);
        let whole = deal().deal(100);
        let seats = (0..3).map(|index| Seat { index, of: 3 });
        let mut parts = Vec::new();
        for seat in seats {
            let mut deal = deal();
            let part: Vec<Run> = [40, 60]
                .into_iter()
                .flat_map(|n| deal.deal_to(seat, n))
                .collect();
            let n: usize = part.iter().map(|run| run.n).sum();
            assert_eq!(n, seat.share(100));
            parts.extend(part);
        }
        for by in [|run: &Run| run.group, |run: &Run| run.settings] {
            assert_eq!(counts(&parts, by, 3), counts(&whole, by, 3));
        }
    }

    #[test]
    fn a_share_of_everything_leaves_nobody() {
        let runs = Deal::new([Share(1.0)], 1).deal(5);
        assert_eq!(counts(&runs, |run| run.group, 2), [0, 5]);
    }

    proptest! {
        #[test]
        fn after_any_number_every_group_has_its_share_but_for_one(
            shares in proptest::collection::vec(0.0001f64..0.12, 0..8), steps in proptest::collection::vec(1usize..90, 1..20), settings in 1usize..4,
        ) {
            let mut deal = Deal::new(shares.iter().map(|share| Share(*share)), settings);
            let (mut runs, mut all) = (Vec::new(), 0);
            for step in steps {
                let dealt = deal.deal(step);
                prop_assert_eq!(dealt.iter().map(|run| run.n).sum::<usize>(), step);
                runs.extend(dealt);
                all += step;
            }
            let got = counts(&runs, |run| run.group, shares.len() + 1);
            for (share, got) in shares.iter().zip(&got[1..]) {
                let due = share * all as f64;
                prop_assert!((*got as f64 - due).abs() < 2.0, "{got} of {due}");
            }
        }
    }
}
