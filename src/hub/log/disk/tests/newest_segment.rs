//! The newest segment cut off or changed at any byte.
use super::*;

/// What happens to a file.
#[derive(Debug, Clone)]
enum Damage {
    /// It ends here.
    Cut(f64),
    /// From here on, bytes are changed by these.
    Flips(f64, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    let flips = prop_oneof![
        proptest::collection::vec(1u8.., 1..2),
        proptest::collection::vec(any::<u8>(), 2..100),
    ];
    prop_oneof![
        (0.0..1.0f64).prop_map(Damage::Cut),
        (0.0..1.0f64, flips).prop_map(|(at, by)| Damage::Flips(at, by)),
    ]
}

impl Damage {
    /// Does it; the first byte that is not what it was.
    fn befall(&self, path: &Path) -> usize {
        let mut bytes = std::fs::read(path).unwrap();
        let begin = match self {
            Self::Cut(at) => {
                let begin = place(path, *at);
                bytes.truncate(begin);
                begin
            }
            Self::Flips(at, flips) => {
                let begin = place(path, *at);
                for (byte, by) in bytes[begin..].iter_mut().zip(flips) {
                    *byte ^= by;
                }
                begin
            }
        };
        std::fs::write(path, bytes).unwrap();
        begin
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_befalls_the_newest_segment_all_before_it_is_there_and_the_rest_is_there_or_said(
        first in batches(),
        damage in damage(),
        is_killed in any::<bool>(),
        then in batches(),
    ) {
        let mut stand = Stand::new();
        stand.append(&first);
        // A process that was killed leaves a file whose end nobody cuts off in the middle of what it had written.
        if is_killed && matches!(damage, Damage::Flips(..)) {
            stand.kill();
        } else {
            stand.log = None;
        }
        let (newest, _) = stand.newest();
        let records = records(&newest);
        let begin = damage.befall(&newest);
        stand.open();
        stand.check();
        let (found, _) = stand.read(false);
        let touched = records.iter().find(|record| record.1 > begin);
        let whole = stand.all.iter().filter(|one| touched.is_none_or(|touched| one.0 < touched.0));
        for one in whole {
            prop_assert!(found.contains(one), "{} was before the damage", one.0);
        }
        let known = stand.all.len();
        stand.append(&then);
        prop_assert!(stand.all[known].0 > stand.all[known - 1].0, "an offset is given again");
        // What is missing at the end is said as well, since something follows it.
        stand.check();
        stand.log = None;
        stand.open();
        stand.check();
    }
}
