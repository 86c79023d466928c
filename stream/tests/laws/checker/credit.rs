//! Credit: no more is begun than was asked for.
use serde_json::Value;

use super::{Facts, Found, items};
use crate::drive::What;

pub fn credit(facts: &Facts<'_>) -> Found {
    let mut demand: Option<u64> = None;
    for (at, (_, what)) in facts.seen.events.iter().enumerate() {
        match what {
            What::Command(command) => {
                let answer = facts.answer(command);
                if answer.is_some_and(|a| a["op"] == "error") {
                    continue;
                }
                demand = granted(demand, command);
                let idle = facts
                    .whole
                    .iter()
                    .zip(&facts.begun)
                    .all(|(w, b)| *b > at || *w < at);
                let told = answer.map(|a| &a["settings"]).filter(|s| s.is_object());
                if let Some(told) = told.filter(|s| idle && s["credit"].as_u64() != demand) {
                    return Err(format!(
                        "{demand:?} may still be sent, and settings say {told}"
                    ));
                }
            }
            What::Begun(frame) => {
                let wanted = items(&facts.seen.frames[*frame].value).len() as u64;
                let Some(left) = &mut demand else { continue };
                let frame = &facts.seen.frames[*frame].value;
                *left = left
                    .checked_sub(wanted)
                    .ok_or(format!("{left} were asked for: {frame}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// What may be sent after a command that was not refused.
fn granted(demand: Option<u64>, command: &Value) -> Option<u64> {
    match (
        command["op"].as_str(),
        command.get("credit").map(Value::as_u64),
    ) {
        (Some("subscribe"), credit) => credit.flatten(),
        (Some("credit"), _) => demand.map(|d| d.saturating_add(command["n"].as_u64().unwrap_or(0))),
        (Some("reconfigure"), Some(Some(n))) => Some(demand.unwrap_or(0).max(n)),
        (Some("reconfigure"), Some(None)) => None,
        _ => demand,
    }
}
