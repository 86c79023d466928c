//! The made-up source: at every push one payload of executions and a few quotes.
//!
//! Owns what makes up a push. Must not contain: a clock or a timer. Driven as any source.
use super::Publish;
use super::execs::{self, Execs};
use super::quote::write_time;
use super::walk::{SHARES, Walk};
use fastrand::Rng;

/// Symbols that move in one push: a fifth. With the default pause a symbol then moves about four times a second, as a liquid
/// share's quote does when people watch it, and at any moment keys differ in how long they have been unchanged, so that `last`,
/// conflation and rates have something to tell apart. Moving all at once would make every key as new as every other.
pub const MOVES: usize = 4;

/// See the module.
#[derive(Debug)]
pub struct Synthetic {
    rng: Rng,
    execs: Execs,
    walks: Vec<Walk>,
    /// The order in which symbols are drawn; the first few of it move.
    order: Vec<usize>,
    time: Vec<u8>,
    text: Vec<u8>,
    data: Vec<u8>,
}

impl Synthetic {
    /// `rows` executions in one payload; equal seeds make equal pushes.
    pub fn new(rows: u32, seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            execs: Execs::new(rows),
            walks: SHARES
                .iter()
                .map(|&(symbol, cents)| Walk::new(symbol, cents))
                .collect(),
            order: (0..SHARES.len()).collect(),
            time: Vec::new(),
            text: Vec::new(),
            data: Vec::new(),
        }
    }

    /// Publishes the next push.
    pub fn push(&mut self, wall_us: u64, publish: &mut Publish<'_>) {
        let Self {
            rng,
            execs,
            walks,
            order,
            time,
            text,
            data,
        } = self;
        execs.write(rng, wall_us, |share| walks[share].last(), data);
        publish(execs::TOPIC, None, data);
        write_time(time, wall_us);
        let time = str::from_utf8(time).unwrap_or_default();
        for place in 0..MOVES {
            let drawn = rng.usize(place..order.len());
            order.swap(place, drawn);
            let walk = &mut walks[order[place]];
            walk.step(rng);
            walk.write(rng, time, text, data);
            publish(walk.topic(), Some(walk.symbol()), data);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn pushes(seed: u64, n: u64) -> Vec<Vec<(String, Option<String>, String)>> {
        let mut source = Synthetic::new(2, seed);
        (0..n)
            .map(|i| {
                let mut push = Vec::new();
                source.push(1_790_000_000_000_000 + i, &mut |topic, key, data| {
                    let data = String::from_utf8(data.to_vec()).expect("text");
                    push.push((topic.to_owned(), key.map(str::to_owned), data));
                });
                push
            })
            .collect()
    }

    #[test]
    fn a_push_is_one_payload_and_a_few_different_quotes() {
        for push in pushes(3, 500) {
            assert_eq!((push[0].0.as_str(), push[0].1.as_ref()), ("execs", None));
            let topics: BTreeSet<&str> =
                push[1..].iter().map(|(topic, ..)| topic.as_str()).collect();
            assert_eq!(topics.len(), MOVES);
            for (topic, key, data) in &push[1..] {
                let key = key.as_deref().expect("a key");
                assert_eq!(topic, &format!("quotes.{key}"));
                let quote: serde_json::Value = serde_json::from_str(data).expect("JSON");
                assert_eq!(quote["symbol"], key);
            }
        }
    }

    #[test]
    fn every_symbol_moves_sooner_or_later() {
        let topics: BTreeSet<String> = pushes(3, 200)
            .into_iter()
            .flatten()
            .map(|(topic, ..)| topic)
            .collect();
        assert_eq!(topics.len(), 1 + SHARES.len());
    }

    #[test]
    fn equal_seeds_make_equal_pushes_and_others_do_not() {
        assert_eq!(pushes(5, 20), pushes(5, 20));
        assert_ne!(pushes(5, 20), pushes(6, 20));
    }
}
