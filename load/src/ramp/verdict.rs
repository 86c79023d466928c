//! What a run was worth: whether its books close, whether its order held, and whether its latencies are the server's.
//!
//! Pure.
use super::groups::{self, Report, Table};
use super::memory::PerConnection;
use crate::failure::exit;
use crate::fleet::Loss;
use crate::swarm::Counters;
use crate::threshold::{Facts, Held, Threshold};
use std::time::Duration;

/// Share of its core above which a generator no longer looks when it should.
const BUSY_MAX: f64 = 0.95;

/// Share of the time without a core above which the machine is named as the reason.
const STARVED_MAX: f64 = 0.1;

/// What the generator itself was like in a window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Own {
    /// Its loop's lag, p99, milliseconds.
    pub lag_ms: f64,
    /// The core its thread used.
    pub busy: f64,
    /// The core its thread was ready for and did not get.
    pub starved: f64,
}

/// Why the generator was the limit in a window, in words; `None`: it was not.
pub fn limit(own: Own, lag_max: Duration) -> Option<String> {
    let lag_max_ms = lag_max.as_secs_f64() * 1000.0;
    if own.busy > BUSY_MAX {
        return Some(format!(
            "its thread took {:.0} % of a core",
            own.busy * 100.0
        ));
    }
    if own.lag_ms <= lag_max_ms {
        return None;
    }
    let lag = format!(
        "its own loop lag p99 was {:.1} ms, more than {lag_max_ms:.0} ms",
        own.lag_ms
    );
    let starved = format!(
        "; other processes kept it off the cores for {:.0} % of the time",
        own.starved * 100.0
    );
    Some(if own.starved > STARVED_MAX {
        lag + &starved
    } else {
        lag
    })
}

/// What is said of a whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    lines: Vec<String>,
    reasons: Vec<String>,
    held: Vec<Held>,
    /// Exit code.
    pub code: u8,
}

/// What a verdict is made of.
#[derive(Debug, Clone, Copy)]
pub struct Run<'a> {
    /// What happened.
    pub counters: &'a Counters,
    /// Subscriptions asked for their ledgers.
    pub asked: u64,
    /// Processes of the swarm that ended before they were told to, …
    pub losses: &'a [Loss],
    /// … of so many.
    pub processes: usize,
    /// What each group got; the first is the healthy one.
    pub groups: &'a [Report],
    /// Whether that is shown.
    pub table: Shown,
    /// p50, p99 and the longest over all windows, milliseconds.
    pub latency_ms: [Option<f64>; 3],
    /// What became of the connections.
    pub standing: Standing,
    /// What each of them costs in memory, where that is known.
    pub memory: Option<PerConnection>,
    /// Why what the servers cost was not measured, a line each; none: it was, or nobody asked for it.
    pub unmeasured: &'a [String],
    /// The generator was the limit.
    pub limit: &'a Trouble,
    /// The clocks were not to be trusted.
    pub clocks: &'a Trouble,
    /// Windows.
    pub windows: usize,
}

/// Connections at the end of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Standing {
    /// Asked for, and meant to have come about by then.
    pub due: u64,
    /// Of these, up: subscribed and open.
    pub up: u64,
}

/// Windows in which something made a measurement worthless.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trouble {
    windows: usize,
    first: Option<(usize, String)>,
}

impl Trouble {
    /// It was so in a window with so many clients.
    pub fn see(&mut self, clients: usize, why: String) {
        self.windows += 1;
        self.first.get_or_insert((clients, why));
    }

    /// Why it was so, the first time.
    pub fn why(&self) -> Option<&str> {
        self.first.as_ref().map(|(_, why)| why.as_str())
    }
}

/// Whether the table of the groups is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It is.
    Yes,
    /// There is one group, and nothing was asked for that would make it interesting.
    No,
}

impl Verdict {
    /// Judges a run.
    pub fn of(run: &Run<'_>) -> Self {
        let counters = run.counters;
        let mut verdict = Self {
            lines: Vec::new(),
            reasons: Vec::new(),
            held: Vec::new(),
            code: 0,
        };
        verdict.latency(run);
        verdict.connections(run);
        verdict.trouble(counters);
        verdict.calls(counters);
        verdict.processes(run);
        verdict.order(counters);
        verdict.books(run);
        verdict.groups(run);
        verdict.validity(run);
        verdict
    }

    /// Holds the run against its thresholds. What went wrong in the run itself weighs more.
    pub fn hold(&mut self, thresholds: &[Threshold], facts: &Facts) {
        let held = thresholds
            .iter()
            .flat_map(|threshold| threshold.held(facts));
        for held in held {
            if !held.met {
                self.say(held.to_string());
                if self.code == 0 {
                    self.code = exit::MISSED;
                }
            }
            self.held.push(held);
        }
    }

