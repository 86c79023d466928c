//! A screen as a picture: where its panels lie. Pure.
use super::panels::{charts, sides, top};
use super::screen::Screen;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};

/// A picture smaller than this has words only.
const WIDTH_MIN: u16 = 64;
const HEIGHT_MIN: u16 = 18;

/// From here on the panels have more room.
const TALL: u16 = 32;

/// Draws it, whatever the size of the terminal.
pub fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        return small(frame, area, screen);
    }
    let (rate, sides_height) = if area.height >= TALL { (8, 12) } else { (4, 8) };
    let [head, progress, rate, chart, below] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Length(rate),
        Constraint::Min(6),
        Constraint::Length(sides_height),
    ])
    .areas(area);
    top::head(frame, head, screen);
    top::progress(frame, progress, screen);
    charts::delivered(frame, rate, screen);
    charts::latency(frame, chart, screen);
    let [cost, lost, trouble] = Layout::horizontal([
        Constraint::Ratio(8, 20),
        Constraint::Ratio(5, 20),
        Constraint::Ratio(7, 20),
    ])
    .areas(below);
    sides::cost(frame, cost, screen);
    sides::lost(frame, lost, screen);
    sides::trouble(frame, trouble, screen);
}

fn small(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let [head, progress, rest] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(2),
        Constraint::Min(0),
    ])
    .areas(area);
    top::head(frame, head, screen);
    top::progress(frame, progress, screen);
    sides::in_words(frame, rest, screen);
}

#[cfg(test)]
mod tests {
    use super::super::screen::{Ending, Standing};
    use super::*;
    use crate::ramp::row::{Row, Valid};
    use crate::record::{Beside, Cause, Kind, Line, Role};
    use crate::swarm::Losses;
    use proptest::prelude::*;
    use pubsub_wire::value::GapReason;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn drawn(screen: &Screen, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen)).unwrap();
        let buffer = terminal.backend().buffer();
        (0..height)
            .map(|y| (0..width).map(|x| buffer[(x, y)].symbol()).collect())
            .collect()
    }

    fn losses(count: u64) -> Losses {
        let mut lost = Losses::default();
        lost.add(GapReason::DropOldest, count);
        lost
    }

    fn running() -> Screen {
        let mut screen = Screen::new("900 subscribers to quotes.*".to_owned(), 900, 90.0);
        for second in 1..40u64 {
            screen.stands(Standing {
                at_s: second as f64,
                clients: second * 20,
                open: second * 20 - 1,
                upgraded: second * 20,
                received: second * second * 100,
                lost: losses(12_345),
                errors: vec![Cause {
                    kind: Kind::Connect,
                    cause: "cannot connect: connection refused".to_owned(),
                    count: 7,
                }],
                doubt: Some("its own loop lag p99 was 68.1 ms".to_owned()),
            });
        }
        for line in 1..10u32 {
            let row = Row {
                p50_ms: Some(f64::from(line)),
                p90_ms: Some(f64::from(line) * 3.0),
                p99_ms: Some(f64::from(line) * 20.0),
                p999_ms: Some(f64::INFINITY),
                max_ms: Some(812.5),
                cpu_time_s: Some(1.0),
                server_cores: Some(0.42),
                server_starved: Some(0.0),
                server_pss_m: Some(20.0),
                own_cores: 0.17,
                own_pss_m: Some(7.5),
                valid: Valid::No,
                ..Row::default()
            };
            let beside = Beside {
                at_s: f64::from(line) * 4.0,
                roles: vec![Role {
                    role: "worker".to_owned(),
                    processes: 2,
                    cores: 0.4,
                    pss_bytes: 9 << 20,
                }],
                ..Beside::default()
            };
            screen.line(&Line::new(&row, beside));
        }
        screen
    }

    fn shows(picture: &[String], texts: &[&str]) {
        for text in texts {
            let shown = picture.iter().any(|row| row.contains(text));
            assert!(shown, "{text}:\n{}", picture.join("\n"));
        }
    }

    /// What is to be seen at every size that has room for panels.
    const ALWAYS: [&str; 12] = [
        "900 subscribers to quotes.*",
        "779 of 780",
        "20/s",
        "51s left",
        "p50 9 ms",
        "p99 180 ms",
        "p99.9 never",
        "drop_oldest",
        "12,345",
        "worker ×2",
        "0.42",
        "INVALID",
    ];

    #[test]
    fn a_usual_terminal_shows_everything() {
        let picture = drawn(&running(), 80, 24);
        shows(&picture, &ALWAYS);
        shows(&picture, &["q ends", "7.5 MiB", "connection refused"]);
    }

    #[test]
    fn a_large_terminal_shows_everything() {
        let picture = drawn(&running(), 120, 40);
        shows(&picture, &ALWAYS);
        shows(&picture, &["its own loop lag p99 was 68.1 ms"]);
    }

    #[test]
    fn a_small_terminal_shows_what_counts_in_words() {
        let picture = drawn(&running(), 40, 12);
        let texts = [
            "900 subscribers",
            "779 of 780",
            "p50 9 ms",
            "p99 180 ms",
            "12,345",
            "0.42",
            "INVALID",
        ];
        shows(&picture, &texts);
    }

    #[test]
    fn a_doubt_that_is_of_no_line_is_seen_without_a_count() {
        let mut screen = Screen::new("t".to_owned(), 1, 10.0);
        screen.stands(Standing {
            at_s: 1.0,
            doubt: Some("a process of the swarm was killed".to_owned()),
            ..Standing::default()
        });
        let picture = drawn(&screen, 120, 40);
        shows(&picture, &["INVALID ", "a process of the swarm was killed"]);
        assert!(!picture.iter().any(|row| row.contains("no trouble")));
    }

    #[test]
    fn before_the_first_line_it_says_when_there_is_one() {
        let picture = drawn(&Screen::new("t".to_owned(), 1, 10.0), 80, 24);
        shows(
            &picture,
            &[
                "when the first line has ended",
                "nothing lost",
                "no trouble",
            ],
        );
    }

    #[test]
    fn that_the_end_was_asked_for_is_seen_at_once() {
        let mut screen = running();
        screen.ending = Ending::Asked;
        shows(&drawn(&screen, 80, 24), &["once more leaves at once"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn no_size_of_a_terminal_is_too_odd(width in 0u16..220, height in 0u16..70) {
            drawn(&running(), width, height);
            drawn(&Screen::default(), width, height);
        }
    }
}
