//! Order: nothing comes twice, nothing comes after what says it is through.
use std::collections::{HashMap, HashSet};

use super::{Facts, Found, items};

/// Offsets rise; with a rate `resume` never falls and nothing at or before it comes any more; offsets of a key rise always.
pub fn order(facts: &Facts<'_>) -> Found {
    // Everything up to here was released, left out, or announced as lost.
    let mut passed = facts.start;
    let mut resume_before = 0;
    let mut came = HashSet::new();
    let mut newest = HashMap::new();
    for (number, frame) in facts.received() {
        let may_repeat = facts.until(facts.begun[number]).may_repeat();
        for item in items(&frame.value) {
            let offset = item["offset"].as_i64().ok_or("no offset")?;
            if offset <= passed {
                return Err(format!(
                    "{offset} came after everything up to {passed} was through"
                ));
            }
            if !came.insert(offset) && !may_repeat {
                return Err(format!("{offset} came twice"));
            }
            let entry = facts.entry(offset as usize - 1);
            let last = newest
                .insert((&entry.topic, &entry.key), offset)
                .unwrap_or(0);
            if offset < last && !may_repeat {
                return Err(format!("{offset} came after {last} of the same key"));
            }
            passed = match item.get("resume") {
                None => offset,
                Some(resume) => {
                    let resume = resume.as_i64().ok_or("resume is no offset")?;
                    // What others of its cohort wait for since before its start keeps it back.
                    if resume < passed && (passed > facts.start || resume < resume_before) {
                        return Err(format!("{offset} says resume {resume}, after {passed}"));
                    }
                    resume_before = resume;
                    resume.max(facts.start)
                }
            };
        }
        if matches!(frame.value["op"].as_str(), Some("gap" | "position")) {
            let offset = frame.value["offset"].as_i64().ok_or("no offset")?;
            if offset < passed {
                return Err(format!("{} after {passed}", frame.value));
            }
            passed = offset;
        }
    }
    Ok(())
}
