//! What is to be sent: publications and calls, which may outlive a connection unsent, and what only this one can be told.
use super::{Acknowledgement, Call, Pending, Publication, RequestId, Session, encoded};
use crate::error::Refusal;
use pubsub_wire::command::Publish;
use pubsub_wire::{Command, ErrorCode};
use std::time::Instant;

/// What is to be sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// What only this connection can be told.
    Text(String),
    /// Goes with the next connection if it didn't with this.
    Publication(Option<RequestId>, String),
    /// Encoded at the last moment, since it tells how much of its time is left.
    Call(RequestId),
}

impl Outgoing {
    pub(super) fn request(&self) -> Option<RequestId> {
        match self {
            Self::Publication(request, _) => *request,
            Self::Call(request) => Some(*request),
            Self::Text(_) => None,
        }
    }
}

impl Session {
    /// The next frame to send; none while there is no connection.
    pub(crate) fn poll_transmit(&mut self, now: Instant) -> Option<String> {
        self.frame_bytes?;
        loop {
            let text = match self.transmits.pop_front()? {
                Outgoing::Text(text) | Outgoing::Publication(_, text) => Some(text),
                Outgoing::Call(id) => self.begin_call(now, id),
            };
            if text.is_some() {
                return text;
            }
        }
    }

    pub(super) fn on_publish(
        &mut self,
        publication: &Publication,
        acknowledgement: Acknowledgement,
    ) -> Result<Option<RequestId>, Refusal> {
        let command = Command::Publish(Publish {
            topic: publication.topic.as_str().into(),
            key: publication.key.as_deref().map(Into::into),
            data: &publication.data,
        });
        let wanted = acknowledgement == Acknowledgement::Wanted;
        let id = wanted.then(|| self.number());
        let text = encoded(id, &command);
        self.check_size(text.len())?;
        if let Some(id) = id {
            self.pending.insert(id, Pending::Publish);
        }
        self.transmits.push_back(Outgoing::Publication(id, text));
        Ok(id)
    }

    pub(super) fn on_call(
        &mut self,
        call: Box<Call>,
        until: Instant,
    ) -> Result<RequestId, Refusal> {
        let id = self.number();
        self.check_size(encoded_call(id, &call, u64::MAX).len())?;
        self.pending.insert(id, Pending::Call(call, until));
        self.transmits.push_back(Outgoing::Call(id));
        Ok(id)
    }

    /// A larger one would cost the connection (1009).
    fn check_size(&self, bytes: usize) -> Result<(), Refusal> {
        match self.frame_bytes {
            Some(limit) if bytes > limit => {
                let message = format!("{bytes} bytes in one frame; the server takes {limit}");
                Err(Refusal::local(ErrorCode::TooLarge, &message))
            }
            _ => Ok(()),
        }
    }

    /// The server counts the time from receipt. What is too late already isn't sent.
    fn begin_call(&mut self, now: Instant, id: RequestId) -> Option<String> {
        let Some(Pending::Call(call, until)) = self.pending.get(&id) else {
            return None;
        };
        let left = until.saturating_duration_since(now).as_millis();
        if left == 0 {
            self.pending.remove(&id);
            let late = Refusal::local(ErrorCode::Deadline, "its time was over before it was sent");
            self.answer(id, Err(late.into()));
            return None;
        }
        Some(encoded_call(
            id,
            call,
            u64::try_from(left).unwrap_or(u64::MAX),
        ))
    }
}

fn encoded_call(id: RequestId, call: &Call, deadline_ms: u64) -> String {
    let command = Command::Call(pubsub_wire::command::Call {
        method: call.method.as_str().into(),
        params: &call.params,
        deadline_ms: Some(deadline_ms),
    });
    encoded(Some(id), &command)
}
