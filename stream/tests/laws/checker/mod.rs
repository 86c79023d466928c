//! The client's side: laws that hold for whatever was received, whoever sent it and whenever it looked.
//!
//! Nothing is predicted here. The checker knows the whole log, the commands, what the socket did, and every frame with the time at
//! which its first and last byte were taken. Each law is a function over these [`Facts`] and says what it found wrong.
mod credit;
mod facts;
mod gaps;
mod ledger;
mod newest;
mod order;
mod shape;
mod window;

pub use facts::{Asked, Facts, count, items};

use crate::drive::Transcript;

pub type Found = Result<(), String>;

/// A law and its name.
pub type Law = (&'static str, fn(&Facts<'_>) -> Found);

pub const ANSWERS: Law = ("answers", shape::answers);
pub const CONTENTS: Law = ("contents", shape::contents);
pub const BATCHES: Law = ("batches", shape::batches);
pub const MODES: Law = ("modes", shape::modes);
pub const CLOSES: Law = ("closes", shape::closes);
pub const ORDER: Law = ("order", order::order);
pub const GAPS: Law = ("gaps", gaps::gaps);
pub const ANNOUNCED: Law = ("announced", gaps::announced);
pub const LEDGER: Law = ("ledger", ledger::ledger);
pub const REST: Law = ("rest", ledger::rest);
pub const NEWEST: Law = ("newest", newest::newest);
pub const WINDOW: Law = ("window", window::window);
pub const AGE: Law = ("age", window::age);
pub const CREDIT: Law = ("credit", credit::credit);

pub const ALL: [Law; 14] = [
    ANSWERS, CONTENTS, BATCHES, MODES, CLOSES, ORDER, GAPS, ANNOUNCED, LEDGER, REST, NEWEST,
    WINDOW, AGE, CREDIT,
];

/// Which laws a client's record breaks, and how.
pub fn broken(seen: &Transcript, text: &str, laws: &[Law]) -> Vec<String> {
    let facts = match Facts::of(seen, text) {
        Ok(facts) => facts,
        Err(why) => return vec![format!("facts: {why}")],
    };
    laws.iter()
        .filter_map(|(name, law)| law(&facts).err().map(|why| format!("{name}: {why}")))
        .collect()
}

/// As an error with the record beside it.
pub fn check(seen: &Transcript, text: &str, laws: &[Law]) -> Found {
    let broken = broken(seen, text, laws);
    if broken.is_empty() {
        return Ok(());
    }
    Err(format!("{}\n{}", broken.join("\n"), render(seen)))
}

/// The record, a line per event.
pub fn render(seen: &Transcript) -> String {
    use crate::drive::What;
    let line = |(ns, what): &(u64, What)| {
        let what = match what {
            What::Command(command) => format!("-> {command}"),
            What::Published(index) => {
                let e = &seen.log[*index];
                format!(
                    "   {} {} {:?} ({} bytes)",
                    e.offset,
                    e.topic,
                    e.key,
                    e.data.len()
                )
            }
            What::Begun(_) => return None,
            What::Whole(index) => {
                let (frame, mut value) = (&seen.frames[*index], seen.frames[*index].value.clone());
                shorten(&mut value);
                let begun = (frame.begun_ns != frame.whole_ns)
                    .then(|| format!(" begun {}", frame.begun_ns));
                format!("<- {value} [{}]{}", frame.bytes, begun.unwrap_or_default())
            }
            other => format!("   {other:?}"),
        };
        Some(format!("{:>15} {what}", *ns))
    };
    seen.events
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Payloads are of no interest to a reader.
fn shorten(value: &mut serde_json::Value) {
    if let Some(object) = value.as_object_mut() {
        object.remove("data");
        object.remove("ts");
    }
    if let Some(items) = value.get_mut("items").and_then(|i| i.as_array_mut()) {
        items.iter_mut().for_each(shorten);
    }
}
