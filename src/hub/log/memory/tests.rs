use super::*;
use crate::hub::log::conformance;
use proptest::prelude::*;

proptest! {
    #[test]
    fn it_does_what_every_log_promises(
        rules in conformance::rules(),
        steps in conformance::steps(),
        questions in conformance::questions(),
    ) {
        conformance::check(MemoryLog::new("e".into(), &rules), &steps, &questions);
    }
}

#[test]
#[should_panic(expected = "would grow for ever")]
fn without_a_rule_there_is_no_log() {
    MemoryLog::new("e".into(), &[]);
}
