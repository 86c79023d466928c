//! The protocol's client side as a pure state machine: ids, answers still awaited, whose event an event is, and where each
//! subscription goes on. It outlives connections.
//!
//! Must not contain a socket, a clock, a channel or a task. The connection drives it: a welcome goes into
//! [`Session::handle_connected`] and the end of a socket into [`Session::handle_lost`]; in between each question of the program
//! goes into [`Session::handle_ask`] and each text frame into [`Session::handle_text`]; [`Session::poll_transmit`] gives what to send and
//! [`Session::poll_output`] what to hand on, both until empty; [`Session::poll_timeout`] is its one deadline.
//!
//! Laws: every request gets exactly one answer; events of a subscription come out in the order they came in, after its
//! `subscribed` and until its end; over any number of connections nothing of it comes twice or is missing, but for
//! what a gap says (with a rate, newest values may come again); a subscription that was let go is unsubscribed from, and
//! nothing of it comes out any more; a text that is still being unsubscribed from is asked for again only afterwards; what may
//! have been carried out is sent again only if it may be repeated.
#[cfg(test)]
mod laws;
mod messages;
mod outgoing;
mod resume;
#[cfg(test)]
mod tests;
mod vocabulary;
mod wish;

pub(crate) use vocabulary::{
    Acknowledgement, Answer, AnswerTo, Ask, Call, Output, Publication, Repeat, RequestId,
    SubscriptionId, Unsent, Violation, Wanted,
};

use crate::error::Refusal;
use crate::event::Position;
use hashbrown::HashMap;
use outgoing::Outgoing;
use pubsub_wire::command::Reconfigure;
use pubsub_wire::encode::command as encode;
use pubsub_wire::{Command, ErrorCode, Id};
use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

/// The most that can be asked for in one command; more messages than a server will ever send.
const CREDIT_MAX: u64 = 1 << 53;

/// What an answer is awaited for, with what it takes to ask again on another connection.
#[derive(Debug)]
enum Pending {
    Subscribe(SubscriptionId),
    /// The credit it was asked for with.
    Resume(SubscriptionId, Option<u64>),
    /// How much credit had been granted before it.
    Reconfigure(SubscriptionId, Box<Reconfigure>, u64),
    Ledger(SubscriptionId, AnswerTo),
    Unsubscribe(SubscriptionId, Unsent, AnswerTo),
    Publish,
    Call(Box<Call>, Instant),
    Ping,
}

impl Pending {
    /// The subscription it can be asked about only while the server has it.
    fn about(&self) -> Option<SubscriptionId> {
        match self {
            Self::Reconfigure(id, ..) | Self::Ledger(id, _) | Self::Unsubscribe(id, ..) => {
                Some(*id)
            }
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Subscription {
    id: SubscriptionId,
    wanted: Wanted,
    place: Place,
    end: Option<End>,
    /// After all that has come out of it; `None` until it is first answered.
    position: Option<Position>,
    /// What may still come; `None` without the setting.
    credit: Option<u64>,
    /// All that the program ever asked for, so that differences can be taken.
    granted: u64,
    /// How often in a row the server didn't take it again.
    refusals: u32,
    /// Asked for while this one was ending.
    next: Option<(RequestId, Wanted)>,
}

/// Whether the server has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// No connection, or to be asked for again later.
    Away,
    /// Not answered yet.
    Asked,
    There,
}

/// Why no more of it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Somebody reads on to the answer.
    Finishing,
    /// Nobody reads.
    Released,
}

/// A client's state.
#[derive(Debug)]
pub(crate) struct Session {
    /// How often in a row a subscription is asked for again where the server says "later".
    resubscribes: NonZeroU32,
    numbers: u64,
    /// The largest frame that the server takes; `None` while there is no connection.
    frame_bytes: Option<usize>,
    pending: HashMap<RequestId, Pending>,
    /// By topic or pattern, which is how the server names them.
    subscriptions: HashMap<Arc<str>, Subscription>,
    texts: HashMap<SubscriptionId, Arc<str>>,
    /// When something is to be tried again for a subscription.
    retries: Vec<(Instant, SubscriptionId)>,
    transmits: VecDeque<Outgoing>,
    outputs: VecDeque<Output>,
}

impl Session {
    pub(crate) fn new(resubscribes: NonZeroU32) -> Self {
        Self {
            resubscribes,
            numbers: 0,
            frame_bytes: None,
            pending: HashMap::new(),
            subscriptions: HashMap::new(),
            texts: HashMap::new(),
            retries: Vec::new(),
            transmits: VecDeque::new(),
            outputs: VecDeque::new(),
        }
    }

