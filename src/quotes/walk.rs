//! Made-up quotes: each symbol's price is a random walk in whole cents.
//!
//! Owns the symbols and their prices. Must not contain: the shape of a quote (that is `quote`) or a clock. Driven by `synthetic`.
use super::quote::{Quote, TOPIC_PREFIX, write_cents};
use fastrand::Rng;

/// The shares that are quoted, and a price of each in cents to begin at.
pub const SHARES: [(&str, i64); 20] = [
    ("AAPL", 18_913),
    ("AMD", 10_347),
    ("BAC", 3_371),
    ("BBY", 7_812),
    ("CVX", 15_160),
    ("GE", 10_984),
    ("HD", 31_245),
    ("JNJ", 16_033),
    ("JPM", 14_622),
    ("KO", 6_054),
    ("LLY", 54_820),
    ("MRK", 10_899),
    ("MSFT", 33_811),
    ("PEP", 18_148),
    ("PFE", 3_611),
    ("PG", 15_205),
    ("RRC", 3_239),
    ("UNH", 50_377),
    ("WMT", 15_966),
    ("XOM", 10_793),
];

/// Widest spread, cents.
const SPREAD_MAX: i64 = 4;

/// One symbol's state.
#[derive(Debug)]
pub struct Walk {
    symbol: &'static str,
    topic: String,
    /// Where it began; it stays between half and twice that.
    origin: i64,
    last: i64,
    volume: u64,
}

impl Walk {
    /// At its first price.
    pub fn new(symbol: &'static str, cents: i64) -> Self {
        let topic = format!("{TOPIC_PREFIX}{symbol}");
        Self {
            symbol,
            topic,
            origin: cents,
            last: cents,
            volume: 0,
        }
    }

    /// Its topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Its symbol, which is also its key.
    pub fn symbol(&self) -> &'static str {
        self.symbol
    }

    /// Last price, cents.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// One trade: the price moves by up to a tenth of a percent, and at least may move by a cent.
    pub fn step(&mut self, rng: &mut Rng) {
        let reach = (self.origin / 1000).max(1);
        let moved = self.last + rng.i64(-reach..=reach);
        self.last = moved.clamp(self.origin / 2, self.origin * 2);
        self.volume += rng.u64(1..=10) * 100;
    }

    /// Overwrites `out` with the quote as it stands; `text` is scratch.
    pub fn write(&self, rng: &mut Rng, time: &str, text: &mut Vec<u8>, out: &mut Vec<u8>) {
        let spread = rng.i64(1..=SPREAD_MAX);
        let bid = self.last - rng.i64(0..=spread);
        text.clear();
        let mut ends = [0; 3];
        for (end, cents) in ends.iter_mut().zip([bid, bid + spread, self.last]) {
            write_cents(text, cents);
            *end = text.len();
        }
        let text = str::from_utf8(text).unwrap_or_default();
        let [bid, ask, last] = [&text[..ends[0]], &text[ends[0]..ends[1]], &text[ends[1]..]];
        Quote {
            symbol: self.symbol,
            bid,
            ask,
            last,
            volume: self.volume,
            time,
        }
        .write(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_stay_in_their_range_and_the_last_lies_within_the_spread() {
        let (mut rng, mut text, mut out) = (Rng::with_seed(7), Vec::new(), Vec::new());
        let mut walk = Walk::new("GE", 200);
        for _ in 0..20_000 {
            walk.step(&mut rng);
            assert!((100..=400).contains(&walk.last()));
            walk.write(&mut rng, "t", &mut text, &mut out);
            let quote: serde_json::Value = serde_json::from_slice(&out).expect("JSON");
            let price = |field: &str| quote[field].as_f64().expect("a number");
            assert!(price("bid") <= price("last") && price("last") <= price("ask"));
            assert!(price("bid") < price("ask"));
        }
    }
}
