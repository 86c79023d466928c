//! One running process of the node, as the supervisor holds it.
//!
//! Owns its number, the handle that names it also after the number is used again, its orders, and the two tasks that say what
//! becomes of it. Must not contain: decisions. Driven by [`node`](super::node).

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tracing::warn;

use super::spawn::{self, Kit};
use super::tree::Role;
use crate::link::control::{self, Order, Receiver, Report, Sender};

/// What became of a process, or what it said; with its place and generation.
#[derive(Debug)]
pub enum Event {
    /// It is gone.
    Exited(Role, u32, io::Result<ExitStatus>),
    /// It said this.
    Reported(Role, u32, Report),
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Which process of its place it is.
    pub generation: u32,
    handle: OwnedFd,
    orders: Sender<Order>,
}

impl Process {
    /// Starts the process of a place; from now on its events come.
    pub fn start(
        kit: &Kit,
        role: Role,
        generation: u32,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let (command, ours) = spawn::command(kit, role, generation)?;
        let mut child = Command::from(command).spawn()?;
        let pid = child.id().ok_or(io::ErrorKind::NotFound)?;
        let number = Pid::from_raw(pid as i32).ok_or(io::ErrorKind::NotFound)?;
        let handle = pidfd_open(number, PidfdFlags::empty());
        // A process that could not be killed later is not to be had.
        let handle = handle.inspect_err(|_| drop(child.start_kill()))?;
        let (orders, reports) = control::open::<Order, Report>(ours)?;
        tokio::spawn(wait(child, role, generation, events.clone()));
        tokio::spawn(hear(reports, role, generation, events.clone()));
        Ok(Self {
            pid,
            generation,
            handle,
            orders,
        })
    }

    /// Tells it something, without waiting for it.
    pub fn order(&mut self, order: &Order) -> io::Result<()> {
        self.orders.try_send(order)
    }

    /// SIGKILL.
    pub fn kill(&self) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.handle, Signal::KILL)?)
    }
}

async fn wait(mut child: Child, role: Role, generation: u32, events: mpsc::Sender<Event>) {
    let status = child.wait().await;
    // Nobody listens any more when the supervisor ends.
    let _ = events.send(Event::Exited(role, generation, status)).await;
}

async fn hear(
    mut reports: Receiver<Report>,
    role: Role,
    generation: u32,
    events: mpsc::Sender<Event>,
) {
    loop {
        let event = match reports.recv().await {
            Ok(Some(report)) => Event::Reported(role, generation, report),
            Ok(None) => return,
            Err(error) => {
                warn!(%role, %error, "said something that is no report");
                continue;
            }
        };
        if events.send(event).await.is_err() {
            return;
        }
    }
}