    /// The conditions it was held against, met or not.
    pub fn held(&self) -> &[Held] {
        &self.held
    }

    /// What is told, line by line.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// Why the run is no measurement of the server; none: it is one.
    pub fn reasons(&self) -> &[String] {
        &self.reasons
    }

    fn latency(&mut self, run: &Run<'_>) {
        let ms = |value: Option<f64>| match value {
            Some(ms) if ms.is_infinite() => "never".to_owned(),
            Some(ms) => format!("{ms:.1} ms"),
            None => "-".to_owned(),
        };
        let [p50, p99, max] = run.latency_ms.map(ms);
        let of = if run.counters.calls.due() > 0 {
            "all calls, each from when it was due"
        } else if run.groups.len() > 1 {
            "expected deliveries to the healthy; so are latencies and losses in the report"
        } else {
            "expected deliveries"
        };
        self.say(format!(
            "received {}, p50 {p50}, p99 {p99}, max {max} (over {of})",
            run.counters.received
        ));
    }

    fn connections(&mut self, run: &Run<'_>) {
        if let Some(per_s) = run.counters.connects_per_s() {
            self.say(format!(
                "{} connections came about, at {per_s:.0}/s; {} failed",
                run.counters.upgraded, run.counters.failed
            ));
        }
        if let Some(memory) = run.memory {
            self.say(memory.to_string());
        }
        self.lines.extend_from_slice(run.unmeasured);
    }

    fn trouble(&mut self, counters: &Counters) {
        let (failed, closed) = (counters.failed, counters.closed_total());
        if let Some(first) = &counters.first_failure {
            self.say(format!("{failed} connections failed; the first: {first}"));
        }
        if closed > 0 {
            self.say(format!(
                "{closed} connections were closed: {}",
                groups::closed(&counters.closed)
            ));
        }
        if let Some(first) = &counters.first_error {
            self.say(format!("{} errors; the first: {first}", counters.errors));
        }
        if counters.gaps > 0 {
            self.say(format!(
                "{} gaps announced, {} of them without a count",
                counters.gaps, counters.gaps_uncounted
            ));
        }
    }

    fn calls(&mut self, counters: &Counters) {
        let calls = &counters.calls;
        if calls.due() == 0 {
            return;
        }
        let codes: Vec<String> = calls
            .refused
            .iter()
            .map(|(code, n)| format!("{code} {n}"))
            .collect();
        let codes = if codes.is_empty() {
            String::new()
        } else {
            format!(" ({})", codes.join(", "))
        };
        self.say(format!(
            "calls due {}: answered {}, refused {}{codes}, unanswered {}, not made {}",
            calls.due(),
            calls.answered,
            calls.refused_total(),
            calls.unanswered,
            calls.skipped
        ));
        if calls.wrong > 0 {
            self.say(format!(
                "WRONG: {} answers are not the answer to their call",
                calls.wrong
            ));
            self.code = exit::WRONG;
        }
        if calls.skipped > 0 {
            self.invalid(format!(
                "{} of {} calls were not made, since too many of their connection were unanswered (--in-flight)",
                calls.skipped,
                calls.due()
            ));
        }
    }

    fn processes(&mut self, run: &Run<'_>) {
        for loss in run.losses {
            self.say(format!(
                "LOST: a process of the swarm (pid {}, one of {}) {}; its {} connections are gone, and their books with them",
                loss.pid, run.processes, loss.why, loss.connections
            ));
            self.code = exit::WRONG;
        }
    }

    fn order(&mut self, counters: &Counters) {
        let Counters {
            duplicates,
            disorders,
            malformed,
            ..
        } = counters;
        if duplicates + disorders + malformed > 0 || counters.first_violation.is_some() {
            let what = counters
                .first_violation
                .as_deref()
                .map(|what| format!("; {what}"))
                .unwrap_or_default();
            self.say(format!("WRONG: {duplicates} offsets twice, {disorders} out of order, {malformed} malformed messages{what}"));
            self.code = exit::WRONG;
        }
    }

