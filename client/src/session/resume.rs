//! From one connection to the next: what goes on, what is asked again, and what ends because nobody knows.
use super::gone;
use super::outgoing::Outgoing;
use super::{
    Answer, AnswerTo, End, Output, Pending, Place, Repeat, RequestId, Session, SubscriptionId,
    Unsent,
};
use crate::error::{Refusal, RequestError};
use crate::event::{Closed, Event, Position};
use hashbrown::HashSet;
use pubsub_wire::value::{Else, From, Welcome};
use pubsub_wire::{Command, ErrorCode, server};
use std::time::{Duration, Instant};

/// How long to wait before something that was refused is tried again, when the server names no time.
const RETRY: Duration = Duration::from_secs(1);

/// The longest that a server may put it off.
const RETRY_MAX: Duration = Duration::from_secs(3600);

impl Session {
    /// A connection has been welcomed: every subscription is asked for where it stands, then what can be asked again.
    pub(crate) fn handle_connected(&mut self, welcome: &Welcome) {
        self.frame_bytes = Some(welcome.limits.frame_bytes);
        let unsent = std::mem::take(&mut self.transmits);
        let waiting: HashSet<RequestId> = unsent.iter().filter_map(Outgoing::request).collect();
        for id in self.subscription_ids() {
            self.resume(id);
        }
        for request in self.requests() {
            match self.pending[&request] {
                Pending::Call(..) if !waiting.contains(&request) => {
                    self.transmits.push_back(Outgoing::Call(request));
                }
                Pending::Ping => self.transmit(Some(request), &Command::Ping),
                _ => {}
            }
        }
        self.transmits.extend(unsent);
    }

    /// The connection is gone.
    pub(crate) fn handle_lost(&mut self, why: &Closed) {
        self.frame_bytes = None;
        self.retries.clear();
        self.transmits
            .retain(|unsent| !matches!(unsent, Outgoing::Text(_)));
        let unsent: HashSet<RequestId> = self
            .transmits
            .iter()
            .filter_map(Outgoing::request)
            .collect();
        for request in self.requests() {
            let Some(pending) = self.pending.remove(&request) else {
                continue;
            };
            if let Some(pending) = self.outlive(request, pending, &unsent, why) {
                self.pending.insert(request, pending);
            }
        }
        for id in self.subscription_ids() {
            let Ok(subscription) = self.subscription(id) else {
                continue;
            };
            subscription.place = Place::Away;
            if subscription.end == Some(End::Released) {
                self.end_away(id);
            }
        }
    }

