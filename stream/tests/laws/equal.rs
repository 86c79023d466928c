//! Engine and model, frame by frame: what the protocol leaves no choice in.
use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::checker::{count, items, render};
use crate::drive::Transcript;
use crate::laws::each;
use crate::model::Model;
use crate::script::{ANY, Acts, Draw, End, PLAIN, RATES, Script, script};
use crate::subject::{Subject, covers};

/// Short waits, so that nothing gets old.
const ON_SOCKETS: Acts = Acts {
    socket: true,
    parts: true,
    reconfigure: false,
    wait_us: 200_000,
};
const KEEPS_UP: Acts = Acts {
    socket: false,
    ..ON_SOCKETS
};

/// Each frame and when it was whole, in the words that matter: positions as places in the view, lags and messages for people left
/// out.
pub fn told(seen: &Transcript, text: &str) -> Vec<(u64, Value)> {
    let mut places = BTreeMap::new();
    for entry in seen.log.iter().filter(|e| covers(text, &e.topic)) {
        places.insert(entry.offset, places.len());
    }
    let place = |offset: i64| places.range(..=offset).count();
    let words = |frame: &Value| {
        let mut frame = frame.clone();
        let object = frame.as_object_mut()?;
        for name in ["lag", "message", "settings"] {
            object.remove(name);
        }
        if let Some(ledger) = frame.get_mut("ledger") {
            // A superseded entry is pending until it is skipped, whenever that is.
            let superseded = count(ledger, "/conflated");
            ledger["conflated"] = 0.into();
            ledger["pending"]["memory"] = (count(ledger, "/pending/memory") + superseded).into();
        }
        if frame["op"] == "gap" {
            let from = frame["from"].as_i64().map(|from| place(from - 1) + 1);
            let to = frame["to"].as_i64().map(place);
            let offset = frame["offset"].as_i64().map(place);
            frame["from"] = from.into();
            frame["to"] = to.into();
            frame["offset"] = offset.into();
        }
        for item in frame
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            place_resume(item, place);
        }
        place_resume(&mut frame, place);
        (frame["op"] != "welcome" && frame["op"] != "position").then_some(frame)
    };
    seen.received()
        .filter_map(|f| Some((f.whole_ns, words(&f.value)?)))
        .collect()
}

fn place_resume(item: &mut Value, place: impl Fn(i64) -> usize) {
    if let Some(resume) = item.get("resume").and_then(Value::as_i64) {
        item["resume"] = place(resume).into();
    }
}

/// What stays the same whenever losses and modes are looked at while credit is used up: answers by themselves; between two messages
/// the gaps, those that adjoin as one, and not when; no mode.
fn told_in_the_end(seen: &Transcript, text: &str) -> Vec<(u64, Value)> {
    let (answers, rest): (Vec<_>, Vec<_>) = (told(seen, text).into_iter())
        .partition(|(_, f)| f.get("id").is_some() && f["op"] != "unsubscribed");
    let mut all: Vec<(u64, Value)> = Vec::new();
    for (at, frame) in rest {
        match frame["op"].as_str() {
            Some("mode") => {}
            Some("gap") => tell_gap(&mut all, frame),
            _ => all.push((at, frame)),
        }
    }
    all.extend(answers);
    all
}

/// When it was told that it is behind, or live again: of one that conflates the rest says nothing where that differs.
fn modes(seen: &Transcript) -> Vec<(u64, Value)> {
    let modes = seen.received().filter(|f| f.value["op"] == "mode");
    modes
        .map(|f| (f.whole_ns, f.value["mode"].clone()))
        .collect()
}

fn tell_gap(all: &mut Vec<(u64, Value)>, gap: Value) {
    match all.last_mut() {
        Some((_, last)) if adjoin(last, &gap) => join(last, &gap),
        _ => all.push((0, gap)),
    }
}

/// Two gaps become one.
fn join(gap: &mut Value, next: &Value) {
    gap["count"] = (count(gap, "/count") + count(next, "/count")).into();
    gap["to"] = next["to"].clone();
    gap["offset"] = next["offset"].clone();
}

