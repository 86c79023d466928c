//! A chart as a figure: title, legend, axes, and what is read where a pointer is. Pure.
use super::super::escape::Escaped;
use super::scale::{Scale, Spread};
use super::{Chart, Form, Series, Stroke, Value};
use std::fmt::{self, Write};

/// The plot's own units; the page scales it to its column.
pub(super) const WIDTH: f64 = 440.0;
pub(super) const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
pub(super) const TOP: f64 = 24.0;
const BOTTOM: f64 = 38.0;

/// Values named at an axis.
const X_TICKS: usize = 6;
const Y_TICKS: usize = 5;

/// Where everything lies.
pub(super) struct Frame {
    pub(super) x: Scale,
    pub(super) y: Scale,
    /// The upper and the lower edge of the plot.
    pub(super) top: f64,
    pub(super) bottom: f64,
}

impl Frame {
    fn of(chart: &Chart) -> Self {
        let (top, bottom) = (TOP, HEIGHT - BOTTOM);
        let heights: Vec<f64> = match chart.form {
            Form::Columns => (0..chart.places.len())
                .map(|at| chart.series.iter().filter_map(|of| of.at(at)).sum())
                .collect(),
            _ => chart.numbers().collect(),
        };
        Self {
            x: Scale::new(
                chart.x.spread,
                chart.places.iter().copied(),
                (LEFT, WIDTH - RIGHT),
            ),
            y: Scale::new(chart.y.spread, heights, (bottom, top)),
            top,
            bottom,
        }
    }

    /// Where a place lies; the left edge, if the axis cannot show it.
    pub(super) fn x(&self, place: f64) -> f64 {
        self.x.at(place).unwrap_or(LEFT)
    }
}

impl Chart {
    fn numbers(&self) -> impl Iterator<Item = f64> {
        let values = self.series.iter().flat_map(|series| &series.values);
        values.filter_map(|value| value.number())
    }

    fn is_empty(&self) -> bool {
        let values = |series: &Series| series.values.iter().all(|value| *value == Value::None);
        self.series.iter().all(values)
    }
}

impl Series {
    pub(super) fn class(&self) -> String {
        let stroke = match self.stroke {
            Stroke::Solid => "",
            Stroke::Dashed => " dashed",
        };
        format!("s{}{stroke}", self.tone)
    }

    pub(super) fn at(&self, at: usize) -> Option<f64> {
        self.values.get(at).and_then(|value| value.number())
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = Escaped(&self.title);
        writeln!(f, "<figure><figcaption>{title}</figcaption>")?;
        if self.is_empty() {
            let nothing = Escaped(self.nothing);
            return writeln!(f, "<p class=\"nothing\">{nothing}</p></figure>");
        }
        self.legend(f)?;
        let frame = Frame::of(self);
        writeln!(
            f,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{title}\">"
        )?;
        self.shades(f, &frame)?;
        self.axes(f, &frame)?;
        self.marks(f, &frame)?;
        self.bands(f, &frame)?;
        writeln!(f, "</svg></figure>")
    }
}

impl Chart {
    fn legend(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<ul class=\"legend\">")?;
        for series in &self.series {
            let (name, class) = (Escaped(&series.name), series.class());
            write!(f, "<li><i class=\"{class}\"></i>{name}</li>")?;
        }
        if !self.shaded.is_empty() {
            write!(f, "<li><i class=\"shade\"></i>generator was the limit</li>")?;
        }
        writeln!(f, "</ul>")
    }

    fn shades(&self, f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
        let (top, height) = (frame.top, frame.bottom - frame.top);
        self.shaded.iter().try_for_each(|(from, to)| {
            let (from, to) = (frame.x(*from), frame.x(*to));
            let width = to - from;
            writeln!(
                f,
                "<rect class=\"shade\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
            )
        })
    }

    fn axes(&self, f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
        let (right, bottom) = (WIDTH - RIGHT, frame.bottom);
        for tick in frame.y.ticks(Y_TICKS) {
            let Some(y) = frame.y.at(tick) else { continue };
            let (at, text) = (LEFT - 6.0, (self.y.written)(tick));
            writeln!(
                f,
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{right}\"/><text class=\"y\" x=\"{at}\" y=\"{y:.1}\">{}</text>",
                Escaped(text)
            )?;
        }
        for tick in frame.x.ticks(X_TICKS) {
            let (x, at) = (frame.x(tick), bottom + 14.0);
            let text = (self.x.written)(tick);
            writeln!(
                f,
                "<path class=\"tick\" d=\"M{x:.1} {bottom:.1}v4\"/><text class=\"x\" x=\"{x:.1}\" y=\"{at:.1}\">{}</text>",
                Escaped(text)
            )?;
        }
        let (name_y, log) = (HEIGHT - 6.0, logarithmic(self.y.spread));
        writeln!(
            f,
            "<path class=\"axis\" d=\"M{LEFT} {bottom:.1}H{right}\"/><text class=\"name\" x=\"0\" y=\"10\">{}{log}</text><text class=\"name end\" x=\"{right}\" y=\"{name_y}\">{}</text>",
            Escaped(self.y.name),
            Escaped(self.x.name)
        )
    }

    /// A strip for each place, over everything: where a pointer is in it, its text is read.
    fn bands(&self, f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by(|one, other| self.places[*one].total_cmp(&self.places[*other]));
        // Of several at one place the last is read.
        order.dedup_by(|next, kept| {
            let same = self.places[*next].total_cmp(&self.places[*kept]).is_eq();
            if same {
                *kept = *next;
            }
            same
        });
        let (top, height) = (frame.top, frame.bottom - frame.top);
        let x = |at: usize| frame.x(self.places[order[at]]);
        writeln!(f, "<g class=\"bands\">")?;
        for at in 0..order.len() {
            let left = if at == 0 {
                LEFT
            } else {
                f64::midpoint(x(at - 1), x(at))
            };
            let last = at + 1 == order.len();
            let right = if last {
                WIDTH - RIGHT
            } else {
                f64::midpoint(x(at), x(at + 1))
            };
            let (width, middle) = ((right - left).max(0.0), x(at));
            let text = self.read(order[at]);
            writeln!(
                f,
                "<g class=\"band\"><rect x=\"{left:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"{height:.1}\"/><path d=\"M{middle:.1} {top}v{height:.1}\"/><title>{}</title></g>",
                Escaped(text)
            )?;
        }
        writeln!(f, "</g>")
    }

    /// What is read of a place.
    fn read(&self, at: usize) -> String {
        let mut text = format!("{} {}", (self.x.written)(self.places[at]), self.x.name);
        for series in &self.series {
            let value = match series.values.get(at) {
                Some(Value::Of(value)) => (self.y.written)(*value),
                Some(Value::Never) => "never".to_owned(),
                Some(Value::None) | None => continue,
            };
            // A string takes everything.
            let _ = write!(text, "\n{} {value}", series.name);
        }
        text
    }
}

fn logarithmic(spread: Spread) -> &'static str {
    match spread {
        Spread::Log => " (log)",
        Spread::Linear | Spread::Exact | Spread::Time => "",
    }
}
