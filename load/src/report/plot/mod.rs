//! Plots as inline SVG: axes, lines, dots and columns. Pure.
//!
//! - [`Chart`]: what is shown
//! - `scale`: from values to places, and which values are named
//! - `draw`: a chart as a figure; `marks`: what stands for its values
//!
//! Laws: a value that is there has exactly one mark; colours are the page's (classes `s0`, `s1`…), so that a plot is right on
//! light and dark; every text is escaped.
mod draw;
mod marks;
mod scale;

pub(super) use scale::Spread;

/// A plot of series over the same places.
#[derive(Debug, Clone)]
pub(super) struct Chart {
    /// What it shows.
    pub(super) title: String,
    /// The horizontal axis, and where on it the values lie.
    pub(super) x: Axis,
    pub(super) places: Vec<f64>,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
    pub(super) form: Form,
    /// Stretches of the horizontal axis to be shown as doubtful.
    pub(super) shaded: Vec<(f64, f64)>,
    /// Said instead, where no series has a value.
    pub(super) nothing: &'static str,
}

/// An axis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    /// What lies on it, with its unit where the values do not name it.
    pub(super) name: &'static str,
    pub(super) spread: Spread,
    /// How its values are written.
    pub(super) written: fn(f64) -> String,
}

/// Values, one for each place.
#[derive(Debug, Clone)]
pub(super) struct Series {
    pub(super) name: String,
    /// Which of the page's colours it has.
    pub(super) tone: usize,
    pub(super) stroke: Stroke,
    pub(super) values: Vec<Value>,
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stroke {
    Solid,
    /// For what is wished, or would be.
    Dashed,
}

/// A value of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    /// Not known, or nothing to measure.
    None,
    /// Known.
    Of(f64),
    /// More than any number: marked at the upper edge.
    Never,
}

/// What stands for the values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Lines from place to place.
    Lines,
    /// The same, filled to the axis.
    Area,
    /// Dots, and a line through the medians of those at the same place.
    Dots,
    /// Columns one upon the other, each as wide as the stretch that ends at its place.
    Columns,
}

impl Value {
    /// A number that may be missing.
    pub(super) fn maybe(value: Option<f64>) -> Self {
        match value {
            None => Self::None,
            Some(value) if value.is_finite() => Self::Of(value),
            Some(_) => Self::Never,
        }
    }

    /// The number, if it is one.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Self::Of(value) => Some(value),
            Self::None | Self::Never => None,
        }
    }
}
