use super::*;
use crate::hub::log::conformance::{self, Reopened};
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_does_what_every_log_promises(
        rules in conformance::rules(),
        steps in conformance::steps(),
        questions in conformance::questions(),
    ) {
        let log = MemoryLog::new("e".into(), &rules);
        conformance::check(log, &mut Reopened::Same, &steps, &questions);
    }
}

#[test]
#[should_panic(expected = "would grow for ever")]
fn without_a_rule_there_is_no_log() {
    MemoryLog::new("e".into(), &[]);
}
