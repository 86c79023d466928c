//! What all processes of a fleet counted, as one. Pure.
use super::message::{Books, GroupEnd, Window};
use crate::swarm::lag::LoopLag;
use crate::swarm::{Counters, Tally};

/// What was in a window.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// What each group received; the first is the healthy one.
    pub groups: Vec<Tally>,
    /// How many subscriptions of each group stand.
    pub standing: Vec<usize>,
    /// What happened so far.
    pub counters: Counters,
    /// How each process was.
    pub own: Vec<Own>,
}

/// How a process was in a window.
#[derive(Debug, Clone)]
pub struct Own {
    /// The slowness of its loop.
    pub lag: LoopLag,
    /// CPU time of its thread, nanoseconds.
    pub cpu_ns: u64,
    /// The share of a core it used.
    pub busy: f64,
    /// The share of a core it was ready for and did not get.
    pub starved: f64,
}

impl Taken {
    /// Adds what was in the window of one process.
    pub fn add(&mut self, window: &Window) {
        let groups = self.groups.len().max(window.groups.len());
        self.groups
            .resize_with(groups, || Tally::new(window.outliers()));
        for (own, other) in self.groups.iter_mut().zip(&window.groups) {
            own.merge(other);
        }
        self.standing.resize(groups.max(self.standing.len()), 0);
        for (own, other) in self.standing.iter_mut().zip(&window.standing) {
            *own += other;
        }
        let share = |ns: u64| ns as f64 / window.elapsed_ns.max(1) as f64;
        self.own.push(Own {
            lag: window.lag.clone(),
            cpu_ns: window.cpu_ns,
            busy: share(window.cpu_ns),
            starved: share(window.starved_ns),
        });
    }

    /// What the healthy received.
    pub fn healthy(&self) -> Tally {
        self.groups
            .first()
            .cloned()
            .unwrap_or_else(|| Tally::new(0))
    }

    /// What all that read slowly received.
    pub fn slow(&self) -> Tally {
        let mut all = Tally::new(0);
        for group in self.groups.get(1..).unwrap_or_default() {
            all.merge(group);
        }
        all
    }

    /// CPU time of all processes, nanoseconds.
    pub fn cpu_ns(&self) -> u64 {
        self.own.iter().map(|own| own.cpu_ns).sum()
    }

    /// Cores that they were ready for and did not get.
    pub fn starved(&self) -> f64 {
        self.own.iter().map(|own| own.starved).sum()
    }
}

impl Window {
    fn outliers(&self) -> usize {
        self.groups.first().map_or(0, Tally::outliers)
    }
}

/// Adds the books of one process.
pub fn add_books(books: &mut Books, other: &Books) {
    books.asked += other.asked;
    let groups = books.groups.len().max(other.groups.len());
    books.groups.resize_with(groups, GroupEnd::default);
    for (own, other) in books.groups.iter_mut().zip(&other.groups) {
        own.merge(other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Account;

    fn window(latencies_us: &[u64], standing: usize, cpu_ns: u64) -> Window {
        let mut tally = Tally::new(2);
        for us in latencies_us {
            tally.receive(*us, 10);
        }
        tally.overdue = 1;
        Window {
            groups: vec![tally],
            standing: vec![standing],
            counters: Counters::default(),
            lag: LoopLag::default(),
            elapsed_ns: 1_000_000_000,
            cpu_ns,
            starved_ns: 250_000_000,
        }
    }

    #[test]
    fn windows_of_several_processes_are_one() {
        let mut taken = Taken::default();
        taken.add(&window(&[1000, 2000], 2, 500_000_000));
        taken.add(&window(&[9000], 1, 1_000_000));
        let healthy = taken.healthy();
        assert_eq!((healthy.received, healthy.overdue), (3, 2));
        assert_eq!(healthy.max_ms().map(f64::round), Some(9.0));
        assert_eq!(healthy.mean_high_ms(), Some(5.5), "the two highest of all");
        assert_eq!((taken.standing[0], taken.cpu_ns()), (3, 501_000_000));
        assert!((taken.own[0].busy - 0.5).abs() < 1e-9 && (taken.starved() - 0.5).abs() < 1e-9);
        assert_eq!(taken.slow().received, 0);
    }

    #[test]
    fn nobody_received_nothing() {
        let taken = Taken::default();
        assert_eq!((taken.healthy().expected(), taken.cpu_ns()), (0, 0));
    }

    #[test]
    fn books_of_several_processes_are_one_for_each_group() {
        let of = |subscribed| Books {
            asked: subscribed,
            groups: vec![GroupEnd {
                account: Account {
                    subscribed,
                    ..Account::default()
                },
                unannounced: 1,
                ..GroupEnd::default()
            }],
            counters: Counters::default(),
        };
        let mut books = Books::default();
        add_books(&mut books, &of(3));
        add_books(&mut books, &of(4));
        assert_eq!((books.asked, books.groups.len()), (7, 1));
        assert_eq!(
            (
                books.groups[0].account.subscribed,
                books.groups[0].unannounced
            ),
            (7, 2)
        );
    }
}
