//! How a run is shared: over how many processes and source addresses, and what each of them is told. Starts them.
use crate::args::Ramp as Asked;
use crate::deal::Seat;
use crate::failure::Failure;
use crate::fleet::Fleet;
use crate::fleet::message::{Setup, SlowShare};
use crate::fleet::spread::{Files, Machine, Spread};
use crate::swarm::{PER_SOURCE, files};
use std::num::NonZeroUsize;
use std::path::Path;

/// Receive buffer of those that read slowly, bytes; the kernel doubles it. About the least that TCP works with.
const SLOW_RECEIVE_BYTES: usize = 4096;

/// Handshakes under way at once, in all: about what a listener's queue holds.
const UNDER_WAY: usize = 1024;

/// Bounds of what one process has of them: enough to keep a rate, and no burst.
const UNDER_WAY_EACH: (usize, usize) = (16, 256);

/// Starts the processes that a run wants.
pub(super) fn fleet(asked: &Asked) -> Result<Fleet, Failure> {
    let files = files::possible();
    let machine = Machine {
        possible: files.connections,
        limit: files.limit,
        cores: std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    };
    let spread =
        Spread::of(asked.plan.max, asked.processes, machine).map_err(Failure::unavailable)?;
    if let Files::Decide { .. } = spread.files {
        eprintln!("note: the connections are shared by {spread}");
    }
    let program = std::env::current_exe()
        .map_err(|error| Failure::fault(format!("where this program is: {error}")))?;
    let seats = (0..spread.processes).map(|index| Seat {
        index,
        of: spread.processes,
    });
    Fleet::start(&program, seats.map(|seat| setup(asked, seat)))
}

fn setup(asked: &Asked, seat: Seat) -> Setup {
    let max = asked.plan.max;
    let slow = asked.slow.iter().map(|slow| SlowShare {
        share: slow.share,
        pace: slow.pace,
    });
    Setup {
        targets: asked.targets.clone(),
        subscriptions: asked.subscriptions.clone(),
        calls: asked.calls.clone(),
        slow: slow.collect(),
        seat,
        connections: seat.share(max),
        sources: asked
            .sources
            .unwrap_or_else(|| max.div_ceil(per_source(ports()))),
        connects_per_s: asked.connects_per_s / seat.of as f64,
        under_way: (UNDER_WAY / seat.of).clamp(UNDER_WAY_EACH.0, UNDER_WAY_EACH.1),
        outliers: asked.outliers,
        slow_receive_bytes: SLOW_RECEIVE_BYTES,
    }
}

/// Connections of one source address. The kernel gives a connect every other port first: past half of the range, its search for a free
/// one takes milliseconds.
fn per_source(ports: usize) -> usize {
    (ports * 2 / 5).clamp(1, PER_SOURCE)
}

/// How many local ports an address has; as many as Linux gives it unless told, where that cannot be read.
fn ports() -> usize {
    let machine = pubsub_sysctl::Machine::look(Path::new("/"));
    let bound = |at| machine.setting("net.ipv4.ip_local_port_range", at);
    match (bound(0), bound(1)) {
        (Some(first), Some(last)) if last >= first => (last - first + 1) as usize,
        _ => 28_232,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_less_than_half_of_the_ports_and_no_more_than_the_most() {
        assert_eq!(per_source(28_232), 11_292);
        assert_eq!(per_source(64_000), PER_SOURCE);
        assert_eq!(per_source(0), 1);
    }
}
