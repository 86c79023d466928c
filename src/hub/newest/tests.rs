use super::*;
use crate::hub::topics::Topics;
use proptest::collection::vec;
use proptest::prelude::*;
use pubsub_stream::hub::EntryRef;

const NAMES: [&str; 3] = ["a", "b", "c"];

fn entry(offset: i64, topic: &str, key: Option<&str>) -> Entry {
    let fields = EntryRef {
        offset,
        ts_us: 0,
        mono_ns: 0,
        topic,
        key,
        data: b"1",
    };
    Entry::encode(&mut Vec::new(), &fields)
}

proptest! {
    #[test]
    fn it_holds_the_newest_of_each_key_and_the_most_recently_changed_keys(
        max in 1u64..8,
        inserts in vec((0usize..3, proptest::option::of(0usize..4)), 0..60),
        chosen in vec(any::<bool>(), 3),
        after in 0i64..60,
        upto in 0i64..60,
        budget in 1usize..5,
    ) {
        let mut names = Topics::new(10);
        let topics: Vec<TopicId> = NAMES.iter().map(|name| names.insert(name).unwrap()).collect();
        let mut table = NewestTable::new(max);
        let mut naive: Vec<((usize, String), i64)> = Vec::new();
        for (offset, &(topic, key)) in (1..).zip(&inserts) {
            let key = key.map(|key| ["x", "y", "z", "a"][key]);
            let lost = table.insert(topics[topic], &entry(offset, NAMES[topic], key));
            let identity = (topic, key.unwrap_or(NAMES[topic]).to_owned());
            naive.retain(|(known, _)| *known != identity);
            naive.push((identity, offset));
            let expected = (naive.len() as u64 > max).then(|| naive.remove(0).0.0);
            prop_assert_eq!(lost.map(|held| held.topic), expected.map(|topic| topics[topic]));
        }
        prop_assert_eq!(table.len(), naive.len());
        for (number, &topic) in topics.iter().enumerate() {
            prop_assert_eq!(table.has(topic), naive.iter().any(|((topic, _), _)| *topic == number));
        }
        let scope: Vec<TopicId> = (0..3).filter(|&n| chosen[n]).map(|n| topics[n]).collect();
        let test = |topic: TopicId| scope.contains(&topic);
        let expected: Vec<i64> = naive
            .iter()
            .filter(|((topic, _), offset)| chosen[*topic] && (after + 1..=upto).contains(offset))
            .map(|(_, offset)| *offset)
            .collect();
        for scope in [Scope::Topics(&scope), Scope::Matching(&test)] {
            let (mut seen, mut reached) = (Vec::new(), after);
            while reached < upto {
                reached = table.read(scope, reached, upto, &mut budget.clone(), &mut |held| {
                    seen.push(held.offset);
                    ControlFlow::Continue(())
                });
            }
            prop_assert_eq!(&seen, &expected);
        }
    }
}
