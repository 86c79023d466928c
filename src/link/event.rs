//! Frames from the hub to a worker.
//!
//! Owns the layout of every `HubEvent`. Must not contain: the frame's outside (that is `codec`), or when an event is sent. The
//! hub encodes, the worker decodes; all that an event holds is lent from the read buffer.
//!
//! An entry's frame: offset, ts, mono (8 bytes each), topic, key, then the data up to the frame's end. A slice's frame is a
//! head and then whole entry frames, the very bytes that live delivery sends.
use super::codec::{
    Body, FRAME_BYTES_MAX, LinkError, frame, put_code, put_option, put_text, split, take_code,
};
use pubsub_stream::hub::{EntryRef, HubEvent, LostHistory, Refusal, SliceGap, SliceHead};

mod kind {
    pub(super) const HELLO: u8 = 65;
    pub(super) const ENTRY: u8 = 66;
    pub(super) const POSITION: u8 = 67;
    pub(super) const WATCHED: u8 = 68;
    pub(super) const LOST: u8 = 69;
    pub(super) const SLICE: u8 = 70;
    pub(super) const READ_FAILED: u8 = 71;
    pub(super) const PUBLISHED: u8 = 72;
    pub(super) const PUBLISH_FAILED: u8 = 73;
    pub(super) const REPLIED: u8 = 74;
    pub(super) const CALL_FAILED: u8 = 75;
}

/// Bits of a slice head: what it has.
mod has {
    pub(super) const GAP: u8 = 1;
    pub(super) const EPOCH: u8 = 2;
    pub(super) const FROM: u8 = 4;
    pub(super) const TO: u8 = 8;
    pub(super) const COUNT: u8 = 16;
    pub(super) const MEMORY: u8 = 32;
    pub(super) const ALL: u8 = 63;
}

/// Appends one publication.
pub fn encode_entry(out: &mut Vec<u8>, entry: &EntryRef<'_>) {
    frame(out, kind::ENTRY, |out| {
        out.extend_from_slice(&entry.offset.to_le_bytes());
        out.extend_from_slice(&entry.ts_us.to_le_bytes());
        out.extend_from_slice(&entry.mono_ns.to_le_bytes());
        put_text(out, entry.topic);
        put_option(out, entry.key);
        out.extend_from_slice(entry.data);
    });
}

/// Reads one publication from the whole bytes of its frame, as [`encode_entry`] made them.
pub fn decode_entry(bytes: &[u8]) -> Result<EntryRef<'_>, LinkError> {
    match split(bytes, FRAME_BYTES_MAX)? {
        Some((kind::ENTRY, body, whole)) if whole == bytes.len() => take_entry(body),
        Some((kind::ENTRY, _, whole)) => Err(LinkError::Trailing(bytes.len() - whole)),
        Some((other, ..)) => Err(LinkError::UnknownKind(other)),
        None => Err(LinkError::Truncated),
    }
}

/// Appends an event. A hub that has entries as frames already appends those bytes and [`encode_slice`] instead.
pub fn encode_event(out: &mut Vec<u8>, event: HubEvent<'_>) {
    match event {
        HubEvent::Entry(entry) => encode_entry(out, &entry),
        HubEvent::Slice { head, entries } => encode_slice(out, &head, |out| {
            for entry in entries {
                encode_entry(out, &entry);
            }
        }),
        HubEvent::Hello { epoch, position } => frame(out, kind::HELLO, |out| {
            put_text(out, epoch);
            out.extend_from_slice(&position.to_le_bytes());
        }),
        HubEvent::Position { position } => {
            frame(out, kind::POSITION, |out| {
                out.extend_from_slice(&position.to_le_bytes());
            });
        }
        HubEvent::Watched { view, position } => frame(out, kind::WATCHED, |out| {
            out.extend_from_slice(&view.to_le_bytes());
            out.extend_from_slice(&position.to_le_bytes());
        }),
        HubEvent::Lost {
            view,
            from,
            to,
            count,
        } => frame(out, kind::LOST, |out| {
            out.extend_from_slice(&view.to_le_bytes());
            out.extend_from_slice(&from.to_le_bytes());
            out.extend_from_slice(&to.to_le_bytes());
            put_number(out, count);
        }),
        HubEvent::ReadFailed { request, why } => frame(out, kind::READ_FAILED, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            put_refusal(out, &why);
        }),
        HubEvent::Published { request, offset } => frame(out, kind::PUBLISHED, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
        }),
        HubEvent::PublishFailed { request, why } => frame(out, kind::PUBLISH_FAILED, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            put_refusal(out, &why);
        }),
        HubEvent::Replied { request, result } => frame(out, kind::REPLIED, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            out.extend_from_slice(result.as_bytes());
        }),
        HubEvent::CallFailed { request, why } => frame(out, kind::CALL_FAILED, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            put_refusal(out, &why);
        }),
    }
}