/// Whether one gap goes on where another ends.
fn adjoin(gap: &Value, next: &Value) -> bool {
    let follows = match (gap["to"].as_i64(), next["from"].as_i64()) {
        (Some(to), Some(from)) => from == to + 1,
        (to, from) => to == from,
    };
    let both = gap["op"] == "gap" && next["op"] == "gap";
    both && gap["reason"] == next["reason"] && follows
}

fn assert_equal(engine: &Transcript, model: &Transcript, text: &str) -> Result<(), TestCaseError> {
    let (left, right) = (told(engine, text), told(model, text));
    match differ(engine, &left, model, &right) {
        Some(at) => Err(TestCaseError::fail(said(engine, &left, model, &right, at))),
        None => Ok(()),
    }
}

/// In words, with all that was said before.
fn said(
    engine: &Transcript,
    left: &[(u64, Value)],
    model: &Transcript,
    right: &[(u64, Value)],
    at: usize,
) -> String {
    format!(
        "frame {at}\nengine {:?}\nmodel  {:?}\n{}\nthe model:\n{}",
        left.get(at),
        right.get(at),
        render(engine),
        render(model)
    )
}

/// The first frame in which they differ, unless the room that frames before it took is why: a lag or a count with another number of
/// digits, and the socket refuses elsewhere.
pub fn differ(
    one: &Transcript,
    left: &[(u64, Value)],
    other: &Transcript,
    right: &[(u64, Value)],
) -> Option<usize> {
    let mut all = 0..left.len().max(right.len());
    let at = all.find(|i| left.get(*i) != right.get(*i))?;
    let is_figures = |f: &Value| f["op"] == "mode" || f["ledger"].is_object();
    // The room can be enough for the shorter of two and not for the longer.
    let is_cut = |seen: &Transcript| seen.frames.last().is_some_and(|f| f.bytes == 0);
    match (left.get(at), right.get(at)) {
        (Some((_, frame)), None) if is_figures(frame) && is_cut(other) => return None,
        (None, Some((_, frame))) if is_figures(frame) && is_cut(one) => return None,
        _ => {}
    }
    // Up to there they tell the same, so that the frames with figures are the same ones.
    let before = left[..at].iter().filter(|(_, f)| is_figures(f)).count();
    let both = |told: &[(u64, Value)]| told.get(at).is_some_and(|(_, f)| is_figures(f));
    let until = before + usize::from(both(left) && both(right));
    let room = |seen: &Transcript| {
        let frames = seen.received().filter(|f| is_figures(&f.value));
        frames.take(until).map(|f| f.bytes).collect::<Vec<_>>()
    };
    (room(one) == room(other)).then_some(at)
}

/// The engine tells what the model tells.
fn equal(strategy: impl Strategy<Value = Script>) {
    each(strategy, |script| {
        let (engine, model) = (script.run(Subject::new()), script.run(Model::new()));
        assert_equal(&engine, &model, script.text)
    });
}

const STEADY: Draw = Draw {
    overflows: &["drop_oldest"],
    ages: false,
    credit: false,
    ..ANY
};

#[test]
fn one_that_keeps_up_gets_what_each_rate_releases_when_it_does() {
    equal(script(
        Draw {
            batches: false,
            ..STEADY
        },
        KEEPS_UP,
    ));
}

#[test]
fn one_that_keeps_up_gets_each_batch_when_it_is_due() {
    equal(script(
        Draw {
            rates: &[],
            ..STEADY
        },
        KEEPS_UP,
    ));
}

#[test]
fn one_that_keeps_up_gets_what_each_rate_releases_in_batches() {
    equal(script(STEADY, KEEPS_UP));
}

#[test]
fn drop_oldest_keeps_exactly_the_newest_that_fit() {
    equal(script(
        Draw {
            overflows: &["drop_oldest"],
            ..PLAIN
        },
        ON_SOCKETS,
    ));
}

#[test]
fn drop_newest_keeps_exactly_the_oldest_that_fit() {
    equal(script(
        Draw {
            overflows: &["drop_newest"],
            ..PLAIN
        },
        ON_SOCKETS,
    ));
}

#[test]
fn conflate_keeps_exactly_the_newest_of_each_key() {
    equal(script(
        Draw {
            overflows: &["conflate"],
            ..PLAIN
        },
        ON_SOCKETS,
    ));
}

