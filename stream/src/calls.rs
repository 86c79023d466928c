//! Calls: questions to services of the node, and who waits for their answers.
//!
//! The engine knows no method. It hands a call out ([`Engine::poll_call`]); whoever drives it answers at once
//! ([`Engine::handle_answer`]) or has it sent to the hub ([`Engine::forward_call`]), whose answer comes as an event. Answers travel in the
//! control lane, so that data never delays them.
//!
//! Laws: a call is answered once, or its session is gone; how many are under way is bounded, for a session and for the worker.

use std::collections::VecDeque;

use hashbrown::HashMap;
use pubsub_wire::command::{Call, FieldError};
use pubsub_wire::{ErrorCode, Id, encode};

use crate::config::{Now, SessionId};
use crate::engine::Engine;
use crate::hub::{HubRequest, Refusal};
use crate::publish::HUB_RETRY_MS;

/// When a client may try again whose calls, or the worker's, are too many: about what answers take.
const FULL_RETRY_MS: u64 = 50;
/// It never reached the hub, which is away.
const NOT_SENT: Refusal<'static> = Refusal {
    code: ErrorCode::Unavailable,
    message: "the log is being restarted; nothing was done",
    retry_after_ms: Some(HUB_RETRY_MS),
};
/// The hub has gone with it.
const UNANSWERED: Refusal<'static> = Refusal {
    code: ErrorCode::UnknownOutcome,
    message: "the log went away before it answered; it may have been done",
    retry_after_ms: None,
};

/// A call to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Called {
    /// The engine's number for it.
    pub request: u64,
    /// Name of the method.
    pub method: Box<str>,
    /// JSON, byte for byte.
    pub params: Box<str>,
    /// Of no use from then on, monotonic; never: 0.
    pub deadline_ns: u64,
}

/// What has come of a call.
#[derive(Debug, Clone, Copy)]
pub enum Answer<'a> {
    /// Its result, JSON.
    Result(&'a str),
    /// It came to nothing.
    Failed(Refusal<'a>),
    /// Its parameters are wrong, each in its way.
    Wrong(&'a [FieldError]),
}

/// How far a call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Whoever drives the engine has it, or is to get it.
    Here,
    /// It is to be sent to the hub.
    Queued,
    /// Its outcome is the hub's.
    Sent,
}

#[derive(Debug)]
struct Waiting {
    session: SessionId,
    id: Option<Id>,
    stage: Stage,
    /// Its place among the methods that are counted.
    method: usize,
    received_ns: u64,
}

/// The calls under way.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    waiting: HashMap<u64, Waiting>,
    fresh: VecDeque<Called>,
    last: u64,
}

impl Calls {
    /// A request has left the engine.
    pub(crate) fn sent(&mut self, request: u64) {
        if let Some(waiting) = self.waiting.get_mut(&request) {
            waiting.stage = Stage::Sent;
        }
    }
}

impl Engine {
    /// The next call to be carried out.
    pub fn poll_call(&mut self) -> Option<Called> {
        self.calls.fresh.pop_front()
    }

    /// What has come of a call.
    pub fn handle_answer(&mut self, now: Now, request: u64, answer: Answer<'_>) {
        let Some(waiting) = self.calls.waiting.remove(&request) else {
            return;
        };
        let error = match answer {
            Answer::Result(_) => None,
            Answer::Failed(why) => Some(why.code),
            Answer::Wrong(_) => Some(ErrorCode::BadField),
        };
        self.stats.count_call(waiting.method, error);
        let took_ns = now.mono_ns.saturating_sub(waiting.received_ns);
        self.stats.call.record(took_ns);
        let Some(index) = self.session_index(waiting.session) else {
            return;
        };
        self.sessions[index as usize].calls -= 1;
        if self.open_session(waiting.session).is_none() {
            return;
        }
        let id = waiting.id.as_ref();
        match answer {
            Answer::Result(result) => self.send(index, |out| encode::reply(out, id, result)),
            Answer::Failed(why) => {
                let frame = encode::ErrorFrame {
                    id,
                    code: why.code,
                    message: why.message,
                    field: None,
                    retry_after_ms: why.retry_after_ms,
                };
                self.send(index, |out| encode::error(out, &frame));
            }
            Answer::Wrong(fields) => {
                let frame = encode::ErrorFrame {
                    id,
                    code: ErrorCode::BadField,
                    message: "some parameters are wrong",
                    field: None,
                    retry_after_ms: None,
                };
                self.send(index, |out| encode::error_fields(out, &frame, fields));
            }
        }
    }

