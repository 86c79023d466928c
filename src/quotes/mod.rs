//! Sources: what a node publishes by itself.
//!
//! Owns the making of payloads, from random numbers ([`synthetic`]) or from a recorded file ([`replay`]). Must not contain: a
//! timer, or where publications go. Driven by the hub, which asks for the next push when its time has come.
//!
//! A push is what is published at one moment: a few (topic, key, data). Data is JSON made by hand, because numbers of a file are
//! passed on as the text they were and prices are counted in cents, never in floating point.
//!
//! - [`execs`]: executions, in the shape of the 2012 prototype
//! - [`walk`]: made-up quotes
//! - [`quote`]: the shape of a quote
//! - [`check`]: whether a file can be replayed
pub mod execs;
pub mod quote;
pub mod replay;
pub mod synthetic;
pub mod walk;

use crate::config;

pub use replay::{SourceError, check};

/// Takes one publication of a push: topic, key, JSON.
pub type Publish<'a> = dyn FnMut(&str, Option<&str>, &[u8]) + 'a;

/// Whether there is more to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Ask again after a pause.
    More,
    /// It has published all it had.
    Finished,
}

/// One source at work.
#[derive(Debug)]
pub enum Feed {
    /// Made up.
    Synthetic(Box<synthetic::Synthetic>),
    /// Recorded.
    Replay(Box<replay::Replay>),
}

impl Feed {
    /// Begins a source; `rows` executions in one payload, `seed` for what is random.
    pub fn open(source: &config::Source, rows: u32, seed: u64) -> Result<Self, SourceError> {
        Ok(match source {
            config::Source::Synthetic => {
                Self::Synthetic(Box::new(synthetic::Synthetic::new(rows, seed)))
            }
            config::Source::Replay { file, again } => {
                let ending = if *again {
                    replay::AtEnd::Again
                } else {
                    replay::AtEnd::Stop
                };
                Self::Replay(Box::new(replay::Replay::open(file, ending)?))
            }
        })
    }

    /// Publishes the next push.
    pub fn push(&mut self, wall_us: u64, publish: &mut Publish<'_>) -> Result<Flow, SourceError> {
        match self {
            Self::Synthetic(synthetic) => {
                synthetic.push(wall_us, publish);
                Ok(Flow::More)
            }
            Self::Replay(replay) => replay.push(publish),
        }
    }
}
