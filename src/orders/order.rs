//! An order, and how it is told: one shape for results and for execution reports.
//!
//! Owns that shape. Must not contain: what happens to an order.
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::value::RawValue;

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Buys.
    Buy,
    /// Sells.
    Sell,
}

/// At what price.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terms {
    /// At whatever the market gives.
    Market,
    /// At this or a better one.
    Limit(Decimal),
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is in the log.
    Accepted,
    /// It rests until a quote crosses it.
    Working,
    /// It is filled, whole.
    Filled,
    /// It was cancelled before it was filled.
    Cancelled,
    /// The venue has refused it after it was accepted.
    Rejected,
}

impl Status {
    /// Nothing more happens to it.
    pub fn is_final(self) -> bool {
        match self {
            Self::Accepted | Self::Working => false,
            Self::Filled | Self::Cancelled | Self::Rejected => true,
        }
    }
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submit {
    /// What its account calls it; an account has one order of that name.
    pub client_order_id: Box<str>,
    /// Whose it is; one token of a topic.
    pub account: Box<str>,
    /// Of what; one token of a topic.
    pub symbol: Box<str>,
    /// Which way.
    pub side: Side,
    /// How much.
    pub qty: Decimal,
    /// At what price.
    pub terms: Terms,
}

/// An order that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its name in the node.
    pub id: Box<str>,
    /// What was asked for.
    pub asked: Submit,
    /// How far it has come.
    pub status: Status,
    /// What it was filled at.
    pub price: Option<Decimal>,
    /// Why it was rejected.
    pub reason: Option<Box<str>>,
    /// When that was, microseconds since the Unix epoch.
    pub ts_us: u64,
    /// When it was accepted.
    pub accepted_us: u64,
}

/// An order as it is told.
#[derive(Serialize)]
struct Told<'a> {
    order_id: &'a str,
    client_order_id: &'a str,
    account: &'a str,
    symbol: &'a str,
    side: Side,
    qty: Box<RawValue>,
    r#type: &'a str,
    limit_price: Option<Box<RawValue>>,
    status: Status,
    price: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    ts: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    duplicate: bool,
}

impl Order {
    /// It, as JSON.
    pub fn json(&self) -> String {
        self.told(self.status, self.price, self.ts_us, false)
    }

    /// What its submitter was answered, for one who submits it again.
    pub fn first_answer(&self) -> String {
        self.told(Status::Accepted, None, self.accepted_us, true)
    }

    fn told(&self, status: Status, price: Option<Decimal>, ts: u64, duplicate: bool) -> String {
        let asked = &self.asked;
        let (r#type, limit_price) = match asked.terms {
            Terms::Market => ("market", None),
            Terms::Limit(price) => ("limit", Some(number(price))),
        };
        let told = Told {
            order_id: &self.id,
            client_order_id: &asked.client_order_id,
            account: &asked.account,
            symbol: &asked.symbol,
            side: asked.side,
            qty: number(asked.qty),
            r#type,
            limit_price,
            status,
            price: price.map(number),
            reason: self.reason.as_deref(),
            ts,
            duplicate,
        };
        // Plain values are always JSON.
        serde_json::to_string(&told).unwrap_or_default()
    }
}

/// A decimal as a JSON number, digit by digit.
fn number(decimal: Decimal) -> Box<RawValue> {
    // The digits of a decimal are a JSON number.
    RawValue::from_string(decimal.to_string()).unwrap_or_default()
}
