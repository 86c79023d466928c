//! The protocol's client side as a pure state machine: ids, answers still awaited, and whose event an event is.
//!
//! Must not contain a socket, a clock, a channel or a task. The connection drives it: each question of the program goes
//! into [`Session::handle_ask`], each text frame into [`Session::handle_text`], and afterwards
//! [`Session::poll_transmit`] gives what to send and [`Session::poll_output`] what to hand on, both until empty.
//!
//! Laws: every request gets exactly one answer unless the connection ends; events of a subscription come out in the order
//! they came in, after its `subscribed` and until its `unsubscribed`; a subscription that was let go is unsubscribed from,
//! and nothing of it comes out any more; a text that is still being unsubscribed from is asked for again only afterwards.
#[cfg(test)]
mod laws;
mod messages;
#[cfg(test)]
mod tests;

use crate::error::Refusal;
use crate::event::{Event, Goaway};
use hashbrown::HashMap;
use pubsub_wire::command::{Publish, Reconfigure, Subscribe};
use pubsub_wire::encode::command as encode;
use pubsub_wire::server::{self, ServerMessage, parse_server};
use pubsub_wire::value::{Ledger, Settings, Welcome};
use pubsub_wire::{Command, ErrorCode, Id};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// Names a request until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestId(u64);

/// Names a subscription as long as anything of it is left; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SubscriptionId(u64);

/// What the program wants.
#[derive(Debug)]
pub(crate) enum Ask {
    Subscribe(Box<Subscribe>),
    /// The topic in it is filled in here.
    Reconfigure(SubscriptionId, Box<Reconfigure>),
    Credit(SubscriptionId, u64),
    Ledger(SubscriptionId, AnswerTo),
    Unsubscribe(SubscriptionId, Unsent, AnswerTo),
    Publish(Publication, Acknowledgement),
    Ping,
}

/// Where an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AnswerTo {
    /// To whoever asked.
    Caller,
    /// Into the subscription's stream, in its place.
    Stream,
}

/// What becomes of what the server has not sent yet when a subscription ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unsent {
    Discard,
    Deliver,
}

/// Whether the server is to say that a publication is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledgement {
    Wanted,
    Unwanted,
}

/// A publication on its way.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) topic: String,
    pub(crate) key: Option<String>,
    pub(crate) data: String,
}

/// What the server answered.
#[derive(Debug)]
pub(crate) enum Answer {
    Subscribed(SubscriptionId, server::Subscribed),
    Reconfigured(Settings),
    Ledger(Ledger),
    Unsubscribed(Ledger),
    Published(server::Published),
    Pong,
    /// It went into the stream.
    InStream,
}

/// What the connection hands on.
#[derive(Debug)]
pub(crate) enum Output {
    Welcome(Welcome),
    Answer(RequestId, Result<Answer, Refusal>),
    Event(SubscriptionId, Event),
    /// No event of it comes any more.
    Ended(SubscriptionId),
    /// Call `handle_release` again then.
    ReleaseLater(SubscriptionId, Duration),
    Goaway(Goaway),
    /// An error that answers no request.
    Stray(Refusal),
}

/// The server sent what it must not send.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct Violation(String);

/// What an answer is awaited for.
#[derive(Debug)]
enum Pending {
    Subscribe(Arc<str>),
    Reconfigure,
    Ledger(Arc<str>, AnswerTo),
    Unsubscribe(Arc<str>, AnswerTo),
    Publish,
    Ping,
}

#[derive(Debug)]
struct Subscription {
    id: SubscriptionId,
    phase: Phase,
    /// Asked for while this one was ending.
    next: Option<(RequestId, Subscribe)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not answered yet.
    Starting,
    Active,
    /// Unsubscribing; somebody reads on.
    Ending,
    /// Unsubscribing; nobody reads.
    Released,
}

/// One connection's state.
#[derive(Debug, Default)]
pub(crate) struct Session {
    numbers: u64,
    welcomed: bool,
    pending: HashMap<RequestId, Pending>,
    /// By topic or pattern, which is how the server names them.
    subscriptions: HashMap<Arc<str>, Subscription>,
    texts: HashMap<SubscriptionId, Arc<str>>,
    transmits: VecDeque<String>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// Takes a question. `None` where no answer will come; refused where the server needn't be asked.
    pub(crate) fn handle_ask(&mut self, ask: Ask) -> Result<Option<RequestId>, Refusal> {
        match ask {
            Ask::Subscribe(subscribe) => self.on_subscribe(*subscribe).map(Some),
            Ask::Reconfigure(id, mut change) => {
                self.text(id)?.as_ref().clone_into(&mut change.topic);
                Ok(Some(self.request(
                    Pending::Reconfigure,
                    &Command::Reconfigure(*change),
                )))
            }
            Ask::Credit(id, n) => {
                let topic = self.text(id)?.to_string();
                self.transmit(None, &Command::Credit { topic, n });
                Ok(None)
            }
            Ask::Ledger(id, to) => {
                let text = self.text(id)?;
                let topic = text.to_string();
                let pending = Pending::Ledger(text, to);
                Ok(Some(self.request(pending, &Command::Ledger { topic })))
            }
            Ask::Unsubscribe(id, unsent, to) => self.on_unsubscribe(id, unsent, to).map(Some),
            Ask::Publish(publication, acknowledgement) => {
                Ok(self.on_publish(&publication, acknowledgement))
            }
            Ask::Ping => Ok(Some(self.request(Pending::Ping, &Command::Ping))),
        }
    }