    /// Sends a call on to the hub, in the bytes that whoever carries it out there reads; to the engine they say nothing.
    pub fn forward_call(&mut self, now: Now, called: &Called, bytes: Vec<u8>) {
        let Some(waiting) = self.calls.waiting.get_mut(&called.request) else {
            return;
        };
        if !self.hub.up {
            self.handle_answer(now, called.request, Answer::Failed(NOT_SENT));
            return;
        }
        waiting.stage = Stage::Queued;
        self.hub.requests.push_back(HubRequest::Call {
            request: called.request,
            deadline_ns: called.deadline_ns,
            bytes,
        });
    }

    pub(crate) fn call(&mut self, now: Now, index: u32, id: Option<Id>, call: &Call<'_>) {
        let methods = &self.config.methods;
        let known = methods.iter().position(|m| **m == *call.method);
        let method = known.unwrap_or(methods.len());
        if let Some((code, message, retry_after_ms)) = self.refuses_call(index) {
            self.stats.count_call(method, Some(code));
            let count = match code {
                ErrorCode::Forbidden => &mut self.stats.rejected_forbidden,
                _ => &mut self.stats.rejected_limit,
            };
            *count += 1;
            let frame = encode::ErrorFrame {
                id: None,
                code,
                message,
                field: None,
                retry_after_ms,
            };
            self.refuse(index, id.as_ref(), &frame);
            return;
        }
        self.sessions[index as usize].calls += 1;
        self.calls.last += 1;
        let request = self.calls.last;
        let waiting = Waiting {
            session: self.session_id(index),
            id,
            stage: Stage::Here,
            method,
            received_ns: now.mono_ns,
        };
        self.calls.waiting.insert(request, waiting);
        self.calls.fresh.push_back(Called {
            request,
            method: (*call.method).into(),
            params: call.params.into(),
            deadline_ns: call
                .deadline_ms
                .map_or(0, |ms| now.mono_ns + ms * 1_000_000),
        });
    }

    /// Whether a call is not even begun, and why.
    fn refuses_call(&self, index: u32) -> Option<(ErrorCode, &'static str, Option<u64>)> {
        let session = &self.sessions[index as usize];
        if !session.may_publish {
            let why = "this connection may not call; the node allows it by --publish";
            return Some((ErrorCode::Forbidden, why, None));
        }
        let full = |why| Some((ErrorCode::Limit, why, Some(FULL_RETRY_MS)));
        if session.calls >= self.config.calls_per_session {
            full("as many calls of this session are under way as may be")
        } else if self.calls.waiting.len() >= self.config.calls {
            full("as many calls are under way here as may be")
        } else {
            None
        }
    }

    /// The link is gone: what had been sent may have been done or not, what had not was not. `hub.requests` must be cleared already.
    pub(crate) fn fail_calls(&mut self, now: Now) {
        let waiting = self.calls.waiting.iter();
        let mut gone: Vec<(u64, Stage)> = waiting
            .filter(|(_, w)| w.stage != Stage::Here)
            .map(|(request, w)| (*request, w.stage))
            .collect();
        gone.sort_unstable_by_key(|(request, _)| *request);
        for (request, stage) in gone {
            let why = match stage {
                Stage::Sent => UNANSWERED,
                Stage::Here | Stage::Queued => NOT_SENT,
            };
            self.handle_answer(now, request, Answer::Failed(why));
        }
    }
}
