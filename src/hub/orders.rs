//! The hub's side of the order desk: what it has of the log, and how calls and quotes reach it.
//!
//! Owns nothing of its own. Must not contain: what becomes of an order. Driven by the core.
use super::core::Hub;
use super::entry::Publication;
use super::held::Answer;
use super::settings::Violation;
use super::worker::WorkerId;
use crate::link::CallRef;
use crate::orders::desk::{Call, Desk, Journal, Refusal};
use crate::orders::venue::Quote;
use crate::quotes::quote::TOPIC_PREFIX;
use pubsub_stream::Now;
use pubsub_stream::hub::{self, HubEvent};
use pubsub_wire::ErrorCode;

/// A log is read through in about so long; trying again sooner would only ask for nothing.
const RESTORING_RETRY_MS: u64 = 500;

/// The hub while its desk is at work.
struct Lent<'h> {
    hub: &'h mut Hub,
    now: Now,
}

impl Journal for Lent<'_> {
    fn report(&mut self, topic: &str, key: &str, data: &[u8]) -> Result<(), Refusal> {
        let publication = Publication {
            topic,
            key: Some(key),
            data,
        };
        match self.hub.publish(self.now, &publication) {
            Ok(_) => Ok(()),
            Err(refused) => Err(Refusal {
                code: refused.code(),
                message: format!("the order could not be reported: {refused}"),
                retry_after_ms: refused.retry_after_ms(),
            }),
        }
    }

    fn quote(&mut self, symbol: &str) -> Option<Quote> {
        let Hub {
            quoted,
            topics,
            newest,
            ..
        } = &mut *self.hub;
        quoted.of(symbol, topics, newest)
    }

    fn wall_us(&self) -> u64 {
        self.now.wall_us
    }
}

impl Hub {
    /// Orders are taken here from now on.
    pub fn open_desk(&mut self, desk: Desk) {
        self.desk = Some(desk);
    }

    /// A call that a worker has checked and sends on; answered before anything else happens.
    pub fn handle_call(
        &mut self,
        now: Now,
        id: WorkerId,
        call: &CallRef<'_>,
    ) -> Result<(), Violation> {
        let &CallRef {
            request,
            deadline_ns,
            bytes,
        } = call;
        let outcome = if deadline_ns != 0 && now.mono_ns >= deadline_ns {
            Err(Refusal {
                code: ErrorCode::Deadline,
                message: "its time was over before it was begun; nothing was done".to_owned(),
                retry_after_ms: None,
            })
        } else {
            self.carry_out(now, Call::unpack(bytes).map_err(Violation::BadCall)?)
        };
        let Some(worker) = self.workers.get_mut(id.index()) else {
            return Ok(());
        };
        match outcome {
            // Not only its own reports: what it tells of others' must last as well.
            Ok(result) if self.log.head() > self.log.acknowledged() => {
                worker.held_back += 1;
                let answer = Answer::Replied { request, result };
                self.held_back.push(self.log.head(), id, answer);
            }
            Ok(result) => worker.send(HubEvent::Replied {
                request,
                result: &result,
            }),
            Err(refusal) => {
                let why = hub::Refusal {
                    code: refusal.code,
                    message: &refusal.message,
                    retry_after_ms: refusal.retry_after_ms,
                };
                worker.send(HubEvent::CallFailed { request, why });
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, now: Now, call: Call) -> Result<String, Refusal> {
        if self.is_restoring() {
            return Err(Refusal {
                code: ErrorCode::Unavailable,
                message: "the orders are still being read from the log; nothing was done"
                    .to_owned(),
                retry_after_ms: Some(RESTORING_RETRY_MS),
            });
        }
        let Some(mut desk) = self.desk.take() else {
            return Err(Refusal {
                code: ErrorCode::Unavailable,
                message: "this node fills no orders; --venue paper would".to_owned(),
                retry_after_ms: None,
            });
        };
        let outcome = desk.handle(call, &mut Lent { hub: self, now });
        self.desk = Some(desk);
        outcome
    }

    /// The orders of a recovered log are known again.
    pub(super) fn resume_desk(&mut self, now: Now) {
        if let Some(mut desk) = self.desk.take() {
            desk.resume(&mut Lent { hub: self, now });
            self.desk = Some(desk);
        }
    }

    /// A publication that may be a quote which somebody waits for.
    pub(super) fn on_numbered(&mut self, now: Now, publication: &Publication<'_>) {
        let wanted = |desk: &Desk| {
            let symbol = publication.topic.strip_prefix(TOPIC_PREFIX)?;
            desk.wants(symbol).then_some(symbol)
        };
        let Some(symbol) = self.desk.as_ref().and_then(wanted) else {
            return;
        };
        let Some(quote) = Quote::read(publication.data) else {
            return;
        };
        if let Some(mut desk) = self.desk.take() {
            desk.on_quote(symbol, &quote, &mut Lent { hub: self, now });
            self.desk = Some(desk);
        }
    }
}
