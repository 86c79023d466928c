use super::told::{Held, Told};
use super::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use pubsub_wire::ErrorCode;

fn held() -> impl Strategy<Value = Held> {
    (
        any::<i64>(),
        any::<u64>(),
        any::<u64>(),
        ".*",
        of(".*"),
        vec(any::<u8>(), 0..600),
    )
        .prop_map(|(offset, ts_us, mono_ns, topic, key, data)| Held {
            offset,
            ts_us,
            mono_ns,
            topic,
            key,
            data,
        })
}

fn heads() -> impl Strategy<Value = SliceHead> {
    let reason = prop_oneof![
        Just(LostHistory::Retention),
        Just(LostHistory::Epoch),
        Just(LostHistory::Memory),
    ];
    let gap = (reason, of(any::<i64>()), of(any::<i64>()), of(any::<u64>())).prop_map(
        |(reason, from, to, count)| SliceGap {
            reason,
            from,
            to,
            count,
        },
    );
    (
        any::<u32>(),
        any::<i64>(),
        of(gap),
        any::<i64>(),
        any::<bool>(),
    )
        .prop_map(|(request, start, gap, end, joined)| SliceHead {
            request,
            start,
            gap,
            end,
            joined,
        })
}

fn told() -> impl Strategy<Value = Told> {
    let code = || prop::sample::select(&ErrorCode::ALL[..]);
    prop_oneof![
        (".*", any::<i64>()).prop_map(|(epoch, position)| Told::Hello(epoch, position)),
        held().prop_map(Told::Entry),
        any::<i64>().prop_map(Told::Position),
        any::<(u32, i64)>().prop_map(|(view, position)| Told::Watched(view, position)),
        (any::<(u32, i64, i64)>(), of(any::<u64>()))
            .prop_map(|((v, from, to), count)| Told::Lost(v, from, to, count)),
        (heads(), vec(held(), 0..5)).prop_map(|(head, entries)| Told::Slice(head, entries)),
        (any::<u32>(), code(), ".*", of(any::<u64>()))
            .prop_map(|(r, code, m, retry)| Told::ReadFailed(r, code, m, retry)),
        any::<(u64, i64)>().prop_map(|(request, offset)| Told::Published(request, offset)),
        (any::<u64>(), code(), ".*", of(any::<u64>()))
            .prop_map(|(r, code, m, retry)| Told::PublishFailed(r, code, m, retry)),
        (any::<u64>(), ".*").prop_map(|(request, result)| Told::Replied(request, result)),
        (any::<u64>(), code(), ".*", of(any::<u64>()))
            .prop_map(|(r, code, m, retry)| Told::CallFailed(r, code, m, retry)),
    ]
}

fn read(bytes: &[u8]) -> Result<Option<Told>, LinkError> {
    let Some((kind, body, _)) = split(bytes, FRAME_BYTES_MAX)? else {
        return Ok(None);
    };
    let mut seen = None;
    decode_event(kind, body, |event| seen = Some(Told::of(event)))?;
    Ok(seen)
}

proptest! {
    #[test]
    fn an_event_comes_back_as_it_was_sent(event in told()) {
        let mut out = Vec::new();
        event.encode(&mut out);
        prop_assert_eq!(read(&out), Ok(Some(event)));
    }

    #[test]
    fn any_bytes_are_an_event_or_an_error(kind in 60u8..80, body in vec(any::<u8>(), 0..120)) {
        let _ = decode_event(kind, &body, |event| drop(Told::of(event)));
    }

    #[test]
    fn an_event_with_a_byte_changed_is_an_event_or_an_error(event in told(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let mut out = Vec::new();
        event.encode(&mut out);
        let at = at.index(out.len());
        out[at] = to;
        let _ = read(&out);
    }

    #[test]
    fn a_slice_is_lent_whole_or_not_at_all(head in heads(), entries in vec(held(), 1..4), cut in 1usize..30) {
        let mut out = Vec::new();
        Told::Slice(head, entries).encode(&mut out);
        let (kind, body, _) = split(&out, FRAME_BYTES_MAX).unwrap().unwrap();
        let body = &body[..body.len() - cut.min(body.len())];
        let mut lent = 0;
        let outcome = decode_event(kind, body, |event| {
            let HubEvent::Slice { entries, .. } = event else { panic!("a slice") };
            lent = entries.count();
        });
        prop_assert!(outcome.is_ok() || lent == 0);
    }
}

#[test]
fn every_error_code_comes_back_and_no_other_number_is_one() {
    for code in ErrorCode::ALL {
        let mut out = Vec::new();
        put_code(&mut out, code);
        assert_eq!(take_code(&mut Body(&out)), Ok(code));
    }
    assert!(take_code(&mut Body(&[ErrorCode::ALL.len() as u8])).is_err());
}

#[test]
fn a_frame_that_is_no_entry_is_refused_inside_a_slice() {
    let head = SliceHead {
        request: 1,
        start: 0,
        gap: None,
        end: 0,
        joined: false,
    };
    let mut out = Vec::new();
    encode_slice(&mut out, &head, |out| {
        encode_event(out, HubEvent::Position { position: 3 });
    });
    assert_eq!(read(&out), Err(LinkError::UnknownKind(kind::POSITION)));
}
