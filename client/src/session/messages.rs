//! What the server's messages do to the session.
use super::resume::{holds, wanted_position};
use super::{
    Answer, AnswerTo, CREDIT_MAX, End, Output, Pending, Place, RequestId, Session, SubscriptionId,
    Violation, wish,
};
use crate::error::{Refusal, RequestError};
use crate::event::Event;
use crate::position;
use pubsub_wire::command::Reconfigure;
use pubsub_wire::server::{self, ServerMessage, parse_server};
use pubsub_wire::value::Settings;
use pubsub_wire::{ErrorCode, Id};
use std::time::Instant;

impl Session {
    /// Takes one text frame of the server, behind its welcome.
    pub(crate) fn handle_text(&mut self, now: Instant, text: &str) -> Result<(), Violation> {
        let message = parse_server(text).map_err(|error| Violation(error.to_string()))?;
        match message {
            ServerMessage::Msg(msg) => {
                let text = msg.sub.clone().unwrap_or_else(|| msg.topic.clone());
                self.on_event(&text, Event::Message(msg));
            }
            ServerMessage::Batch(batch) => self.on_batch(batch),
            ServerMessage::Gap(gap) => self.on_event(&gap.topic.clone(), Event::Gap(gap)),
            ServerMessage::Mode(change) => {
                let server::Mode { topic, mode, lag } = change;
                self.on_event(&topic, Event::Mode { mode, lag });
            }
            ServerMessage::Position(position) => {
                self.on_event(&position.topic, Event::Position(position.at));
            }
            ServerMessage::Goaway(goaway) => self.outputs.push_back(Output::Goaway(goaway)),
            ServerMessage::Error(error) => self.on_error(now, error),
            ServerMessage::Unknown => {}
            ServerMessage::Welcome(_) => return Err(Violation("it welcomed twice".into())),
            answer => return self.on_answer(answer),
        }
        Ok(())
    }

    /// Its items as if each had come alone.
    fn on_batch(&mut self, batch: server::Batch) {
        let server::Batch { topic, items } = batch;
        for mut item in items {
            if item.topic != topic {
                item.sub = Some(topic.clone());
            }
            self.on_event(&topic, Event::Message(item));
        }
    }

    fn on_event(&mut self, text: &str, event: Event) {
        let Some(subscription) = self.subscriptions.get_mut(text) else {
            return;
        };
        if subscription.place != Place::There || subscription.end == Some(End::Released) {
            return;
        }
        if let Some(position) = &mut subscription.position {
            position::advance(position, &event);
        }
        if let (Event::Message(_), Some(credit)) = (&event, &mut subscription.credit) {
            *credit = credit.saturating_sub(1);
        }
        let output = Output::Event(subscription.id, event);
        self.outputs.push_back(output);
    }

    fn on_answer(&mut self, answer: ServerMessage) -> Result<(), Violation> {
        let id = match &answer {
            ServerMessage::Subscribed(answer) => answer.id.as_ref(),
            ServerMessage::Reconfigured(answer) => answer.id.as_ref(),
            ServerMessage::Unsubscribed(answer) => answer.id.as_ref(),
            ServerMessage::Ledger(answer) => answer.id.as_ref(),
            ServerMessage::Published(answer) => answer.id.as_ref(),
            ServerMessage::Reply(answer) => answer.id.as_ref(),
            ServerMessage::Pong(answer) => answer.id.as_ref(),
            _ => None,
        };
        let request = id.and_then(Id::as_number).map(RequestId);
        let pending = request.and_then(|request| self.pending.remove(&request));
        let (Some(request), Some(pending)) = (request, pending) else {
            return Err(Violation("it answered what nobody asked".into()));
        };
        self.on_answer_to(request, pending, answer)
    }

