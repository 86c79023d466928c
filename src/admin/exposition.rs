//! Prometheus' text format, version 0.0.4: <https://prometheus.io/docs/instrumenting/exposition_formats/>.
//!
//! Owns how families, samples and histograms are written. Must not contain: which there are. Driven by `metrics`.
//!
//! Laws: the samples of a family stand together behind its HELP and TYPE; label values are escaped.

use std::fmt::{Display, Write as _};

use pubsub_stream::Histogram;

use crate::telemetry::names::Metric;
use crate::telemetry::quantile::octaves;

/// `Content-Type` of a page.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Labels of a sample: names of ours, any values.
pub type Labels<'a> = [(&'static str, &'a str)];

/// A page being written.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

/// The samples of one family.
#[derive(Debug)]
pub struct Family<'a> {
    metric: Metric,
    page: &'a mut Page,
}

impl Page {
    /// Begins a family; its samples follow.
    pub fn family(&mut self, metric: Metric) -> Family<'_> {
        let Metric { name, kind, help } = metric;
        // Writing to a string cannot fail, here and below.
        let _ = write!(
            self.text,
            "# HELP {name} {help}\n# TYPE {name} {}\n",
            kind.as_str()
        );
        Family { metric, page: self }
    }

    /// The page.
    pub fn text(self) -> String {
        self.text
    }

    fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &Labels<'_>,
        last: Option<(&str, &str)>,
        value: impl Display,
    ) {
        self.text.push_str(name);
        self.text.push_str(suffix);
        let mut before = '{';
        for (label, value) in labels.iter().copied().chain(last) {
            let _ = write!(self.text, "{before}{label}=\"");
            escape(&mut self.text, value);
            self.text.push('"');
            before = ',';
        }
        self.text.push_str(if before == ',' { "} " } else { " " });
        let _ = writeln!(self.text, "{value}");
    }
}

impl Family<'_> {
    /// One sample.
    pub fn sample(&mut self, labels: &Labels<'_>, value: impl Display) {
        self.page.sample(self.metric.name, "", labels, None, value);
    }

    /// One histogram, in seconds.
    pub fn histogram(&mut self, labels: &Labels<'_>, histogram: &Histogram) {
        let (name, all) = (self.metric.name, histogram.counts.iter().sum::<u64>());
        for (bound_ns, count) in octaves(histogram) {
            let le = seconds(bound_ns).to_string();
            self.page
                .sample(name, "_bucket", labels, Some(("le", &le)), count);
        }
        self.page
            .sample(name, "_bucket", labels, Some(("le", "+Inf")), all);
        self.page
            .sample(name, "_sum", labels, None, seconds(histogram.sum_ns));
        self.page.sample(name, "_count", labels, None, all);
    }
}

/// Nanoseconds as seconds.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            _ => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::names;
    use pubsub_stream::HISTOGRAM_BUCKETS;

    #[test]
    fn a_family_is_its_help_its_type_and_its_samples() {
        let mut page = Page::default();
        let mut family = page.family(names::DRAINING);
        family.sample(&[], 1);
        family.sample(&[("a", "x\\y\"z\n"), ("b", "")], 0.5);
        assert_eq!(
            page.text(),
            "# HELP pubsub_draining 1 while the node welcomes no new sessions.\n# TYPE pubsub_draining gauge\n\
             pubsub_draining 1\npubsub_draining{a=\"x\\\\y\\\"z\\n\",b=\"\"} 0.5\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_all_that_was_recorded() {
        let mut histogram = Histogram {
            counts: [0; HISTOGRAM_BUCKETS],
            sum_ns: 1_500_000_000,
        };
        for ns in [100_000, 100_000, 100_000, u64::MAX / 2] {
            histogram.record(ns);
        }
        histogram.sum_ns = 1_500_000_000;
        let mut page = Page::default();
        page.family(names::DELIVERY_SECONDS)
            .histogram(&[("worker", "0")], &histogram);
        let text = page.text();
        let ends = "pubsub_delivery_seconds_bucket{worker=\"0\",le=\"+Inf\"} 4\n\
            pubsub_delivery_seconds_sum{worker=\"0\"} 1.5\npubsub_delivery_seconds_count{worker=\"0\"} 4\n";
        assert!(text.ends_with(ends), "{text}");
        assert!(
            text.contains("{worker=\"0\",le=\"0.000064\"} 0\n"),
            "{text}"
        );
        assert!(
            text.contains("{worker=\"0\",le=\"0.000128\"} 3\n"),
            "{text}"
        );
    }
}