/// Appends a slice; `fill` appends whole entry frames.
pub fn encode_slice(out: &mut Vec<u8>, head: &SliceHead, fill: impl FnOnce(&mut Vec<u8>)) {
    frame(out, kind::SLICE, |out| {
        out.extend_from_slice(&head.request.to_le_bytes());
        out.extend_from_slice(&head.start.to_le_bytes());
        out.extend_from_slice(&head.end.to_le_bytes());
        out.push(u8::from(head.joined));
        put_gap(out, head.gap.as_ref());
        fill(out);
    });
}

/// Reads one frame of the hub and hands the event to `visit`.
pub fn decode_event(
    kind: u8,
    body: &[u8],
    visit: impl FnOnce(HubEvent<'_>),
) -> Result<(), LinkError> {
    let mut body = Body(body);
    let event = match kind {
        kind::ENTRY => HubEvent::Entry(take_entry(body.rest())?),
        kind::POSITION => HubEvent::Position {
            position: body.i64()?,
        },
        kind::PUBLISHED => HubEvent::Published {
            request: body.u64()?,
            offset: body.i64()?,
        },
        kind::SLICE => return take_slice(body, visit),
        kind::HELLO => HubEvent::Hello {
            epoch: body.text()?,
            position: body.i64()?,
        },
        kind::WATCHED => HubEvent::Watched {
            view: body.u32()?,
            position: body.i64()?,
        },
        kind::LOST => HubEvent::Lost {
            view: body.u32()?,
            from: body.i64()?,
            to: body.i64()?,
            count: take_number(&mut body)?,
        },
        kind::READ_FAILED => HubEvent::ReadFailed {
            request: body.u32()?,
            why: take_refusal(&mut body)?,
        },
        kind::PUBLISH_FAILED => HubEvent::PublishFailed {
            request: body.u64()?,
            why: take_refusal(&mut body)?,
        },
        kind::REPLIED => HubEvent::Replied {
            request: body.u64()?,
            result: body.rest_text()?,
        },
        kind::CALL_FAILED => HubEvent::CallFailed {
            request: body.u64()?,
            why: take_refusal(&mut body)?,
        },
        other => return Err(LinkError::UnknownKind(other)),
    };
    body.end()?;
    visit(event);
    Ok(())
}

fn take_entry(body: &[u8]) -> Result<EntryRef<'_>, LinkError> {
    let mut body = Body(body);
    Ok(EntryRef {
        offset: body.i64()?,
        ts_us: body.u64()?,
        mono_ns: body.u64()?,
        topic: body.text()?,
        key: body.option()?,
        data: body.rest(),
    })
}

