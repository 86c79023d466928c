//! A run as it goes on, on a terminal.
//!
//! - [`screen`]: what is shown; pure, fed with how things stand and with lines
//! - [`draw`], `panels`: how it is drawn; pure
//! - [`key`]: what a key asks for; pure
//! - `terminal`: the terminal, and that it is as it was afterwards
//! - [`View`]: a thread that draws
//!
//! Laws: whoever measures never waits for a terminal: it leaves word and goes on, and a thread of its own draws what was left last, a few
//! times a second. The terminal is given back however the run ends.
pub mod draw;
pub mod key;
mod panels;
pub mod screen;
mod terminal;
mod thread;

pub use screen::{Screen, Standing};
pub use terminal::is_possible;
pub use thread::View;
