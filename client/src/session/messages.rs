//! What the server's messages do to the session.
use super::{Answer, AnswerTo, Output, Pending, Phase, RequestId, Session, Violation};
use crate::error::Refusal;
use crate::event::Event;
use pubsub_wire::server::{self, ServerMessage};
use pubsub_wire::{ErrorCode, Id};
use std::time::Duration;

/// How long to wait before a refused unsubscribe is tried again, when the server names no time.
const RETRY: Duration = Duration::from_secs(1);

impl Session {
    pub(super) fn on_message(&mut self, message: ServerMessage) -> Result<(), Violation> {
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
            ServerMessage::Error(error) => self.on_error(error),
            ServerMessage::Unknown | ServerMessage::Welcome(_) => {}
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
        let Some(subscription) = self.subscriptions.get(text) else {
            return;
        };
        if matches!(subscription.phase, Phase::Active | Phase::Ending) {
            self.outputs
                .push_back(Output::Event(subscription.id, event));
        }
    }

    fn on_answer(&mut self, answer: ServerMessage) -> Result<(), Violation> {
        let id = match &answer {
            ServerMessage::Subscribed(answer) => answer.id.as_ref(),
            ServerMessage::Reconfigured(answer) => answer.id.as_ref(),
            ServerMessage::Unsubscribed(answer) => answer.id.as_ref(),
            ServerMessage::Ledger(answer) => answer.id.as_ref(),
            ServerMessage::Published(answer) => answer.id.as_ref(),
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
            (Pending::Subscribe(text), ServerMessage::Subscribed(subscribed)) => {
                let Some(subscription) = self.subscriptions.get_mut(&text) else {
                    return Ok(());
                };
                subscription.phase = Phase::Active;
                Answer::Subscribed(subscription.id, subscribed)
            }
            (Pending::Unsubscribe(text, to), ServerMessage::Unsubscribed(unsubscribed)) => {
                let ledger = unsubscribed.ledger;
                let answer = match to {
                    AnswerTo::Caller => Answer::Unsubscribed(ledger),
                    AnswerTo::Stream => self.in_stream(&text, Event::Unsubscribed(ledger)),
                };
                self.answer(request, Ok(answer));
                self.end(&text);
                return Ok(());
            }
            (Pending::Ledger(text, to), ServerMessage::Ledger(counts)) => {
                let server::Ledger { epoch, ledger, .. } = counts;
                match to {
                    AnswerTo::Caller => Answer::Ledger(ledger),
                    AnswerTo::Stream => self.in_stream(&text, Event::Ledger { epoch, ledger }),
                }
            }
            (Pending::Reconfigure, ServerMessage::Reconfigured(changed)) => {
                Answer::Reconfigured(changed.settings)
            }
            (Pending::Publish, ServerMessage::Published(published)) => Answer::Published(published),
            (Pending::Ping, ServerMessage::Pong(_)) => Answer::Pong,
            _ => return Err(Violation("its answer does not fit the question".into())),
        };
        self.answer(request, Ok(answer));
        Ok(())
    }

    fn answer(&mut self, request: RequestId, answer: Result<Answer, Refusal>) {
        self.outputs.push_back(Output::Answer(request, answer));
    }

    /// Puts an answer into its stream, and leaves only that for whoever asked.
    fn in_stream(&mut self, text: &str, event: Event) -> Answer {
        self.on_event(text, event);
        Answer::InStream
    }

    /// Nothing of it is left at the server; what waited for that goes ahead.
    fn end(&mut self, text: &str) {
        let Some((text, ended)) = self.subscriptions.remove_entry(text) else {
            return;
        };
        self.texts.remove(&ended.id);
        self.outputs.push_back(Output::Ended(ended.id));
        if let Some((request, subscribe)) = ended.next {
            self.subscribe_as(request, text, subscribe);
        }
    }

    fn on_error(&mut self, error: server::ErrorMessage) {
        let request = error.id.as_ref().and_then(Id::as_number).map(RequestId);
        let refusal = Refusal::from(error);
        let pending = request.and_then(|request| Some((request, self.pending.remove(&request)?)));
        let Some((request, pending)) = pending else {
            return self.outputs.push_back(Output::Stray(refusal));
        };
        let retry_after = refusal.retry_after.unwrap_or(RETRY);
        let gone = refusal.code == ErrorCode::NotSubscribed;
        let answer = match &pending {
            Pending::Ledger(text, AnswerTo::Stream)
            | Pending::Unsubscribe(text, AnswerTo::Stream) => {
                Ok(self.in_stream(text, Event::Refused(refusal)))
            }
            _ => Err(refusal),
        };
        self.answer(request, answer);
        match pending {
            Pending::Subscribe(text) => self.end(&text),
            Pending::Unsubscribe(text, _) if gone => self.end(&text),
            Pending::Unsubscribe(text, _) => self.on_unsubscribe_refused(&text, retry_after),
            _ => {}
        }
    }

    /// It goes on; but where nobody reads it, it must go later.
    fn on_unsubscribe_refused(&mut self, text: &str, retry_after: Duration) {
        let Some(subscription) = self.subscriptions.get_mut(text) else {
            return;
        };
        match subscription.phase {
            Phase::Released => {
                let later = Output::ReleaseLater(subscription.id, retry_after);
                self.outputs.push_back(later);
            }
            _ => subscription.phase = Phase::Active,
        }
    }
}
