//! The desk: a call from its parameters to its report and its answer.
//!
//! Owns the order of things: an order is known when its report is in the log, and not before; every change is reported before it is
//! told. Must not contain: a link, a clock, the log. Driven by the hub, which lends it a journal.
//!
//! Laws: whoever is answered finds the report that says the same; an order that is refused leaves nothing behind; the same order again
//! gets the first answer, and no second report.
use super::book::{Book, Known};
use super::fields::Wrong;
use super::order::{Order, Standing, Status, Submit, Terms};
use super::params::{self, List, Which};
use super::recall;
use super::venue::{Outcome, Quote, Venue};
use pubsub_wire::ErrorCode;
use rust_decimal::Decimal;
use std::fmt::Write as _;

/// Topics of reports are this and the account.
pub const REPORTS: &str = "execs.";

/// When there may be room again for an order.
const ROOM_RETRY_MS: u64 = 1000;

/// A page of orders ends here, full or not: answers travel in a session's control lane, of which one is to take no more than half
/// unless the lane was made smaller.
const PAGE_BYTES: usize = 32 << 10;

/// What the desk is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// `order.submit`.
    Submit(Submit),
    /// `order.get`.
    Get(Which),
    /// `order.cancel`.
    Cancel(Which),
    /// `order.list`.
    List(List),
}

impl Call {
    /// The call of a method, its parameters checked. `None`: the desk has no such method.
    pub fn read(method: &str, params: &str) -> Option<Result<Self, Wrong>> {
        Some(match method {
            "order.submit" => params::submit(params).map(Self::Submit),
            "order.get" => params::which(params).map(Self::Get),
            "order.cancel" => params::which(params).map(Self::Cancel),
            "order.list" => params::list(params).map(Self::List),
            _ => return None,
        })
    }
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The code for the client.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub message: String,
    /// When to try again.
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// The order itself is what is wrong.
    fn rejected(message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::Rejected,
            message: message.into(),
            retry_after_ms: None,
        }
    }
}

/// What the desk has of the log.
pub trait Journal {
    /// Puts a report into the log; after an error nothing of it is there.
    fn report(&mut self, topic: &str, key: &str, data: &[u8]) -> Result<(), Refusal>;

    /// The newest quote of a symbol.
    fn quote(&mut self, symbol: &str) -> Option<Quote>;

    /// The time, microseconds since the Unix epoch.
    fn wall_us(&self) -> u64;
}

/// See the module.
#[derive(Debug)]
pub struct Desk {
    book: Book,
    venue: Box<dyn Venue + Send>,
    /// Scratch of `on_quote`.
    filled: Vec<(u64, Decimal)>,
    draft: Draft,
}

/// What a report is put together in.
#[derive(Debug, Default)]
struct Draft {
    topic: String,
    told: String,
}

impl Desk {
    /// A desk with an empty book.
    pub fn new(book: Book, venue: Box<dyn Venue + Send>) -> Self {
        Self {
            book,
            venue,
            filled: Vec::new(),
            draft: Draft::default(),
        }
    }

    /// The orders that are known.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// Carries a call out: its result, as JSON.
    pub fn handle(&mut self, call: Call, journal: &mut impl Journal) -> Result<String, Refusal> {
        match call {
            Call::Submit(asked) => self.submit(asked, journal),
            Call::Get(which) => {
                let number = self.find(&which)?;
                Ok(self.book.get(number).map(Order::json).unwrap_or_default())
            }
            Call::Cancel(which) => self.cancel(&which, journal),
            Call::List(list) => self.list(&list),
        }
    }

    /// A report is read again from a log, in its order; the venue hears of nothing before [`resume`](Self::resume).
    pub fn restore(&mut self, report: &[u8]) {
        if let Some(order) = recall::order(report) {
            self.book.restore(order);
        }
    }

    /// An order is read again as it was kept, before the reports of what has happened to it since.
    pub fn restore_saved(&mut self, told: &[u8], accepted_us: u64) {
        if let Some(order) = recall::order(told) {
            self.book.restore(Order {
                accepted_us,
                ..order
            });
        }
    }

    /// So many orders had been accepted: their names are not given again, though they may be forgotten.
    pub fn restore_accepted(&mut self, orders: u64) {
        self.book.restore_accepted(orders);
    }

    /// All reports have been read: what rested rests again, and what was accepted when everything ended goes to the venue.
    pub fn resume(&mut self, journal: &mut impl Journal) {
        self.book.end_restoring();
        for number in self.book.unfinished() {
            let Some(order) = self.book.get(number) else {
                continue;
            };
            let was = order.standing.status;
            let quote = match was {
                Status::Accepted => journal.quote(&order.asked.symbol),
                // A quote that crosses it comes soon enough.
                _ => None,
            };
            let outcome = self.venue.submit(number, &order.asked, quote.as_ref());
            let (status, price) = match (outcome, order.asked.terms) {
                (Outcome::Filled(price), _) => (Status::Filled, Some(price)),
                (Outcome::Working, Terms::Limit(_)) => (Status::Working, None),
                // The quote that it was accepted at is not known any more, and it can't rest.
                (Outcome::Working, Terms::Market) => (Status::Rejected, None),
            };
            if status != was {
                // As for a quote that fills it.
                let _ = self.change(number, status, price, journal);
            }
        }
    }

