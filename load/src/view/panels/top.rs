//! The head of a picture: what is done, which keys there are, how far it is. Pure.
use super::super::screen::{Ending, Screen};
use super::{colour, soft, span, strong};
use crate::number;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Color;
use ratatui::text::Line;
use ratatui::widgets::{LineGauge, Paragraph};

/// Below this width the title needs the room more than the keys' explanation.
const NARROW: u16 = 70;

pub(in super::super) fn head(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let keys = match screen.ending {
        Ending::Planned if area.width < NARROW => span("q ends ", soft()),
        Ending::Planned => span("q ends the run in order ", soft()),
        Ending::Asked => span("ending; q once more leaves at once ", colour(Color::Yellow)),
    };
    let width = u16::try_from(keys.width()).unwrap_or(area.width);
    let [left, right] =
        Layout::horizontal([Constraint::Min(0), Constraint::Length(width)]).areas(area);
    let title = Line::from(vec![
        span(" pubsub-load ", strong()),
        span(screen.title.clone(), colour(Color::Blue)),
    ]);
    frame.render_widget(Paragraph::new(title), left);
    frame.render_widget(Paragraph::new(Line::from(keys)), right);
}

pub(in super::super) fn progress(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let [words, bar] = Layout::vertical([Constraint::Length(1), Constraint::Length(1)]).areas(area);
    let now = &screen.now;
    let connected = format!(
        " {} of {} connected",
        number::count(now.open),
        number::count(now.clients)
    );
    let text = Line::from(vec![
        span(connected, strong()),
        span(
            format!(" (to be {})", number::count(screen.clients_max)),
            soft(),
        ),
        span(
            format!("  {}/s", number::short(screen.connects_per_s().round())),
            colour(Color::Cyan),
        ),
        span(" connects", soft()),
        span(
            format!("  {} left", number::seconds(screen.left_s().round())),
            strong(),
        ),
        span(format!(" of {}", number::seconds(screen.total_s)), soft()),
    ]);
    frame.render_widget(Paragraph::new(text), words);
    let gauge = LineGauge::default()
        .ratio(screen.share())
        .label(format!(" {:3.0} %", screen.share() * 100.0))
        .filled_style(colour(Color::Cyan))
        .unfilled_style(soft());
    frame.render_widget(gauge, bar);
}
