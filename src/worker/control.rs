//! The supervisor's word to this worker, and this worker's to it.
//!
//! Owns the task that reads orders and writes reports, so that a slow supervisor never holds up the loop. Must not contain: what is
//! done about an order. Driven by the worker's loop.
//!
//! Law: a supervisor that is gone is no order; the worker goes on serving.
use crate::link::control::{self, DrainReason, Order, Report, RoleControl};
use std::future::pending;
use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::timeout;

/// Orders or reports that may wait: one of a kind is under way at a time.
const QUEUE: usize = 16;

/// How long the last report may take: the supervisor reads at once unless it is stopped.
const LAST_WORD: Duration = Duration::from_secs(1);

/// Ready when the process is asked to end.
pub type Terminate = Pin<Box<dyn Future<Output = ()> + Send>>;

/// This worker's end.
#[derive(Debug)]
pub(super) struct Control {
    orders: mpsc::Receiver<Order>,
    reports: mpsc::Sender<Report>,
    task: JoinHandle<()>,
}

impl Control {
    /// Begins to listen; `window_ms` is for a `terminate`, which is an order to drain for a restart.
    pub(super) fn start(
        socket: Option<StdUnixStream>,
        terminate: Option<Terminate>,
        window_ms: u64,
    ) -> io::Result<Self> {
        let line: Option<RoleControl> = socket.map(control::open).transpose()?;
        let (orders_in, orders) = mpsc::channel(QUEUE);
        let (reports, reports_out) = mpsc::channel(QUEUE);
        let task = spawn_local(async move {
            let (sender, receiver) = line.unzip();
            tokio::select! {
                () = write(sender, reports_out) => {}
                () = read(receiver, &orders_in) => {}
                () = end(terminate, window_ms, &orders_in) => {}
            }
        });
        Ok(Self {
            orders,
            reports,
            task,
        })
    }

    /// The next order.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Order> {
        match self.orders.poll_recv(cx) {
            Poll::Ready(Some(order)) => Poll::Ready(order),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    /// Says something to the supervisor; lost when it has not taken what was said before, which only a stopped one does.
    pub(super) fn report(&self, report: Report) {
        if self.reports.try_send(report).is_err() {
            tracing::debug!("the supervisor takes no reports");
        }
    }

    /// Waits until the supervisor has been told everything, is gone, or takes nothing.
    pub(super) async fn finish(self) {
        drop(self.reports);
        // Whatever the outcome, the process ends next, and that says it too.
        let _ = timeout(LAST_WORD, self.task).await;
    }
}

/// Passes reports on until there will be no more.
async fn write(sender: Option<control::Sender<Report>>, mut reports: mpsc::Receiver<Report>) {
    let mut sender = sender;
    while let Some(report) = reports.recv().await {
        if let Some(to) = &mut sender
            && to.send(&report).await.is_err()
        {
            sender = None;
        }
    }
}

/// Passes orders on; never ends, because the end of the orders is not the end of the reports.
async fn read(receiver: Option<control::Receiver<Order>>, orders: &mpsc::Sender<Order>) {
    let Some(mut receiver) = receiver else {
        return pending().await;
    };
    loop {
        match receiver.recv().await {
            // A loop that is gone takes no orders.
            Ok(Some(order)) => drop(orders.send(order).await),
            Ok(None) => return pending().await,
            Err(error) => tracing::warn!(%error, "an order is not understood"),
        }
    }
}

/// Turns the end of the process into an order; never ends either.
async fn end(terminate: Option<Terminate>, window_ms: u64, orders: &mpsc::Sender<Order>) {
    if let Some(terminate) = terminate {
        terminate.await;
        let drain = Order::Drain {
            reason: DrainReason::Restart,
            window_ms,
        };
        let _ = orders.send(drain).await;
    }
    pending::<()>().await;
}
