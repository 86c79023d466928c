//! An order, and how it is told: one shape for results and for execution reports.
//!
//! Owns that shape. Must not contain: what happens to an order.
use rust_decimal::Decimal;
use std::fmt::{Display, Write as _};

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Buys.
    Buy,
    /// Sells.
    Sell,
}

impl Side {
    /// As it is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Buy => "buy",
            Self::Sell => "sell",
        }
    }
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    /// As it is told.
    pub fn word(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Working => "working",
            Self::Filled => "filled",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }

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

impl Order {
    /// It, as JSON.
    pub fn json(&self) -> String {
        self.json_as(self.status, self.price, self.ts_us)
    }

    /// It, as JSON, as it would be after this had happened to it.
    pub fn json_as(&self, status: Status, price: Option<Decimal>, ts_us: u64) -> String {
        self.told(status, price, ts_us, false)
    }

    /// What its submitter was answered, for one who submits it again.
    pub fn first_answer(&self) -> String {
        self.told(Status::Accepted, None, self.accepted_us, true)
    }

    fn told(&self, status: Status, price: Option<Decimal>, ts: u64, duplicate: bool) -> String {
        let asked = &self.asked;
        let (r#type, limit_price) = match asked.terms {
            Terms::Market => ("market", None),
            Terms::Limit(price) => ("limit", Some(price)),
        };
        let mut out = String::with_capacity(TOLD_BYTES);
        out.push('{');
        text(&mut out, "order_id", &self.id);
        text(&mut out, "client_order_id", &asked.client_order_id);
        text(&mut out, "account", &asked.account);
        text(&mut out, "symbol", &asked.symbol);
        text(&mut out, "side", asked.side.word());
        number(&mut out, "qty", Some(asked.qty));
        text(&mut out, "type", r#type);
        number(&mut out, "limit_price", limit_price);
        text(&mut out, "status", status.word());
        number(&mut out, "price", price);
        if let Some(reason) = &self.reason {
            text(&mut out, "reason", reason);
        }
        number(&mut out, "ts", Some(ts));
        if duplicate {
            out.push_str(r#""duplicate":true,"#);
        }
        out.pop();
        out.push('}');
        out
    }
}

/// Room for an order of usual names, so that it is written without growing.
const TOLD_BYTES: usize = 320;

/// Appends a field that is a text.
fn text(out: &mut String, name: &str, value: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    // Writing into a string cannot fail, here and below; nor can a text be no JSON.
    let _ = if value.bytes().all(plain) {
        write!(out, r#""{name}":"{value}","#)
    } else {
        let value = serde_json::to_string(value).unwrap_or_default();
        write!(out, r#""{name}":{value},"#)
    };
}

/// Appends a field that is a number, digit by digit, or null.
fn number(out: &mut String, name: &str, value: Option<impl Display>) {
    let _ = match value {
        Some(value) => write!(out, r#""{name}":{value},"#),
        None => write!(out, r#""{name}":null,"#),
    };
}
