//! What each method takes, checked; every wrong field is named at once.
//!
//! Owns the limits of texts. Must not contain: what a method does.
use super::fields::{Fields, Wrong, amount, integer, name, text, token};
use super::order::{Side, Submit, Terms};
use serde_json::value::RawValue;
use std::ops::RangeInclusive;

/// Bytes of a `client_order_id` and of an `order_id`.
const ID: RangeInclusive<usize> = 1..=64;
/// Bytes of an account: with the rest of a topic it fits the smallest limit.
const ACCOUNT: RangeInclusive<usize> = 1..=64;
/// Bytes of a symbol.
const SYMBOL: RangeInclusive<usize> = 1..=32;
/// Orders of one page.
const PAGE: RangeInclusive<i64> = 1..=1000;
/// Orders of a page that doesn't say.
const PAGE_DEFAULT: i64 = 100;

const SIDES: [(&str, Side); 2] = [("buy", Side::Buy), ("sell", Side::Sell)];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Market,
    Limit,
}

const TYPES: [(&str, Type); 2] = [("market", Type::Market), ("limit", Type::Limit)];

/// Which order is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// By its name in the node.
    Id(Box<str>),
    /// By what its account calls it.
    Client {
        /// The account.
        account: Box<str>,
        /// Its name for it.
        client_order_id: Box<str>,
    },
}

/// A page of an account's orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    /// The account.
    pub account: Box<str>,
    /// The last order of the page before.
    pub after: Option<Box<str>>,
    /// How many.
    pub limit: usize,
}

/// `order.submit`.
pub fn submit(params: &str) -> Result<Submit, Wrong> {
    let allowed = &[
        "client_order_id",
        "account",
        "symbol",
        "side",
        "qty",
        "type",
        "limit_price",
    ];
    let mut fields = Fields::of(params, allowed)?;
    let client_order_id = fields.needed("client_order_id", |raw| text(raw, ID));
    let account = fields.needed("account", |raw| token(raw, ACCOUNT));
    let symbol = fields.needed("symbol", |raw| token(raw, SYMBOL));
    let side = fields.needed("side", |raw| name(raw, &SIDES));
    let qty = fields.needed("qty", amount);
    let terms = terms(&mut fields);
    let read = (|| {
        Some(Submit {
            client_order_id: client_order_id?,
            account: account?,
            symbol: symbol?,
            side: side?,
            qty: qty?,
            terms: terms?,
        })
    })();
    fields.done(read)
}

fn terms(fields: &mut Fields<'_>) -> Option<Terms> {
    match fields.needed("type", |raw| name(raw, &TYPES))? {
        Type::Limit => fields.needed("limit_price", amount).map(Terms::Limit),
        Type::Market if fields.value("limit_price").is_some() => {
            fields.refuse("limit_price", "belongs to orders of type limit");
            None
        }
        Type::Market => Some(Terms::Market),
    }
}

/// `order.get` and `order.cancel`.
pub fn which(params: &str) -> Result<Which, Wrong> {
    let mut fields = Fields::of(params, &["order_id", "account", "client_order_id"])?;
    let is_client = |fields: &Fields<'_>| {
        ["account", "client_order_id"]
            .iter()
            .any(|name| fields.value(name).is_some())
    };
    if fields.value("order_id").is_some() {
        if is_client(&fields) {
            let message = "stands alone; or leave it out, and give account and client_order_id";
            fields.refuse("order_id", message);
        }
        let id = fields.needed("order_id", |raw| text(raw, ID));
        return fields.done(id.map(Which::Id));
    }
    if !is_client(&fields) {
        let message = "is needed, or account and client_order_id in its place";
        fields.refuse("order_id", message);
        return fields.done(None);
    }
    let account = fields.needed("account", |raw| token(raw, ACCOUNT));
    let client_order_id = fields.needed("client_order_id", |raw| text(raw, ID));
    let read = account.zip(client_order_id);
    fields.done(read.map(|(account, client_order_id)| Which::Client {
        account,
        client_order_id,
    }))
}

/// `order.list`.
pub fn list(params: &str) -> Result<List, Wrong> {
    let mut fields = Fields::of(params, &["account", "after", "limit"])?;
    let account = fields.needed("account", |raw| token(raw, ACCOUNT));
    let after = fields.optional("after", |raw: &RawValue| text(raw, ID));
    let limit = fields.optional("limit", |raw| integer(raw, PAGE));
    let read = account.map(|account| List {
        account,
        after,
        limit: limit.unwrap_or(PAGE_DEFAULT) as usize,
    });
    fields.done(read)
}
