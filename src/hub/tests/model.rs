//! Everything at once: random publications, watches, reads, time and slow workers, checked against the truth.
use super::peer::Peer;
use super::truth::Truth;
use crate::config::Retain;
use crate::hub::core::Hub;
use crate::hub::entry::Publication;
use crate::hub::log::MemoryLog;
use crate::hub::settings::Settings;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;
use proptest::sample::select;
use pubsub_stream::Now;
use pubsub_stream::hub::Start;
use pubsub_wire::Limits;
use pubsub_wire::value::Else;

const EPOCH: &str = "0123456789abcdef";
const TOPICS: [&str; 6] = ["a", "b", "q.x", "q.y", "q.z.z", "r.x"];
const TEXTS: [&str; 9] = ["a", "b", "q.x", "q.*", "q.>", ">", "*", "nobody", "r.x"];
const KEYS: [&str; 4] = ["k1", "k2", "k3", "q.x"];

#[derive(Debug, Clone)]
enum Step {
    Publish {
        topic: &'static str,
        key: Option<&'static str>,
        bytes: usize,
        by: Option<usize>,
    },
    Watch {
        peer: usize,
        text: &'static str,
    },
    Unwatch {
        peer: usize,
        view: usize,
    },
    Read {
        peer: usize,
        view: usize,
        start: Begin,
    },
    Turn,
    Take {
        peer: usize,
    },
    Wait {
        ms: u64,
    },
    Replace {
        peer: usize,
    },
}

/// A start whose position is a place between 0 and a little past the head.
#[derive(Debug, Clone)]
enum Begin {
    Earliest,
    Last,
    Recent(u64),
    After {
        place: f64,
        otherwise: Else,
        epoch: &'static str,
    },
}