    fn on_answer_to(
        &mut self,
        request: RequestId,
        pending: Pending,
        answer: ServerMessage,
    ) -> Result<(), Violation> {
        let answer = match (pending, answer) {
            (Pending::Subscribe(id), ServerMessage::Subscribed(subscribed)) => {
                self.on_subscribed(id, &subscribed);
                Answer::Subscribed(id, subscribed)
            }
            (Pending::Resume(id, asked), ServerMessage::Subscribed(subscribed)) => {
                self.on_resumed(id, asked, subscribed);
                return Ok(());
            }
            (Pending::Unsubscribe(id, _, to), ServerMessage::Unsubscribed(unsubscribed)) => {
                let ledger = unsubscribed.ledger;
                let answer = match to {
                    AnswerTo::Caller => Answer::Unsubscribed(ledger),
                    AnswerTo::Stream => self.in_stream(id, Event::Unsubscribed(ledger)),
                };
                self.answer(request, Ok(answer));
                self.end(id);
                return Ok(());
            }
            (Pending::Ledger(id, to), ServerMessage::Ledger(counts)) => {
                let server::Ledger { epoch, ledger, .. } = counts;
                match to {
                    AnswerTo::Caller => Answer::Ledger(ledger),
                    AnswerTo::Stream => self.in_stream(id, Event::Ledger { epoch, ledger }),
                }
            }
            (Pending::Reconfigure(id, change, granted), ServerMessage::Reconfigured(changed)) => {
                self.on_reconfigured(id, &change, granted, &changed.settings);
                Answer::Reconfigured(changed.settings)
            }
            (Pending::Publish, ServerMessage::Published(published)) => Answer::Published(published),
            (Pending::Call(..), ServerMessage::Reply(reply)) => Answer::Reply(reply.result),
            (Pending::Ping, ServerMessage::Pong(_)) => Answer::Pong,
            _ => return Err(Violation("its answer does not fit the question".into())),
        };
        self.answer(request, Ok(answer));
        Ok(())
    }

    fn on_subscribed(&mut self, id: SubscriptionId, subscribed: &server::Subscribed) {
        if let Ok(subscription) = self.subscription(id) {
            subscription.place = Place::There;
            let wanted = wanted_position(subscription.wanted.subscribe.from.as_ref());
            // Until the gap is here which says that the wanted one is gone, that is where it stands.
            let gone = wanted.filter(|wanted| !holds(&subscribed.at, wanted));
            subscription.position = gone.or_else(|| Some(subscribed.at.clone()));
            subscription.credit = subscribed.settings.credit;
        }
    }

    /// The server says what credit is left; what was granted behind the question isn't in it.
    fn on_reconfigured(
        &mut self,
        id: SubscriptionId,
        change: &Reconfigure,
        granted: u64,
        settings: &Settings,
    ) {
        if let Ok(subscription) = self.subscription(id) {
            wish::change(&mut subscription.wanted.subscribe, change, settings);
            let since = subscription.granted - granted;
            let left = |left: u64| left.saturating_add(since).min(CREDIT_MAX);
            subscription.credit = settings.credit.map(left);
        }
    }

    pub(super) fn answer(&mut self, request: RequestId, answer: Result<Answer, RequestError>) {
        self.outputs.push_back(Output::Answer(request, answer));
    }

    /// Puts an answer into its stream, and leaves only that for whoever asked.
    fn in_stream(&mut self, id: SubscriptionId, event: Event) -> Answer {
        if let Some(text) = self.texts.get(&id).cloned() {
            self.on_event(&text, event);
        }
        Answer::InStream
    }

    fn on_error(&mut self, now: Instant, error: server::ErrorMessage) {
        let request = error.id.as_ref().and_then(Id::as_number).map(RequestId);
        let refusal = Refusal::from(error);
        let pending = request.and_then(|request| Some((request, self.pending.remove(&request)?)));
        match pending {
            Some((request, pending)) => self.on_refusal(now, request, &pending, refusal),
            None => self.outputs.push_back(Output::Stray(refusal)),
        }
    }

    fn on_refusal(
        &mut self,
        now: Instant,
        request: RequestId,
        pending: &Pending,
        refusal: Refusal,
    ) {
        match *pending {
            Pending::Resume(id, _) => self.on_resume_refused(now, id, refusal),
            Pending::Subscribe(id) => {
                self.answer(request, Err(refusal.into()));
                self.end(id);
            }
            Pending::Ledger(id, AnswerTo::Stream) => {
                let answer = self.in_stream(id, Event::Refused(refusal));
                self.answer(request, Ok(answer));
            }
            Pending::Unsubscribe(id, _, to) => {
                self.on_unsubscribe_refused(now, id, &refusal);
                let gone = refusal.code == ErrorCode::NotSubscribed;
                let answer = match to {
                    AnswerTo::Stream => Ok(self.in_stream(id, Event::Refused(refusal))),
                    AnswerTo::Caller => Err(refusal.into()),
                };
                self.answer(request, answer);
                if gone {
                    self.end(id);
                }
            }
            _ => self.answer(request, Err(refusal.into())),
        }
    }

    /// It goes on; but where nobody reads it, it must go later.
    fn on_unsubscribe_refused(&mut self, now: Instant, id: SubscriptionId, refusal: &Refusal) {
        let Ok(subscription) = self.subscription(id) else {
            return;
        };
        if subscription.end == Some(End::Released) {
            self.retry(now, id, refusal.retry_after);
        } else {
            subscription.end = None;
        }
    }
}