    /// Takes a question; only while there is a connection. `None` where no answer will come; refused where the server
    /// needn't be asked.
    pub(crate) fn handle_ask(&mut self, ask: Ask) -> Result<Option<RequestId>, Refusal> {
        match ask {
            Ask::Subscribe(wanted) => self.on_subscribe(*wanted).map(Some),
            Ask::Reconfigure(id, mut change) => {
                let subscription = self.subscription(id)?;
                change
                    .topic
                    .clone_from(&subscription.wanted.subscribe.topic);
                let granted = subscription.granted;
                Ok(Some(
                    self.ask_about(id, Pending::Reconfigure(id, change, granted)),
                ))
            }
            Ask::Credit(id, n) => self.on_credit(id, n).map(|()| None),
            Ask::Ledger(id, to) => {
                self.subscription(id)?;
                Ok(Some(self.ask_about(id, Pending::Ledger(id, to))))
            }
            Ask::Unsubscribe(id, unsent, to) => {
                let subscription = self.subscription(id)?;
                if subscription.end.is_some() {
                    let message = "this subscription is ending";
                    return Err(Refusal::local(ErrorCode::NotSubscribed, message));
                }
                subscription.end = Some(End::Finishing);
                Ok(Some(
                    self.ask_about(id, Pending::Unsubscribe(id, unsent, to)),
                ))
            }
            Ask::Publish(publication, acknowledgement) => {
                self.on_publish(&publication, acknowledgement)
            }
            Ask::Call(call, until) => self.on_call(call, until).map(Some),
            Ask::Ping => {
                let id = self.number();
                self.pending.insert(id, Pending::Ping);
                self.transmit(Some(id), &Command::Ping);
                Ok(Some(id))
            }
        }
    }

    /// Nobody reads this subscription any more.
    pub(crate) fn handle_release(&mut self, id: SubscriptionId) {
        let Ok(subscription) = self.subscription(id) else {
            return;
        };
        let before = subscription.end.replace(End::Released);
        match subscription.place {
            Place::There if before != Some(End::Finishing) => self.leave(id),
            // Its answer decides.
            Place::There | Place::Asked => {}
            Place::Away => self.end_away(id),
        }
    }

    /// The next thing to hand on.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether questions may come: there is a connection, and all before is sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.frame_bytes.is_some() && self.transmits.is_empty()
    }

    fn on_subscribe(&mut self, wanted: Wanted) -> Result<RequestId, Refusal> {
        let text: Arc<str> = wanted.subscribe.topic.as_str().into();
        match self.subscriptions.get_mut(&text) {
            None => {
                let request = self.number();
                self.begin(request, text, wanted);
                Ok(request)
            }
            Some(old) if old.end == Some(End::Released) && old.next.is_none() => {
                let request = RequestId(next(&mut self.numbers));
                old.next = Some((request, wanted));
                Ok(request)
            }
            Some(_) => {
                let message = "this client has a subscription of that topic or pattern";
                Err(Refusal::local(ErrorCode::AlreadySubscribed, message))
            }
        }
    }