    fn books(&mut self, run: &Run<'_>) {
        let books = run.counters.books;
        if run.counters.calls.due() > 0 {
            return;
        }
        self.say(format!(
            "residual {} ({} ledgers: delivered {}, received {}, lost {}, left out {}, pending {})",
            books.residual,
            books.answered,
            books.sum.delivered,
            books.received,
            books.lost(),
            books.left_out(),
            books.pending()
        ));
        let late: u64 = run.groups.iter().map(|group| group.late).sum();
        let unknown = books.unanswered + late;
        if unknown > 0 {
            self.say(format!(
                "{unknown} of {} ledgers were not answered",
                run.asked
            ));
        }
        // That a slow one is closed before it can answer may be what was asked for.
        let healthy = run.groups.first();
        let refused = healthy.map_or(0, |group| group.account.books.unanswered);
        if books.residual > 0 || late + refused > 0 {
            self.code = exit::WRONG;
        }
    }

    fn groups(&mut self, run: &Run<'_>) {
        let unannounced: u64 = run.groups.iter().map(|group| group.unannounced).sum();
        if unannounced > 0 {
            self.say(format!(
                "WRONG: {unannounced} messages were lost, as the ledgers say, and never announced"
            ));
            self.code = exit::WRONG;
        }
        if run.counters.unfollowed > 0 {
            self.say(format!(
                "the order of {} messages was not checked: too many keys",
                run.counters.unfollowed
            ));
        }
        if run.table == Shown::Yes {
            let table = Table(run.groups).to_string();
            self.lines.extend(table.lines().map(str::to_owned));
        }
    }

    fn validity(&mut self, run: &Run<'_>) {
        for (what, trouble) in [
            ("the generator was the limit", run.limit),
            ("the clocks were not to be trusted", run.clocks),
        ] {
            if let Some((clients, why)) = &trouble.first {
                self.invalid(format!(
                    "{what} in {} of {} windows, first at {clients} clients: {why}",
                    trouble.windows, run.windows
                ));
            }
        }
        let Standing { due, up } = run.standing;
        if up < due {
            self.invalid(format!("only {up} of {due} connections were up at the end"));
        }
    }

    fn invalid(&mut self, reason: String) {
        self.say(format!("INVALID as a measurement of the server: {reason}"));
        self.reasons.push(reason);
    }

    fn say(&mut self, line: String) {
        self.lines.push(line);
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Account, Books, Staleness};

    const LAG_MAX: Duration = Duration::from_millis(50);

    fn healthy(books: Books) -> Report {
        Report {
            name: "healthy".to_owned(),
            account: Account {
                subscribed: 1,
                books,
                ..Account::default()
            },
            late: 0,
            unannounced: 0,
            staleness: Staleness::default(),
        }
    }

