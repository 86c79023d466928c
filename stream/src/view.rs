//! A view of the log: the entries of one topic, or of all topics that a pattern matches.
//!
//! Owns what hub and engine agreed on about it, and which cohorts read it: one as the log is (`plain`), others through an operator.
//! Driven by the engine; knows neither entries nor subscriptions.

use std::rc::Rc;

/// One view.
#[derive(Debug)]
pub(crate) struct View {
    /// The topic or pattern.
    pub(crate) text: Rc<str>,
    /// The number by which the hub knows it on the present link.
    pub(crate) id: u32,
    pub(crate) is_pattern: bool,
    /// Epoch of what stands at the heads of its rings.
    pub(crate) epoch: Rc<str>,
    /// The hub has confirmed interest on the present link.
    pub(crate) watched: bool,
    /// It was watched once: its rings mean something.
    pub(crate) begun: bool,
    /// The cohort that reads the log as it is.
    pub(crate) plain: u32,
    /// The others.
    pub(crate) derived: Vec<u32>,
    pub(crate) subscriptions: u32,
    /// The last position that subscribers of this view have heard of.
    pub(crate) told: i64,
    /// Since when nothing was told.
    pub(crate) told_ns: u64,
}

impl View {
    pub(crate) fn new(text: Rc<str>, id: u32, epoch: Rc<str>, plain: u32) -> Self {
        Self {
            is_pattern: pubsub_wire::topic::is_pattern(&text),
            text,
            id,
            epoch,
            watched: false,
            begun: false,
            plain,
            derived: Vec::new(),
            subscriptions: 0,
            told: 0,
            told_ns: 0,
        }
    }

    /// All cohorts that read it.
    pub(crate) fn cohorts(&self) -> impl Iterator<Item = u32> {
        std::iter::once(self.plain).chain(self.derived.iter().copied())
    }
}