/// The whole slice is read once before it is lent, so that the visitor never holds half of a malformed one.
fn take_slice(mut body: Body<'_>, visit: impl FnOnce(HubEvent<'_>)) -> Result<(), LinkError> {
    let request = body.u32()?;
    let (start, end) = (body.i64()?, body.i64()?);
    let joined = body.bool("joined")?;
    let gap = take_gap(&mut body)?;
    let frames = body.rest();
    let mut rest = frames;
    while !rest.is_empty() {
        take_next(&mut rest)?;
    }
    let mut entries = SliceEntries(frames);
    visit(HubEvent::Slice {
        head: SliceHead {
            request,
            start,
            gap,
            end,
            joined,
        },
        entries: &mut entries,
    });
    Ok(())
}

fn take_next<'a>(rest: &mut &'a [u8]) -> Result<EntryRef<'a>, LinkError> {
    let (kind, body, bytes) = split(rest, FRAME_BYTES_MAX)?.ok_or(LinkError::Truncated)?;
    if kind != kind::ENTRY {
        return Err(LinkError::UnknownKind(kind));
    }
    *rest = &rest[bytes..];
    take_entry(body)
}

/// The entries of a slice that is known to be well formed.
struct SliceEntries<'a>(&'a [u8]);

impl<'a> Iterator for SliceEntries<'a> {
    type Item = EntryRef<'a>;

    fn next(&mut self) -> Option<EntryRef<'a>> {
        take_next(&mut self.0).ok()
    }
}

fn put_gap(out: &mut Vec<u8>, gap: Option<&SliceGap>) {
    let Some(gap) = gap else {
        out.push(0);
        return;
    };
    let mut bits = has::GAP;
    bits |= match gap.reason {
        LostHistory::Retention => 0,
        LostHistory::Epoch => has::EPOCH,
        LostHistory::Memory => has::MEMORY,
    };
    bits |= if gap.from.is_some() { has::FROM } else { 0 };
    bits |= if gap.to.is_some() { has::TO } else { 0 };
    bits |= if gap.count.is_some() { has::COUNT } else { 0 };
    out.push(bits);
    for number in [gap.from, gap.to, gap.count.map(|count| count as i64)]
        .into_iter()
        .flatten()
    {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn take_gap(body: &mut Body<'_>) -> Result<Option<SliceGap>, LinkError> {
    let bits = body.u8()?;
    if bits == 0 {
        return Ok(None);
    }
    let reason = match bits & (has::EPOCH | has::MEMORY) {
        0 => Some(LostHistory::Retention),
        has::EPOCH => Some(LostHistory::Epoch),
        has::MEMORY => Some(LostHistory::Memory),
        _ => None,
    };
    let known = bits & has::GAP != 0 && bits & !has::ALL == 0;
    let Some(reason) = reason.filter(|_| known) else {
        return Err(LinkError::BadValue {
            field: "gap",
            value: bits,
        });
    };
    let mut number = |bit: u8| {
        if bits & bit == 0 {
            Ok(None)
        } else {
            body.i64().map(Some)
        }
    };
    let (from, to) = (number(has::FROM)?, number(has::TO)?);
    let count = number(has::COUNT)?.map(|count| count as u64);
    Ok(Some(SliceGap {
        reason,
        from,
        to,
        count,
    }))
}

fn put_number(out: &mut Vec<u8>, number: Option<u64>) {
    out.push(u8::from(number.is_some()));
    out.extend_from_slice(&number.unwrap_or(0).to_le_bytes());
}

fn take_number(body: &mut Body<'_>) -> Result<Option<u64>, LinkError> {
    let known = body.bool("presence of a number")?;
    let number = body.u64()?;
    Ok(known.then_some(number))
}

fn put_refusal(out: &mut Vec<u8>, why: &Refusal<'_>) {
    put_code(out, why.code);
    put_number(out, why.retry_after_ms);
    put_text(out, why.message);
}

fn take_refusal<'a>(body: &mut Body<'a>) -> Result<Refusal<'a>, LinkError> {
    let code = take_code(body)?;
    let retry_after_ms = take_number(body)?;
    Ok(Refusal {
        code,
        message: body.text()?,
        retry_after_ms,
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) mod told;
