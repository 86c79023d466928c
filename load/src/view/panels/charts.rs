//! Deliveries as they go on, and latencies line by line. Pure.
use super::super::screen::{Point, Screen};
use super::{block, colour, soft, span, strong};
use crate::number;
use crate::record::{Latency, Percentiles};
use ratatui::Frame;
use ratatui::layout::{Alignment, Rect};
use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::text::Line;
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Paragraph, RenderDirection, Sparkline};

/// A percentile, its colour, and where it is.
type Drawn = (&'static str, Color, fn(&Percentiles) -> Option<Latency>);

/// Which percentiles are drawn, and how.
const DRAWN: [Drawn; 4] = [
    ("p50", Color::Blue, |of| of.p50),
    ("p90", Color::Green, |of| of.p90),
    ("p99", Color::Yellow, |of| of.p99),
    ("p99.9", Color::Red, |of| of.p99_9),
];

/// Rows of a picture between two names at the axis.
const ROWS_A_NAME: usize = 3;

pub(in super::super) fn delivered(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let now = screen.delivered().next().unwrap_or(0.0);
    let width = usize::from(area.width.saturating_sub(2));
    let most = screen.delivered().take(width).fold(0.0, f64::max);
    let title = Line::from(vec![
        span(" delivered ", soft()),
        span(format!("{}/s", number::short(now)), strong()),
        span(format!(" (highest {}/s) ", number::short(most)), soft()),
    ]);
    let total = format!(" {} in all ", number::count(screen.now.received));
    let block = block(title).title(Line::from(span(total, soft())).alignment(Alignment::Right));
    let data: Vec<u64> = screen
        .delivered()
        .take(width)
        .map(|per_s| per_s as u64)
        .collect();
    let line = Sparkline::default()
        .block(block)
        .direction(RenderDirection::RightToLeft)
        .style(colour(Color::Cyan))
        .data(data);
    frame.render_widget(line, area);
}

pub(in super::super) fn latency(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let block = block(legend(screen));
    let (Some(span_ms), Some(last)) = (screen.span_ms(), screen.points().last()) else {
        let words = Line::from(span("latencies come when the first line has ended", soft()));
        let words = Paragraph::new(words).centered().block(block);
        return frame.render_widget(words, area);
    };
    let (low, high) = decades(span_ms);
    let points: Vec<Vec<(f64, f64)>> = DRAWN
        .iter()
        .map(|(_, _, get)| {
            screen
                .points()
                .filter_map(|point| place(point, *get))
                .collect()
        })
        .collect();
    let sets = DRAWN.iter().zip(&points).map(|((_, shade, _), points)| {
        Dataset::default()
            .marker(Marker::Braille)
            .graph_type(GraphType::Line)
            .style(colour(*shade))
            .data(points)
    });
    let first = screen.points().next().map_or(0.0, |point| point.at_s);
    let times = [first, last.at_s].map(number::seconds);
    let end = if last.at_s > first {
        last.at_s
    } else {
        first + 1.0
    };
    let x = Axis::default()
        .bounds([first, end])
        .labels(times)
        .style(soft());
    let y = Axis::default()
        .bounds([f64::from(low), f64::from(high)])
        .labels(names(low, high, usize::from(area.height.saturating_sub(4))))
        .style(soft());
    let chart = Chart::new(sets.collect()).block(block).x_axis(x).y_axis(y);
    frame.render_widget(chart, area);
}

/// Names, colours and the newest values.
fn legend(screen: &Screen) -> Line<'static> {
    let last = screen.last().map(|line| &line.latency_ms);
    let mut spans = vec![span(" latency ", soft())];
    for (name, shade, get) in DRAWN {
        let value = number::latency(last.and_then(get));
        spans.push(span(format!("{name} {value}  "), colour(shade)));
    }
    let max = number::latency(last.and_then(|of| of.max));
    spans.push(span(format!("max {max} "), soft()));
    Line::from(spans)
}

/// By magnitude; what never came has no place.
fn place(point: &Point, get: fn(&Percentiles) -> Option<Latency>) -> Option<(f64, f64)> {
    let ms = get(&point.latency_ms)?.finite()?;
    (ms > 0.0).then(|| (point.at_s, ms.log10()))
}

/// Whole powers of ten around these.
fn decades((least, most): (f64, f64)) -> (i32, i32) {
    let (low, high) = (least.log10().floor() as i32, most.log10().ceil() as i32);
    (low, high.max(low + 1))
}

/// Names of the powers of ten, or of the ends where there is no room for all.
fn names(low: i32, high: i32, rows: usize) -> Vec<String> {
    let name = |power: i32| number::ms(10f64.powi(power));
    let all = (high - low) as usize;
    if all * ROWS_A_NAME <= rows || all == 1 {
        (low..=high).map(name).collect()
    } else {
        vec![name(low), name(high)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_spans_whole_powers_of_ten() {
        assert_eq!(decades((3.0, 40.0)), (0, 2));
        assert_eq!(decades((10.0, 10.0)), (1, 2));
        assert_eq!(names(0, 2, 20), ["1 ms", "10 ms", "100 ms"]);
        assert_eq!(names(-2, 4, 8), ["10 us", "10 s"]);
    }
}
