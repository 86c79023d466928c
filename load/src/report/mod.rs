//! A run as one HTML page that opens anywhere: no network, no script needed, light and dark, on a phone too. Pure.
//!
//! - [`html`]: the page of a run
//! - `headline`: what it is worth, and its numbers; `charts`: its plots; `tables`: its lines, groups, troubles; `footer`: where it was
//! - `plot`: charts as inline SVG
//! - `escape`: text as it may stand in a page
//!
//! Laws: everything is drawn from the record; everything that is not this program's own text is escaped; the page is well-formed XML too,
//! and refuses to load anything.
mod charts;
mod escape;
mod footer;
mod headline;
mod page;
mod plot;
mod tables;
#[cfg(test)]
mod tests;

use crate::record::Run;

/// The page of a run.
pub fn html(run: &Run) -> String {
    page::Page(run).to_string()
}
