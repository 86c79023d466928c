//! How the connections of a group read, and whose turn it is.
//!
//! Pure: it is told the time. Each connection of a group waits equally long, so that those who wait stand in a queue in the order
//! in which they are due.
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

/// Time between two sips of one that reads slowly: short beside what a person calls a second, long beside a turn of the loop.
const SIP_NS: u64 = 100_000_000;

/// Sips that a receive buffer holds: one may come late.
const BUFFERED_SIPS: u64 = 2;

/// Receive buffer of one that pauses. With less, the window makes it read slowly where it is to read whatever comes.
const PAUSE_BYTES: usize = 32 * 1024;

const SECOND_NS: u64 = 1_000_000_000;

/// How a subscribed connection reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pace {
    /// Whatever comes, at once.
    #[default]
    Full,
    /// Nothing.
    Stall,
    /// At most so many bytes a second.
    Read(NonZeroU64),
    /// Nothing for so long, then whatever comes for as long, in turn.
    Pause(Duration),
}

impl Pace {
    /// Whether it does not simply read on once it has subscribed.
    pub fn pauses(self) -> bool {
        self != Self::Full
    }

    /// Bytes of a receive buffer that does not slow it down further than is meant, and no less than the least.
    pub fn receive_bytes(self, least: usize) -> usize {
        match self {
            Self::Read(per_s) => least.max(sip(per_s, BUFFERED_SIPS * SIP_NS)),
            Self::Pause(_) => least.max(PAUSE_BYTES),
            Self::Full | Self::Stall => least,
        }
    }

    /// How long a connection waits from one turn to the next; `None`: it has no turns.
    fn wait_ns(self) -> Option<u64> {
        match self {
            Self::Full | Self::Stall => None,
            Self::Read(per_s) => Some(SIP_NS.max(SECOND_NS.div_ceil(per_s.get()))),
            Self::Pause(each) => Some(each.as_nanos().clamp(1, u128::from(u64::MAX)) as u64),
        }
    }
}

/// What a connection reads at most after having waited so long.
pub fn sip(per_s: NonZeroU64, waited_ns: u64) -> usize {
    // What it did not read while the loop was late is read at once, but never more than a second's.
    let ns = u128::from(waited_ns.min(SECOND_NS.max(SECOND_NS.div_ceil(per_s.get()))));
    (ns * u128::from(per_s.get()) / u128::from(SECOND_NS)) as usize
}

/// Connections that wait for their turn.
#[derive(Debug, Default)]
pub struct Waiting {
    wait_ns: u64,
    since: VecDeque<(u64, u64)>,
}

impl Waiting {
    /// Nobody yet.
    pub fn new(pace: Pace) -> Self {
        Self {
            wait_ns: pace.wait_ns().unwrap_or(u64::MAX),
            since: VecDeque::new(),
        }
    }

    /// This connection waits from now on. Where there are no turns it waits for ever, and is not kept.
    pub fn push(&mut self, token: u64, now_ns: u64) {
        if self.wait_ns < u64::MAX {
            self.since.push_back((now_ns, token));
        }
    }

    /// When the next one is due.
    pub fn due_ns(&self) -> u64 {
        self.since
            .front()
            .map_or(u64::MAX, |(since, _)| since.saturating_add(self.wait_ns))
    }

    /// Takes the next one that is due, and how long it has waited.
    pub fn poll(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        if self.due_ns() > now_ns {
            return None;
        }
        self.since
            .pop_front()
            .map(|(since, token)| (token, now_ns - since))
    }

    /// Nobody waits any more.
    pub fn clear(&mut self) {
        self.since.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(per_s: u64) -> NonZeroU64 {
        NonZeroU64::new(per_s).unwrap()
    }

    #[test]
    fn they_are_due_in_the_order_in_which_they_began_to_wait() {
        let mut waiting = Waiting::new(Pace::Pause(Duration::from_secs(5)));
        waiting.push(7, 0);
        waiting.push(8, SECOND_NS);
        assert_eq!(
            (waiting.due_ns(), waiting.poll(5 * SECOND_NS - 1)),
            (5 * SECOND_NS, None)
        );
        assert_eq!(waiting.poll(8 * SECOND_NS), Some((7, 8 * SECOND_NS)));
        assert_eq!(waiting.poll(8 * SECOND_NS), Some((8, 7 * SECOND_NS)));
        assert_eq!((waiting.poll(u64::MAX), waiting.due_ns()), (None, u64::MAX));
    }

    #[test]
    fn who_reads_everything_or_nothing_has_no_turns() {
        for pace in [Pace::Full, Pace::Stall] {
            let mut waiting = Waiting::new(pace);
            waiting.push(1, 0);
            assert_eq!(waiting.due_ns(), u64::MAX);
        }
    }

    #[test]
    fn a_receive_buffer_holds_what_is_read_between_two_turns() {
        assert_eq!(Pace::Read(bytes(2000)).receive_bytes(4096), 4096);
        assert_eq!(Pace::Read(bytes(1_000_000)).receive_bytes(4096), 200_000);
        assert_eq!(Pace::Stall.receive_bytes(4096), 4096);
        let pause = Pace::Pause(Duration::from_secs(1));
        assert_eq!(
            (pause.receive_bytes(4096), pause.receive_bytes(50_000)),
            (PAUSE_BYTES, 50_000)
        );
    }

    proptest! {
        #[test]
        fn no_more_is_read_than_the_rate_and_hardly_less(per_s in 1u64..10_000_000, late in proptest::collection::vec(0u64..200_000_000, 1..50)) {
            let mut waiting = Waiting::new(Pace::Read(bytes(per_s)));
            waiting.push(1, 0);
            let (mut now, mut read, mut turns) = (0, 0, 0);
            for late in late {
                now = waiting.due_ns() + late;
                let (token, waited) = waiting.poll(now).unwrap();
                let sip = sip(bytes(per_s), waited);
                prop_assert!(sip >= 1, "a turn without a byte");
                (read, turns) = (read + sip as u128, turns + 1);
                waiting.push(token, now);
            }
            let allowed = u128::from(per_s) * u128::from(now) / u128::from(SECOND_NS);
            prop_assert!(read <= allowed && read + turns + 1 >= allowed, "{read} of {allowed}");
        }
    }
}
