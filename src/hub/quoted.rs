//! What the newest quotes say, each read once.
//!
//! Owns the prices that were read, and how many symbols are remembered. Must not contain: what is done at a price. Driven by the hub when
//! its desk asks for a quote.
//!
//! Law: what is said is what the topic's newest entry says. An offset is never given twice, so an entry at the offset that was read is the
//! one that was read, whatever has become of the topic's number meanwhile.
use super::newest::NewestTable;
use super::topics::{TopicId, Topics};
use crate::orders::venue::Quote;
use crate::quotes::quote::TOPIC_PREFIX;
use hashbrown::HashMap;

/// Symbols remembered: as many as are traded at a time. When there are more, all are read anew.
const SYMBOLS_MAX: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Quoted {
    by_symbol: HashMap<Box<str>, Read>,
}

/// What an entry says.
#[derive(Debug, Clone, Copy)]
struct Read {
    topic: TopicId,
    offset: i64,
    quote: Option<Quote>,
}

impl Quoted {
    /// The newest quote of a symbol.
    pub(super) fn of(
        &mut self,
        symbol: &str,
        topics: &Topics,
        newest: &NewestTable,
    ) -> Option<Quote> {
        let is_newest = |read: &&Read| {
            let latest = newest.latest(read.topic);
            latest.is_some_and(|entry| entry.offset() == read.offset)
        };
        if let Some(read) = self.by_symbol.get(symbol).filter(is_newest) {
            return read.quote;
        }
        let topic = topics.find(&format!("{TOPIC_PREFIX}{symbol}"))?;
        let entry = newest.latest(topic)?;
        let (offset, quote) = (entry.offset(), Quote::read(entry.fields().data));
        if self.by_symbol.len() == SYMBOLS_MAX {
            self.by_symbol.clear();
        }
        let read = Read {
            topic,
            offset,
            quote,
        };
        self.by_symbol.insert(symbol.into(), read);
        quote
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hub::entry::Entry;
    use pubsub_stream::hub::EntryRef;
    use rust_decimal::Decimal;

    struct World {
        quoted: Quoted,
        topics: Topics,
        newest: NewestTable,
        offset: i64,
    }

    impl World {
        fn new() -> Self {
            Self {
                quoted: Quoted::default(),
                topics: Topics::new(1 << 20),
                newest: NewestTable::new(1 << 20),
                offset: 0,
            }
        }

        fn publish(&mut self, topic: &str, data: &str) {
            self.offset += 1;
            let id = self.topics.find(topic);
            let id = id.unwrap_or_else(|| self.topics.insert(topic).expect("room"));
            let fields = EntryRef {
                offset: self.offset,
                ts_us: 0,
                mono_ns: 0,
                topic,
                key: None,
                data: data.as_bytes(),
            };
            let entry = Entry::encode(&mut Vec::new(), &fields);
            self.newest.insert(id, &entry);
        }

        fn last(&mut self, symbol: &str) -> Option<Decimal> {
            let quote = self.quoted.of(symbol, &self.topics, &self.newest);
            quote.and_then(|quote| quote.last)
        }
    }

    #[test]
    fn it_is_the_newest_entry_that_counts_also_when_that_is_no_quote() {
        let mut world = World::new();
        assert_eq!(world.last("A"), None);
        for last in [7, 8] {
            world.publish("quotes.A", &format!(r#"{{"last":{last}}}"#));
            assert_eq!(world.last("A"), Some(last.into()));
            assert_eq!(world.last("A"), Some(last.into()));
        }
        world.publish("quotes.A", "5");
        assert_eq!(world.last("A"), None);
    }

    #[test]
    fn a_number_given_to_another_topic_is_not_mistaken() {
        let mut world = World::new();
        world.newest = NewestTable::new(1);
        world.publish("quotes.A", r#"{"last":1}"#);
        assert_eq!(world.last("A"), Some(1.into()));
        let id = world.topics.find("quotes.A").expect("it is there");
        world.topics.remove(id);
        world.publish("quotes.B", r#"{"last":2}"#);
        assert_eq!(world.topics.find("quotes.B"), Some(id));
        assert_eq!(world.last("A"), None);
        assert_eq!(world.last("B"), Some(2.into()));
    }

    #[test]
    fn more_symbols_than_are_remembered_are_found_all_the_same() {
        let mut world = World::new();
        for turn in 0..2 {
            for symbol in 0..SYMBOLS_MAX + 10 {
                let name = format!("S{symbol}");
                if turn == 0 {
                    world.publish(
                        &format!("quotes.{name}"),
                        &format!(r#"{{"last":{}}}"#, symbol + 1),
                    );
                }
                assert_eq!(world.last(&name), Some((symbol + 1).into()));
            }
        }
        assert!(world.quoted.by_symbol.len() <= SYMBOLS_MAX);
    }
}
