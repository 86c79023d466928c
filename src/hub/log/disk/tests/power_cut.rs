//! A power cut, as far as a test can make one: of the files there is what was synced, and of the rest some, zeros or nothing; and the machine
//! has been started anew.
use super::format::{read_segment_head, write_segment_head};
use super::*;

/// What becomes of bytes that no sync has covered.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// They are gone from here on; a part of what there is, counted from what is synced.
    Cut(f64),
    /// Zeros from here on.
    Zeros(f64),
}

fn losses() -> impl Strategy<Value = Loss> {
    prop_oneof![
        (0.0..1.0f64).prop_map(Loss::Cut),
        (0.0..1.0f64).prop_map(Loss::Zeros),
    ]
}

impl Loss {
    /// Does it to a file of which so many bytes are synced.
    fn befall(self, path: &Path, synced: usize) {
        let mut bytes = std::fs::read(path).unwrap();
        let place = |part: f64| synced + (part * (bytes.len() - synced) as f64) as usize;
        match self {
            Self::Cut(part) => bytes.truncate(place(part)),
            Self::Zeros(part) => {
                let begin = place(part);
                bytes[begin..].fill(0);
            }
        }
        std::fs::write(path, bytes).unwrap();
    }
}

/// Files speak of a run of the machine that is over.
fn start_machine_anew(stand: &Stand) {
    let mark = stand.folder.path().join("mark");
    let mut bytes = std::fs::read(&mark).unwrap();
    for byte in &mut bytes[8..24] {
        *byte ^= 0xFF;
    }
    let crc = crc32c::crc32c(&bytes[..25]).to_le_bytes();
    bytes[25..].copy_from_slice(&crc);
    std::fs::write(&mark, bytes).unwrap();
    for path in stand.files("log") {
        let mut bytes = std::fs::read(&path).unwrap();
        let mut head = read_segment_head(&bytes).unwrap();
        head.boot = [0; 16];
        let head = write_segment_head(&head);
        bytes[..head.len()].copy_from_slice(&head);
        std::fs::write(&path, bytes).unwrap();
    }
}

/// Takes from a folder what no sync has covered, when everything up to this offset was acknowledged.
fn cut_power(stand: &Stand, acknowledged: i64, loss: Loss, keeps_names: bool) {
    for path in stand.files("log") {
        let records = records(&path);
        let synced = records.iter().rev().find(|one| one.0 <= acknowledged);
        let is_synced = records.last().is_some_and(|one| one.0 <= acknowledged);
        match synced {
            _ if is_synced => {}
            Some((_, end)) => loss.befall(&path, *end),
            // Its name may not have lasted, nor anything in it but its head.
            None if keeps_names => loss.befall(&path, format::SEGMENT_HEAD_BYTES),
            None => std::fs::remove_file(&path).unwrap(),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_with_always_survives_a_power_cut_and_no_offset_is_given_again(
        first in batches(),
        rest in batches(),
        loss in losses(),
        keeps_names in any::<bool>(),
        then in batches(),
    ) {
        let mut stand = Stand::new();
        stand.open_with(LogSync::Always);
        stand.append(&first);
        let upto = stand.log().head();
        while stand.log().acknowledged() < upto {
            std::thread::yield_now();
            stand.log().commit(now()).unwrap();
        }
        stand.append(&rest);
        let acknowledged = stand.log().acknowledged();
        stand.kill();
        cut_power(&stand, acknowledged, loss, keeps_names);
        start_machine_anew(&stand);
        stand.open_with(LogSync::Always);
        stand.check();
        let (found, _) = stand.read(false);
        for one in stand.all.iter().filter(|one| one.0 <= acknowledged) {
            prop_assert!(found.contains(one), "{} was acknowledged", one.0);
        }
        let known = stand.all.len();
        stand.append(&then);
        prop_assert!(stand.all[known].0 > stand.all[known - 1].0, "an offset is given again");
        stand.check();
    }
}
