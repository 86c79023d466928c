//! The log on disk: what every log promises, and what only it does.
use super::*;
use crate::config::Retain;
use crate::hub::log::conformance::{self, Reopened};
use proptest::prelude::*;
use std::path::Path;

fn open(folder: &Path, rules: &[Retain], sync: LogSync) -> Result<DiskLog, OpenError> {
    let now = Now {
        mono_ns: 1_000_000_000,
        wall_us: 7,
    };
    DiskLog::open(
        now,
        Options {
            folder,
            rules,
            sync,
            epoch: "0123456789abcdef",
            segment_bytes: 400..=1000,
            wake: Box::new(|| {}),
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_every_log_promises(
        rules in conformance::rules(),
        steps in conformance::steps(),
        questions in conformance::questions(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let again = || open(folder.path(), &rules, LogSync::None).unwrap();
        let mut reopen = |log| {
            drop(log);
            Reopened::Recovered(again())
        };
        conformance::check(again(), &mut reopen, &steps, &questions);
    }
}
