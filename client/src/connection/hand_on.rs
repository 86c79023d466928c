//! From the session to the program: events into their streams, answers to whoever waits, states to all handles.
use super::{Connection, Phase};
use crate::error::{Refusal, RequestError};
use crate::event::Event;
use crate::link::{To, Waiter};
use crate::session::{Answer, Output, RequestId, SubscriptionId};
use crate::subscription::Subscription;
use futures::channel::mpsc as stream;
use pubsub_wire::value::Welcome;
use std::task::{Context, Poll};
use std::time::Duration;

impl<S> Connection<S> {
    /// Hands on what the session put out, until a stream is full.
    pub(super) fn hand_on(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if let Some((id, event)) = self.held.take() {
                self.held = self.deliver(cx, id, event);
                if self.held.is_some() {
                    self.alive_alarm.set_if_unset(self.alive_interval);
                    return progress;
                }
                progress = true;
            }
            let Some(output) = self.session.poll_output() else {
                self.alive_alarm.unset();
                return progress;
            };
            progress = true;
            self.on_output(output);
        }
    }

    /// Gives the event back if its stream is full.
    fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        id: SubscriptionId,
        event: Event,
    ) -> Option<(SubscriptionId, Event)> {
        // After goodbye, what comes is read only to find the end.
        let stream = match self.phase {
            Phase::Open => self.streams.get_mut(&id)?,
            Phase::Closing(_) | Phase::Closed(_) => return None,
        };
        match stream.poll_ready(cx) {
            Poll::Pending => return Some((id, event)),
            // An error is a stream that nobody reads any more; its release is on its way.
            Poll::Ready(ready) => drop(ready.and_then(|()| stream.start_send(event))),
        }
        None
    }

    fn on_output(&mut self, output: Output) {
        match output {
            Output::Event(id, event) => self.held = Some((id, event)),
            Output::Answer(request, answer) => self.on_answer(request, answer),
            Output::Ended(id) => drop(self.streams.remove(&id)),
            Output::ReleaseLater(id, after) => {
                self.retries.push(id);
                self.retry_alarm.set_if_unset(after);
            }
            Output::Welcome(welcome) => self.on_welcome(welcome),
            Output::Goaway(goaway) => drop(self.goaway.send_replace(Some(goaway))),
            Output::Stray(refusal) => self.strays.send_modify(|(count, last)| {
                *count += 1;
                *last = Some(refusal);
            }),
        }
    }

    fn on_welcome(&mut self, welcome: Welcome) {
        self.alive_interval = Duration::from_millis((welcome.heartbeat_ms / 2).max(1));
        if let Some(waiting) = self.welcome.take() {
            // Nobody waits when connecting was given up; the connection then ends by its dropped handles.
            let _ = waiting.send(welcome);
        }
    }

    /// Whoever gave up waiting drops the answer, and a subscription in it is thereby let go.
    fn on_answer(&mut self, request: RequestId, answer: Result<Answer, Refusal>) {
        let answer = answer.map_err(RequestError::Refused);
        let Some(Waiter { to, .. }) = self.waiters.remove(&request) else {
            return;
        };
        match (to, answer) {
            (To::Subscriber(waiting, link), Ok(Answer::Subscribed(id, subscribed))) => {
                let (sender, receiver) = stream::channel(self.settings.stream_events.get() - 1);
                self.streams.insert(id, sender);
                let subscription = Subscription::new(id, subscribed, receiver, link);
                drop(waiting.send(Ok(subscription)));
            }
            (To::Subscriber(waiting, _), Err(error)) => drop(waiting.send(Err(error))),
            (To::Asker(waiting), answer) => drop(waiting.send(answer)),
            (To::Subscriber(..), Ok(_)) | (To::Nobody, _) => {}
        }
    }
}