    /// Of one group, and valid.
    fn run<'a>(counters: &'a Counters, groups: &'a [Report], trouble: &'a Trouble) -> Run<'a> {
        Run {
            counters,
            asked: 1,
            losses: &[],
            processes: 1,
            groups,
            table: Shown::Yes,
            latency_ms: [None; 3],
            standing: Standing::default(),
            memory: None,
            unmeasured: &[],
            limit: trouble,
            clocks: trouble,
            windows: 1,
        }
    }

    fn judged(counters: &Counters) -> Verdict {
        with(counters, &[healthy(counters.books)])
    }

    fn with(counters: &Counters, groups: &[Report]) -> Verdict {
        Verdict::of(&run(counters, groups, &Trouble::default()))
    }

    #[test]
    fn a_run_without_trouble_is_a_residual_of_zero_and_a_success() {
        let verdict = judged(&Counters::default());
        assert_eq!(verdict.code, 0);
        assert!(verdict.to_string().contains("residual 0"), "{verdict}");
    }

    #[test]
    fn why_the_server_is_not_measured_is_told_and_is_no_trouble() {
        let (counters, trouble) = (Counters::default(), Trouble::default());
        let why = ["CPU and memory of the server are not measured: it is away".to_owned()];
        let run = Run {
            unmeasured: &why,
            ..run(&counters, &[], &trouble)
        };
        let verdict = Verdict::of(&run);
        assert!(
            verdict.lines().contains(&why[0]) && verdict.code == 0,
            "{verdict}"
        );
        assert!(verdict.reasons().is_empty());
    }

    #[test]
    fn books_that_do_not_close_fail_the_run() {
        let mut counters = Counters::default();
        counters.books.residual = 3;
        let verdict = judged(&counters);
        assert_eq!(verdict.code, 1);
        assert!(verdict.to_string().contains("residual 3"), "{verdict}");
    }

    #[test]
    fn ledgers_that_were_not_answered_fail_the_run() {
        let mut counters = Counters::default();
        counters.books.unanswered = 1;
        assert_eq!(judged(&counters).code, 1);
    }

    #[test]
    fn a_slow_one_that_was_closed_before_it_answered_is_no_failure() {
        let mut counters = Counters::default();
        counters.books.unanswered = 1;
        let slow = Report {
            name: "5%:stall".to_owned(),
            ..healthy(counters.books)
        };
        let verdict = with(&counters, &[healthy(Books::default()), slow.clone()]);
        assert_eq!(verdict.code, 0, "{verdict}");
        assert!(
            verdict
                .to_string()
                .contains("5%:stall: 1 of 1 have no ledger"),
            "{verdict}"
        );
        let late = Report { late: 1, ..slow };
        let verdict = with(&counters, &[healthy(Books::default()), late]);
        assert_eq!(verdict.code, 1, "one that is open and silent is");
    }

    #[test]
    fn a_loss_that_is_never_announced_fails_the_run() {
        let counters = Counters::default();
        let silent = Report {
            unannounced: 3,
            ..healthy(Books::default())
        };
        let verdict = with(&counters, &[silent]);
        assert_eq!(verdict.code, 1);
        assert!(
            verdict.to_string().contains("WRONG: 3 messages were lost"),
            "{verdict}"
        );
    }

    #[test]
    fn a_process_that_was_lost_is_named_and_fails_the_run() {
        let counters = Counters::default();
        let loss = Loss {
            pid: 77,
            why: "was killed by signal 9".to_owned(),
            connections: 5000,
        };
        let (groups, none) = ([healthy(counters.books)], Trouble::default());
        let run = Run {
            losses: &[loss],
            processes: 4,
            ..run(&counters, &groups, &none)
        };
        let verdict = Verdict::of(&run);
        assert_eq!(verdict.code, 1);
        let expected = "LOST: a process of the swarm (pid 77, one of 4) was killed by signal 9; its 5000 connections are gone";
        assert!(verdict.to_string().contains(expected), "{verdict}");
    }

    #[test]
    fn a_threshold_that_is_missed_is_told_unless_it_is_the_smaller_trouble() {
        let thresholds = ["residual==0".parse().unwrap()];
        let facts = Facts {
            residual: 3,
            ..Facts::default()
        };
        let mut verdict = judged(&Counters::default());
        verdict.hold(&thresholds, &Facts::default());
        assert_eq!(verdict.code, 0, "{verdict}");
        verdict.hold(&thresholds, &facts);
        assert_eq!(verdict.code, 99);
        assert!(
            verdict
                .to_string()
                .contains("MISSED: residual==0: it was 3"),
            "{verdict}"
        );
        let mut counters = Counters::default();
        counters.books.residual = 3;
        let mut verdict = judged(&counters);
        verdict.hold(&thresholds, &facts);
        assert_eq!(verdict.code, 1);
    }

    #[test]
    fn messages_out_of_order_fail_the_run() {
        let counters = Counters {
            disorders: 1,
            ..Counters::default()
        };
        assert_eq!(judged(&counters).code, 1);
    }

    #[test]
    fn a_closed_connection_is_told_and_is_no_failure_of_the_books() {
        let mut counters = Counters::default();
        counters.closed.insert(1001, 4);
        let verdict = judged(&counters);
        assert_eq!(verdict.code, 0);
        assert!(verdict.to_string().contains("4 with 1001"), "{verdict}");
    }

    #[test]
    fn a_generator_that_was_the_limit_says_so() {
        let of = |lag_ms, busy, starved| {
            limit(
                Own {
                    lag_ms,
                    busy,
                    starved,
                },
                LAG_MAX,
            )
        };
        assert_eq!(of(49.0, 0.9, 0.5), None);
        assert!(of(51.0, 0.1, 0.0).unwrap().ends_with("more than 50 ms"));
        assert!(
            of(51.0, 0.1, 0.4)
                .unwrap()
                .contains("other processes kept it off the cores for 40 %")
        );
        assert!(of(0.0, 0.96, 0.0).unwrap().contains("96 % of a core"));
    }

    #[test]
    fn what_makes_a_run_no_measurement_is_said_with_when_it_began() {
        let (counters, none) = (Counters::default(), Trouble::default());
        let mut limit = Trouble::default();
        limit.see(300, "it was slow".to_owned());
        limit.see(400, "it was slower".to_owned());
        let run = Run {
            limit: &limit,
            windows: 5,
            standing: Standing { due: 400, up: 399 },
            ..run(&counters, &[], &none)
        };
        let verdict = Verdict::of(&run);
        assert_eq!(
            verdict.reasons(),
            [
                "the generator was the limit in 2 of 5 windows, first at 300 clients: it was slow",
                "only 399 of 400 connections were up at the end"
            ]
        );
        assert_eq!(verdict.to_string().matches("INVALID").count(), 2);
        assert_eq!(verdict.code, 0, "that is for thresholds to say");
    }
}
