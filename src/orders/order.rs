//! An order, and how it is told: one shape for results and for execution reports.
//!
//! Owns that shape. Must not contain: what happens to an order.
use rust_decimal::Decimal;
use std::fmt::Write as _;

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

/// How far it has come; nothing goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
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

/// How far an order has come, and when that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// How far.
    pub status: Status,
    /// What it was filled at.
    pub price: Option<Decimal>,
    /// When that was, microseconds since the Unix epoch.
    pub ts_us: u64,
}

/// An order that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its name in the node.
    pub id: Box<str>,
    /// What was asked for.
    pub asked: Submit,
    /// How far it has come.
    pub standing: Standing,
    /// Why it was rejected.
    pub reason: Option<Box<str>>,
    /// When it was accepted.
    pub accepted_us: u64,
}

impl Order {
    /// It, as JSON.
    pub fn json(&self) -> String {
        let mut out = String::with_capacity(TOLD_BYTES);
        self.tell(&mut out, &self.standing);
        out
    }

    /// Appends it, as JSON, as it is when it has come so far.
    pub fn tell(&self, out: &mut String, standing: &Standing) {
        let asked = &self.asked;
        text(out, r#"{"order_id":"#, &self.id);
        text(out, r#","client_order_id":"#, &asked.client_order_id);
        text(out, r#","account":"#, &asked.account);
        text(out, r#","symbol":"#, &asked.symbol);
        out.push_str(match asked.side {
            Side::Buy => r#","side":"buy","qty":"#,
            Side::Sell => r#","side":"sell","qty":"#,
        });
        decimal(out, asked.qty);
        match asked.terms {
            Terms::Market => out.push_str(r#","type":"market","limit_price":null"#),
            Terms::Limit(price) => {
                out.push_str(r#","type":"limit","limit_price":"#);
                decimal(out, price);
            }
        }
        text(out, r#","status":"#, standing.status.word());
        out.push_str(r#","price":"#);
        match standing.price {
            Some(price) => decimal(out, price),
            None => out.push_str("null"),
        }
        if let Some(reason) = &self.reason {
            text(out, r#","reason":"#, reason);
        }
        out.push_str(r#","ts":"#);
        out.push_str(itoa::Buffer::new().format(standing.ts_us));
        out.push('}');
    }

    /// What its submitter was answered, for one who submits it again.
    pub fn first_answer(&self) -> String {
        let mut out = String::with_capacity(TOLD_BYTES);
        let first = Standing {
            status: Status::Accepted,
            price: None,
            ts_us: self.accepted_us,
        };
        self.tell(&mut out, &first);
        out.pop();
        out.push_str(r#","duplicate":true}"#);
        out
    }
}

/// Room for an order of usual names, so that it is written without growing.
const TOLD_BYTES: usize = 320;

/// Appends what stands before a text, and the text.
fn text(out: &mut String, before: &str, value: &str) {
    let plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    out.push_str(before);
    if value.bytes().all(plain) {
        out.push('"');
        out.push_str(value);
        out.push('"');
    } else {
        // A text cannot be no JSON.
        out.push_str(&serde_json::to_string(value).unwrap_or_default());
    }
}

/// Appends a number, digit by digit.
fn decimal(out: &mut String, value: Decimal) {
    let Ok(digits) = u64::try_from(value.mantissa()) else {
        // Writing into a string cannot fail.
        let _ = write!(out, "{value}");
        return;
    };
    let (mut buffer, places) = (itoa::Buffer::new(), value.scale() as usize);
    let digits = buffer.format(digits);
    match digits.len().checked_sub(places) {
        Some(whole) if whole > 0 => {
            out.push_str(&digits[..whole]);
            if places > 0 {
                out.push('.');
                out.push_str(&digits[whole..]);
            }
        }
        _ => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', places - digits.len()));
            out.push_str(digits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_decimal_is_written_as_it_shows_itself(
            digits in prop_oneof![-5_i128..1000, 0..1_i128 << 70],
            places in 0..=Decimal::MAX_SCALE,
        ) {
            let value = Decimal::from_i128_with_scale(digits, places);
            let mut out = String::new();
            decimal(&mut out, value);
            prop_assert_eq!(out, value.to_string());
        }
    }
}
