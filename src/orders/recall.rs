//! An order read back from what was told of it.
//!
//! Owns the reading of the shape that [`order`](super::order) writes. Must not contain: what becomes of an order. Used when a log is read
//! after a start.
use super::fields::decimal;
use super::order::{Order, Side, Standing, Status, Submit, Terms};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A report's fields, as they stand.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    order_id: Cow<'a, str>,
    #[serde(borrow)]
    client_order_id: Cow<'a, str>,
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    symbol: Cow<'a, str>,
    #[serde(borrow)]
    side: Cow<'a, str>,
    #[serde(borrow)]
    qty: &'a RawValue,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    limit_price: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow, default)]
    reason: Option<Cow<'a, str>>,
    ts: u64,
}

const STATUSES: [Status; 5] = [
    Status::Accepted,
    Status::Working,
    Status::Filled,
    Status::Cancelled,
    Status::Rejected,
];

/// The order that a report tells of, as it was then. What is no report is `None`.
pub fn order(data: &[u8]) -> Option<Order> {
    let told: Told<'_> = serde_json::from_slice(data).ok()?;
    let number = |raw: &RawValue| decimal(raw.get());
    let price = |raw: Option<&RawValue>| -> Option<Option<Decimal>> {
        match raw.filter(|raw| raw.get() != "null") {
            Some(raw) => number(raw).map(Some),
            None => Some(None),
        }
    };
    let terms = match (&*told.kind, price(told.limit_price)?) {
        ("market", None) => Terms::Market,
        ("limit", Some(limit)) => Terms::Limit(limit),
        _ => return None,
    };
    let sides = [Side::Buy, Side::Sell];
    let asked = Submit {
        client_order_id: told.client_order_id.into(),
        account: told.account.into(),
        symbol: told.symbol.into(),
        side: sides.into_iter().find(|side| side.word() == told.side)?,
        qty: number(told.qty)?,
        terms,
    };
    let status = STATUSES.into_iter().find(|s| s.word() == told.status)?;
    Some(Order {
        id: told.order_id.into(),
        asked,
        standing: Standing {
            status,
            price: price(told.price)?,
            ts_us: told.ts,
        },
        reason: told.reason.map(Into::into),
        accepted_us: told.ts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option::of;
    use proptest::prelude::*;
    use proptest::sample::select;

    fn amounts() -> impl Strategy<Value = Decimal> {
        (1i64..1_000_000_000, 0u32..8).prop_map(|(n, scale)| Decimal::new(n, scale).normalize())
    }

    fn orders() -> impl Strategy<Value = Order> {
        let terms = prop_oneof![Just(Terms::Market), amounts().prop_map(Terms::Limit)];
        let asked = (
            ".{1,20}",
            "[a-z0-9]{1,9}",
            "[A-Z]{1,5}",
            any::<bool>(),
            amounts(),
            terms,
        );
        let standing = (select(&STATUSES[..]), of(amounts()), 0u64..1 << 50);
        (asked, standing, of(".{0,20}")).prop_map(|(asked, standing, reason)| Order {
            id: "e-1".into(),
            asked: Submit {
                client_order_id: asked.0.into(),
                account: asked.1.into(),
                symbol: asked.2.into(),
                side: if asked.3 { Side::Buy } else { Side::Sell },
                qty: asked.4,
                terms: asked.5,
            },
            standing: Standing {
                status: standing.0,
                price: standing.1,
                ts_us: standing.2,
            },
            reason: reason.map(Into::into),
            accepted_us: standing.2,
        })
    }

    proptest! {
        #[test]
        fn what_is_told_of_an_order_is_the_order(order in orders()) {
            prop_assert_eq!(super::order(order.json().as_bytes()), Some(order));
        }

        #[test]
        fn whatever_stands_there_is_an_order_or_none(data in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = order(&data);
        }
    }

    #[test]
    fn what_is_no_report_is_none() {
        for other in ["", "1", "{}", r#"{"order_id":"x"}"#] {
            assert_eq!(order(other.as_bytes()), None, "{other}");
        }
    }
}
