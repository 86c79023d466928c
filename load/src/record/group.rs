//! What a group of connections got in a whole run. Pure.
use super::outcome::Books;
use crate::ramp::groups::Report;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A group of connections that read alike.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Group {
    /// What it is called: `healthy`, or the share and pace it was asked for with.
    pub name: String,
    /// Subscriptions that stood, ever.
    pub subscribed: u64,
    /// Connections that ended though nobody here asked for it, by close code (1006: without a close frame).
    pub closed: BTreeMap<u16, u64>,
    /// Messages received, whatever became of the connection.
    pub received: u64,
    /// How often one was told that it is behind.
    pub went_behind: u64,
    /// How often one was told that it reads history.
    pub went_to_replay: u64,
    /// Gaps announced.
    pub gaps: u64,
    /// Messages that they said were lost.
    pub gaps_lost: u64,
    /// Gaps that could not say how many.
    pub gaps_uncounted: u64,
    /// Messages that ledgers say were lost and no gap has announced.
    pub lost_unannounced: u64,
    /// Subscriptions without a ledger, and so in none of the books.
    pub without_ledger: u64,
    /// The sum of its ledgers.
    pub books: Books,
    /// How old the newest value was that a connection held.
    pub staleness_ms: Staleness,
}

/// Ages, over time and at the end of the run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Staleness {
    /// Not exceeded for half of the time.
    pub p50: Option<f64>,
    /// Not exceeded for 99 % of the time.
    pub p99: Option<f64>,
    /// At the end, not exceeded by half of the connections.
    pub end_p50: Option<f64>,
    /// At the end, of the connection that holds the oldest.
    pub end_max: Option<f64>,
}

impl Group {
    /// As a run's end reports it.
    pub fn new(report: &Report) -> Self {
        let account = &report.account;
        let staleness = &report.staleness;
        Self {
            name: report.name.clone(),
            subscribed: account.subscribed,
            closed: account.closed.clone(),
            received: account.received,
            went_behind: account.behind,
            went_to_replay: account.replays,
            gaps: account.gaps,
            gaps_lost: account.announced,
            gaps_uncounted: account.gaps_uncounted,
            lost_unannounced: report.unannounced,
            without_ledger: account.unbooked(),
            books: Books::new(&account.books),
            staleness_ms: Staleness {
                p50: staleness.during_ms(0.5),
                p99: staleness.during_ms(0.99),
                end_p50: staleness.at_end_ms(0.5),
                end_max: staleness.at_end_ms(1.0),
            },
        }
    }
}