    fn begin(&mut self, request: RequestId, text: Arc<str>, wanted: Wanted) {
        let id = SubscriptionId(next(&mut self.numbers));
        let subscription = Subscription {
            id,
            wanted,
            place: Place::Away,
            end: None,
            position: None,
            credit: None,
            granted: 0,
            refusals: 0,
            next: None,
        };
        self.subscriptions.insert(text.clone(), subscription);
        self.texts.insert(id, text);
        self.pending.insert(request, Pending::Subscribe(id));
        if self.frame_bytes.is_some() {
            self.ask_for(id, request);
        }
    }

    /// While the server doesn't have it, credit is kept until it does.
    fn on_credit(&mut self, id: SubscriptionId, n: u64) -> Result<(), Refusal> {
        let n = n.min(CREDIT_MAX);
        let subscription = self.subscription(id)?;
        subscription.granted = subscription.granted.saturating_add(n);
        if let Some(credit) = &mut subscription.credit {
            *credit = credit.saturating_add(n).min(CREDIT_MAX);
        }
        if subscription.place == Place::There {
            let topic = subscription.wanted.subscribe.topic.clone();
            self.transmit(None, &Command::Credit { topic, n });
        }
        Ok(())
    }

    /// Asks now if the server has the subscription, and otherwise when it has.
    fn ask_about(&mut self, id: SubscriptionId, pending: Pending) -> RequestId {
        let request = self.number();
        self.pending.insert(request, pending);
        if self
            .subscription(id)
            .is_ok_and(|own| own.place == Place::There)
        {
            self.transmit_pending(request);
        }
        request
    }

    /// Sends a question about a subscription that the server has.
    fn transmit_pending(&mut self, request: RequestId) {
        let Some(pending) = self.pending.get_mut(&request) else {
            return;
        };
        let text = pending.about().and_then(|id| self.texts.get(&id));
        let Some(subscription) = text.and_then(|text| self.subscriptions.get(text)) else {
            return;
        };
        let topic = subscription.wanted.subscribe.topic.clone();
        let text = match pending {
            Pending::Reconfigure(_, change, granted) => {
                *granted = subscription.granted;
                encoded(Some(request), &Command::Reconfigure((**change).clone()))
            }
            Pending::Ledger(..) => encoded(Some(request), &Command::Ledger { topic }),
            Pending::Unsubscribe(_, unsent, _) => {
                let drain = *unsent == Unsent::Deliver;
                encoded(Some(request), &Command::Unsubscribe { topic, drain })
            }
            _ => return,
        };
        self.transmits.push_back(Outgoing::Text(text));
    }

    /// Unsubscribes from what nobody reads.
    fn leave(&mut self, id: SubscriptionId) {
        self.ask_about(
            id,
            Pending::Unsubscribe(id, Unsent::Discard, AnswerTo::Stream),
        );
    }

    fn transmit(&mut self, id: Option<RequestId>, command: &Command<'_>) {
        let text = encoded(id, command);
        self.transmits.push_back(Outgoing::Text(text));
    }

    fn subscription(&mut self, id: SubscriptionId) -> Result<&mut Subscription, Refusal> {
        let text = self.texts.get(&id);
        let subscription = text.and_then(|text| self.subscriptions.get_mut(text));
        subscription.ok_or_else(gone)
    }

    fn number(&mut self) -> RequestId {
        RequestId(next(&mut self.numbers))
    }
}

fn gone() -> Refusal {
    Refusal::local(ErrorCode::NotSubscribed, "this subscription has ended")
}

fn encoded(id: Option<RequestId>, command: &Command<'_>) -> String {
    let mut text = Vec::new();
    encode::command(&mut text, id.map(|id| Id::number(id.0)).as_ref(), command);
    String::from_utf8_lossy(&text).into_owned()
}

/// Requests and subscriptions are numbered from one counter; what is named differs by type.
fn next(numbers: &mut u64) -> u64 {
    *numbers += 1;
    *numbers
}
