//! The few shapes that a drawing is made of, written as SVG. Knows nothing of what they mean.

use std::fmt::Write;

/// Half of a marble's width.
pub(crate) const RADIUS: i64 = 11;

const SANS: &str = "system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif";
const MONO: &str = "ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace";

pub(crate) const INK: &str = "#1f2937";
pub(crate) const GREY: &str = "#6b7280";
pub(crate) const RED: &str = "#b91c1c";
pub(crate) const BLUE: &str = "#1d4ed8";

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Face {
    Plain,
    Mono,
    Marble,
}

/// Where a text is held.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
}

/// How a marble looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Full,
    Pale,
    /// Pale, and crossed out.
    Lost,
}

/// A drawing under way, in three layers.
#[derive(Debug, Default)]
pub(crate) struct Svg {
    ground: String,
    behind: String,
    before: String,
}

impl Svg {
    pub(crate) fn rect(&mut self, (x, y): (i64, i64), (width, height): (i64, i64), style: &str) {
        put(
            &mut self.behind,
            &format!(r#"<rect x="{x}" y="{y}" width="{width}" height="{height}" {style}/>"#),
        );
    }

    pub(crate) fn line(&mut self, from: (i64, i64), to: (i64, i64), style: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        put(
            &mut self.behind,
            &format!(r#"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" {style}/>"#),
        );
    }

    pub(crate) fn text(
        &mut self,
        (x, y): (i64, i64),
        (face, anchor): (Face, Anchor),
        fill: &str,
        text: &str,
    ) {
        let class = match face {
            Face::Plain => "p",
            Face::Mono => "m",
            Face::Marble => "n",
        };
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
        };
        let text = escape(text);
        put(
            &mut self.before,
            &format!(
                r#"<text class="{class}" x="{x}" y="{y}"{anchor} fill="{fill}">{text}</text>"#
            ),
        );
    }

    /// A rule behind everything.
    pub(crate) fn rule(&mut self, from: (i64, i64), to: (i64, i64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        put(
            &mut self.ground,
            &format!(
                r##"<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#e5e7eb" stroke-width="1"/>"##
            ),
        );
    }

    /// A rule that stands in a row among marbles.
    pub(crate) fn bar(&mut self, (x, y): (i64, i64), fill: &str) {
        let top = y - RADIUS - 3;
        let height = 2 * (RADIUS + 3);
        put(
            &mut self.before,
            &format!(
                r#"<rect x="{}" y="{top}" width="4" height="{height}" rx="2" fill="{fill}"/>"#,
                x - 2
            ),
        );
    }

    pub(crate) fn cross(&mut self, (x, y): (i64, i64)) {
        let (left, right) = (x - 7, x + 7);
        let (top, bottom) = (y - 7, y + 7);
        put(
            &mut self.before,
            &format!(
                r#"<path d="M{left} {top}L{right} {bottom}M{left} {bottom}L{right} {top}" stroke="{RED}" stroke-width="3" stroke-linecap="round"/>"#
            ),
        );
    }

    /// One message: its key is its shape and colour.
    pub(crate) fn marble(&mut self, (x, y): (i64, i64), key: &str, number: &str, look: Look) {
        let (shape, fill) = match key {
            "A" => (
                format!(r#"<circle cx="{x}" cy="{y}" r="{RADIUS}""#),
                "#2563eb",
            ),
            "B" => {
                let (left, top) = (x - 10, y - 10);
                let square = format!(r#"<rect x="{left}" y="{top}" width="20" height="20" rx="3""#);
                (square, "#c2410c")
            }
            _ => {
                let (left, right, top, bottom) = (x - 12, x + 12, y - 12, y + 12);
                let diamond =
                    format!(r#"<path d="M{x} {top}L{right} {y}L{x} {bottom}L{left} {y}Z""#);
                (diamond, "#15803d")
            }
        };
        let style = match look {
            Look::Full => format!(r#"fill="{fill}"/>"#),
            Look::Pale | Look::Lost => {
                format!(
                    r##"fill="#ffffff" stroke="{fill}" stroke-opacity=".45" stroke-width="1.5"/>"##
                )
            }
        };
        put(&mut self.before, &format!("{shape} {style}"));
        let ink = if look == Look::Full { "#ffffff" } else { GREY };
        self.text((x, y + 4), (Face::Marble, Anchor::Middle), ink, number);
        if look == Look::Lost {
            let (left, right) = (x - 10, x + 10);
            let (top, bottom) = (y - 10, y + 10);
            put(
                &mut self.before,
                &format!(
                    r#"<path d="M{left} {bottom}L{right} {top}" stroke="{RED}" stroke-width="2"/>"#
                ),
            );
        }
    }

    /// The file.
    pub(crate) fn finish(self, (width, height): (i64, i64), title: &str, story: &str) -> String {
        let (title, story) = (escape(title), escape(story));
        let mut out = String::new();
        put(
            &mut out,
            &format!(
                r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-labelledby="t d">"#
            ),
        );
        put(&mut out, &format!(r#"<title id="t">{title}</title>"#));
        put(&mut out, &format!(r#"<desc id="d">{story}</desc>"#));
        put(
            &mut out,
            &format!(
                "<style>.p{{font:12px {SANS}}}.m{{font:12px {MONO}}}.n{{font:bold 11px {SANS}}}</style>"
            ),
        );
        let (right, bottom) = (width - 1, height - 1);
        put(
            &mut out,
            &format!(
                r##"<rect x=".5" y=".5" width="{right}" height="{bottom}" rx="6" fill="#ffffff" stroke="#d1d5db"/>"##
            ),
        );
        out.push_str(&self.ground);
        out.push_str(&self.behind);
        out.push_str(&self.before);
        put(&mut out, "</svg>");
        out
    }
}

/// About how wide a text is.
pub(crate) fn width_of(text: &str) -> i64 {
    text.chars().count() as i64 * 13 / 2
}

fn put(out: &mut String, line: &str) {
    let _ = writeln!(out, "{line}");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
