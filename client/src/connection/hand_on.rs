//! From the session to the program: events into their streams, answers to whoever waits, states to all handles.
use super::{Connection, Way, now};
use crate::error::RequestError;
use crate::event::Event;
use crate::link::{To, Waiter};
use crate::session::{Answer, Output, RequestId, SubscriptionId};
use crate::subscription::Subscription;
use futures::channel::mpsc as stream;
use std::task::{Context, Poll};

impl Connection {
    /// Hands on what the session put out, until a stream is full.
    pub(super) fn hand_on(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        loop {
            if let Some((id, event)) = self.held.take() {
                self.held = self.deliver(cx, id, event);
                if self.held.is_some() {
                    return progress;
                }
                progress = true;
            }
            let Some(output) = self.session.poll_output() else {
                return progress;
            };
            progress = true;
            self.on_output(output);
        }
    }

    /// At the end: answers, and the events there is room for.
    pub(super) fn hand_on_rest(&mut self) {
        let held = self.held.take().map(|(id, event)| Output::Event(id, event));
        let mut next = held;
        while let Some(output) = next.take().or_else(|| self.session.poll_output()) {
            match output {
                Output::Event(id, event) => {
                    if let Some(stream) = self.streams.get_mut(&id)
                        && stream.try_send(event).is_err()
                    {
                        // What follows must not come without what is before it.
                        self.streams.remove(&id);
                    }
                }
                output => self.on_output(output),
            }
        }
    }

    /// Gives the event back if its stream is full.
    fn deliver(
        &mut self,
        cx: &mut Context<'_>,
        id: SubscriptionId,
        event: Event,
    ) -> Option<(SubscriptionId, Event)> {
        if matches!(&self.way, Way::Open(line) if line.is_left()) {
            return None;
        }
        let stream = self.streams.get_mut(&id)?;
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
            Output::Goaway(goaway) => {
                self.policy.handle_goaway(now(), &goaway);
                self.channels.goaway.send_replace(Some(goaway));
            }
            Output::Stray(refusal) => self.channels.strays.send_modify(|(count, last)| {
                *count += 1;
                *last = Some(refusal);
            }),
        }
    }

    /// Whoever gave up waiting drops the answer, and a subscription in it is thereby let go.
    fn on_answer(&mut self, request: RequestId, answer: Result<Answer, RequestError>) {
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
