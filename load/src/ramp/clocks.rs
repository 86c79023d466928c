//! Whether the two clocks that a latency depends on ran evenly. Pure: it is told the times.

/// How much the wall clock may be slowed down while it is corrected (`adjtime` slews by 500 ppm), and a margin.
const SLEW_PPM: u64 = 600;

/// The least that is called a step, microseconds.
const STEP_MIN_US: u64 = 1000;

/// Both clocks at one moment, microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) mono_us: u64,
    pub(super) wall_us: u64,
}

impl Moment {
    /// How far the wall clock was set back since an earlier moment, microseconds; `None`: it was not.
    pub(super) fn set_back_us(self, earlier: Self) -> Option<u64> {
        let passed = self.mono_us.saturating_sub(earlier.mono_us);
        let expected = earlier.wall_us.saturating_add(passed);
        let back = expected.saturating_sub(self.wall_us);
        (back > STEP_MIN_US + passed * SLEW_PPM / 1_000_000).then_some(back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(mono_us: u64, wall_us: u64) -> Moment {
        Moment { mono_us, wall_us }
    }

    #[test]
    fn a_clock_that_is_set_back_is_noticed() {
        let earlier = moment(5_000_000, 100_000_000);
        assert_eq!(
            moment(15_000_000, 107_000_000).set_back_us(earlier),
            Some(3_000_000)
        );
    }

    #[test]
    fn a_clock_that_is_slowed_down_or_set_forward_is_none_that_goes_backwards() {
        let earlier = moment(5_000_000, 100_000_000);
        for wall_us in [109_995_000, 110_000_000, 250_000_000] {
            assert_eq!(moment(15_000_000, wall_us).set_back_us(earlier), None);
        }
    }
}
