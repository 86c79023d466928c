//! The page around its parts. Pure.
use super::charts::charts;
use super::escape::Escaped;
use super::footer::Footer;
use super::headline::{Headline, Numbers};
use super::tables;
use crate::number;
use crate::record::{End, Run};
use std::fmt;

const STYLE: &str = include_str!("style.css");

/// Shows what is read at a pointer sooner than a browser's own hint does; the page is whole without it.
const SCRIPT: &str = include_str!("hover.js");

/// Nothing may be loaded, whatever a record has in it.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// A run's page.
pub(super) struct Page<'a>(pub(super) &'a Run);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = self.0;
        let title = title(run);
        writeln!(
            f,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n<meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\"/>\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<meta name=\"color-scheme\" content=\"light dark\"/>\n\
             <title>{} · pubsub-load</title>\n<link rel=\"icon\" href=\"data:,\"/>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<main>",
            Escaped(&title)
        )?;
        writeln!(
            f,
            "<header><p class=\"tool\">pubsub-load</p><h1>{}</h1><p class=\"when\">{}</p></header>",
            Escaped(&title),
            Escaped(when(run))
        )?;
        write!(f, "{}{}", Headline(run), Numbers(run))?;
        writeln!(f, "<section class=\"charts\" aria-label=\"Plots\">")?;
        charts(run)
            .iter()
            .try_for_each(|chart| write!(f, "{chart}"))?;
        writeln!(f, "</section>")?;
        writeln!(
            f,
            "{}<div class=\"pair\">{}{}{}</div>{}{}{}",
            tables::Thresholds(run),
            tables::Groups(run),
            tables::CallTable(run),
            tables::Processes(run),
            tables::Errors(run),
            tables::Lines(run),
            Footer(run)
        )?;
        writeln!(
            f,
            "</main>\n<div id=\"hint\" hidden=\"hidden\"></div>\n<script>\n{SCRIPT}</script>\n</body>\n</html>"
        )
    }
}

fn title(run: &Run) -> String {
    let clients = number::count(run.asked.clients);
    if let Some(method) = &run.asked.method {
        return format!("{clients} connections that call {method}");
    }
    let subscriptions = run.asked.subscriptions.iter();
    let mut topics: Vec<&str> = subscriptions.map(|of| of.topic.as_str()).collect();
    topics.dedup();
    format!("{clients} subscribers to {}", topics.join(", "))
}

fn when(run: &Run) -> String {
    let begun = run.begun.replace('T', " ");
    let begun = begun.split('.').next().unwrap_or_default();
    let lasted = number::seconds(run.duration_s);
    let ended = match run.end {
        End::Planned => String::new(),
        End::Interrupted => format!(
            ", interrupted (planned: {})",
            number::seconds(run.asked.duration_s)
        ),
    };
    let urls = run.asked.urls.join(", ");
    format!("{urls} · begun {begun} UTC · {lasted}{ended}")
}
