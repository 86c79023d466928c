//! Frames from a worker to the hub.
//!
//! Owns the layout of [`Join`] and of every `HubRequest`. Must not contain: the frame's outside (that is `codec`) or any
//! decision about a request. The worker encodes, the hub decodes; a publication or a call is lent, everything else is owned.
use super::codec::{Body, LINK_VERSION, LinkError, frame, put_option, put_text};
use pubsub_stream::hub::{HubRequest, Start};
use pubsub_wire::value::Else;

mod kind {
    pub(super) const JOIN: u8 = 1;
    pub(super) const WATCH: u8 = 2;
    pub(super) const UNWATCH: u8 = 3;
    pub(super) const READ: u8 = 4;
    pub(super) const PUBLISH: u8 = 5;
    pub(super) const CALL: u8 = 6;
    pub(super) const RESUME: u8 = 7;
}

mod start {
    pub(super) const EARLIEST: u8 = 0;
    pub(super) const LAST: u8 = 1;
    pub(super) const RECENT: u8 = 2;
    pub(super) const AFTER: u8 = 3;
    pub(super) const CONTINUE: u8 = 4;
}

/// The first frame of a worker on a link: who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    /// Its slot in the scoreboard.
    pub slot: u32,
    /// Which life of that slot.
    pub generation: u32,
    /// What it speaks; see [`super::LINK_VERSION`]. The rest is read of a worker that speaks the same alone.
    pub version: u16,
    /// Where its stream goes on, if it had one: epoch and position.
    pub reached: Option<(String, i64)>,
}

/// A publication as it lies in the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishRef<'a> {
    /// As in `HubRequest::Publish`.
    pub request: u64,
    /// Topic.
    pub topic: &'a str,
    /// Key.
    pub key: Option<&'a str>,
    /// JSON, byte for byte.
    pub data: &'a [u8],
}

/// A call as it lies in the read buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRef<'a> {
    /// As in `HubRequest::Call`.
    pub request: u64,
    /// Likewise.
    pub deadline_ns: u64,
    /// What is called; the link does not look inside.
    pub bytes: &'a [u8],
}

/// What a worker's frame says.
#[derive(Debug, PartialEq, Eq)]
pub enum WorkerFrame<'a> {
    /// First of all.
    Join(Join),
    /// A publication, lent.
    Publish(PublishRef<'a>),
    /// A call, lent.
    Call(CallRef<'a>),
    /// Any other request; never `HubRequest::Publish` or `HubRequest::Call`.
    Request(HubRequest),
}

/// Appends the first frame of a link.
pub fn encode_join(out: &mut Vec<u8>, join: &Join) {
    frame(out, kind::JOIN, |out| {
        out.extend_from_slice(&join.slot.to_le_bytes());
        out.extend_from_slice(&join.generation.to_le_bytes());
        out.extend_from_slice(&join.version.to_le_bytes());
        put_option(out, join.reached.as_ref().map(|reached| reached.0.as_str()));
        let position = join.reached.as_ref().map_or(0, |reached| reached.1);
        out.extend_from_slice(&position.to_le_bytes());
    });
}

/// Appends a request.
pub fn encode_request(out: &mut Vec<u8>, request: &HubRequest) {
    match request {
        HubRequest::Watch { view, text } => frame(out, kind::WATCH, |out| {
            out.extend_from_slice(&view.to_le_bytes());
            put_text(out, text);
        }),
        HubRequest::Resume => frame(out, kind::RESUME, |_| {}),
        HubRequest::Unwatch { view } => frame(out, kind::UNWATCH, |out| {
            out.extend_from_slice(&view.to_le_bytes());
        }),
        HubRequest::Read {
            request,
            view,
            start,
            budget_bytes,
        } => frame(out, kind::READ, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            out.extend_from_slice(&view.to_le_bytes());
            out.extend_from_slice(&budget_bytes.to_le_bytes());
            put_start(out, start);
        }),
        HubRequest::Publish {
            request,
            topic,
            key,
            data,
        } => {
            encode_publish(
                out,
                &PublishRef {
                    request: *request,
                    topic,
                    key: key.as_deref(),
                    data,
                },
            );
        }
        HubRequest::Call {
            request,
            deadline_ns,
            bytes,
        } => frame(out, kind::CALL, |out| {
            out.extend_from_slice(&request.to_le_bytes());
            out.extend_from_slice(&deadline_ns.to_le_bytes());
            out.extend_from_slice(bytes);
        }),
    }
}

