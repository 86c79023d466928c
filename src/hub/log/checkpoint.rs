//! What is kept beside a log, so that a start needs not to read all of it.
//!
//! Owns the words of the contract. Must not contain: files, the table of newest values, the book of orders. A log that lasts hands one out
//! to be filled, and after a start to be read.
//!
//! A checkpoint of a position holds, together with what the log has after it, the newest value of every key and every order. It is filled
//! in many steps while publishing goes on, so it may hold less of what has changed meanwhile, or more: reading the log from its position on
//! makes up for the one, and says the other again.
use pubsub_stream::hub::EntryRef;
use std::fmt::Debug;

/// One thing that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved<'a> {
    /// The newest value of its key.
    Newest(EntryRef<'a>),
    /// An order.
    Order {
        /// Its newest report.
        told: &'a [u8],
        /// When it was accepted, microseconds since the Unix epoch.
        accepted_us: u64,
    },
    /// So many orders were accepted in all.
    Accepted(u64),
}

/// A checkpoint that is being filled. One that is dropped unfinished never was.
pub trait Saving: Debug {
    /// The position it is of.
    fn position(&self) -> i64;

    /// Whether it takes more now. When it does again, whoever drives the log is woken.
    fn has_room(&self) -> bool;

    /// Takes one more; newest values come in the order of their offsets.
    fn save(&mut self, saved: Saved<'_>);

    /// That was all.
    fn finish(self: Box<Self>);
}

/// A checkpoint that is being read.
pub trait Recall: Debug {
    /// Shows what comes next, about so much at once that nobody has to wait long.
    fn read_some(&mut self, visit: &mut dyn FnMut(Saved<'_>)) -> Recalled;
}

/// How far reading has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recalled {
    /// There is more.
    Some,
    /// That was all, as it was at this position.
    All(i64),
    /// It is damaged: what it has shown is worth nothing.
    Damaged,
}
