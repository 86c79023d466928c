//! What both sides cost, what was lost, what went wrong; and all of it in words where there is no room. Pure.
use super::super::screen::Screen;
use super::{block, colour, soft, span, strong};
use crate::number::{self, UNKNOWN};
use crate::record::Kind;
use ratatui::Frame;
use ratatui::layout::{Constraint, Rect};
use ratatui::style::Color;
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};

/// Widths of the numbers in the tables.
const CORES: u16 = 5;
const MEMORY: u16 = 8;
const COUNT: u16 = 7;

/// Losses from here on have no room for all their digits.
const LONG: u64 = 1_000_000;

pub(in super::super) fn cost(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let block = block(Line::from(span(" cost in the last line ", soft())));
    let Some(last) = screen.last() else {
        return frame.render_widget(block, area);
    };
    let own = last.own.pss_bytes.map_or(UNKNOWN.to_owned(), bytes);
    let mut rows = vec![
        row("", "cores", "memory").style(soft()),
        row("generator", &number::digits(last.own.cores), &own).style(strong()),
    ];
    if let Some(server) = &last.server {
        let cores = number::digits(server.cores);
        rows.push(row("server", &cores, &bytes(server.pss_bytes)).style(strong()));
        for role in &server.roles {
            let name = match role.processes {
                1 => format!(" {}", role.role),
                n => format!(" {} ×{n}", role.role),
            };
            let cores = number::digits(role.cores);
            rows.push(row(&name, &cores, &bytes(role.pss_bytes)));
        }
    }
    if let Some(tcp) = last.machine.tcp_bytes {
        rows.push(row("kernel's TCP", "", &bytes(tcp)));
    }
    let widths = [
        Constraint::Min(8),
        Constraint::Length(CORES),
        Constraint::Length(MEMORY),
    ];
    frame.render_widget(Table::new(rows, widths).block(block), area);
}

fn bytes(bytes: u64) -> String {
    number::bytes(bytes as f64)
}

fn row(name: &str, cores: &str, memory: &str) -> Row<'static> {
    let right = |text: &str| Cell::new(Text::from(text.to_owned()).right_aligned());
    Row::new([Cell::new(name.to_owned()), right(cores), right(memory)])
}

pub(in super::super) fn lost(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let lost = screen.now.lost;
    let total = number::count(lost.total());
    let title = Line::from(vec![span(" lost ", soft()), span(total + " ", strong())]);
    let block = block(title);
    if lost.total() == 0 {
        let words = Line::from(span("nothing lost", colour(Color::Green)));
        return frame.render_widget(Paragraph::new(words).block(block), area);
    }
    let rows = lost.iter().filter(|(_, count)| *count > 0);
    let rows = rows.map(|(reason, count)| {
        let text = match count {
            LONG.. => number::short(count as f64),
            _ => number::count(count),
        };
        let count = Text::from(text).right_aligned();
        Row::new([Cell::new(reason.as_str()), Cell::new(count)])
    });
    let widths = [Constraint::Min(11), Constraint::Length(COUNT)];
    frame.render_widget(
        Table::new(rows, widths).column_spacing(0).block(block),
        area,
    );
}

pub(in super::super) fn trouble(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let mut lines = vec![validity(screen)];
    if let Some(doubt) = &screen.now.doubt {
        lines.push(Line::from(span(doubt.clone(), colour(Color::Yellow))));
    }
    if screen.now.errors.is_empty() && screen.now.doubt.is_none() {
        lines.push(Line::from(span("no trouble", colour(Color::Green))));
    }
    for cause in &screen.now.errors {
        let kind = match cause.kind {
            Kind::Connect => "",
            Kind::Closed => "closed: ",
            Kind::Refused => "refused: ",
            Kind::Protocol => "protocol: ",
        };
        lines.push(Line::from(vec![
            span(format!("{} ", number::count(cause.count)), strong()),
            span(format!("{kind}{}", cause.cause), colour(Color::Red)),
        ]));
    }
    let title = Line::from(span(" validity and trouble ", soft()));
    let words = Paragraph::new(lines)
        .wrap(Wrap { trim: true })
        .block(block(title));
    frame.render_widget(words, area);
}

/// What counts, a line each.
pub(in super::super) fn in_words(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let latency = screen.last().map(|line| &line.latency_ms);
    let p50 = number::latency(latency.and_then(|of| of.p50));
    let p99 = number::latency(latency.and_then(|of| of.p99));
    let per_s = number::short(screen.delivered().next().unwrap_or(0.0));
    let server = screen.last().and_then(|line| line.server.as_ref());
    let server = server.map_or(UNKNOWN.to_owned(), |server| {
        format!(
            "{} cores, {}",
            number::digits(server.cores),
            bytes(server.pss_bytes)
        )
    });
    let own = screen.last().map_or(UNKNOWN.to_owned(), |line| {
        format!("{} cores", number::digits(line.own.cores))
    });
    let troubles: u64 = screen.now.errors.iter().map(|cause| cause.count).sum();
    let named = |name: &'static str, value: String| {
        Line::from(vec![
            span(format!(" {name:10}"), soft()),
            span(value, strong()),
        ])
    };
    let lines = vec![
        named("delivered", format!("{per_s}/s")),
        named("latency", format!("p50 {p50}, p99 {p99}")),
        named("lost", number::count(screen.now.lost.total())),
        named("troubles", number::count(troubles)),
        named("server", server),
        named("generator", own),
        validity(screen),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn validity(screen: &Screen) -> Line<'static> {
    match (screen.validity(), &screen.now.doubt) {
        ((0, 0), None) => Line::from(span("no line yet", soft())),
        ((0, lines), None) => Line::from(span(
            format!("valid: {lines} of {lines} lines"),
            colour(Color::Green),
        )),
        ((invalid, lines), _) => {
            // A process that was lost spoils a run whose lines are all right.
            let text = match invalid {
                0 => "INVALID".to_owned(),
                _ => format!("INVALID: {invalid} of {lines} lines"),
            };
            Line::from(span(text, colour(Color::Yellow).patch(strong())))
        }
    }
}
