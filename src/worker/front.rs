//! What accepting and the loop share: who is in, who may come in, and who has come.
//!
//! Owns the seats (each connection has one from `accept` to its end), the counts by address, and the connections that have arrived
//! and wait for the loop. Must not contain: sockets' reading or writing. Driven by `accept` on one side and the loop on the other,
//! both on one thread.
//!
//! Law: a seat is taken at `accept` and given back when it is dropped, wherever that is, so counts cannot drift.
use super::gate::Accepts;
use super::http::{Echo, Service};
use super::origin::Origins;
use crate::config::{Config, PublishFrom};
use crate::telemetry::scoreboard::{Rejected, Scoreboard, WorkerSlot};
use pubsub_stream::Peer;
use rustix::process::{Resource, getrlimit};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

/// Files a worker has open besides its connections, with room to spare.
const OTHER_FILES: u64 = 64;

/// Shared by all that happens at the door.
#[derive(Debug)]
pub(super) struct Front {
    pub(super) config: Rc<Config>,
    pub(super) origins: Origins,
    scoreboard: Arc<Scoreboard>,
    slot: u32,
    /// When this worker began.
    born_ns: u64,
    /// As configured, or what the process may have open.
    connections_max: u64,
    service: Cell<Service>,
    addresses: RefCell<Addresses>,
    /// Handshakes under way.
    handshakes: Cell<usize>,
    inbox: RefCell<Inbox>,
}

/// A connection just accepted.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) fd: OwnedFd,
    pub(super) address: IpAddr,
    pub(super) seat: Seat,
    pub(super) underway: Underway,
    /// There is no room for it: it is told so, whatever it asks for.
    pub(super) refusing: Option<Service>,
    pub(super) since_ns: u64,
}

#[derive(Debug, Default)]
struct Inbox {
    waiting: VecDeque<Arrival>,
    waker: Option<Waker>,
}

#[derive(Debug, Default)]
struct Addresses {
    ids: HashMap<IpAddr, u32>,
    counts: Slab<(IpAddr, u32)>,
}

/// A connection's place among the counts.
#[derive(Debug)]
pub(super) struct Seat {
    front: Rc<Front>,
    address: u32,
}

/// A handshake's place among those under way.
#[derive(Debug)]
pub(super) struct Underway {
    front: Rc<Front>,
}

/// Whether there is room for one more handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Free,
    /// Not now: what pends stays in the kernel's queue.
    None,
}

impl Front {
    pub(super) fn new(
        config: Rc<Config>,
        scoreboard: Arc<Scoreboard>,
        slot: u32,
        born_ns: u64,
    ) -> Rc<Self> {
        let connections_max = connections_max(config.worker.connections);
        Rc::new(Self {
            origins: Origins::new(&config.origins),
            config,
            scoreboard,
            slot,
            born_ns,
            connections_max,
            service: Cell::new(Service::Open),
            addresses: RefCell::default(),
            handshakes: Cell::new(0),
            inbox: RefCell::default(),
        })
    }

    pub(super) fn slot(&self) -> &WorkerSlot {
        self.scoreboard.worker(self.slot)
    }

    pub(super) fn number(&self) -> u32 {
        self.slot
    }

    pub(super) fn scoreboard(&self) -> &Scoreboard {
        &self.scoreboard
    }

    /// Counts a refusal.
    pub(super) fn count(&self, why: Rejected) {
        self.slot().rejected(why).fetch_add(1, Relaxed);
    }

    /// Whether new sessions are taken; the node's own word goes before this worker's.
    pub(super) fn service(&self) -> Service {
        if self.scoreboard.node().draining.load(Relaxed) != 0 {
            let retry_after_s = self.config.drain_ms.div_ceil(1000).max(1);
            return Service::Draining { retry_after_s };
        }
        self.service.get()
    }

    /// What [`Front::service`] says from now on.
    pub(super) fn set_service(&self, service: Service) {
        self.service.set(service);
    }

    pub(super) fn echo(&self) -> Echo {
        if self.config.echo {
            Echo::On
        } else {
            Echo::Off
        }
    }

    /// What a peer may do, by its address and by whether a proxy speaks for it.
    pub(super) fn peer(&self, address: IpAddr, forwarded: bool) -> Peer {
        let may_publish = match self.config.publish {
            PublishFrom::Anyone => true,
            PublishFrom::Nobody => false,
            PublishFrom::Loopback => address.is_loopback() && !forwarded,
        };
        Peer { may_publish }
    }

