//! Ctrl-C, as something to be asked about: the first ends the run in order, the second ends the program.
use crate::failure::Failure;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// SIGINT and SIGTERM, held back from the moment it is made.
pub struct Interrupt {
    waiting: SignalFd,
    set: SigSet,
    seen: Option<Signal>,
}

impl Interrupt {
    /// To be made before any other thread, which inherits what is held back.
    pub fn hold() -> Result<Self, Failure> {
        let set: SigSet = [Signal::SIGINT, Signal::SIGTERM].into_iter().collect();
        set.thread_block()
            .map_err(|error| Failure::fault(format!("sigprocmask: {error}")))?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        let waiting = SignalFd::with_flags(&set, flags)
            .map_err(|error| Failure::fault(format!("signalfd: {error}")))?;
        Ok(Self {
            waiting,
            set,
            seen: None,
        })
    }

    /// Whether the run is to end. From the first time on, another signal ends the program as it always would.
    pub fn came(&mut self) -> bool {
        if self.seen.is_none()
            && let Ok(Some(info)) = self.waiting.read_signal()
        {
            self.seen = i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok());
            // If it stays blocked the second one waits for the end of the run, which is near anyway.
            let _ = self.set.thread_unblock();
        }
        self.seen.is_some()
    }
}
