//! After quiet everybody holds the newest value of every key, unless its loss was announced.
use std::collections::BTreeMap;

use super::{Facts, Found};

pub fn newest(facts: &Facts<'_>) -> Found {
    let quiet = facts
        .seen
        .events
        .iter()
        .any(|(_, w)| matches!(w, crate::drive::What::Quiet));
    let Some((last, _)) = facts.last_ledger().filter(|_| quiet) else {
        return Ok(());
    };
    if facts.until(facts.begun[last]).ever_throttled_first() {
        return Ok(());
    }
    let mut newest = BTreeMap::new();
    for index in facts
        .view
        .iter()
        .filter(|i| facts.published[*i] < facts.begun[last])
    {
        newest.insert(
            (&facts.entry(*index).topic, &facts.entry(*index).key),
            *index,
        );
    }
    let gaps: Vec<_> = facts
        .seen
        .received()
        .filter(|f| f.value["op"] == "gap")
        .collect();
    let range = |gap: &serde_json::Value| Some(gap["from"].as_i64()?..=gap["to"].as_i64()?);
    // Without a range a gap only says how many.
    let bare = gaps.iter().filter(|f| range(&f.value).is_none());
    let mut excused: u64 = bare.map(|f| f.value["count"].as_u64().unwrap_or(0)).sum();
    for ((topic, key), index) in newest {
        let offset = facts.entry(index).offset;
        let named = gaps
            .iter()
            .any(|f| range(&f.value).is_some_and(|r| r.contains(&offset)));
        if facts.delivered.contains_key(&index) || named {
            continue;
        }
        if excused == 0 {
            return Err(format!(
                "{offset}, the newest of {topic} {key:?}, never came"
            ));
        }
        excused -= 1;
    }
    Ok(())
}
