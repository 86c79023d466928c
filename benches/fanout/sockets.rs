//! What the kernel holds for connections, read from `/proc/net/tcp`.
//!
//! Law: a send queue is counted from what the peer has acknowledged, so it is everything that the server can no longer take back
//! and the peer's kernel doesn't have yet.
use std::fs;

/// State of an open connection in the table's fourth column.
const ESTABLISHED: &str = "01";

/// Bytes that wait on one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Queue {
    /// In the sender's kernel.
    pub send: u64,
    /// In the receiver's kernel.
    pub receive: u64,
    /// Port of the other side.
    pub peer: u16,
}

/// The open connections of this local port; of one `peer` only, if it is given.
pub fn queues(local: u16, peer: Option<u16>) -> Vec<Queue> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    of(&table, local, peer)
}

fn of(table: &str, local: u16, peer: Option<u16>) -> Vec<Queue> {
    let local = format!(":{local:04X}");
    let rows = table.lines().skip(1).filter(|row| row.contains(&local));
    rows.filter_map(queue)
        .filter(|(port, queue)| *port == local && peer.is_none_or(|peer| peer == queue.peer))
        .map(|(_, queue)| queue)
        .collect()
}

/// Local address, remote address, state and queues are columns two to five.
fn queue(row: &str) -> Option<(&str, Queue)> {
    let mut columns = row.split_whitespace().skip(1);
    let (local, remote, state, queues) = (
        columns.next()?,
        columns.next()?,
        columns.next()?,
        columns.next()?,
    );
    let hex = |text: &str| u64::from_str_radix(text, 16).ok();
    let (send, receive) = queues.split_once(':')?;
    let queue = Queue {
        send: hex(send)?,
        receive: hex(receive)?,
        peer: u16::from_str_radix(remote.rsplit(':').next()?, 16).ok()?,
    };
    (state == ESTABLISHED).then_some((&local[local.rfind(':')?..], queue))
}
