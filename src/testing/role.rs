//! A role of the node as a thread of this process.
//!
//! Owns the thread, its runtime and this end of its control pipe, through which it is told to stop and says that it is ready. Must
//! not contain: what a role does.
//!
//! Law: the role closes its end of the pipe when it has ended, so that waiting for an end has a limit, which joining a thread has not.

use super::{NodeError, PATIENCE};
use crate::link::control::{Order, Report};
use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// A running role.
#[derive(Debug)]
pub(super) struct Role {
    name: String,
    control: BufReader<UnixStream>,
    thread: JoinHandle<Result<(), String>>,
}

impl Role {
    /// Starts a thread that plays what `begin` makes of its end of the control pipe.
    pub(super) fn start<Play>(
        name: String,
        begin: impl FnOnce(UnixStream) -> Play + Send + 'static,
    ) -> io::Result<Self>
    where
        Play: Future<Output = Result<(), String>>,
    {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(PATIENCE))?;
        ours.set_write_timeout(Some(PATIENCE))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        // What is in `play` is made on the thread: a role's parts don't leave it.
        let thread = thread::Builder::new()
            .name(format!("pubsub-{name}"))
            .spawn(move || runtime.block_on(async move { begin(theirs).await }))?;
        Ok(Self {
            name,
            control: BufReader::new(ours),
            thread,
        })
    }

    /// Waits until it serves. Why one has ended before is told by its end.
    pub(super) fn wait_ready(&mut self) -> Result<(), NodeError> {
        loop {
            match self.hear() {
                Ok(Some(Report::Ready)) => return Ok(()),
                Ok(Some(_)) => {}
                Ok(None) => {
                    return Err(NodeError::Failed {
                        role: self.name.clone(),
                        why: "it ended before it was ready".to_owned(),
                    });
                }
                Err(_) => return Err(self.late("become ready")),
            }
        }
    }

    /// Tells it something; whether it still listens is found out by waiting for it.
    pub(super) fn tell(&mut self, order: &Order) {
        if let Ok(line) = serde_json::to_string(order) {
            let _ = writeln!(self.control.get_mut(), "{line}");
        }
    }

    /// Waits until it has ended, which it was told to do within `window`.
    pub(super) fn wait_end(mut self, window: Duration) -> Result<(), NodeError> {
        let patience = window.saturating_add(PATIENCE);
        // A time that is neither zero nor beyond any clock is never refused.
        let _ = self.control.get_ref().set_read_timeout(Some(patience));
        loop {
            match self.hear() {
                Ok(Some(_)) => {}
                Ok(None) => return self.join(),
                Err(_) => return Err(self.late("end")),
            }
        }
    }

    /// The next report; `None` once the role has closed its end.
    fn hear(&mut self) -> io::Result<Option<Report>> {
        let mut line = String::new();
        match self.control.read_line(&mut line) {
            Ok(0) => Ok(None),
            Ok(_) => Ok(Some(serde_json::from_str(&line)?)),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn late(&self, what: &'static str) -> NodeError {
        NodeError::Late {
            role: self.name.clone(),
            what,
        }
    }

    fn join(self) -> Result<(), NodeError> {
        let ended = self.thread.join().unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("it panicked: {}", text.unwrap_or("no text")))
        });
        ended.map_err(|why| NodeError::Failed {
            role: self.name,
            why,
        })
    }
}
