//! What a checkpoint is filled with: the newest value of every key, then the orders.
//!
//! Owns how far that has come. Must not contain: files, the table, the book. Driven by the core's turns, a piece in each.
//!
//! Values are taken in the order of their offsets, up to the position of the checkpoint: one that is superseded before its turn is in the log
//! behind that position. An order is taken as it is when its turn comes; what has happened to it since that position is said again by its
//! reports there.
use super::core::Hub;
use super::log::Scope;
use super::log::checkpoint::{Saved, Saving};
use pubsub_stream::Now;
use std::ops::ControlFlow;

/// Values and orders looked at in one turn: some tenths of a millisecond.
const PER_TURN: usize = 512;

/// A checkpoint that is being filled.
#[derive(Debug)]
pub(super) struct Save {
    out: Box<dyn Saving>,
    reached: Reached,
}

#[derive(Debug, Clone, Copy)]
enum Reached {
    /// All newest values up to this offset are in it.
    Newest(i64),
    /// Those, and the orders up to this number.
    Orders(u64),
}

impl Hub {
    /// Fills on, if there is one to be filled. `true`: it takes more at once.
    pub(super) fn save_some(&mut self, now: Now) -> bool {
        if self.is_restoring() {
            return false;
        }
        let begun = self.save.take();
        let Some(mut save) = begun.or_else(|| self.log.checkpoint(now).map(Save::new)) else {
            return false;
        };
        let mut left = PER_TURN;
        let position = save.out.position();
        if let Reached::Newest(after) = save.reached {
            let out = &mut save.out;
            let mut keep = |held: &super::log::Held| {
                if !out.has_room() {
                    return ControlFlow::Break(());
                }
                out.save(Saved::Newest(held.entry.fields()));
                ControlFlow::Continue(())
            };
            let now_at = self
                .newest
                .read(Scope::All, after, position, &mut left, &mut keep);
            save.reached = if now_at < position {
                Reached::Newest(now_at)
            } else {
                Reached::Orders(0)
            };
        }
        if let Reached::Orders(after) = save.reached {
            let Some(number) = self.save_orders(&mut *save.out, after, left) else {
                save.out.finish();
                return false;
            };
            save.reached = Reached::Orders(number);
        }
        let takes_more = save.out.has_room();
        self.save = Some(save);
        takes_more
    }

    /// Saves up to `left` orders behind this number; the number of the last, or `None` when that were all.
    fn save_orders(&self, out: &mut dyn Saving, mut after: u64, left: usize) -> Option<u64> {
        let book = self.desk.as_ref()?.book();
        let mut orders = book.after(after);
        for _ in 0..left {
            if !out.has_room() {
                return Some(after);
            }
            let Some((number, order)) = orders.next() else {
                out.save(Saved::Accepted(book.accepted()));
                return None;
            };
            out.save(Saved::Order {
                told: order.json().as_bytes(),
                accepted_us: order.accepted_us,
            });
            after = number;
        }
        Some(after)
    }
}

impl Save {
    fn new(out: Box<dyn Saving>) -> Self {
        Self {
            out,
            reached: Reached::Newest(0),
        }
    }
}
