//! Reading the settings of `subscribe` and `reconfigure`.
//!
//! Both read each setting as a patch; a subscription is a patch over nothing, so the rules stand in one place.
use super::field::{INTEGER_MAX, choice, count, integer, millis, object, quoted, string};
use super::patch::{BatchPatch, BoundPatch, FieldError, Patch, RatePatch};
use crate::value::{Batch, Bound, Else, From, Overflow, PartPosition, Rate, RateMode, When};
use serde_json::value::RawValue;
use std::fmt;

type Read<T> = Result<T, FieldError>;

/// Longest epoch that is taken for one; a node's own are far shorter.
const EPOCH_BYTES: usize = 255;
/// Most partitions a position may name; brokers stop well before.
const PARTS_MAX: usize = 4096;

/// Absent, null or a value.
pub(super) fn patch<'a, T>(
    raw: Option<&'a RawValue>,
    read: impl FnOnce(&'a RawValue) -> Read<T>,
) -> Read<Patch<T>> {
    match raw {
        None => Ok(Patch::Keep),
        Some(raw) if raw.get() == "null" => Ok(Patch::Reset),
        Some(raw) => read(raw).map(Patch::Set),
    }
}

pub(super) fn overflow(raw: &RawValue) -> Read<Overflow> {
    choice(raw, "overflow", &Overflow::ALL, Overflow::as_str)
}

pub(super) fn credit(raw: &RawValue) -> Read<u64> {
    count(raw, "credit", 0)
}

pub(super) fn rate(raw: &RawValue) -> Read<Rate> {
    rate_patch(raw)?.merge(None)
}

pub(super) fn rate_patch(raw: &RawValue) -> Read<RatePatch> {
    let fields = object(raw, "rate", &["mode", "ms", "max_wait_ms", "when"])?;
    Ok(RatePatch {
        mode: patch(fields.raw(0), |raw| {
            choice(raw, "rate.mode", &RateMode::ALL, RateMode::as_str)
        })?,
        ms: patch(fields.raw(1), |raw| millis(raw, "rate.ms"))?,
        max_wait_ms: patch(fields.raw(2), |raw| millis(raw, "rate.max_wait_ms"))?,
        when: patch(fields.raw(3), |raw| {
            choice(raw, "rate.when", &When::ALL, When::as_str)
        })?,
    })
}

pub(super) fn batch(raw: &RawValue) -> Read<Batch> {
    let batch = batch_patch(raw)?.merge(None);
    batch.ok_or_else(|| FieldError::new("batch", "needs at least one of ms, messages, bytes"))
}

pub(super) fn batch_patch(raw: &RawValue) -> Read<BatchPatch> {
    let fields = object(raw, "batch", &["ms", "messages", "bytes"])?;
    Ok(BatchPatch {
        ms: patch(fields.raw(0), |raw| millis(raw, "batch.ms"))?,
        messages: patch(fields.raw(1), |raw| count(raw, "batch.messages", 1))?,
        bytes: patch(fields.raw(2), |raw| count(raw, "batch.bytes", 1))?,
    })
}

pub(super) fn bound(raw: &RawValue) -> Read<Bound> {
    Ok(bound_patch(raw)?.merge(Bound::default(), Bound::default()))
}

pub(super) fn bound_patch(raw: &RawValue) -> Read<BoundPatch> {
    let fields = object(raw, "bound", &["messages", "bytes", "age_ms"])?;
    Ok(BoundPatch {
        messages: patch(fields.raw(0), |raw| count(raw, "bound.messages", 1))?,
        bytes: patch(fields.raw(1), |raw| count(raw, "bound.bytes", 1))?,
        age_ms: patch(fields.raw(2), |raw| count(raw, "bound.age_ms", 1))?,
    })
}

const FROM_FORMS: &str = r#"must be "live", "earliest", "last", {"recent":n}, {"epoch":…,"offset":…,"else":…} or {"positions":[…],"else":…}"#;

pub(super) fn from(raw: &RawValue) -> Read<From> {
    let token = raw.get();
    match token {
        r#""live""# => Ok(From::Live),
        r#""earliest""# => Ok(From::Earliest),
        r#""last""# => Ok(From::Last),
        _ if token.starts_with('{') => from_object(raw),
        _ => Err(no_place(format_args!("not {}", quoted(token)))),
    }
}

