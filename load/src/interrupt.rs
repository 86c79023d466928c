//! Ctrl-C and its like, as something to be asked about: the first ends the run in order, the second ends the program.
//!
//! Owns which signals those are. Must not contain: what is done about them. Driven by the commands, which ask.
//!
//! Laws: nothing ends the program before it has said that it may (a terminal that was taken would stay so); a hang-up or a SIGQUIT that
//! whoever started the program has it ignore (`nohup`, a shell's job in the background) stays ignored.
use crate::failure::Failure;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Signals that end a run, held back from the moment it is made.
pub struct Interrupt {
    waiting: SignalFd,
    set: SigSet,
    seen: Option<Signal>,
}

impl Interrupt {
    /// To be made before any other thread, which inherits what is held back.
    pub fn hold() -> Result<Self, Failure> {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let set: SigSet = ending(ignored(&status)).collect();
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

    /// Whether the run is to end.
    pub fn came(&mut self) -> bool {
        if self.seen.is_none()
            && let Ok(Some(info)) = self.waiting.read_signal()
        {
            self.seen = i32::try_from(info.ssi_signo)
                .ok()
                .and_then(|number| Signal::try_from(number).ok());
        }
        self.seen.is_some()
    }

    /// From here on another signal ends the program as it always would.
    pub fn let_go(&self) {
        // If it stays blocked the second one waits for the end of the run, which is near anyway.
        let _ = self.set.thread_unblock();
    }
}

/// Those that end a run; `ignored` has a bit for each signal that the program was started to ignore.
fn ending(ignored: u64) -> impl Iterator<Item = Signal> {
    let heard = move |signal: &Signal| ignored & (1 << (*signal as u32 - 1)) == 0;
    let always = [Signal::SIGINT, Signal::SIGTERM];
    let unless_ignored = [Signal::SIGHUP, Signal::SIGQUIT];
    always
        .into_iter()
        .chain(unless_ignored.into_iter().filter(heard))
}

/// `/proc/PID/status`: the signals ignored.
fn ignored(status: &str) -> u64 {
    let mut lines = status.lines();
    let bits = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_was_started_to_ignore_does_not_end_a_run() {
        let of = |status| ending(ignored(status)).collect::<Vec<_>>();
        let (hup, int, quit, term) = (
            Signal::SIGHUP,
            Signal::SIGINT,
            Signal::SIGQUIT,
            Signal::SIGTERM,
        );
        assert_eq!(
            of("SigBlk:\t0\nSigIgn:\t0000000000000000\n"),
            [int, term, hup, quit]
        );
        assert_eq!(of("SigIgn:\t0000000000000001\n"), [int, term, quit]);
        assert_eq!(of("SigIgn:\t0000000000001006\n"), [int, term, hup]);
        assert_eq!(of(""), [int, term, hup, quit]);
    }
}
