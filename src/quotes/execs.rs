//! Made-up executions, in the shape of the 2012 prototype's `execs` payload.
//!
//! Owns that shape: names, order and types of its fields. Must not contain: a clock. Driven by `synthetic`.
use super::quote::{civil, write_cents};
use super::walk::SHARES;
use fastrand::Rng;
use std::io::Write;

/// Topic of the payloads.
pub const TOPIC: &str = "execs";

/// Commission in cents: one per share, within these.
const COMMISSION: std::ops::RangeInclusive<i64> = 100..=995;

/// Makes payloads, counting them and the executions in them.
#[derive(Debug)]
pub struct Execs {
    rows: u32,
    request: u64,
    sequence: u64,
}

impl Execs {
    /// With so many executions in one payload.
    pub fn new(rows: u32) -> Self {
        Self {
            rows,
            request: 0,
            sequence: 0,
        }
    }

    /// Overwrites `out` with the next payload; `price` says what a share costs, in cents.
    pub fn write(
        &mut self,
        rng: &mut Rng,
        wall_us: u64,
        price: impl Fn(usize) -> i64,
        out: &mut Vec<u8>,
    ) {
        self.request += 1;
        out.clear();
        put(out, r#"{"request":"#, self.request);
        put(out, r#","rows":"#, u64::from(self.rows));
        put(out, r#","timestamp":"#, wall_us / 1000);
        out.extend_from_slice(br#","execs":["#);
        for row in 0..self.rows {
            if row > 0 {
                out.push(b',');
            }
            let share = rng.usize(..SHARES.len());
            self.write_row(rng, wall_us, SHARES[share].0, price(share), out);
        }
        out.extend_from_slice(b"]}");
    }

    fn write_row(
        &mut self,
        rng: &mut Rng,
        wall_us: u64,
        symbol: &str,
        price: i64,
        out: &mut Vec<u8>,
    ) {
        self.sequence += 1;
        let (year, month, day) = civil(wall_us / 86_400_000_000);
        let account = rng.u32(100_000..1_000_000);
        let (sells, qty) = (rng.bool(), rng.i64(1..=40) * 25);
        let com = qty.clamp(*COMMISSION.start(), *COMMISSION.end());
        let net = if sells {
            price * qty - com
        } else {
            -(price * qty + com)
        };
        let (transaction, verb) = if sells {
            ("SELL", "Sold")
        } else {
            ("BUY", "Bought")
        };
        put(out, r#"{"sequence":"#, self.sequence);
        // Writing into a Vec cannot fail.
        let _ = write!(
            out,
            r#","activityDateStr":"{year:04}-{month:02}-{day:02}","com":"#
        );
        write_cents(out, com);
        out.extend_from_slice(br#","price":"#);
        write_cents(out, price);
        let _ = write!(
            out,
            r#","accountId":"U{account}","symbol":"{symbol}","transaction":"{transaction}","description":"{verb} {qty} {symbol}""#
        );
        let _ = write!(
            out,
            r#","qty":{qty},"key":"U{account}-{}","netAmount":"#,
            self.sequence
        );
        write_cents(out, net);
        out.push(b'}');
    }
}

fn put(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, from_slice};

    fn payload(execs: &mut Execs) -> Vec<u8> {
        let mut out = Vec::new();
        execs.write(
            &mut Rng::with_seed(1),
            1_790_000_000_123_456,
            |_| 12_345,
            &mut out,
        );
        out
    }

    #[test]
    fn a_payload_has_the_prototypes_fields_in_its_order() {
        let text = String::from_utf8(payload(&mut Execs::new(1))).unwrap();
        let names: Vec<&str> = text
            .split('"')
            .filter(|part| text.contains(&format!("\"{part}\":")))
            .collect();
        assert_eq!(
            names,
            [
                "request",
                "rows",
                "timestamp",
                "execs",
                "sequence",
                "activityDateStr",
                "com",
                "price",
                "accountId",
                "symbol",
                "transaction",
                "description",
                "qty",
                "key",
                "netAmount"
            ]
        );
    }

    #[test]
    fn requests_and_sequences_count_up_by_one() {
        let mut execs = Execs::new(3);
        for request in 1..5u64 {
            let payload: Value = from_slice(&payload(&mut execs)).unwrap();
            assert_eq!(payload["request"], request);
            assert_eq!(
                (&payload["rows"], &payload["timestamp"]),
                (&3.into(), &1_790_000_000_123u64.into())
            );
            let sequences: Vec<u64> = payload["execs"]
                .as_array()
                .unwrap()
                .iter()
                .map(|e| e["sequence"].as_u64().unwrap())
                .collect();
            assert_eq!(sequences, [request * 3 - 2, request * 3 - 1, request * 3]);
        }
    }

    #[test]
    fn two_rows_make_a_payload_of_about_450_bytes() {
        let bytes = payload(&mut Execs::new(2)).len();
        assert!((430..=490).contains(&bytes), "{bytes}");
    }

    #[test]
    fn no_rows_are_an_empty_list() {
        let payload: Value = from_slice(&payload(&mut Execs::new(0))).unwrap();
        assert_eq!(payload["execs"], serde_json::json!([]));
    }
}
