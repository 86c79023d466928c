//! A worker as the hub's tests play it: it reads its stream and checks each event against the truth.
use super::truth::Truth;
use crate::hub::core::Hub;
use crate::hub::worker::WorkerId;
use crate::link::LinkReader;
use pubsub_stream::Now;
use pubsub_stream::hub::{HubEvent, HubRequest, LostHistory, SliceHead, Start};
use std::collections::BTreeMap;

/// What a worker knows of one of its views.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    pub(super) text: String,
    /// Head when it was asked for.
    asked_at: i64,
    since: Option<i64>,
    live: Vec<i64>,
    lost: Vec<(i64, i64, Option<u64>)>,
    gone: bool,
}

/// A read and its continuations, as one subscriber makes them.
#[derive(Debug, Clone)]
pub(super) struct Chain {
    view: u32,
    compacted: bool,
    start: Start,
    /// Everything up to here has been read, skipped or announced as missing.
    upto: Option<i64>,
    /// Where the stream had been told to be when it was asked for.
    asked_at: i64,
    read: Vec<i64>,
    pub(super) joined: bool,
    /// The newest of each key that had still to be read when a compacted reader had its first slice.
    owed: Vec<(String, String, i64)>,
    /// It was told that some of those had left before it came to them.
    misses: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: WorkerId,
    reader: LinkReader,
    pub(super) views: BTreeMap<u32, Watched>,
    chains: BTreeMap<u32, Chain>,
    views_ever: u32,
    reads_ever: u32,
    /// Newest offset of an entry.
    pub(super) newest: i64,
    /// Newest position the stream has shown to have reached.
    pub(super) position: i64,
    /// Entries must be after this one: the end of a joined slice.
    joined_at: i64,
    /// Reads to be sent once the batch is done.
    continues: Vec<(u32, u32, Start)>,
    pub(super) acks: Vec<(u64, i64)>,
    single_rule: bool,
}

impl Peer {
    pub(super) fn join(hub: &mut Hub, now: Now, single_rule: bool) -> Self {
        let id = hub.handle_join(now, None);
        Self {
            id,
            reader: LinkReader::default(),
            views: BTreeMap::new(),
            chains: BTreeMap::new(),
            views_ever: 0,
            reads_ever: 0,
            newest: 0,
            position: -1,
            joined_at: 0,
            continues: Vec::new(),
            acks: Vec::new(),
            single_rule,
        }
    }

    pub(super) fn watch(&mut self, hub: &mut Hub, now: Now, head: i64, text: &str) -> u32 {
        self.views_ever += 1;
        let view = self.views_ever;
        let watched = Watched {
            text: text.to_owned(),
            asked_at: head,
            ..Watched::default()
        };
        self.views.insert(view, watched);
        hub.handle_request(
            now,
            self.id,
            HubRequest::Watch {
                view,
                text: text.to_owned(),
            },
        )
        .expect("a good watch");
        view
    }

    pub(super) fn unwatch(&mut self, hub: &mut Hub, now: Now, view: u32) {
        if let Some(watched) = self.views.get_mut(&view) {
            watched.gone = true;
        }
        self.chains.retain(|_, chain| chain.view != view);
        hub.handle_request(now, self.id, HubRequest::Unwatch { view })
            .expect("a good unwatch");
    }

    /// Views that are watched now.
    pub(super) fn watching(&self) -> Vec<u32> {
        self.views
            .iter()
            .filter(|(_, watched)| !watched.gone)
            .map(|(&view, _)| view)
            .collect()
    }

    pub(super) fn read(&mut self, hub: &mut Hub, now: Now, view: u32, start: Start, budget: u32) {
        let chain = Chain {
            view,
            compacted: matches!(start, Start::Last),
            start: start.clone(),
            upto: None,
            asked_at: self.position,
            read: Vec::new(),
            joined: false,
            owed: Vec::new(),
            misses: false,
        };
        self.reads_ever += 1;
        self.chains.insert(self.reads_ever, chain);
        self.send_read(hub, now, self.reads_ever, view, start, budget);
    }

    fn send_read(
        &self,
        hub: &mut Hub,
        now: Now,
        request: u32,
        view: u32,
        start: Start,
        budget: u32,
    ) {
        let request = HubRequest::Read {
            request,
            view,
            start,
            budget_bytes: budget,
        };
        hub.handle_request(now, self.id, request)
            .expect("a read is never a violation");
    }