fn from_object(raw: &RawValue) -> Read<From> {
    let names = &["recent", "epoch", "offset", "positions", "else"];
    let fields = object(raw, "from", names)?;
    let [recent, epoch, offset, positions, otherwise] = [0, 1, 2, 3, 4].map(|i| fields.value(i));
    match (recent, epoch.or(offset), positions) {
        (Some(recent), None, None) => from_recent(recent, otherwise),
        (None, Some(_), None) => Ok(From::After {
            epoch: epoch_text(needed(epoch, "from.epoch")?, "from.epoch")?,
            offset: position(needed(offset, "from.offset")?, "from.offset")?,
            otherwise: else_or_default(otherwise)?,
        }),
        (None, None, Some(positions)) => Ok(From::Positions {
            positions: part_positions(positions)?,
            otherwise: else_or_default(otherwise)?,
        }),
        (None, None, None) => Err(no_place(format_args!("and this names none"))),
        _ => Err(no_place(format_args!("and this names two at once"))),
    }
}

fn no_place(what: fmt::Arguments<'_>) -> FieldError {
    FieldError::new("from", format!("{FROM_FORMS}, {what}"))
}

fn from_recent(recent: &RawValue, otherwise: Option<&RawValue>) -> Read<From> {
    if otherwise.is_some() {
        return Err(FieldError::new("from.else", "has no meaning beside recent"));
    }
    count(recent, "from.recent", 1).map(From::Recent)
}

fn needed<'a>(raw: Option<&'a RawValue>, path: &str) -> Read<&'a RawValue> {
    raw.ok_or_else(|| FieldError::new(path, "is needed"))
}

fn else_or_default(raw: Option<&RawValue>) -> Read<Else> {
    raw.map_or(Ok(Else::default()), |raw| {
        choice(raw, "from.else", &Else::ALL, Else::as_str)
    })
}

/// -1 is the position before the first entry of a partition.
fn position(raw: &RawValue, path: &str) -> Read<i64> {
    integer(raw, path, -1..=INTEGER_MAX)
}

fn epoch_text(raw: &RawValue, path: &str) -> Read<String> {
    let epoch = string(raw, path)?;
    if epoch.len() > EPOCH_BYTES {
        return Err(FieldError::new(
            path,
            format!("is no epoch: those have at most {EPOCH_BYTES} bytes"),
        ));
    }
    Ok(epoch.into_owned())
}

fn part_positions(raw: &RawValue) -> Read<Vec<PartPosition>> {
    let path = "from.positions";
    let Ok(list) = serde_json::from_str::<Vec<&RawValue>>(raw.get()) else {
        return Err(FieldError::new(
            path,
            "must be a list of {part, epoch, offset}",
        ));
    };
    if list.len() > PARTS_MAX {
        return Err(FieldError::new(
            path,
            format!("has at most {PARTS_MAX} parts"),
        ));
    }
    let mut positions = Vec::with_capacity(list.len());
    for (index, raw) in list.into_iter().enumerate() {
        positions.push(part_position(raw, &format!("{path}[{index}]"))?);
    }
    let mut parts: Vec<_> = positions.iter().map(|position| position.part).collect();
    parts.sort_unstable();
    match parts.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(FieldError::new(
            path,
            format!("names part {} twice", pair[0]),
        )),
        None => Ok(positions),
    }
}

fn part_position(raw: &RawValue, path: &str) -> Read<PartPosition> {
    let fields = object(raw, path, &["part", "epoch", "offset"])?;
    let [part, epoch, offset] = ["part", "epoch", "offset"].map(|name| format!("{path}.{name}"));
    Ok(PartPosition {
        part: integer(
            needed(fields.value(0), &part)?,
            &part,
            0..=i64::from(i32::MAX),
        )? as u32,
        epoch: epoch_text(needed(fields.value(1), &epoch)?, &epoch)?,
        offset: position(needed(fields.value(2), &offset)?, &offset)?,
    })
}
