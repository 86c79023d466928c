//! One process of the fleet: a thread, an event loop, a swarm; it does what the coordinator says.
//!
//! Owns the socket to the coordinator, which its standard input is. When that ends, the process ends, whatever it was at: a member never
//! outlives its coordinator. What should happen when is not decided here.
use super::closing::{ANSWERS, Closing};
use super::codec::{self, CodecError, Reader};
use super::message::{Order, Said, Setup, Sign, Window};
use crate::deal::Deal;
use crate::swarm::{Group, Options, Swarm, SwarmError, TopicId, files};
use crate::{clock, measure};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;
use thiserror::Error;

/// Time between two signs of life: what people look at changes a few times a second.
const SIGN_NS: u64 = 250_000_000;

/// Why a member ends before it is told to.
#[derive(Debug, Error)]
pub enum MemberError {
    /// The coordinator is gone.
    #[error("the coordinator is gone")]
    Orphaned,
    /// What it says is not understood, or comes out of turn.
    #[error("not understood: {0}")]
    Order(String),
    /// The swarm cannot go on.
    #[error(transparent)]
    Swarm(#[from] SwarmError),
    /// The socket to the coordinator does not work.
    #[error("the socket to the coordinator: {0}")]
    Socket(#[from] io::Error),
}

impl From<CodecError> for MemberError {
    fn from(error: CodecError) -> Self {
        Self::Order(error.to_string())
    }
}

/// Serves the coordinator at the other end of this socket until it says so, or is gone.
pub fn serve(socket: UnixStream) -> Result<(), MemberError> {
    let mut line = Line {
        socket,
        reader: Reader::default(),
        signed_ns: 0,
    };
    match obey(&mut line) {
        Err(error @ (MemberError::Orphaned | MemberError::Socket(_))) => Err(error),
        Err(error) => {
            let why = error.to_string();
            // Whoever is not there to hear it sees the end of the stream.
            let _ = line.say(&Said::Failed { why });
            Err(error)
        }
        Ok(()) => Ok(()),
    }
}

fn obey(line: &mut Line) -> Result<(), MemberError> {
    let mut member = match line.next_order()? {
        Order::Begin(setup) => Member::new(&setup)?,
        other => {
            return Err(MemberError::Order(format!(
                "{other:?} before the beginning"
            )));
        }
    };
    member.swarm.watch(&line.socket)?;
    line.say(&Said::Ready)?;
    loop {
        while let Some(order) = line.reader.poll()? {
            if let Order::Leave { closes_per_s } = order {
                member.swarm.leave(closes_per_s);
                member.swarm.run_until(ANSWERS, Swarm::is_empty)?;
                return line.say(&Said::Gone).map_err(Into::into);
            }
            member.carry_out(line, &order)?;
        }
        member
            .swarm
            .run_for(Duration::from_nanos(line.sign_in_ns()))?;
        member.sign(line, None)?;
        if member.swarm.take_called() {
            line.read()?;
        }
    }
}

/// The socket to the coordinator.
struct Line {
    socket: UnixStream,
    reader: Reader,
    signed_ns: u64,
}

impl Line {
    /// Waits for the next order.
    fn next_order(&mut self) -> Result<Order, MemberError> {
        loop {
            if let Some(order) = self.reader.poll()? {
                return Ok(order);
            }
            self.take(RecvFlags::empty())?;
        }
    }

    /// Takes what there is without waiting.
    fn read(&mut self) -> Result<(), MemberError> {
        while self.take(RecvFlags::DONTWAIT)? {}
        Ok(())
    }

    /// Takes a piece; false: there is none now.
    fn take(&mut self, flags: RecvFlags) -> Result<bool, MemberError> {
        let mut piece = [0; 16 * 1024];
        match recv(&self.socket, &mut piece, flags) {
            Ok((0, _)) | Err(Errno::CONNRESET) => Err(MemberError::Orphaned),
            Ok((n, _)) => {
                self.reader.push(&piece[..n]);
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::INTR) => Ok(true),
            Err(error) => Err(io::Error::from(error).into()),
        }
    }

    fn say(&mut self, said: &Said) -> io::Result<()> {
        codec::write(&mut &self.socket, said)
    }

    fn sign_in_ns(&self) -> u64 {
        (self.signed_ns + SIGN_NS).saturating_sub(clock::mono_ns())
    }

    fn sign(&mut self, swarm: &Swarm, waiting: Option<(String, usize)>) -> io::Result<()> {
        self.signed_ns = clock::mono_ns();
        let counters = swarm.counters().clone();
        self.say(&Said::Sign(Box::new(Sign { counters, waiting })))
    }
}

struct Member {
    setup: Setup,
    swarm: Swarm,
    deal: Deal,
    /// The healthy, then the slow as they were asked for.
    groups: Vec<Group>,
    /// Each subscription at each target, the targets faster.
    topics: Vec<TopicId>,
    window: Begun,
}

/// What a window is measured from.
#[allow(clippy::struct_field_names)] // the unit is part of each
struct Begun {
    at_ns: u64,
    cpu_ns: u64,
    starved_ns: u64,
}

impl Begun {
    fn now() -> Self {
        Self {
            at_ns: clock::mono_ns(),
            cpu_ns: clock::thread_cpu_ns(),
            starved_ns: measure::own_thread_starved_ns().unwrap_or(0),
        }
    }
}

impl Member {
    fn new(setup: &Setup) -> Result<Self, MemberError> {
        let Some(target) = setup.targets.first().cloned() else {
            return Err(MemberError::Order("no target".to_owned()));
        };
        if setup.slow.len() + 2 > Group::MAX {
            return Err(MemberError::Order("too many groups".to_owned()));
        }
        files::reserve(setup.connections)?;
        let mut swarm = Swarm::new(Options {
            targets: setup.targets.clone(),
            sources: setup.sources,
            seat: setup.seat,
            connects_per_s: setup.connects_per_s,
            under_way: setup.under_way,
            outliers: setup.outliers,
            apart_receive_bytes: Some(setup.slow_receive_bytes),
            ..Options::new(target)
        })?;
        let slow = setup.slow.iter().map(|slow| swarm.group(slow.pace));
        let groups = std::iter::once(Group::MAIN).chain(slow).collect();
        let topics = topics(setup, &mut swarm);
        if topics.is_empty() {
            return Err(MemberError::Order("no subscription".to_owned()));
        }
        let deal = Deal::new(setup.slow.iter().map(|slow| slow.share), topics.len());
        Ok(Self {
            setup: setup.clone(),
            swarm,
            deal,
            groups,
            topics,
            window: Begun::now(),
        })
    }

    fn carry_out(&mut self, line: &mut Line, order: &Order) -> Result<(), MemberError> {
        match *order {
            Order::Connect { more } => {
                for run in self.deal.deal_to(self.setup.seat, more) {
                    let (topic, group) = (self.topics[run.settings], self.groups[run.group]);
                    self.swarm.connect(run.n, topic, group);
                }
            }
            Order::Take { overdue_us } => {
                let window = self.take(Duration::from_micros(overdue_us));
                line.say(&Said::Window(Box::new(window)))?;
            }
            Order::Close { ledgers_per_s } => self.close(line, ledgers_per_s)?,
            Order::Begin(_) | Order::Leave { .. } => {
                return Err(MemberError::Order("out of turn".to_owned()));
            }
        }
        Ok(())
    }

    fn take(&mut self, overdue: Duration) -> Window {
        let begun = std::mem::replace(&mut self.window, Begun::now());
        let tally = |group: &Group| self.swarm.take_window(*group, overdue);
        let groups = self.groups.iter().map(tally).collect();
        let standing = |group: &Group| self.swarm.subscribed(*group);
        Window {
            groups,
            standing: self.groups.iter().map(standing).collect(),
            counters: self.swarm.counters().clone(),
            lag: self.swarm.take_lag(),
            elapsed_ns: self.window.at_ns - begun.at_ns,
            cpu_ns: self.window.cpu_ns - begun.cpu_ns,
            starved_ns: self.window.starved_ns.saturating_sub(begun.starved_ns),
        }
    }

    fn close(&mut self, line: &mut Line, ledgers_per_s: f64) -> Result<(), MemberError> {
        let mut unsaid = Ok(());
        let closing = Closing {
            swarm: &mut self.swarm,
            groups: &self.groups,
            sign: |swarm: &Swarm, what: &str, missing| {
                if line.sign_in_ns() == 0 && unsaid.is_ok() {
                    unsaid = line.sign(swarm, Some((what.to_owned(), missing)));
                }
            },
        };
        let books = closing.books(ledgers_per_s)?;
        unsaid?;
        line.say(&Said::Books(Box::new(books)))?;
        Ok(())
    }

    fn sign(&self, line: &mut Line, waiting: Option<(String, usize)>) -> io::Result<()> {
        if line.sign_in_ns() == 0 {
            line.sign(&self.swarm, waiting)?;
        }
        Ok(())
    }
}

/// Each call or subscription at each target, the targets faster.
fn topics(setup: &Setup, swarm: &mut Swarm) -> Vec<TopicId> {
    let targets = 0..setup.targets.len();
    if let Some(plan) = &setup.calls {
        return targets.map(|at| swarm.calls_at(at, plan.clone())).collect();
    }
    let each = setup.subscriptions.iter();
    each.flat_map(|subscription| targets.clone().map(move |at| (at, subscription)))
        .map(|(at, subscription)| swarm.topic_at(at, subscription))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Target;

    fn setup() -> Setup {
        Setup {
            targets: vec![Target::parse("ws://127.0.0.1:9/ws").unwrap()],
            subscriptions: vec![crate::swarm::Subscription::plain("t")],
            calls: None,
            slow: Vec::new(),
            seat: crate::deal::Seat::default(),
            connections: 1,
            sources: 1,
            connects_per_s: 1.0,
            under_way: 1,
            outliers: 1,
            slow_receive_bytes: 4096,
        }
    }

    /// A member that has been told this, and then nothing more.
    fn told(bytes: &[u8]) -> MemberError {
        let (mut ours, its) = UnixStream::pair().unwrap();
        io::Write::write_all(&mut ours, bytes).unwrap();
        ours.shutdown(std::net::Shutdown::Write).unwrap();
        serve(its).unwrap_err()
    }

    fn message(order: &Order) -> Vec<u8> {
        let mut bytes = Vec::new();
        codec::write(&mut bytes, order).unwrap();
        bytes
    }

    #[test]
    fn a_member_ends_with_its_coordinator() {
        assert!(matches!(told(b""), MemberError::Orphaned));
        let begun = message(&Order::Begin(Box::new(setup())));
        assert!(matches!(told(&begun), MemberError::Orphaned));
    }

    #[test]
    fn what_is_no_order_or_comes_out_of_turn_is_refused() {
        let begin = message(&Order::Begin(Box::new(setup())));
        let nowhere = message(&Order::Begin(Box::new(Setup {
            targets: Vec::new(),
            ..setup()
        })));
        for bytes in [
            vec![255; 4],
            message(&Order::Connect { more: 1 }),
            nowhere,
            [begin.clone(), begin].concat(),
        ] {
            assert!(matches!(told(&bytes), MemberError::Order(_)));
        }
    }
}