    /// Takes what the hub has for this worker and checks it; whether there was anything.
    pub(super) fn take(&mut self, hub: &mut Hub, now: Now, truth: &Truth, budget: u32) -> bool {
        let (bytes, _) = hub.take(self.id);
        let any = !bytes.is_empty();
        let mut rest = bytes.as_slice();
        let mut reader = std::mem::take(&mut self.reader);
        while !rest.is_empty() {
            let got = reader.fill(|space| {
                let n = space.len().min(rest.len());
                space[..n].copy_from_slice(&rest[..n]);
                Ok::<_, ()>(n)
            });
            rest = &rest[got.unwrap_or(0)..];
            while reader
                .next_event(|event| self.on_event(event, truth))
                .expect("well formed")
            {}
        }
        assert_eq!(reader.pending(), 0, "batches end with whole frames");
        self.reader = reader;
        hub.give_back(self.id, bytes);
        for (request, view, start) in std::mem::take(&mut self.continues) {
            self.send_read(hub, now, request, view, start, budget);
        }
        any
    }

    fn on_event(&mut self, event: HubEvent<'_>, truth: &Truth) {
        match event {
            HubEvent::Hello { position, .. } => {
                assert_eq!(self.position, -1, "hello comes first");
                self.position = position;
            }
            HubEvent::Entry(entry) => {
                assert!(
                    entry.offset > self.newest.max(self.position).max(self.joined_at),
                    "in order and once"
                );
                self.newest = entry.offset;
                truth.check_entry(&entry);
                self.on_entry(entry.topic, entry.offset);
            }
            HubEvent::Position { position } => self.move_to(position, truth),
            HubEvent::Watched { view, position } => {
                self.move_to(position, truth);
                let watched = self.views.get_mut(&view).expect("asked for");
                assert_eq!((watched.since, watched.asked_at), (None, position));
                watched.since = Some(position);
            }
            HubEvent::Lost {
                view,
                from,
                to,
                count,
            } => self.on_lost(view, from, to, count, truth),
            HubEvent::Slice { head, entries } => {
                let mut offsets = Vec::new();
                for entry in entries {
                    truth.check_entry(&entry);
                    offsets.push(entry.offset);
                }
                self.on_slice(&head, offsets, truth);
            }
            HubEvent::Replied { .. } | HubEvent::CallFailed { .. } => panic!("nobody calls"),
            HubEvent::ReadFailed { request, .. } => {
                assert!(!self.chains.contains_key(&request), "its view is watched");
            }
            HubEvent::Published { request, offset } => self.acks.push((request, offset)),
            HubEvent::PublishFailed { .. } => panic!("all publications of the model are good"),
        }
    }

    fn move_to(&mut self, position: i64, truth: &Truth) {
        assert!(position >= self.position && position >= self.newest && position <= truth.head());
        self.position = position;
    }

    fn on_entry(&mut self, topic: &str, offset: i64) {
        let mut wanted = false;
        for watched in self.views.values_mut() {
            let matches = pubsub_wire::topic::matches(&watched.text, topic);
            if matches && watched.since.is_some_and(|since| since < offset) {
                wanted = true;
                watched.live.push(offset);
            }
        }
        assert!(wanted, "nobody here wants {topic}");
    }

    fn on_lost(&mut self, view: u32, from: i64, to: i64, count: Option<u64>, truth: &Truth) {
        let watched = self.views.get_mut(&view).expect("asked for");
        let since = watched.since.expect("nothing is lost before it is watched");
        assert!(since < from && from <= to && to <= truth.head());
        assert!(
            watched.live.last().is_none_or(|&last| last < from),
            "in its place"
        );
        let in_range = truth.of_view(&watched.text, from - 1, to);
        let (held, all) = in_range.fold((0, 0), |(held, all), fact| {
            (held + u64::from(fact.held), all + 1)
        });
        assert_eq!(held, 0, "what is held is not lost");
        assert!(count.is_none_or(|count| count == all), "{count:?} of {all}");
        assert!(
            count.is_some() || !self.single_rule,
            "with one rule the count is always known"
        );
        watched.lost.push((from, to, count));
    }

    fn on_slice(&mut self, head: &SliceHead, offsets: Vec<i64>, truth: &Truth) {
        let Some(chain) = self.chains.get_mut(&head.request) else {
            return;
        };
        let text = &self.views[&chain.view].text;
        assert!(head.start <= head.end && head.end <= truth.head());
        assert!(
            offsets
                .iter()
                .all(|o| (head.start + 1..=head.end).contains(o))
                && offsets.is_sorted()
        );
        check_gap(chain, head, text, truth, self.single_rule);
        chain.misses |= head
            .gap
            .is_some_and(|gap| gap.reason == LostHistory::Memory);
        if let (Some(gap), Start::After { otherwise, .. }) = (head.gap, &chain.start) {
            chain.compacted |= *otherwise == pubsub_wire::value::Else::Last && chain.upto.is_none();
            assert!(
                gap.reason == LostHistory::Epoch
                    || chain.upto.is_some()
                    || gap.from.is_some()
                    || chain.compacted
            );
        }
        if chain.compacted && chain.upto.is_none() {
            chain.owed = truth.newest_of(text);
            chain.owed.retain(|(_, _, offset)| *offset > head.end);
        }
        if !chain.compacted {
            assert_eq!(
                offsets,
                truth.offsets_of(text, head.start, head.end),
                "a slice has no holes"
            );
        }
        if let (Start::Recent(n), None, Some(&first)) = (&chain.start, chain.upto, offsets.first())
        {
            let known = truth.offsets_of(text, first - 1, chain.asked_at).len() as u64;
            assert!(known <= *n, "no more than the newest {n}");
        }
        chain.upto = Some(head.end);
        chain.read.extend(offsets);
        if head.joined {
            assert!(self.newest <= head.end, "what came live before is older");
            chain.joined = true;
            self.joined_at = head.end;
        } else {
            let start = Start::Continue {
                offset: head.end,
                compacted: chain.compacted,
            };
            self.continues.push((head.request, chain.view, start));
        }
    }

