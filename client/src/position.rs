//! Where a subscription goes on after what its stream has yielded. Pure.
//!
//! Law: whoever subscribes again after the position misses nothing; without a rate nothing comes twice either.
use crate::event::{Event, Message, Position};

/// Moves `position` behind `event`.
pub(crate) fn advance(position: &mut Position, event: &Event) {
    match event {
        Event::Message(message) => pass(position, message),
        Event::Gap(gap) => position.clone_from(&gap.at),
        Event::Position(newer) => position.clone_from(newer),
        _ => {}
    }
}

/// With a rate, a message comes in the order of its release and says itself what is through with it.
fn pass(position: &mut Position, message: &Message) {
    let through = message.resume.unwrap_or(message.offset);
    match position {
        Position::One { offset, .. } => *offset = through,
        Position::Parts { positions } => {
            let own = positions
                .iter_mut()
                .find(|at| Some(at.part) == message.part);
            if let Some(at) = own {
                at.offset = through;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pubsub_wire::server::{ServerMessage, parse_server};
    use pubsub_wire::value::PartPosition;

    fn event(text: &str) -> Event {
        match parse_server(text).unwrap() {
            ServerMessage::Msg(msg) => Event::Message(msg),
            ServerMessage::Gap(gap) => Event::Gap(gap),
            ServerMessage::Position(position) => Event::Position(position.at),
            other => panic!("{other:?}"),
        }
    }

    fn one(epoch: &str, offset: i64) -> Position {
        Position::One {
            epoch: epoch.to_owned(),
            offset,
        }
    }

    fn part(part: u32, offset: i64) -> PartPosition {
        PartPosition {
            part,
            epoch: "e".to_owned(),
            offset,
        }
    }

    #[test]
    fn it_follows_messages_gaps_and_positions() {
        let mut position = one("e", 0);
        for (text, expected) in [
            (
                r#"{"op":"msg","topic":"t","offset":3,"ts":1,"data":0}"#,
                one("e", 3),
            ),
            (
                r#"{"op":"gap","topic":"t","from":4,"to":9,"count":2,"reason":"drop_oldest","epoch":"e","offset":9}"#,
                one("e", 9),
            ),
            (
                r#"{"op":"position","topic":"t","epoch":"e","offset":20}"#,
                one("e", 20),
            ),
            (
                r#"{"op":"gap","topic":"t","from":null,"to":null,"count":null,"reason":"epoch","epoch":"f","offset":5}"#,
                one("f", 5),
            ),
        ] {
            advance(&mut position, &event(text));
            assert_eq!(position, expected, "{text}");
        }
    }

    #[test]
    fn with_a_rate_it_is_what_the_message_says() {
        let mut position = one("e", 0);
        for (text, expected) in [
            (
                r#"{"op":"msg","topic":"t","offset":7,"resume":4,"ts":1,"data":0}"#,
                4,
            ),
            (
                r#"{"op":"msg","topic":"t","offset":5,"resume":7,"ts":1,"data":0}"#,
                7,
            ),
        ] {
            advance(&mut position, &event(text));
            assert_eq!(position, one("e", expected), "{text}");
        }
    }

    #[test]
    fn each_partition_has_its_own() {
        let mut position = Position::Parts {
            positions: vec![part(0, 5), part(2, 7)],
        };
        let text = r#"{"op":"msg","topic":"t","offset":9,"part":2,"ts":1,"data":0}"#;
        advance(&mut position, &event(text));
        let expected = Position::Parts {
            positions: vec![part(0, 5), part(2, 9)],
        };
        assert_eq!(position, expected);
    }
}