#[test]
fn disconnect_ends_it_exactly_when_the_bound_is_passed() {
    let strategy = script(
        Draw {
            overflows: &["disconnect"],
            ..PLAIN
        },
        ON_SOCKETS,
    );
    each(strategy, |script| {
        let (engine, model) = (script.run(Subject::new()), script.run(Model::new()));
        assert_equal(&engine, &model, script.text)?;
        let closed = |seen: &Transcript| {
            let mut events = seen.events.iter();
            events.find_map(|(at, what)| match what {
                crate::drive::What::Closed(code) => Some((*at, *code)),
                _ => None,
            })
        };
        prop_assert_eq!(
            closed(&engine),
            closed(&model),
            "{}\nthe model:\n{}",
            render(&engine),
            render(&model)
        );
        Ok(())
    });
}

#[test]
fn credit_lets_exactly_as_many_through_and_bounds_the_rest() {
    let draw = Draw {
        credit: true,
        overflows: &["drop_oldest", "drop_newest", "conflate"],
        ..PLAIN
    };
    // What is told later than it could be takes its bytes later.
    let acts = Acts {
        parts: false,
        ..ON_SOCKETS
    };
    each(script(draw, acts), |script| {
        let (engine, model) = (script.run(Subject::new()), script.run(Model::new()));
        let text = script.text;
        if script.settings["credit"].is_null() {
            return assert_equal(&engine, &model, text);
        }
        if script.settings["overflow"] == "conflate" && modes(&engine) != modes(&model) {
            return Ok(());
        }
        let (left, right) = (
            told_in_the_end(&engine, text),
            told_in_the_end(&model, text),
        );
        let mut all = 0..left.len().max(right.len());
        match all.find(|i| left.get(*i) != right.get(*i)) {
            Some(at) => Err(TestCaseError::fail(said(
                &engine, &left, &model, &right, at,
            ))),
            None => Ok(()),
        }
    });
}

#[test]
fn the_bound_drops_whole_messages_out_of_batches() {
    let draw = Draw {
        batches: true,
        bytes: false,
        overflows: &["drop_oldest", "drop_newest"],
        ..PLAIN
    };
    equal(script(draw, ON_SOCKETS));
}

#[test]
fn the_bound_drops_what_a_rate_released() {
    let draw = Draw {
        rates: RATES,
        bytes: false,
        overflows: &["drop_oldest", "drop_newest", "conflate"],
        ..PLAIN
    };
    // A drain flushes what the rate holds, and what waits before that is not compared with it.
    let scripts = script(draw, ON_SOCKETS).prop_map(|script| match script.end {
        End::Leave { drain: true } if script.settings["overflow"] == "conflate" => Script {
            end: End::Quiet,
            ..script
        },
        _ => script,
    });
    equal(scripts);
}

#[test]
fn reconfigured_says_the_settings_that_act() {
    each(
        script(
            Draw {
                overflows: &["drop_oldest", "drop_newest", "conflate"],
                bytes: false,
                ..ANY
            },
            Acts {
                reconfigure: true,
                ..KEEPS_UP
            },
        ),
        |script| {
            let (engine, model) = (script.run(Subject::new()), script.run(Model::new()));
            let settings = |seen: &Transcript| {
                let frames = seen.received().map(|f| &f.value);
                let told = frames.filter(|f| f["settings"].is_object() || f["code"] == "bad_field");
                // What is left of credit is the credit law's matter.
                told.map(|f| {
                    let mut settings = f["settings"].clone();
                    settings["credit"] = f["settings"]["credit"].is_null().into();
                    json!([f["id"], settings, f["field"]])
                })
                .collect::<Vec<_>>()
            };
            prop_assert_eq!(settings(&engine), settings(&model), "{}", render(&engine));
            Ok(())
        },
    );
}

/// All messages of a client: when, which, and with which others in one frame.
pub fn messages(seen: &Transcript) -> Vec<(u64, Vec<Value>)> {
    let whole = seen.received().map(|f| {
        (
            f.whole_ns,
            items(&f.value).into_iter().cloned().collect::<Vec<_>>(),
        )
    });
    whole.filter(|(_, items)| !items.is_empty()).collect()
}