    /// Nothing moves any more: every entry of every view has been received or its loss announced.
    pub(super) fn check_complete(&self, truth: &Truth) {
        assert_eq!(
            self.position,
            truth.head(),
            "it has been told how far it is"
        );
        for watched in self.views.values().filter(|watched| !watched.gone) {
            let since = watched.since.expect("answered");
            let is_lost = |o: &i64| {
                watched
                    .lost
                    .iter()
                    .any(|(from, to, _)| (from..=to).contains(&o))
            };
            let expected: Vec<i64> = truth
                .offsets_of(&watched.text, since, truth.head())
                .into_iter()
                .filter(|o| !is_lost(o))
                .collect();
            assert_eq!(watched.live, expected, "{}", watched.text);
        }
        for chain in self.chains.values() {
            assert!(chain.joined, "every read is answered to its end: {chain:?}");
            self.check_chain(chain, truth);
        }
    }

    /// A reader that joined has all there was, or knows what it misses.
    fn check_chain(&self, chain: &Chain, truth: &Truth) {
        let watched = &self.views[&chain.view];
        if let (Start::Recent(n), true) = (&chain.start, self.single_rule) {
            let join = chain.upto.unwrap_or(0);
            let of_view = truth.of_view(&watched.text, 0, join);
            let held = of_view.filter(|fact| fact.held).count() as u64;
            assert!(
                chain.read.len() as u64 >= held.min(*n),
                "the newest {n} of {held}: {chain:?}"
            );
        }
        if chain.compacted {
            let join = chain.upto.unwrap_or(0);
            let live = watched.live.iter().filter(|&&offset| offset > join);
            let mut known = BTreeMap::new();
            for &offset in chain.read.iter().chain(live) {
                known.insert(truth.identity_of(offset), offset);
            }
            for (topic, key, offset) in truth.newest_of(&watched.text) {
                let lost = watched
                    .lost
                    .iter()
                    .any(|(from, to, _)| (*from..=*to).contains(&offset));
                let found = known.get(&(topic.clone(), key.clone()));
                assert!(
                    lost || found == Some(&offset),
                    "{topic} {key} {offset}: {found:?}"
                );
            }
            for (topic, key, offset) in &chain.owed {
                let found = known.get(&(topic.clone(), key.clone()));
                let is_lost =
                    |(from, to, _): &(i64, i64, _)| *to >= *offset && *from <= truth.head();
                assert!(
                    chain.misses || found >= Some(offset) || watched.lost.iter().any(is_lost),
                    "{topic} {key} {offset}: {found:?}, and nothing was said"
                );
            }
        }
    }
}

fn check_gap(chain: &Chain, head: &SliceHead, text: &str, truth: &Truth, single_rule: bool) {
    let before = match (&chain.start, chain.upto) {
        (_, Some(upto)) => Some(upto),
        (Start::After { offset, .. }, None) => Some(*offset),
        _ => None,
    };
    let Some(gap) = head.gap else {
        // Without a gap it goes on exactly where it was.
        assert!(
            before.is_none_or(|before| before == head.start),
            "{before:?} {head:?}"
        );
        return;
    };
    let before = before.expect("a gap follows a position");
    if gap.reason == LostHistory::Memory {
        assert!(
            truth.newest_left(text, before),
            "some did leave after {before}"
        );
    }
    if gap.reason != LostHistory::Retention {
        assert_eq!((gap.from, gap.to, gap.count), (None, None, None));
        return;
    }
    let (Some(from), Some(to)) = (gap.from, gap.to) else {
        assert!(gap.from.is_none() && gap.to.is_none() && gap.count.is_none());
        return;
    };
    assert_eq!((from, to), (before + 1, head.start), "{head:?}");
    let (kept, all) = truth
        .of_view(text, before, to)
        .fold((0, 0), |(kept, all), fact| {
            (kept + u64::from(fact.held), all + 1)
        });
    let skips_to_live = matches!(
        chain.start,
        Start::After {
            otherwise: pubsub_wire::value::Else::Live,
            ..
        }
    );
    assert!(
        kept == 0 || !single_rule || skips_to_live,
        "what is held is read"
    );
    assert!(
        gap.count.is_none_or(|count| count == all && count > 0),
        "{gap:?}: {all}"
    );
}