    /// Takes a connection just accepted in, also when that is one too many: then it is told so.
    pub(super) fn arrive(self: &Rc<Self>, fd: OwnedFd, address: IpAddr, now_ns: u64) {
        let address = address.to_canonical();
        let (seat, refusing) = self.seat(address);
        self.handshakes.set(self.handshakes.get() + 1);
        let underway = Underway {
            front: Rc::clone(self),
        };
        let mut inbox = self.inbox.borrow_mut();
        inbox.waiting.push_back(Arrival {
            fd,
            address,
            seat,
            underway,
            refusing,
            since_ns: now_ns,
        });
        if let Some(waker) = inbox.waker.take() {
            waker.wake();
        }
    }

    fn seat(self: &Rc<Self>, address: IpAddr) -> (Seat, Option<Service>) {
        let limits = &self.config.worker;
        let connections = self.slot().connections.fetch_add(1, Relaxed) + 1;
        self.slot().accepted_total.fetch_add(1, Relaxed);
        let (address, of_address) = self.addresses.borrow_mut().add(address);
        let refusing = if of_address > limits.per_address {
            Some((
                "too many connections from this address",
                Rejected::PerAddress,
            ))
        } else if connections > self.connections_max {
            Some(("this worker is full", Rejected::WorkerFull))
        } else if self.node_connections() > u64::from(limits.node_connections) {
            Some(("this node is full", Rejected::NodeFull))
        } else {
            None
        };
        let seat = Seat {
            front: Rc::clone(self),
            address,
        };
        let refusing = refusing.map(|(text, why)| Service::Refusing { text, why });
        (seat, refusing)
    }

    fn node_connections(&self) -> u64 {
        (0..self.scoreboard.workers())
            .map(|slot| self.scoreboard.worker(slot).connections.load(Relaxed))
            .sum()
    }

    /// Says to the other workers whether to wait for this one: while it cannot accept, they need not.
    pub(super) fn announce(&self, accepts: Accepts) {
        let born_ns = match accepts {
            Accepts::Yes => self.born_ns,
            Accepts::No => 0,
        };
        self.slot().born_ns.store(born_ns, Relaxed);
    }

    /// Whether there is room for one more handshake.
    pub(super) fn room(&self) -> Room {
        if self.handshakes.get() < self.config.worker.handshakes as usize {
            Room::Free
        } else {
            Room::None
        }
    }

    /// Ready when a connection has arrived.
    pub(super) fn poll_arrived(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inbox = self.inbox.borrow_mut();
        if !inbox.waiting.is_empty() {
            return Poll::Ready(());
        }
        match &mut inbox.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// The connection that arrived first.
    pub(super) fn next_arrived(&self) -> Option<Arrival> {
        self.inbox.borrow_mut().waiting.pop_front()
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.front.handshakes.set(self.front.handshakes.get() - 1);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.front.slot().connections.fetch_sub(1, Relaxed);
        self.front.addresses.borrow_mut().remove(self.address);
    }
}

impl Addresses {
    /// One more of this address: its number, and how many it has now.
    fn add(&mut self, address: IpAddr) -> (u32, u32) {
        let address = subscriber_line(address);
        let counts = &mut self.counts;
        let id = *self
            .ids
            .entry(address)
            .or_insert_with(|| counts.insert((address, 0)) as u32);
        let count = &mut self.counts[id as usize].1;
        *count += 1;
        (id, *count)
    }

    fn remove(&mut self, id: u32) {
        let (address, count) = &mut self.counts[id as usize];
        *count -= 1;
        if *count == 0 {
            self.ids.remove(address);
            self.counts.remove(id as usize);
        }
    }
}

/// The configured number, or fewer where the process may not have as many files open.
fn connections_max(configured: u32) -> u64 {
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u64::from(configured).min(files.saturating_sub(OTHER_FILES).max(1))
}

/// An address as far as its holder cannot choose it: of IPv6, the 64 bits that a network gives to one line.
fn subscriber_line(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_ipv6_network_count_together() {
        let mut addresses = Addresses::default();
        let of = |text: &str| text.parse::<IpAddr>().expect("an address");
        addresses.add(of("2001:db8::1"));
        assert_eq!(addresses.add(of("2001:db8::2")).1, 2);
        assert_eq!(addresses.add(of("2001:db8:0:1::1")).1, 1);
    }

    #[test]
    fn an_address_is_forgotten_with_its_last_connection() {
        let mut addresses = Addresses::default();
        let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (first, second, other) = (addresses.add(a), addresses.add(a), addresses.add(b));
        assert_eq!((first.1, second.1, other.1), (1, 2, 1));
        assert_eq!(first.0, second.0);
        addresses.remove(first.0);
        addresses.remove(first.0);
        assert_eq!((addresses.ids.len(), addresses.counts.len()), (1, 1));
    }
}
