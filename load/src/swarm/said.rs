//! What a server said in a text frame that is not a plain `msg`, reduced to what the generator needs of it.
//!
//! Pure. Off the hot path: this is the protocol crate's parser, and what it does not know it ignores.
use super::head::{self, Head};
use pubsub_wire::command::Id;
use pubsub_wire::server::{self, At, Msg, MsgRef, ServerMessage};
use pubsub_wire::value::{GapReason, Ledger, Mode};

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// First of all.
    Welcome {
        /// The worker's slot.
        worker: u32,
    },
    /// The subscription stands; messages follow after this offset (none where positions are a vector).
    Subscribed {
        /// Position after which messages follow.
        offset: Option<i64>,
    },
    /// One or more messages, in order.
    Messages(Vec<Message>),
    /// How the subscription keeps up from here on.
    Mode(Mode),
    /// Something was lost.
    Gap {
        /// Last offset of the hole, if known.
        to: Option<i64>,
        /// How many, if known.
        count: Option<u64>,
        /// Position after which messages follow.
        offset: Option<i64>,
        /// Why. With an epoch, offsets begin anew: what follows is of another log.
        reason: GapReason,
    },
    /// The books of the subscription.
    Ledger(Ledger),
    /// A publication is in the log.
    Published {
        /// The command's id.
        id: u64,
    },
    /// A call was answered.
    Reply {
        /// The command's id.
        id: u64,
        /// As JSON.
        result: String,
    },
    /// A command was refused.
    Error {
        /// The command's id, if it had a number for one.
        id: Option<u64>,
        /// Code and message.
        text: String,
    },
    /// The server wants this client to go.
    Goaway,
    /// Anything else.
    Other,
}

/// A message as the parser reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// Its head.
    pub head: Head,
    /// Names its topic and key.
    pub identity: u64,
}

/// Reads one text payload; `None`: it is not a message of this protocol.
pub fn parse(payload: &[u8]) -> Option<Said> {
    let text = str::from_utf8(payload).ok()?;
    Some(match server::parse_server(text).ok()? {
        ServerMessage::Welcome(welcome) => Said::Welcome {
            worker: welcome.worker,
        },
        ServerMessage::Subscribed(subscribed) => Said::Subscribed {
            offset: offset(&subscribed.at),
        },
        ServerMessage::Msg(msg) => Said::Messages(vec![message(&msg)]),
        ServerMessage::Batch(batch) => Said::Messages(batch.items.iter().map(message).collect()),
        ServerMessage::Mode(mode) => Said::Mode(mode.mode),
        ServerMessage::Gap(gap) => Said::Gap {
            to: gap.to,
            count: gap.count,
            offset: offset(&gap.at),
            reason: gap.reason,
        },
        ServerMessage::Ledger(ledger) => Said::Ledger(ledger.ledger),
        ServerMessage::Published(published) => Said::Published {
            id: number(published.id.as_ref())?,
        },
        ServerMessage::Reply(reply) => Said::Reply {
            id: number(reply.id.as_ref())?,
            result: reply.result.get().to_owned(),
        },
        ServerMessage::Error(error) => Said::Error {
            id: number(error.id.as_ref()),
            text: format!("{}: {}", error.code, error.message),
        },
        ServerMessage::Goaway(_) => Said::Goaway,
        _ => Said::Other,
    })
}

/// A `msg` whole, without copying; `None`: it is none.
pub fn whole_msg(payload: &[u8]) -> Option<MsgRef<'_>> {
    server::parse_msg(str::from_utf8(payload).ok()?).ok()?
}

/// The id of a `published` by its place: our own server writes `op` and `id` first. `None`: ask the parser.
#[inline]
pub fn published_id(payload: &[u8]) -> Option<u64> {
    let rest = payload.strip_prefix(br#"{"op":"published","id":"#)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    if rest[end] != b',' || !(1..=19).contains(&end) {
        return None;
    }
    Some(
        rest[..end]
            .iter()
            .fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
    )
}

fn message(msg: &Msg) -> Message {
    let key = msg.key.as_ref().map(|key| key.as_bytes());
    Message {
        head: Head {
            offset: msg.offset,
            ts_us: msg.ts,
            part: msg.part,
            resume: msg.resume,
        },
        identity: head::identity(msg.topic.as_bytes(), key),
    }
}

fn offset(at: &At) -> Option<i64> {
    match at {
        At::One { offset, .. } => Some(*offset),
        At::Parts { .. } => None,
    }
}

fn number(id: Option<&Id>) -> Option<u64> {
    id?.as_json().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pubsub_wire::encode::{self, MsgView, Place};

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut payload = Vec::new();
        write(&mut payload);
        payload
    }

    fn view(offset: i64) -> MsgView<'static> {
        MsgView {
            sub: None,
            topic: "q.A",
            offset,
            ts: 9,
            key: None,
            data: b"1",
        }
    }

    #[test]
    fn a_batch_is_its_messages() {
        let items = [(view(4), Place::default()), (view(7), Place::default())];
        let batch = written(|out| encode::batch(out, "q.*", items));
        let message = |offset| Message {
            head: Head::plain(offset, 9),
            identity: head::identity(b"q.A", None),
        };
        let messages = vec![message(4), message(7)];
        assert_eq!(parse(&batch), Some(Said::Messages(messages)));
    }

    #[test]
    fn a_change_of_mode_is_its_name() {
        let text = br#"{"op":"mode","topic":"t","mode":"replay","lag":{"messages":1,"bytes":2,"age_ms":3}}"#;
        assert_eq!(parse(text), Some(Said::Mode(Mode::Replay)));
    }

    #[test]
    fn an_error_names_its_command() {
        let text = br#"{"op":"error","id":1,"code":"bad_field","message":"no","field":"topic"}"#;
        assert_eq!(
            parse(text),
            Some(Said::Error {
                id: Some(1),
                text: "bad_field: no".into()
            })
        );
    }

    #[test]
    fn a_gap_into_another_epoch_is_another_log() {
        let text = br#"{"op":"gap","topic":"t","from":null,"to":null,"count":null,"reason":"epoch","epoch":"e","offset":3}"#;
        assert_eq!(
            parse(text),
            Some(Said::Gap {
                to: None,
                count: None,
                offset: Some(3),
                reason: GapReason::Epoch
            })
        );
    }

    #[test]
    fn what_is_unknown_is_ignored_and_what_is_no_message_is_none() {
        assert_eq!(
            parse(br#"{"op":"news","from":{"a":[1]}}"#),
            Some(Said::Other)
        );
        assert_eq!(parse(b"[1]"), None);
        assert_eq!(parse(b"{\"op\":\"msg\"}"), None);
        assert_eq!(parse(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn an_acknowledgement_is_read_by_its_place_as_the_parser_reads_it(id in any::<u64>(), offset in any::<i64>()) {
            let ack = written(|out| encode::published(out, Some(&Id::number(id)), "t", "e", offset));
            prop_assert_eq!(parse(&ack), Some(Said::Published { id }));
            let by_place = published_id(&ack);
            prop_assert!(by_place == Some(id) || (by_place.is_none() && id > u64::MAX / 2));
        }
    }

    #[test]
    fn an_id_that_is_no_number_is_left_to_the_parser() {
        assert_eq!(published_id(br#"{"op":"published","id":"a","topic""#), None);
        assert_eq!(published_id(br#"{"op":"published","id":,"#), None);
        assert_eq!(published_id(br#"{"op":"published","id":12"#), None);
    }
}
