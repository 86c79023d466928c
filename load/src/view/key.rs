//! What a key asks for. Pure.
use super::screen::Ending;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing that is known.
    None,
    /// The run is to end in order.
    End,
    /// The program is to end now.
    Leave,
}

/// Reads an event of the terminal: `q` or Ctrl-C ends the run, once more leaves.
pub fn wish(event: &Event, ending: Ending) -> Wish {
    let Event::Key(key) = event else {
        return Wish::None;
    };
    match (ends(key), ending) {
        (false, _) => Wish::None,
        (true, Ending::Planned) => Wish::End,
        (true, Ending::Asked) => Wish::Leave,
    }
}

fn ends(key: &KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    let letter = match key.code {
        KeyCode::Char(letter) => letter.to_ascii_lowercase(),
        _ => return false,
    };
    key.kind == KeyEventKind::Press && matches!((letter, control), ('q', false) | ('c', true))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(letter: char, modifiers: KeyModifiers) -> Event {
        Event::Key(KeyEvent::new(KeyCode::Char(letter), modifiers))
    }

    #[test]
    fn the_first_ends_the_run_and_the_second_leaves() {
        for event in [
            press('q', KeyModifiers::NONE),
            press('Q', KeyModifiers::SHIFT),
            press('c', KeyModifiers::CONTROL),
        ] {
            assert_eq!(wish(&event, Ending::Planned), Wish::End);
            assert_eq!(wish(&event, Ending::Asked), Wish::Leave);
        }
    }

    #[test]
    fn no_other_key_ends_anything() {
        for event in [
            press('c', KeyModifiers::NONE),
            press('q', KeyModifiers::CONTROL),
            Event::Key(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE)),
            Event::Resize(1, 1),
            Event::Paste("q".to_owned()),
        ] {
            assert_eq!(wish(&event, Ending::Planned), Wish::None, "{event:?}");
        }
    }
}
