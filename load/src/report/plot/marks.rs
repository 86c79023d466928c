//! What stands for the values of a chart. Pure. A value that is there has exactly one mark of class `m`.
use super::super::escape::Escaped;
use super::draw::{Frame, TOP};
use super::{Chart, Form, Series, Value};
use std::fmt::{self, Write};

/// Values beyond which a dot for each would hide the line.
const DOTS_MAX: usize = 90;

impl Chart {
    pub(super) fn marks(&self, f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
        if self.form == Form::Columns {
            return self.columns(f, frame);
        }
        for series in &self.series {
            let (name, class) = (Escaped(&series.name), series.class());
            writeln!(f, "<g class=\"series {class}\" data-name=\"{name}\">")?;
            self.line(f, frame, series)?;
            self.dots(f, frame, series)?;
            writeln!(f, "</g>")?;
        }
        Ok(())
    }

    fn line(&self, f: &mut fmt::Formatter<'_>, frame: &Frame, series: &Series) -> fmt::Result {
        let points: Vec<Option<(f64, f64)>> = match self.form {
            Form::Dots => medians(&self.places, series)
                .into_iter()
                .map(Some)
                .collect(),
            _ => (0..self.places.len())
                .map(|at| Some((self.places[at], series.at(at)?)))
                .collect(),
        };
        let placed = points.into_iter().map(|point| {
            let (x, y) = point?;
            Some((frame.x(x), frame.y.at(y)?))
        });
        let placed: Vec<Option<(f64, f64)>> = placed.collect();
        if self.form == Form::Area {
            for run in placed.split(Option::is_none) {
                area(f, run, frame.bottom)?;
            }
        }
        writeln!(f, "<path class=\"line\" d=\"{}\"/>", path(&placed))
    }

    fn dots(&self, f: &mut fmt::Formatter<'_>, frame: &Frame, series: &Series) -> fmt::Result {
        let radius = match (self.form, self.places.len()) {
            (Form::Dots, _) => 2.0,
            (_, few) if few <= DOTS_MAX => 1.8,
            _ => 0.6,
        };
        for (place, value) in self.places.iter().zip(&series.values) {
            let x = frame.x(*place);
            match value {
                Value::None => {}
                Value::Of(value) => {
                    // What an axis cannot show (0 by magnitude) lies at its foot.
                    let y = frame.y.at(*value).unwrap_or(frame.bottom);
                    writeln!(
                        f,
                        "<circle class=\"m\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\"/>"
                    )?;
                }
                Value::Never => {
                    let (left, tip) = (x - 3.5, TOP - 7.0);
                    writeln!(
                        f,
                        "<path class=\"m never\" d=\"M{left:.1} {TOP}h7L{x:.1} {tip}z\"/>"
                    )?;
                }
            }
        }
        Ok(())
    }

    fn columns(&self, f: &mut fmt::Formatter<'_>, frame: &Frame) -> fmt::Result {
        let mut below = vec![0.0; self.places.len()];
        for series in &self.series {
            let (name, class) = (Escaped(&series.name), series.class());
            writeln!(f, "<g class=\"series {class}\" data-name=\"{name}\">")?;
            let mut before = 0.0;
            for (at, place) in self.places.iter().enumerate() {
                let (left, right) = (frame.x(before), frame.x(*place));
                before = *place;
                let Some(value) = series.at(at) else { continue };
                let y = |height: f64| frame.y.at(height).unwrap_or(frame.bottom);
                let (foot, head) = (y(below[at]), y(below[at] + value));
                below[at] += value;
                let (width, height) = ((right - left - 1.0).max(0.5), foot - head);
                writeln!(
                    f,
                    "<rect class=\"m column\" x=\"{left:.1}\" y=\"{head:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
                )?;
            }
            writeln!(f, "</g>")?;
        }
        Ok(())
    }
}

fn area(f: &mut fmt::Formatter<'_>, run: &[Option<(f64, f64)>], bottom: f64) -> fmt::Result {
    let (Some(Some((first, _))), Some(Some((last, _)))) = (run.first(), run.last()) else {
        return Ok(());
    };
    let path = path(run);
    writeln!(
        f,
        "<path class=\"area\" d=\"{path}L{last:.1} {bottom:.1}L{first:.1} {bottom:.1}Z\"/>"
    )
}

/// A line through these points, broken where one is missing.
fn path(points: &[Option<(f64, f64)>]) -> String {
    let mut path = String::new();
    let mut pen = 'M';
    for point in points {
        let Some((x, y)) = point else {
            pen = 'M';
            continue;
        };
        // A string takes everything.
        let _ = write!(path, "{pen}{x:.1} {y:.1}");
        pen = 'L';
    }
    path
}

/// For each place the median of its values, places rising.
fn medians(places: &[f64], series: &Series) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = places
        .iter()
        .zip(&series.values)
        .filter_map(|(place, value)| Some((*place, value.number()?)))
        .collect();
    points.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.total_cmp(&other.1)));
    points
        .chunk_by(|one, other| one.0.total_cmp(&other.0).is_eq())
        .map(|same| same[same.len() / 2])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Stroke;
    use super::*;

    #[test]
    fn a_line_is_broken_where_a_value_is_missing() {
        let points = [Some((0.0, 1.0)), Some((1.0, 2.0)), None, Some((3.0, 4.0))];
        assert_eq!(path(&points), "M0.0 1.0L1.0 2.0M3.0 4.0");
        assert_eq!(path(&[]), "");
    }

    #[test]
    fn several_values_at_one_place_have_one_median() {
        let series = Series {
            name: String::new(),
            tone: 0,
            stroke: Stroke::Solid,
            values: [5.0, 1.0, 3.0, 9.0].map(Value::Of).to_vec(),
        };
        let medians = medians(&[100.0, 200.0, 200.0, 200.0], &series);
        assert_eq!(medians, [(100.0, 5.0), (200.0, 3.0)]);
    }
}