    /// Whether a quote of that symbol can change anything.
    pub fn wants(&self, symbol: &str) -> bool {
        self.venue.wants(symbol)
    }

    /// A quote has been numbered: what it fills is filled.
    pub fn on_quote(&mut self, symbol: &str, quote: &Quote, journal: &mut impl Journal) {
        let mut filled = std::mem::take(&mut self.filled);
        self.venue.quote(symbol, quote, &mut filled);
        for (number, price) in filled.drain(..) {
            // Its topic is there since it was accepted, and the report is no longer than it was then.
            let _ = self.change(number, Status::Filled, Some(price), journal);
        }
        self.filled = filled;
    }

    fn submit(&mut self, asked: Submit, journal: &mut impl Journal) -> Result<String, Refusal> {
        match self.book.known(&asked) {
            Known::New => {}
            Known::Again(order) => return Ok(order.first_answer()),
            Known::Other(order) => {
                return Err(Refusal::rejected(format!(
                    "account {} has another order of this client_order_id: {}",
                    order.asked.account, order.id
                )));
            }
        }
        if !self.book.has_room() {
            return Err(Refusal {
                code: ErrorCode::Limit,
                message: "there are as many working orders as there may be".to_owned(),
                retry_after_ms: Some(ROOM_RETRY_MS),
            });
        }
        let quote = journal.quote(&asked.symbol);
        self.venue
            .check(&asked, quote.as_ref())
            .map_err(Refusal::rejected)?;
        let ts_us = journal.wall_us();
        let (number, id) = self.book.next();
        let standing = |status, price| Standing {
            status,
            price,
            ts_us,
        };
        let mut order = Order {
            id,
            asked,
            standing: standing(Status::Accepted, None),
            reason: None,
            accepted_us: ts_us,
        };
        let answer = self
            .draft
            .report(&order, &order.standing, journal)?
            .to_owned();
        let outcome = self.venue.submit(number, &order.asked, quote.as_ref());
        let next = match outcome {
            Outcome::Working => standing(Status::Working, None),
            Outcome::Filled(price) => standing(Status::Filled, Some(price)),
        };
        // As for a quote that fills it.
        if self.draft.report(&order, &next, journal).is_ok() {
            order.standing = next;
        }
        self.book.insert(order);
        Ok(answer)
    }

    fn cancel(&mut self, which: &Which, journal: &mut impl Journal) -> Result<String, Refusal> {
        let number = self.find(which)?;
        let Some(order) = self.book.get(number) else {
            return Err(unknown());
        };
        if order.standing.status.is_final() || !self.venue.cancel(number, &order.asked) {
            return Err(Refusal::rejected(format!(
                "order {} is {} already",
                order.id,
                order.standing.status.word()
            )));
        }
        let told = self.change(number, Status::Cancelled, None, journal)?;
        Ok(told.to_owned())
    }

    fn list(&self, list: &List) -> Result<String, Refusal> {
        let (orders, more) = self.book.list(list).map_err(|_| Refusal {
            code: ErrorCode::BadField,
            message: "after: there never was an order of this order_id".to_owned(),
            retry_after_ms: None,
        })?;
        let mut out = String::from(r#"{"orders":["#);
        let (begin, mut more) = (out.len(), more);
        for order in orders {
            let order = order.json();
            if out.len() == begin {
                out.push_str(&order);
            } else if out.len() + order.len() < PAGE_BYTES {
                out.push(',');
                out.push_str(&order);
            } else {
                more = true;
                break;
            }
        }
        // Writing into a string cannot fail.
        let _ = write!(out, r#"],"more":{more}}}"#);
        Ok(out)
    }

    fn find(&self, which: &Which) -> Result<u64, Refusal> {
        self.book.find(which).ok_or_else(unknown)
    }

    /// Reports a change and then makes it: the order as it is then, as JSON.
    fn change(
        &mut self,
        number: u64,
        status: Status,
        price: Option<Decimal>,
        journal: &mut impl Journal,
    ) -> Result<&str, Refusal> {
        let Some(order) = self.book.get(number) else {
            return Err(unknown());
        };
        let standing = Standing {
            status,
            price,
            ts_us: journal.wall_us(),
        };
        let told = self.draft.report(order, &standing, journal)?;
        self.book.change(number, standing);
        Ok(told)
    }
}

impl Draft {
    /// Reports that an order has come so far; the report.
    fn report(
        &mut self,
        order: &Order,
        standing: &Standing,
        journal: &mut impl Journal,
    ) -> Result<&str, Refusal> {
        self.topic.clear();
        self.topic.push_str(REPORTS);
        self.topic.push_str(&order.asked.account);
        self.told.clear();
        order.tell(&mut self.told, standing);
        journal.report(&self.topic, &order.id, self.told.as_bytes())?;
        Ok(&self.told)
    }
}

fn unknown() -> Refusal {
    Refusal::rejected("there is no such order; it may have ended so long ago that it was forgotten")
}
