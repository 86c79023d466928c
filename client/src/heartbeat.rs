//! Whether the other side lives, and how it learns that we do; pure, `now` is an argument.
//!
//! While the socket is read: nothing heard for the interval, and a ping is due; nothing for two more, and the connection
//! is lost. While it isn't read nothing can be heard, so nothing is concluded; then a pong of our own is due each half
//! interval, since the server's pings go unanswered.
use std::time::{Duration, Instant};

/// A longer one, whatever a server says, would be none.
const INTERVAL_MAX: Duration = Duration::from_secs(24 * 3600);
/// A shorter one would be a busy loop.
const INTERVAL_MIN: Duration = Duration::from_millis(2);

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Ask for a sign of life.
    Ping,
    /// Give one.
    Pong,
    /// It is dead.
    Lost,
}

#[derive(Debug)]
pub(crate) struct Heartbeat {
    interval: Duration,
    since: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Listening,
    Asked,
    /// The socket isn't read.
    Deaf,
}

impl Heartbeat {
    pub(crate) fn new(now: Instant, interval: Duration) -> Self {
        Self {
            interval: interval.clamp(INTERVAL_MIN, INTERVAL_MAX),
            since: now,
            state: State::Listening,
        }
    }

    /// A frame has come.
    pub(crate) fn handle_heard(&mut self, now: Instant) {
        self.since = now;
        self.state = State::Listening;
    }

    /// The socket isn't read from now on, or still isn't.
    pub(crate) fn handle_deaf(&mut self, now: Instant) {
        if self.state != State::Deaf {
            self.since = now;
            self.state = State::Deaf;
        }
    }

    /// The socket is read from now on, or still is.
    pub(crate) fn handle_listening(&mut self, now: Instant) {
        if self.state == State::Deaf {
            self.handle_heard(now);
        }
    }

    pub(crate) fn poll_timeout(&self) -> Instant {
        self.since
            + match self.state {
                State::Listening => self.interval,
                State::Asked => self.interval * 2,
                State::Deaf => self.interval / 2,
            }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Option<Beat> {
        if now < self.poll_timeout() {
            return None;
        }
        self.since = now;
        Some(match self.state {
            State::Listening => {
                self.state = State::Asked;
                Beat::Ping
            }
            State::Asked => Beat::Lost,
            State::Deaf => Beat::Pong,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEAT: Duration = Duration::from_secs(10);

    #[test]
    fn silence_is_asked_about_once_and_then_is_death() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(start, BEAT);
        assert_eq!(heart.handle_timeout(start + BEAT / 2), None);
        assert_eq!(heart.poll_timeout(), start + BEAT);
        assert_eq!(heart.handle_timeout(start + BEAT), Some(Beat::Ping));
        assert_eq!(heart.handle_timeout(start + BEAT * 2), None);
        assert_eq!(heart.handle_timeout(start + BEAT * 3), Some(Beat::Lost));
    }

    #[test]
    fn any_frame_is_a_sign_of_life() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(start, BEAT);
        heart.handle_timeout(start + BEAT);
        heart.handle_heard(start + BEAT * 2);
        assert_eq!(heart.handle_timeout(start + BEAT * 3), Some(Beat::Ping));
    }

    #[test]
    fn who_does_not_listen_concludes_nothing_and_says_that_it_lives() {
        let start = Instant::now();
        let mut heart = Heartbeat::new(start, BEAT);
        heart.handle_deaf(start);
        for halves in 1..10 {
            let now = start + BEAT / 2 * halves;
            heart.handle_deaf(now);
            assert_eq!(heart.handle_timeout(now), Some(Beat::Pong));
        }
        let now = start + BEAT * 5;
        heart.handle_listening(now);
        assert_eq!(heart.poll_timeout(), now + BEAT, "the time begins anew");
    }

    #[test]
    fn whatever_a_server_says_can_be_kept() {
        let start = Instant::now();
        for interval in [Duration::ZERO, Duration::MAX] {
            let heart = Heartbeat::new(start, interval);
            assert!(heart.poll_timeout() > start);
        }
    }
}