    /// The next time something is to be tried again.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.retries.iter().map(|(at, _)| *at).min()
    }

    /// Tries again what is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let retries = std::mem::take(&mut self.retries);
        let (due, later): (Vec<_>, Vec<_>) = retries.into_iter().partition(|(at, _)| *at <= now);
        self.retries = later;
        for (_, id) in due {
            let Ok(subscription) = self.subscription(id) else {
                continue;
            };
            match (subscription.place, subscription.end) {
                (Place::Away, _) => self.resume(id),
                (Place::There, Some(End::Released)) => self.leave(id),
                _ => {}
            }
        }
    }

    pub(super) fn retry(&mut self, now: Instant, id: SubscriptionId, after: Option<Duration>) {
        let after = after.unwrap_or(RETRY).min(RETRY_MAX);
        self.retries.push((now + after, id));
    }

    /// What is still awaited on the next connection.
    fn outlive(
        &mut self,
        request: RequestId,
        pending: Pending,
        unsent: &HashSet<RequestId>,
        why: &Closed,
    ) -> Option<Pending> {
        let unsent = unsent.contains(&request);
        match &pending {
            Pending::Resume(..) => return None,
            Pending::Unsubscribe(id, Unsent::Discard, to) => {
                self.end_discarded(request, *id, *to, why);
                return None;
            }
            Pending::Call(call, _) if unsent || call.repeat == Repeat::Allowed => {}
            Pending::Publish if unsent => {}
            Pending::Call(..) | Pending::Publish => {
                self.answer(request, Err(RequestError::UnknownOutcome(why.clone())));
                return None;
            }
            // Asked behind the end of its subscription; the answer would have said that.
            other
                if other
                    .about()
                    .is_some_and(|id| !self.texts.contains_key(&id)) =>
            {
                self.answer(request, Err(gone().into()));
                return None;
            }
            _ => {}
        }
        Some(pending)
    }

    /// The connection that goes takes it along; only the counts are lost.
    fn end_discarded(
        &mut self,
        request: RequestId,
        id: SubscriptionId,
        to: AnswerTo,
        why: &Closed,
    ) {
        let answer = match to {
            AnswerTo::Caller => Err(RequestError::Closed(why.clone())),
            AnswerTo::Stream => Ok(Answer::InStream),
        };
        let read = self
            .subscription(id)
            .is_ok_and(|own| own.end != Some(End::Released));
        if read && to == AnswerTo::Stream {
            let event = Event::Closed(why.clone());
            self.outputs.push_back(Output::Event(id, event));
        }
        self.answer(request, answer);
        self.end_away(id);
    }

    /// Asks for a subscription where it stands.
    fn resume(&mut self, id: SubscriptionId) {
        let starts = |(request, pending): (&RequestId, &Pending)| match pending {
            Pending::Subscribe(own) if *own == id => Some(*request),
            _ => None,
        };
        let starting = self.pending.iter().find_map(starts);
        let request = starting.unwrap_or_else(|| self.number());
        self.ask_for(id, request);
    }

    pub(super) fn ask_for(&mut self, id: SubscriptionId, request: RequestId) {
        let Ok(subscription) = self.subscription(id) else {
            return;
        };
        subscription.place = Place::Asked;
        let mut subscribe = subscription.wanted.subscribe.clone();
        if let Some(position) = &subscription.position {
            subscribe.from = Some(after(position, subscription.wanted.otherwise));
            subscribe.credit = subscription.credit;
            let credit = subscription.credit;
            self.pending.insert(request, Pending::Resume(id, credit));
        }
        self.transmit(Some(request), &Command::Subscribe(subscribe));
    }

    /// The server has it again.
    pub(super) fn on_resumed(
        &mut self,
        id: SubscriptionId,
        asked: Option<u64>,
        subscribed: server::Subscribed,
    ) {
        let Ok(subscription) = self.subscription(id) else {
            return;
        };
        let from = subscription.position.clone();
        let lost = from
            .as_ref()
            .is_some_and(|from| !holds(&subscribed.at, from));
        // Where something is lost, the gap that says so moves the position: it may be cut off too.
        if !lost {
            subscription.position = Some(subscribed.at);
        }
        subscription.place = Place::There;
        subscription.refusals = 0;
        let topic = subscription.wanted.subscribe.topic.clone();
        // Granted while the question was under way.
        let more = match (subscription.credit, asked) {
            (Some(now), Some(asked)) => now.saturating_sub(asked),
            _ => 0,
        };
        let released = subscription.end == Some(End::Released);
        if let (Some(from), false) = (from, released) {
            let event = Event::Resumed { from, lost };
            self.outputs.push_back(Output::Event(id, event));
        }
        if more > 0 {
            self.transmit(None, &Command::Credit { topic, n: more });
        }
        let mut leaving = false;
        for request in self.requests() {
            let pending = &self.pending[&request];
            if pending.about() == Some(id) {
                leaving |= matches!(pending, Pending::Unsubscribe(..));
                self.transmit_pending(request);
            }
        }
        if released && !leaving {
            self.leave(id);
        }
    }

    /// The server doesn't take it again.
    pub(super) fn on_resume_refused(&mut self, now: Instant, id: SubscriptionId, refusal: Refusal) {
        let limit = self.resubscribes.get();
        let Ok(subscription) = self.subscription(id) else {
            return;
        };
        subscription.place = Place::Away;
        subscription.refusals += 1;
        let later = matches!(
            refusal.code,
            ErrorCode::Limit | ErrorCode::RateLimited | ErrorCode::Unavailable
        );
        if subscription.end == Some(End::Released) {
            self.end_away(id);
        } else if later && subscription.refusals < limit {
            self.retry(now, id, refusal.retry_after);
        } else {
            let event = Event::NotResumed(refusal);
            self.outputs.push_back(Output::Event(id, event));
            self.end_away(id);
        }
    }

    /// Ends what the server doesn't have; what was to be asked about it never will be.
    pub(super) fn end_away(&mut self, id: SubscriptionId) {
        for request in self.requests() {
            if self.pending[&request].about() == Some(id) {
                self.pending.remove(&request);
                self.answer(request, Err(gone().into()));
            }
        }
        self.end(id);
    }

    /// Nothing of it is left at the server; what waited for that goes ahead.
    pub(super) fn end(&mut self, id: SubscriptionId) {
        let Some(text) = self.texts.remove(&id) else {
            return;
        };
        let Some(ended) = self.subscriptions.remove(&text) else {
            return;
        };
        self.retries.retain(|(_, own)| *own != id);
        self.outputs.push_back(Output::Ended(id));
        if let Some((request, wanted)) = ended.next {
            self.begin(request, text, wanted);
        }
    }

    /// In the order they were made.
    fn subscription_ids(&self) -> Vec<SubscriptionId> {
        let mut ids: Vec<SubscriptionId> = self.texts.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// In the order they were asked.
    fn requests(&self) -> Vec<RequestId> {
        let mut ids: Vec<RequestId> = self.pending.keys().copied().collect();
        ids.sort_unstable();
        ids
    }
}

/// The position that a subscription wants to begin after, if it does.
pub(super) fn wanted_position(from: Option<&From>) -> Option<Position> {
    match from? {
        From::After { epoch, offset, .. } => Some(Position::One {
            epoch: epoch.clone(),
            offset: *offset,
        }),
        From::Positions { positions, .. } => Some(Position::Parts {
            positions: positions.clone(),
        }),
        _ => None,
    }
}

fn after(position: &Position, otherwise: Else) -> From {
    match position.clone() {
        Position::One { epoch, offset } => From::After {
            epoch,
            offset,
            otherwise,
        },
        Position::Parts { positions } => From::Positions {
            positions,
            otherwise,
        },
    }
}

/// Whether `at` goes on exactly after `from`; it may name partitions that are new.
pub(super) fn holds(at: &Position, from: &Position) -> bool {
    match (at, from) {
        (Position::Parts { positions: at }, Position::Parts { positions: from }) => {
            from.iter().all(|own| at.contains(own))
        }
        _ => at == from,
    }
}