    /// Nobody reads this subscription any more.
    pub(crate) fn handle_release(&mut self, id: SubscriptionId) {
        let Ok(text) = self.text(id) else { return };
        let Some(subscription) = self.subscriptions.get_mut(&text) else {
            return;
        };
        let before = std::mem::replace(&mut subscription.phase, Phase::Released);
        if before != Phase::Ending {
            self.unsubscribe(text, Unsent::Discard, AnswerTo::Stream);
        }
    }

    /// Takes one text frame of the server.
    pub(crate) fn handle_text(&mut self, text: &str) -> Result<(), Violation> {
        let message = parse_server(text).map_err(|error| Violation(error.to_string()))?;
        match message {
            ServerMessage::Welcome(welcome) if !self.welcomed => {
                self.welcomed = true;
                self.outputs.push_back(Output::Welcome(welcome));
                Ok(())
            }
            ServerMessage::Welcome(_) => Err(Violation("it welcomed twice".into())),
            _ if !self.welcomed => Err(Violation("its first message was no welcome".into())),
            message => self.on_message(message),
        }
    }

    /// The next frame to send.
    pub(crate) fn poll_transmit(&mut self) -> Option<String> {
        self.transmits.pop_front()
    }

    /// The next thing to hand on.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether there is nothing to send.
    pub(crate) fn is_transmitted(&self) -> bool {
        self.transmits.is_empty()
    }

    fn on_subscribe(&mut self, subscribe: Subscribe) -> Result<RequestId, Refusal> {
        let text: Arc<str> = subscribe.topic.as_str().into();
        match self.subscriptions.get_mut(&text) {
            None => Ok(self.subscribe(text, subscribe)),
            Some(old) if old.phase == Phase::Released && old.next.is_none() => {
                let id = RequestId(next(&mut self.numbers));
                old.next = Some((id, subscribe));
                Ok(id)
            }
            Some(_) => {
                let message = "this client has a subscription of that topic or pattern";
                Err(Refusal::local(ErrorCode::AlreadySubscribed, message))
            }
        }
    }

    fn subscribe(&mut self, text: Arc<str>, subscribe: Subscribe) -> RequestId {
        let request = RequestId(next(&mut self.numbers));
        self.subscribe_as(request, text, subscribe);
        request
    }

    fn subscribe_as(&mut self, request: RequestId, text: Arc<str>, subscribe: Subscribe) {
        let id = SubscriptionId(next(&mut self.numbers));
        let subscription = Subscription {
            id,
            phase: Phase::Starting,
            next: None,
        };
        self.subscriptions.insert(text.clone(), subscription);
        self.texts.insert(id, text.clone());
        self.pending.insert(request, Pending::Subscribe(text));
        self.transmit(Some(request), &Command::Subscribe(subscribe));
    }

    fn on_unsubscribe(
        &mut self,
        id: SubscriptionId,
        unsent: Unsent,
        to: AnswerTo,
    ) -> Result<RequestId, Refusal> {
        let text = self.text(id)?;
        match self.subscriptions.get_mut(&text) {
            Some(subscription) if subscription.phase == Phase::Active => {
                subscription.phase = Phase::Ending;
            }
            _ => {
                return Err(Refusal::local(
                    ErrorCode::NotSubscribed,
                    "this subscription is ending",
                ));
            }
        }
        Ok(self.unsubscribe(text, unsent, to))
    }

    fn unsubscribe(&mut self, text: Arc<str>, unsent: Unsent, to: AnswerTo) -> RequestId {
        let topic = text.to_string();
        let drain = unsent == Unsent::Deliver;
        self.request(
            Pending::Unsubscribe(text, to),
            &Command::Unsubscribe { topic, drain },
        )
    }

    fn on_publish(
        &mut self,
        publication: &Publication,
        acknowledgement: Acknowledgement,
    ) -> Option<RequestId> {
        let command = Command::Publish(Publish {
            topic: publication.topic.as_str().into(),
            key: publication.key.as_deref().map(Into::into),
            data: &publication.data,
        });
        match acknowledgement {
            Acknowledgement::Wanted => Some(self.request(Pending::Publish, &command)),
            Acknowledgement::Unwanted => {
                self.transmit(None, &command);
                None
            }
        }
    }

    fn request(&mut self, pending: Pending, command: &Command<'_>) -> RequestId {
        let id = RequestId(next(&mut self.numbers));
        self.pending.insert(id, pending);
        self.transmit(Some(id), command);
        id
    }

    fn transmit(&mut self, id: Option<RequestId>, command: &Command<'_>) {
        let mut text = Vec::new();
        encode::command(&mut text, id.map(|id| Id::number(id.0)).as_ref(), command);
        self.transmits
            .push_back(String::from_utf8_lossy(&text).into_owned());
    }

    fn text(&self, id: SubscriptionId) -> Result<Arc<str>, Refusal> {
        let text = self.texts.get(&id).cloned();
        text.ok_or_else(|| Refusal::local(ErrorCode::NotSubscribed, "this subscription has ended"))
    }
}

/// Requests and subscriptions are numbered from one counter; what is named differs by type.
fn next(numbers: &mut u64) -> u64 {
    *numbers += 1;
    *numbers
}
