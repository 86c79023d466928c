//! Publications on their way to the log, and who waits to hear that they are in it.

use hashbrown::HashMap;
use pubsub_wire::command::Publish;
use pubsub_wire::topic::matches;
use pubsub_wire::{ErrorCode, Id, encode};

use crate::config::{Now, SessionId};
use crate::engine::Engine;
use crate::hub::{HubRequest, Refusal};

/// When a client may try again while the hub is away: about what its return takes.
pub(crate) const HUB_RETRY_MS: u64 = 500;

#[derive(Debug)]
struct Waiting {
    session: SessionId,
    id: Id,
    topic: Box<str>,
    /// It has left the engine: its outcome is the hub's.
    sent: bool,
}

/// The publications that wait for an answer.
#[derive(Debug, Default)]
pub(crate) struct Publishes {
    waiting: HashMap<u64, Waiting>,
    last: u64,
}

impl Publishes {
    /// A request has left the engine.
    pub(crate) fn sent(&mut self, request: u64) {
        if let Some(waiting) = self.waiting.get_mut(&request) {
            waiting.sent = true;
        }
    }
}

fn error(code: ErrorCode, message: &str) -> encode::ErrorFrame<'_> {
    encode::ErrorFrame {
        id: None,
        code,
        message,
        field: None,
        retry_after_ms: None,
    }
}

impl Engine {
    pub(crate) fn publish(&mut self, now: Now, index: u32, id: Option<Id>, publish: &Publish<'_>) {
        if let Err((frame, count)) = self.check_publish(now, index, id.is_some(), publish) {
            *count(&mut self.stats) += 1;
            self.refuse(index, id.as_ref(), &frame);
            return;
        }
        let mut request = 0;
        if let Some(id) = id {
            self.publishes.last += 1;
            request = self.publishes.last;
            let waiting = Waiting {
                session: self.session_id(index),
                id,
                topic: (*publish.topic).into(),
                sent: false,
            };
            self.publishes.waiting.insert(request, waiting);
        }
        self.stats.published += 1;
        self.hub.requests.push_back(HubRequest::Publish {
            request,
            topic: publish.topic.to_string(),
            key: publish.key.as_ref().map(ToString::to_string),
            data: publish.data.as_bytes().into(),
        });
    }

    #[allow(
        clippy::type_complexity,
        reason = "which counter a refusal raises goes with the refusal"
    )]
    fn check_publish(
        &mut self,
        now: Now,
        index: u32,
        wants_answer: bool,
        publish: &Publish<'_>,
    ) -> Result<
        (),
        (
            encode::ErrorFrame<'static>,
            fn(&mut crate::Stats) -> &mut u64,
        ),
    > {
        if !self.sessions[index as usize].may_publish {
            let why = "this connection may not publish; the node allows it by --publish";
            return Err((error(ErrorCode::Forbidden, why), |s| {
                &mut s.rejected_forbidden
            }));
        }
        if self
            .config
            .publish_denied
            .iter()
            .any(|p| matches(p, &publish.topic))
        {
            let why = "only the node itself publishes this topic";
            return Err((error(ErrorCode::Forbidden, why), |s| {
                &mut s.rejected_forbidden
            }));
        }
        if let Err(wait_ns) = self.pace_publish(now, index, publish.data.len() as u64) {
            self.strike(now, index);
            let mut frame = error(
                ErrorCode::RateLimited,
                "too many publications or bytes a second",
            );
            frame.retry_after_ms = Some(wait_ns.div_ceil(1_000_000));
            return Err((frame, |s| &mut s.rejected_rate));
        }
        let mut away = error(
            ErrorCode::Unavailable,
            "the log is being restarted; nothing was published",
        );
        away.retry_after_ms = Some(HUB_RETRY_MS);
        if !self.hub.up {
            return Err((away, |s| &mut s.rejected_unavailable));
        }
        if wants_answer && self.publishes.waiting.len() >= self.config.pending_publishes {
            away.message = "too many publications wait for the log; nothing was published";
            return Err((away, |s| &mut s.rejected_unavailable));
        }
        Ok(())
    }

    fn pace_publish(&mut self, now: Now, index: u32, bytes: u64) -> Result<(), u64> {
        let (per_s, bytes_per_s) = (self.config.publishes_per_s, self.config.publish_bytes_per_s);
        let session = &mut self.sessions[index as usize];
        let mut publishes = session.publishes;
        publishes.take(now.mono_ns, 1, per_s, u64::from(per_s))?;
        session
            .publish_bytes
            .take(now.mono_ns, bytes, bytes_per_s, u64::from(bytes_per_s))?;
        session.publishes = publishes;
        Ok(())
    }

    /// A publication is in the log.
    pub(crate) fn on_published(&mut self, request: u64, offset: i64) {
        let Some(waiting) = self.publishes.waiting.remove(&request) else {
            return;
        };
        let Some(index) = self.open_session(waiting.session) else {
            return;
        };
        let epoch = std::rc::Rc::clone(&self.hub.epoch);
        self.send(index, |out| {
            encode::published(out, Some(&waiting.id), &waiting.topic, &epoch, offset);
        });
    }

    /// A publication was refused.
    pub(crate) fn on_publish_failed(&mut self, request: u64, why: &Refusal<'_>) {
        let Some(waiting) = self.publishes.waiting.remove(&request) else {
            return;
        };
        let mut frame = error(why.code, why.message);
        frame.retry_after_ms = why.retry_after_ms;
        self.answer_failed(&waiting, &frame);
    }

    /// The link is gone: what had been sent may be in the log or not, what had not is not.
    pub(crate) fn fail_publishes(&mut self) {
        self.hub.requests.clear();
        let mut all: Vec<(u64, Waiting)> = self.publishes.waiting.drain().collect();
        all.sort_unstable_by_key(|(request, _)| *request);
        for (_, waiting) in all {
            let mut frame = if waiting.sent {
                error(
                    ErrorCode::UnknownOutcome,
                    "the log went away before it answered; it may have been published",
                )
            } else {
                error(
                    ErrorCode::Unavailable,
                    "the log is being restarted; nothing was published",
                )
            };
            if !waiting.sent {
                frame.retry_after_ms = Some(HUB_RETRY_MS);
            }
            self.answer_failed(&waiting, &frame);
        }
    }

    fn answer_failed(&mut self, waiting: &Waiting, frame: &encode::ErrorFrame<'_>) {
        if let Some(index) = self.open_session(waiting.session) {
            self.refuse(index, Some(&waiting.id), frame);
        }
    }
}
