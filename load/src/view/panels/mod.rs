//! The parts of a picture. Pure: each draws itself into its place, however small that is.
pub(super) mod charts;
pub(super) mod sides;
pub(super) mod top;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, BorderType, Borders};

/// What is not important.
fn soft() -> Style {
    Style::new().fg(Color::DarkGray)
}

fn strong() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn colour(colour: Color) -> Style {
    Style::new().fg(colour)
}

/// A frame with a title.
fn block(title: impl Into<Line<'static>>) -> Block<'static> {
    Block::new()
        .borders(Borders::ALL)
        .border_type(BorderType::Rounded)
        .border_style(soft())
        .title(title)
}

fn span(text: impl Into<String>, style: Style) -> Span<'static> {
    Span::styled(text.into(), style)
}