/// Appends a publication.
pub fn encode_publish(out: &mut Vec<u8>, publish: &PublishRef<'_>) {
    frame(out, kind::PUBLISH, |out| {
        out.extend_from_slice(&publish.request.to_le_bytes());
        put_text(out, publish.topic);
        put_option(out, publish.key);
        out.extend_from_slice(publish.data);
    });
}

/// Reads one frame of a worker.
pub fn decode_request(kind: u8, body: &[u8]) -> Result<WorkerFrame<'_>, LinkError> {
    let mut body = Body(body);
    let frame = match kind {
        kind::PUBLISH => WorkerFrame::Publish(PublishRef {
            request: body.u64()?,
            topic: body.text()?,
            key: body.option()?,
            data: body.rest(),
        }),
        kind::WATCH => WorkerFrame::Request(HubRequest::Watch {
            view: body.u32()?,
            text: body.text()?.to_owned(),
        }),
        kind::UNWATCH => WorkerFrame::Request(HubRequest::Unwatch { view: body.u32()? }),
        kind::RESUME => WorkerFrame::Request(HubRequest::Resume),
        kind::READ => take_read(&mut body)?,
        kind::CALL => WorkerFrame::Call(CallRef {
            request: body.u64()?,
            deadline_ns: body.u64()?,
            bytes: body.rest(),
        }),
        kind::JOIN => WorkerFrame::Join(take_join(&mut body)?),
        other => return Err(LinkError::UnknownKind(other)),
    };
    body.end()?;
    Ok(frame)
}

fn take_join(body: &mut Body<'_>) -> Result<Join, LinkError> {
    let (slot, generation, version) = (body.u32()?, body.u32()?, body.u16()?);
    let mut join = Join {
        slot,
        generation,
        version,
        reached: None,
    };
    if version == LINK_VERSION {
        let epoch = body.option()?.map(str::to_owned);
        let position = body.i64()?;
        join.reached = epoch.map(|epoch| (epoch, position));
    } else {
        body.rest();
    }
    Ok(join)
}

fn take_read<'a>(body: &mut Body<'_>) -> Result<WorkerFrame<'a>, LinkError> {
    let (request, view, budget_bytes) = (body.u32()?, body.u32()?, body.u32()?);
    let start = take_start(body)?;
    Ok(WorkerFrame::Request(HubRequest::Read {
        request,
        view,
        start,
        budget_bytes,
    }))
}

fn put_start(out: &mut Vec<u8>, start: &Start) {
    match start {
        Start::Earliest => out.push(start::EARLIEST),
        Start::Last => out.push(start::LAST),
        Start::Recent(n) => {
            out.push(start::RECENT);
            out.extend_from_slice(&n.to_le_bytes());
        }
        Start::After {
            epoch,
            offset,
            otherwise,
        } => {
            out.push(start::AFTER);
            out.extend_from_slice(&offset.to_le_bytes());
            out.push(match otherwise {
                Else::Earliest => 0,
                Else::Last => 1,
                Else::Live => 2,
            });
            put_text(out, epoch);
        }
        Start::Continue { offset, compacted } => {
            out.push(start::CONTINUE);
            out.extend_from_slice(&offset.to_le_bytes());
            out.push(u8::from(*compacted));
        }
    }
}

