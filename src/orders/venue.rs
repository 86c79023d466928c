//! Where orders are filled.
//!
//! Owns what a venue is asked, and the one that is built in: paper, which fills whole orders at the node's own quotes. Must not contain:
//! who has sent an order, or how it is told.
use super::fields::decimal;
use super::order::{Side, Submit, Terms};
use hashbrown::HashMap;
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What the market gives for a symbol; a price that isn't told, or is none, is not there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quote {
    /// Somebody buys at this.
    pub bid: Option<Decimal>,
    /// Somebody sells at this.
    pub ask: Option<Decimal>,
    /// The last trade.
    pub last: Option<Decimal>,
}

/// A quote's fields, as they stand.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    bid: Option<&'a RawValue>,
    #[serde(borrow, default)]
    ask: Option<&'a RawValue>,
    #[serde(borrow, default)]
    last: Option<&'a RawValue>,
}

impl Quote {
    /// The quote that a payload of `quotes.SYMBOL` holds, if it holds one.
    pub fn read(data: &[u8]) -> Option<Self> {
        let raw: Raw<'_> = serde_json::from_slice(data).ok()?;
        let price = |raw: Option<&RawValue>| {
            let price = raw.and_then(|raw| decimal(raw.get()));
            price.filter(|price| *price > Decimal::ZERO)
        };
        let quote = Self {
            bid: price(raw.bid),
            ask: price(raw.ask),
            last: price(raw.last),
        };
        (quote != Self::default()).then_some(quote)
    }

    /// What one who trades that way pays or gets.
    pub fn price(&self, side: Side) -> Option<Decimal> {
        let near = match side {
            Side::Buy => self.ask,
            Side::Sell => self.bid,
        };
        near.or(self.last)
    }
}

/// What has become of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It rests.
    Working,
    /// It is filled, whole, at this price.
    Filled(Decimal),
}

/// A place where orders are filled. Orders have numbers; numbers rise in the order of acceptance.
pub trait Venue: std::fmt::Debug {
    /// Whether it would take an order; if not, why, in words for its sender.
    fn check(&self, asked: &Submit, quote: Option<&Quote>) -> Result<(), String>;

    /// What becomes of an order that has been accepted after a check with this quote.
    fn submit(&mut self, number: u64, asked: &Submit, quote: Option<&Quote>) -> Outcome;

    /// Takes an order back that rests. `false`: it doesn't rest here.
    fn cancel(&mut self, number: u64, asked: &Submit) -> bool;

    /// Whether a quote of that symbol can change anything.
    fn wants(&self, symbol: &str) -> bool;

    /// A quote has come: the orders it fills, and at what price.
    fn quote(&mut self, symbol: &str, quote: &Quote, filled: &mut Vec<(u64, Decimal)>);
}

/// Fills market orders at the last quote; limit orders rest until a quote crosses them.
#[derive(Debug, Default)]
pub struct Paper {
    resting: HashMap<Box<str>, Resting>,
}

/// The orders of one symbol that rest, the ones that are filled first in front: by price, then by number.
#[derive(Debug, Default)]
struct Resting {
    buys: BTreeSet<(Reverse<Decimal>, u64)>,
    sells: BTreeSet<(Decimal, u64)>,
}

impl Venue for Paper {
    fn check(&self, asked: &Submit, quote: Option<&Quote>) -> Result<(), String> {
        match quote.and_then(|quote| quote.price(asked.side)) {
            Some(_) => Ok(()),
            None => Err(format!("there is no quote for {}", asked.symbol)),
        }
    }

    fn submit(&mut self, number: u64, asked: &Submit, quote: Option<&Quote>) -> Outcome {
        let price = quote.and_then(|quote| quote.price(asked.side));
        let limit = match (asked.terms, price) {
            (Terms::Market, Some(price)) => return Outcome::Filled(price),
            (Terms::Limit(limit), Some(price)) if crosses(asked.side, limit, price) => {
                return Outcome::Filled(price);
            }
            (Terms::Limit(limit), _) => limit,
            // Not after a check with this quote.
            (Terms::Market, None) => return Outcome::Working,
        };
        let resting = self.resting.entry(asked.symbol.clone()).or_default();
        match asked.side {
            Side::Buy => resting.buys.insert((Reverse(limit), number)),
            Side::Sell => resting.sells.insert((limit, number)),
        };
        Outcome::Working
    }

    fn cancel(&mut self, number: u64, asked: &Submit) -> bool {
        let (Some(resting), Terms::Limit(limit)) =
            (self.resting.get_mut(&asked.symbol), asked.terms)
        else {
            return false;
        };
        let rested = match asked.side {
            Side::Buy => resting.buys.remove(&(Reverse(limit), number)),
            Side::Sell => resting.sells.remove(&(limit, number)),
        };
        self.forget_if_empty(&asked.symbol);
        rested
    }

    fn wants(&self, symbol: &str) -> bool {
        self.resting.contains_key(symbol)
    }

    fn quote(&mut self, symbol: &str, quote: &Quote, filled: &mut Vec<(u64, Decimal)>) {
        let Some(resting) = self.resting.get_mut(symbol) else {
            return;
        };
        if let Some(price) = quote.price(Side::Buy) {
            while let Some(&(Reverse(limit), number)) = resting.buys.first()
                && crosses(Side::Buy, limit, price)
            {
                resting.buys.pop_first();
                filled.push((number, price));
            }
        }
        if let Some(price) = quote.price(Side::Sell) {
            while let Some(&(limit, number)) = resting.sells.first()
                && crosses(Side::Sell, limit, price)
            {
                resting.sells.pop_first();
                filled.push((number, price));
            }
        }
        self.forget_if_empty(symbol);
    }
}

impl Paper {
    fn forget_if_empty(&mut self, symbol: &str) {
        let empty = |r: &Resting| r.buys.is_empty() && r.sells.is_empty();
        if self.resting.get(symbol).is_some_and(empty) {
            self.resting.remove(symbol);
        }
    }
}

/// Whether one who would trade at `limit` or better trades at `price`.
fn crosses(side: Side, limit: Decimal, price: Decimal) -> bool {
    match side {
        Side::Buy => price <= limit,
        Side::Sell => price >= limit,
    }
}
