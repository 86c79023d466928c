//! A thread that draws what it was left, and listens for keys.
use super::draw::draw;
use super::key::{Wish, wish};
use super::screen::{Ending, Screen, Standing};
use super::terminal::{Taken, is_taken};
use crate::clock;
use crate::record::Line;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use ratatui::crossterm::event;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time from one picture to the next: what people can follow, and less than a hundredth of a core.
const PICTURE: Duration = Duration::from_millis(250);

/// Time that a terminal has to take the last picture: one that takes nothing any more must not keep a run from its end.
const LAST_PICTURE: Duration = Duration::from_secs(2);

/// Time between two looks at whether it has: less than a person sees.
const LOOK: Duration = Duration::from_millis(2);

/// A view of a run, until it is dropped.
pub struct View {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    screen: Mutex<Screen>,
    over: AtomicBool,
}

impl Shared {
    /// A thread that panicked has left a screen that can be drawn all the same.
    fn screen(&self) -> MutexGuard<'_, Screen> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    /// Takes the terminal and begins.
    pub fn begin(screen: Screen) -> io::Result<Self> {
        let taken = Taken::take()?;
        let shared = Arc::new(Shared {
            screen: Mutex::new(screen),
            over: AtomicBool::new(false),
        });
        let of_thread = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("view".to_owned())
            .spawn(move || show(&of_thread, taken))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// This is how things stand. Returns at once, whatever the terminal does.
    pub fn stands(&self, standing: Standing) {
        self.shared.screen().stands(standing);
    }

    /// A line has ended. Returns at once.
    pub fn line(&self, line: &Line) {
        self.shared.screen().line(line);
    }

    /// Whether it has ended by itself: the terminal is gone.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let end_ns = clock::mono_ns() + LAST_PICTURE.as_nanos() as u64;
            while !thread.is_finished() && clock::mono_ns() < end_ns {
                std::thread::sleep(LOOK);
            }
            if thread.is_finished() {
                // Its panic was told when it happened, and the run goes on without it.
                let _ = thread.join();
            }
        }
    }
}

/// Until it is over, or the terminal does not take it any more.
fn show(shared: &Shared, mut taken: Taken) {
    while !shared.over.load(Ordering::SeqCst) && is_taken() {
        let next_ns = clock::mono_ns() + PICTURE.as_nanos() as u64;
        // A copy, so that nobody waits for the terminal.
        let screen = shared.screen().clone();
        if taken.terminal.draw(|frame| draw(frame, &screen)).is_err() {
            return;
        }
        match listen(shared, next_ns) {
            Wish::None => {}
            Wish::End => {
                shared.screen().ending = Ending::Asked;
                interrupt();
            }
            Wish::Leave => {
                drop(taken);
                interrupt();
                return;
            }
        }
    }
}

/// What is wished until the next picture.
fn listen(shared: &Shared, next_ns: u64) -> Wish {
    loop {
        let left = Duration::from_nanos(next_ns.saturating_sub(clock::mono_ns()));
        match event::poll(left) {
            Ok(true) => match event::read() {
                Ok(event) => match wish(&event, shared.screen().ending) {
                    Wish::None => {}
                    wish => return wish,
                },
                Err(_) => std::thread::park_timeout(left),
            },
            Ok(false) => return Wish::None,
            // No keys, but something to look at.
            Err(_) => std::thread::park_timeout(left),
        }
        if left.is_zero() || shared.over.load(Ordering::SeqCst) {
            return Wish::None;
        }
    }
}

/// As if Ctrl-C had been pressed on a terminal that is not taken: there is one way to end a run.
fn interrupt() {
    // To oneself it is always allowed.
    let _ = kill(Pid::this(), Signal::SIGINT);
}