fn begins() -> impl Strategy<Value = Begin> {
    let otherwise = select(&[Else::Earliest, Else::Last, Else::Live][..]);
    prop_oneof![
        2 => Just(Begin::Earliest),
        2 => Just(Begin::Last),
        2 => (0u64..12).prop_map(Begin::Recent),
        3 => (0.0..1.1, otherwise, select(&[EPOCH, EPOCH, EPOCH, "other"][..]))
            .prop_map(|(place, otherwise, epoch)| Begin::After { place, otherwise, epoch }),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let peer = 0usize..3;
    prop_oneof![
        12 => (select(&TOPICS[..]), of(select(&KEYS[..])), 1usize..60, of(peer.clone()))
            .prop_map(|(topic, key, bytes, by)| Step::Publish { topic, key, bytes, by }),
        2 => (peer.clone(), select(&TEXTS[..])).prop_map(|(peer, text)| Step::Watch { peer, text }),
        1 => (peer.clone(), 0usize..8).prop_map(|(peer, view)| Step::Unwatch { peer, view }),
        3 => (peer.clone(), 0usize..8, begins()).prop_map(|(peer, view, start)| Step::Read { peer, view, start }),
        6 => Just(Step::Turn),
        4 => peer.clone().prop_map(|peer| Step::Take { peer }),
        1 => (1u64..60).prop_map(|ms| Step::Wait { ms }),
        1 => peer.prop_map(|peer| Step::Replace { peer }),
    ]
}

fn rules() -> impl Strategy<Value = Vec<Retain>> {
    let limits = || (200u64..4000, of(20u64..200), of(1u64..30));
    let rule = |pattern: &str, (bytes, age_ms, count)| Retain {
        pattern: pattern.to_owned(),
        bytes,
        age_ms,
        count,
    };
    prop_oneof![
        limits().prop_map(move |all| vec![rule(">", all)]),
        (limits(), limits()).prop_map(move |(some, rest)| vec![rule("q.*", some), rule(">", rest)]),
    ]
}

fn limits() -> impl Strategy<Value = Settings> {
    let outbox = prop_oneof![Just(1usize), 100usize..2000];
    let keys = prop_oneof![Just(3u64), Just(1000)];
    // With no topics merged every view is read by scanning.
    let merge = prop_oneof![Just(0usize), Just(2), Just(64)];
    (outbox, 1usize..40, keys, merge).prop_map(
        |(outbox_bytes, scan_entries, keys_max, merge_topics)| Settings {
            outbox_bytes,
            scan_entries,
            merge_topics,
            ..Settings::new(Limits::default(), 1000, keys_max)
        },
    )
}

struct Model {
    hub: Hub,
    truth: Truth,
    now: Now,
    peers: Vec<Peer>,
    single_rule: bool,
    published: u64,
    budget: u32,
}

impl Model {
    fn new(settings: Settings, rules: &[Retain], budget: u32) -> Self {
        let now = Now {
            mono_ns: 1_000_000_000,
            wall_us: 1,
        };
        let single_rule = rules.len() == 1;
        let mut hub = Hub::new(MemoryLog::new(EPOCH.to_owned(), rules), settings);
        let peers = (0..3)
            .map(|_| Peer::join(&mut hub, now, single_rule))
            .collect();
        let truth = Truth::new(rules.to_vec(), settings.keys_max as usize);
        Self {
            hub,
            truth,
            now,
            peers,
            single_rule,
            published: 0,
            budget,
        }
    }

    fn step(&mut self, step: Step) {
        let (hub, now, budget) = (&mut self.hub, self.now, self.budget);
        match step {
            Step::Publish {
                topic,
                key,
                bytes,
                by,
            } => self.publish(topic, key, bytes, by),
            Step::Watch { peer, text } => {
                let head = self.truth.head();
                self.peers[peer].watch(hub, now, head, text);
            }
            Step::Unwatch { peer, view } => {
                if let Some(&view) = self.peers[peer].watching().get(view) {
                    self.peers[peer].unwatch(hub, now, view);
                }
            }
            Step::Read { peer, view, start } => self.read(peer, view, &start),
            Step::Turn => {
                self.turn();
            }
            Step::Take { peer } => {
                self.peers[peer].take(hub, now, &self.truth, budget);
            }
            Step::Wait { ms } => {
                self.now.mono_ns += ms * 1_000_000;
                self.hub.tick(self.now);
            }
            Step::Replace { peer } => {
                hub.handle_leave(self.peers[peer].id);
                self.peers[peer] = Peer::join(hub, now, self.single_rule);
            }
        }
    }

    fn publish(&mut self, topic: &str, key: Option<&str>, bytes: usize, by: Option<usize>) {
        self.published += 1;
        let data = vec![b'0' + (self.published % 10) as u8; bytes];
        let publication = Publication {
            topic,
            key,
            data: &data,
        };
        let offset = self.truth.publish(self.now, &publication);
        match by {
            Some(peer) => {
                let id = self.peers[peer].id;
                self.hub
                    .handle_publish(self.now, id, offset as u64, &publication);
            }
            None => assert_eq!(self.hub.publish(self.now, &publication), Ok(offset)),
        }
    }

    fn read(&mut self, peer: usize, view: usize, start: &Begin) {
        let Some(&view) = self.peers[peer].watching().get(view) else {
            return;
        };
        let start = match *start {
            Begin::Earliest => Start::Earliest,
            Begin::Last => Start::Last,
            Begin::Recent(n) => Start::Recent(n),
            Begin::After {
                place,
                otherwise,
                epoch,
            } => {
                let offset = (place * self.truth.head() as f64) as i64;
                Start::After {
                    epoch: epoch.to_owned(),
                    offset,
                    otherwise,
                }
            }
        };
        self.peers[peer].read(&mut self.hub, self.now, view, start, self.budget);
    }

    fn turn(&mut self) -> bool {
        self.truth.retain(self.now);
        let more = self.hub.turn(self.now);
        assert_eq!(self.hub.log().size().entries, self.truth.held() as u64);
        assert_eq!(self.hub.keys(), self.truth.newest.len());
        more
    }

    /// Everybody takes what there is; whether anybody found something.
    fn take_all(&mut self) -> bool {
        let mut any = false;
        for peer in &mut self.peers {
            any |= peer.take(&mut self.hub, self.now, &self.truth, self.budget);
        }
        any
    }

    /// Everybody reads until there is nothing more.
    fn come_to_rest(&mut self) {
        self.now.mono_ns += 2_000_000_000;
        self.hub.tick(self.now);
        for round in 0.. {
            assert!(round < 100_000, "it never rests");
            let more = self.turn();
            let taken = self.take_all();
            if !more && !taken {
                break;
            }
        }
        self.now.mono_ns += 2_000_000_000;
        self.hub.tick(self.now);
        for peer in &mut self.peers {
            peer.take(&mut self.hub, self.now, &self.truth, self.budget);
            peer.check_complete(&self.truth);
            assert!(
                peer.acks.is_sorted()
                    && peer
                        .acks
                        .iter()
                        .all(|&(request, offset)| request == offset as u64)
            );
        }
    }
}

proptest! {
    #[test]
    fn every_worker_receives_everything_once_or_is_told_what_it_lost(
        settings in limits(),
        rules in rules(),
        budget in 1u32..400,
        steps in vec(steps(), 1..200),
    ) {
        let mut model = Model::new(settings, &rules, budget);
        for step in steps {
            model.step(step);
        }
        model.come_to_rest();
    }
}