fn take_start(body: &mut Body<'_>) -> Result<Start, LinkError> {
    Ok(match body.u8()? {
        start::EARLIEST => Start::Earliest,
        start::LAST => Start::Last,
        start::RECENT => Start::Recent(body.u64()?),
        start::AFTER => Start::After {
            offset: body.i64()?,
            otherwise: match body.u8()? {
                0 => Else::Earliest,
                1 => Else::Last,
                2 => Else::Live,
                value => {
                    return Err(LinkError::BadValue {
                        field: "else",
                        value,
                    });
                }
            },
            epoch: body.text()?.to_owned(),
        },
        start::CONTINUE => Start::Continue {
            offset: body.i64()?,
            compacted: body.bool("compacted")?,
        },
        value => {
            return Err(LinkError::BadValue {
                field: "start",
                value,
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::codec::split;
    use proptest::prelude::*;

    fn starts() -> impl Strategy<Value = Start> {
        let otherwise = prop_oneof![Just(Else::Earliest), Just(Else::Last), Just(Else::Live)];
        prop_oneof![
            Just(Start::Earliest),
            Just(Start::Last),
            any::<u64>().prop_map(Start::Recent),
            (".*", any::<i64>(), otherwise).prop_map(|(epoch, offset, otherwise)| Start::After {
                epoch,
                offset,
                otherwise
            }),
            (any::<i64>(), any::<bool>())
                .prop_map(|(offset, compacted)| Start::Continue { offset, compacted }),
        ]
    }

    fn requests() -> impl Strategy<Value = HubRequest> {
        prop_oneof![
            (any::<u32>(), ".*").prop_map(|(view, text)| HubRequest::Watch { view, text }),
            any::<u32>().prop_map(|view| HubRequest::Unwatch { view }),
            Just(HubRequest::Resume),
            (any::<u32>(), any::<u32>(), starts(), any::<u32>()).prop_map(
                |(request, view, start, budget_bytes)| {
                    HubRequest::Read {
                        request,
                        view,
                        start,
                        budget_bytes,
                    }
                }
            ),
            (
                any::<u64>(),
                ".*",
                proptest::option::of(".*"),
                proptest::collection::vec(any::<u8>(), 0..600)
            )
                .prop_map(|(request, topic, key, data)| HubRequest::Publish {
                    request,
                    topic,
                    key,
                    data: data.into()
                }),
            (
                any::<u64>(),
                any::<u64>(),
                proptest::collection::vec(any::<u8>(), 0..200)
            )
                .prop_map(|(request, deadline_ns, bytes)| HubRequest::Call {
                    request,
                    deadline_ns,
                    bytes,
                }),
        ]
    }

    fn owned(frame: WorkerFrame<'_>) -> HubRequest {
        match frame {
            WorkerFrame::Request(request) => request,
            WorkerFrame::Publish(p) => HubRequest::Publish {
                request: p.request,
                topic: p.topic.to_owned(),
                key: p.key.map(str::to_owned),
                data: p.data.into(),
            },
            WorkerFrame::Call(call) => HubRequest::Call {
                request: call.request,
                deadline_ns: call.deadline_ns,
                bytes: call.bytes.into(),
            },
            WorkerFrame::Join(join) => panic!("a join: {join:?}"),
        }
    }

    proptest! {
        #[test]
        fn a_request_comes_back_as_it_was_sent(request in requests()) {
            let mut out = Vec::new();
            encode_request(&mut out, &request);
            let (kind, body, bytes) = split(&out, out.len()).unwrap().unwrap();
            prop_assert_eq!(bytes, out.len());
            prop_assert_eq!(owned(decode_request(kind, body).unwrap()), request);
        }

        #[test]
        fn a_request_cut_short_is_an_error_or_a_shorter_payload(request in requests(), keep in any::<prop::sample::Index>()) {
            let mut out = Vec::new();
            encode_request(&mut out, &request);
            let (kind, body, _) = split(&out, out.len()).unwrap().unwrap();
            prop_assume!(!body.is_empty());
            let cut = &body[..keep.index(body.len())];
            if let Ok(frame) = decode_request(kind, cut) {
                let ends_open = matches!(frame, WorkerFrame::Publish(_) | WorkerFrame::Call(_));
                prop_assert!(ends_open);
            }
        }

        #[test]
        fn any_bytes_are_a_request_or_an_error(kind in 0u8..8, body in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_request(kind, &body);
        }
    }

    #[test]
    fn a_join_comes_back_as_it_was_sent() {
        for reached in [None, Some(("e".to_owned(), 7))] {
            let join = Join {
                slot: 3,
                generation: 70_000,
                version: LINK_VERSION,
                reached,
            };
            let mut out = Vec::new();
            encode_join(&mut out, &join);
            let (kind, body, _) = split(&out, 100).unwrap().unwrap();
            assert_eq!(decode_request(kind, body), Ok(WorkerFrame::Join(join)));
        }
    }

    #[test]
    fn of_a_worker_that_speaks_otherwise_it_is_known_what_it_speaks() {
        let body = [3, 0, 0, 0, 1, 0, 0, 0, 1, 0];
        let Ok(WorkerFrame::Join(join)) = decode_request(kind::JOIN, &body) else {
            panic!("no join")
        };
        assert_eq!((join.version, join.reached), (1, None));
    }

    #[test]
    fn bytes_behind_the_last_field_are_an_error() {
        assert_eq!(
            decode_request(kind::UNWATCH, &[1, 0, 0, 0, 9]),
            Err(LinkError::Trailing(1))
        );
    }
}
