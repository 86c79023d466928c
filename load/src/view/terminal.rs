//! The terminal: taken for a view, and given back as it was however the program goes on.
//!
//! It is standard error, so that standard output stays what it is. A panic gives it back first, so that what it says is seen.
use crate::args::Told;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use std::io::{self, IsTerminal, Stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The shortest run that is worth a view.
const WORTH: Duration = Duration::from_secs(2);

/// Whether the terminal is taken: there is one for the whole process.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether a run is shown in a view rather than in lines: there is a terminal, it is ours now, and nobody asked for lines.
pub fn is_possible(told: &Told, run: Duration) -> bool {
    let able = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
    !told.no_tui && run >= WORTH && able && io::stderr().is_terminal() && is_in_front()
}

/// A job in the background that sets a terminal's mode is stopped by it.
fn is_in_front() -> bool {
    let group = rustix::termios::tcgetpgrp(io::stderr());
    group.is_ok_and(|group| group == rustix::process::getpgrp())
}

/// A terminal that is ours.
pub(super) struct Taken {
    pub(super) terminal: Terminal<CrosstermBackend<Stderr>>,
}

impl Taken {
    pub(super) fn take() -> io::Result<Self> {
        give_back_on_panic();
        TAKEN.store(true, Ordering::SeqCst);
        let taken = begin();
        if taken.is_err() {
            give_back();
        }
        taken
    }
}

/// Whether the terminal is still ours: a panic elsewhere has given it back.
pub(super) fn is_taken() -> bool {
    TAKEN.load(Ordering::SeqCst)
}

impl Drop for Taken {
    fn drop(&mut self) {
        give_back();
    }
}

fn begin() -> io::Result<Taken> {
    enable_raw_mode()?;
    execute!(io::stderr(), EnterAlternateScreen)?;
    let terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
    Ok(Taken { terminal })
}

/// Once, whoever comes first: the view's end or a panic.
fn give_back() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        // Nothing better can be done where this fails.
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

fn give_back_on_panic() {
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        give_back();
        told(panic);
    }));
}
