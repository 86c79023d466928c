//! What a client sends, written into the payload of a frame.
//!
//! The counterpart of [`crate::command::parse`]: what is written here is read back there as the same command.
use super::json::{integer, string};
use super::{begin_untopical, put, serde};
use crate::command::{
    BatchPatch, BoundPatch, Call, Command, Id, Patch, Publish, RatePatch, Reconfigure, Subscribe,
};
use crate::value::{Batch, Bound, Rate};
use serde::Serialize;

/// Writes a command. `data` and `params` must be valid JSON, topics valid topics; the server checks.
pub fn command(out: &mut Vec<u8>, id: Option<&Id>, command: &Command<'_>) {
    match command {
        Command::Subscribe(subscribe) => write_subscribe(out, id, subscribe),
        Command::Reconfigure(reconfigure) => write_reconfigure(out, id, reconfigure),
        Command::Credit { topic, n } => {
            begin(out, "credit", id, topic);
            put(out, r#","n":"#);
            integer(out, *n);
        }
        Command::Ledger { topic } => begin(out, "ledger", id, topic),
        Command::Unsubscribe { topic, drain } => {
            begin(out, "unsubscribe", id, topic);
            if *drain {
                put(out, r#","drain":true"#);
            }
        }
        Command::Publish(publish) => write_publish(out, id, publish),
        Command::Call(call) => write_call(out, id, call),
        Command::Ping => begin_untopical(out, "ping", id),
    }
    out.push(b'}');
}

/// A client's topic may be anything, so it is escaped.
fn begin(out: &mut Vec<u8>, op: &str, id: Option<&Id>, topic: &str) {
    begin_untopical(out, op, id);
    put(out, r#","topic":"#);
    string(out, topic);
}

fn write_publish(out: &mut Vec<u8>, id: Option<&Id>, publish: &Publish<'_>) {
    begin(out, "publish", id, &publish.topic);
    if let Some(key) = &publish.key {
        put(out, r#","key":"#);
        string(out, key);
    }
    put(out, r#","data":"#);
    put(out, publish.data);
}

fn write_call(out: &mut Vec<u8>, id: Option<&Id>, call: &Call<'_>) {
    begin_untopical(out, "call", id);
    put(out, r#","method":"#);
    string(out, &call.method);
    put(out, r#","params":"#);
    put(out, call.params);
    if let Some(ms) = call.deadline_ms {
        put(out, r#","deadline_ms":"#);
        integer(out, ms);
    }
}

fn write_subscribe(out: &mut Vec<u8>, id: Option<&Id>, subscribe: &Subscribe) {
    begin(out, "subscribe", id, &subscribe.topic);
    field(out, "from", subscribe.from.as_ref());
    field(out, "rate", subscribe.rate.map(rate_patch).as_ref());
    field(out, "batch", subscribe.batch.map(batch_patch).as_ref());
    let bound = (subscribe.bound != Bound::default()).then(|| bound_patch(subscribe.bound));
    field(out, "bound", bound.as_ref());
    field(out, "overflow", subscribe.overflow.as_ref());
    field(out, "credit", subscribe.credit.as_ref());
}

fn write_reconfigure(out: &mut Vec<u8>, id: Option<&Id>, change: &Reconfigure) {
    begin(out, "reconfigure", id, &change.topic);
    patch_field(out, "rate", &change.rate);
    patch_field(out, "batch", &change.batch);
    patch_field(out, "bound", &change.bound);
    patch_field(out, "overflow", &change.overflow);
    patch_field(out, "credit", &change.credit);
}

fn field<T: Serialize>(out: &mut Vec<u8>, name: &str, value: Option<&T>) {
    if let Some(value) = value {
        begin_field(out, name);
        serde(out, value);
    }
}

fn patch_field<T: Serialize>(out: &mut Vec<u8>, name: &str, patch: &Patch<T>) {
    match patch {
        Patch::Keep => {}
        Patch::Reset => {
            begin_field(out, name);
            put(out, "null");
        }
        Patch::Set(value) => field(out, name, Some(value)),
    }
}

fn begin_field(out: &mut Vec<u8>, name: &str) {
    put(out, r#",""#);
    put(out, name);
    put(out, r#"":"#);
}

fn named<T>(value: Option<T>) -> Patch<T> {
    value.map_or(Patch::Keep, Patch::Set)
}

fn rate_patch(rate: Rate) -> RatePatch {
    RatePatch {
        mode: Patch::Set(rate.mode),
        ms: named(Some(rate.ms).filter(|&ms| ms > 0)),
        max_wait_ms: named(rate.max_wait_ms),
        when: Patch::Set(rate.when),
    }
}

fn batch_patch(batch: Batch) -> BatchPatch {
    BatchPatch {
        ms: named(batch.ms),
        messages: named(batch.messages),
        bytes: named(batch.bytes),
    }
}

fn bound_patch(bound: Bound) -> BoundPatch {
    BoundPatch {
        messages: named(bound.messages),
        bytes: named(bound.bytes),
        age_ms: named(bound.age_ms),
    }
}
