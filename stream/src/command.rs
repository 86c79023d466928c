//! Commands of clients: what is asked for, refused or carried out.
//!
//! Commands of a session take effect in the order in which they come. A refusal changes nothing.

use std::rc::Rc;

use pubsub_wire::command::{self, Subscribe};
use pubsub_wire::topic::{is_pattern, matches};
use pubsub_wire::value::{Bound, From, Overflow, Settings};
use pubsub_wire::{Command, CommandError, ErrorCode, Id, close, encode};

use crate::config::{Defaults, Now, SessionId};
use crate::engine::Engine;
use crate::hub::Start;
use crate::ring::Reach;
use crate::session::Control;
use crate::subscription::{Draining, Leave, Opening, Stage};
use crate::timer::CLOSE_FLUSH_NS;

/// Bound of a subscription where neither it nor the node names another.
const DEFAULT_BOUND: Bound = Bound {
    messages: Some(1024),
    bytes: Some(1 << 20),
    age_ms: Some(30_000),
};
/// Refusals for their rate after which a client that goes on is closed, in bursts of its own.
const STRIKES_BURSTS: u32 = 2;

fn refusal(code: ErrorCode, field: &'static str, message: &str) -> CommandError {
    CommandError {
        id: None,
        code,
        message: message.to_owned(),
        field: Some(field.to_owned()),
    }
}

fn later(field: &'static str, what: &str) -> CommandError {
    refusal(
        ErrorCode::BadField,
        field,
        &format!("{what} is not available in this version"),
    )
}

impl Engine {
    /// One command of a client.
    pub fn handle_text(&mut self, now: Now, session: SessionId, text: &str) {
        let Some(index) = self.open_session(session) else {
            return;
        };
        self.stats.commands += 1;
        let request = match command::parse(text, &self.config.limits) {
            Ok(request) => request,
            Err(error) => {
                if self.pace_command(now, index, error.id.as_ref()) {
                    self.answer_error(index, None, &error);
                }
                return;
            }
        };
        if let Command::Publish(publish) = &request.command {
            self.publish(now, index, request.id, publish);
            return;
        }
        if self.pace_command(now, index, request.id.as_ref()) {
            let id = request.id.clone();
            if let Err(error) = self.command(now, index, request.id, request.command) {
                self.answer_error(index, id.as_ref(), &error);
            }
        }
        self.ask();
    }

    fn command(
        &mut self,
        now: Now,
        index: u32,
        id: Option<Id>,
        command: Command<'_>,
    ) -> Result<(), CommandError> {
        match command {
            Command::Subscribe(subscribe) => self.subscribe(now, index, id, &subscribe),
            Command::Unsubscribe { topic, drain } => {
                self.unsubscribe(now, index, id, &topic, drain)
            }
            Command::Ledger { topic } => {
                let subscription = self.find(index, &topic)?;
                let subscription = self.key(subscription);
                self.control(index, Control::Ledger { id, subscription });
                Ok(())
            }
            Command::Ping => {
                self.send(index, |out| encode::pong(out, id.as_ref(), now.wall_us));
                Ok(())
            }
            Command::Credit { topic, .. } => {
                self.find(index, &topic)?;
                Err(refusal(
                    ErrorCode::BadField,
                    "credit",
                    "this subscription has no credit setting: its demand is unlimited",
                ))
            }
            Command::Reconfigure(reconfigure) => {
                self.find(index, &reconfigure.topic)?;
                Err(later("op", "reconfigure"))
            }
            Command::Call(call) => self.call(index, &call.method),
            // Has its own way, for its own pace.
            Command::Publish(_) => Ok(()),
        }
    }

    fn call(&mut self, index: u32, method: &str) -> Result<(), CommandError> {
        if !self.sessions[index as usize].may_publish {
            return Err(refusal(
                ErrorCode::Forbidden,
                "op",
                "this connection may not call; the node allows it by --publish",
            ));
        }
        let message = format!("there is no method {method:.64}");
        Err(CommandError {
            id: None,
            code: ErrorCode::UnknownMethod,
            message,
            field: Some("method".to_owned()),
        })
    }

    fn answer_error(&mut self, index: u32, id: Option<&Id>, error: &CommandError) {
        match error.code {
            ErrorCode::Limit => self.stats.rejected_limit += 1,
            ErrorCode::Forbidden => self.stats.rejected_forbidden += 1,
            _ => self.stats.rejected_bad += 1,
        }
        let frame = encode::ErrorFrame {
            id: None,
            code: error.code,
            message: &error.message,
            field: error.field.as_deref(),
            retry_after_ms: None,
        };
        self.refuse(index, id.or(error.id.as_ref()), &frame);
    }

    /// Whether a command is within the session's rate; if not, it is refused here.
    fn pace_command(&mut self, now: Now, index: u32, id: Option<&Id>) -> bool {
        let (per_s, burst) = (
            self.config.commands_per_s,
            u64::from(self.config.commands_burst),
        );
        let session = &mut self.sessions[index as usize];
        let Err(wait_ns) = session.commands.take(now.mono_ns, 1, per_s, burst) else {
            return true;
        };
        self.stats.rejected_rate += 1;
        let frame = encode::ErrorFrame {
            id: None,
            code: ErrorCode::RateLimited,
            message: "too many commands a second",
            field: None,
            retry_after_ms: Some(wait_ns.div_ceil(1_000_000)),
        };
        self.refuse(index, id, &frame);
        self.strike(now, index);
        false
    }

    /// A command came too fast; one that goes on like that is closed.
    pub(crate) fn strike(&mut self, now: Now, index: u32) {
        /// A client that paused for so long begins anew.
        const FORGIVEN_NS: u64 = 10_000_000_000;
        let Some(session) = self.sessions.get_mut(index as usize) else {
            return;
        };
        if now.mono_ns.saturating_sub(session.struck_ns) > FORGIVEN_NS {
            session.strikes = 0;
        }
        session.struck_ns = now.mono_ns;
        session.strikes += 1;
        if session.strikes > STRIKES_BURSTS * self.config.commands_burst && !session.closing {
            self.close(now, index, close::POLICY, "too many commands a second");
        }
    }

    fn subscribe(
        &mut self,
        now: Now,
        session: u32,
        id: Option<Id>,
        wanted: &Subscribe,
    ) -> Result<(), CommandError> {
        let start = start_of(wanted)?;
        let settings = self.settings_of(wanted)?;
        if self.find(session, &wanted.topic).is_ok() {
            return Err(refusal(
                ErrorCode::AlreadySubscribed,
                "topic",
                "this session has this subscription already",
            ));
        }
        let most = self.config.limits.subscriptions;
        if self.sessions[session as usize].subscriptions as usize >= most {
            return Err(refusal(
                ErrorCode::Limit,
                "topic",
                &format!("a session may have {most} subscriptions"),
            ));
        }
        let bound = Reach {
            messages: settings.bound.messages.unwrap_or(0),
            bytes: settings.bound.bytes.unwrap_or(0),
        };
        let index = self.add_subscription(now, session, &wanted.topic, bound, settings.overflow);
        self.subscriptions[index as usize].extra().opening = Some(Opening {
            id,
            settings,
            start,
            leave: None,
        });
        self.open(index);
        Ok(())
    }

    fn settings_of(&self, wanted: &Subscribe) -> Result<Settings, CommandError> {
        if wanted
            .rate
            .is_some_and(|r| r.mode != pubsub_wire::value::RateMode::All)
        {
            return Err(later("rate", "a rate"));
        }
        if wanted.batch.is_some() {
            return Err(later("batch", "batching"));
        }
        if wanted.credit.is_some() {
            return Err(later("credit", "credit"));
        }
        if wanted.bound.age_ms.is_some() {
            return Err(later("bound.age_ms", "a bound by age"));
        }
        let overflow = wanted
            .overflow
            .or_else(|| self.default_of(&wanted.topic, |d| d.overflow))
            .unwrap_or(Overflow::DropOldest);
        if matches!(overflow, Overflow::DropNewest | Overflow::Spill) {
            return Err(later(
                "overflow",
                &format!("the policy {}", overflow.as_str()),
            ));
        }
        let mut bound = self.bound_of(&wanted.topic, wanted.bound);
        bound.age_ms = None;
        Ok(Settings {
            from: wanted.from.clone().unwrap_or(From::Live),
            rate: None,
            batch: None,
            bound,
            overflow,
            credit: None,
        })
    }

    /// The bound of a subscription that named `named`: with defaults where it named nothing, and no more than is allowed.
    fn bound_of(&self, text: &str, named: Bound) -> Bound {
        let default = Bound {
            messages: self.default_of(text, |d| d.bound.messages),
            bytes: self.default_of(text, |d| d.bound.bytes),
            age_ms: self.default_of(text, |d| d.bound.age_ms),
        };
        let bound = named
            .resolve(default, &self.config.limits)
            .resolve(DEFAULT_BOUND, &self.config.limits);
        let most = self.config.most.iter().find(|(p, _)| covers(p, text));
        most.map_or(bound, |(_, most)| Bound {
            messages: bound.messages.map(|n| n.min(most.messages)),
            bytes: bound.bytes.map(|n| n.min(most.bytes)),
            age_ms: bound.age_ms.map(|n| n.min(most.age_ms)),
        })
    }

    /// A setting of a subscription that doesn't name it.
    fn default_of<T>(&self, text: &str, setting: impl Fn(&Defaults) -> Option<T>) -> Option<T> {
        let defaults = self.config.defaults.iter();
        defaults
            .filter(|d| covers(&d.pattern, text))
            .find_map(setting)
    }

    fn unsubscribe(
        &mut self,
        now: Now,
        session: u32,
        id: Option<Id>,
        topic: &str,
        drain: bool,
    ) -> Result<(), CommandError> {
        let index = self.find(session, topic)?;
        let subscription = &mut self.subscriptions[index as usize];
        if let Some(opening) = subscription.extra.as_mut().and_then(|e| e.opening.as_mut()) {
            opening.leave = Some(Leave(id));
            self.forget_name(index);
            return Ok(());
        }
        if !drain {
            self.leave(index, id);
            return Ok(());
        }
        if subscription.draining().is_some() {
            return Err(refusal(
                ErrorCode::NotSubscribed,
                "topic",
                "it is being unsubscribed already",
            ));
        }
        let stop = self.views.get(subscription.view).ring.head();
        let until_ns = now.mono_ns + CLOSE_FLUSH_NS;
        subscription.extra().draining = Some(Draining { id, stop, until_ns });
        self.make_ready(index);
        self.arm(session, until_ns);
        self.queue(session);
        Ok(())
    }

    /// Ends a subscription at the next frame boundary.
    pub(crate) fn leave(&mut self, index: u32, id: Option<Id>) {
        let subscription = &self.subscriptions[index as usize];
        let session = subscription.session;
        self.settle(index);
        self.set_aside(index);
        self.forget_name(index);
        self.remove_ready(index);
        self.subscriptions[index as usize].leaving = true;
        let subscription = self.key(index);
        self.control(session, Control::Unsubscribed { id, subscription });
    }

    /// Ends a subscription that was unsubscribed before it had begun.
    pub(crate) fn leave_if_wanted(&mut self, index: u32) {
        let Some(opening) = self.subscriptions[index as usize]
            .extra
            .as_mut()
            .and_then(|e| e.opening.take())
        else {
            return;
        };
        self.subscriptions[index as usize].tidy();
        if let Some(Leave(id)) = opening.leave {
            self.leave(index, id);
        }
    }

    pub(crate) fn compose_ledger(&mut self, id: Option<&Id>, key: crate::view::SubKey) -> Rc<[u8]> {
        let Some(index) = self.subscription_index(key) else {
            return Rc::from([]);
        };
        self.settle_for_ledger(index);
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        let mut ledger = subscription.ledger(view);
        self.count_finished(index, &mut ledger);
        let epoch = subscription.epoch(view);
        Rc::from(
            self.frames
                .text(|out| encode::ledger(out, id, &view.text, epoch, &ledger)),
        )
    }

    /// The gaps that were not announced yet and the final ledger, as one piece.
    pub(crate) fn compose_unsubscribed(
        &mut self,
        id: Option<&Id>,
        key: crate::view::SubKey,
    ) -> Rc<[u8]> {
        let Some(index) = self.subscription_index(key) else {
            return Rc::from([]);
        };
        self.settle_for_ledger(index);
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        let mut bytes = Vec::new();
        for gap in subscription.extra.iter().flat_map(|e| &e.gaps) {
            bytes.extend_from_slice(self.frames.text(|out| encode::gap(out, &view.text, gap)));
        }
        let mut ledger = subscription.ledger(view);
        self.count_finished(index, &mut ledger);
        bytes.extend_from_slice(
            self.frames
                .text(|out| encode::unsubscribed(out, id, &view.text, &ledger)),
        );
        bytes.into()
    }

    fn settle_for_ledger(&mut self, index: u32) {
        let parked = self.subscriptions[index as usize].hold == crate::ring::Hold::Parked;
        if parked && self.subscriptions[index as usize].stage == Stage::Ring {
            self.settle(index);
        }
    }

    /// A frame under way is whole before anything else is written: a ledger that follows it counts it as delivered.
    fn count_finished(&self, index: u32, ledger: &mut pubsub_wire::value::Ledger) {
        let in_flight = self.subscriptions[index as usize].in_flight();
        ledger.delivered += in_flight;
        ledger.pending.memory -= in_flight;
    }

    /// The subscription that a session has under this text.
    fn find(&self, session: u32, text: &str) -> Result<u32, CommandError> {
        let found = self
            .views
            .find(text)
            .and_then(|view| self.named(session, view));
        found.ok_or_else(|| {
            refusal(
                ErrorCode::NotSubscribed,
                "topic",
                "this session has no such subscription",
            )
        })
    }

    /// Tells a client where its subscription begins.
    pub(crate) fn answer_subscribed(&mut self, index: u32, position: i64) {
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        let Some(opening) = subscription.extra.as_ref().and_then(|e| e.opening.as_ref()) else {
            return;
        };
        let (id, text, epoch) = (opening.id.as_ref(), &view.text, &view.epoch);
        let frame = Rc::from(
            self.frames
                .text(|out| encode::subscribed(out, id, text, epoch, position, &opening.settings)),
        );
        self.control(subscription.session, Control::Frame(frame));
    }
}

/// What the hub has to be asked for; nothing: the subscription begins at the head.
fn start_of(wanted: &Subscribe) -> Result<Option<Start>, CommandError> {
    Ok(match wanted.from.clone().unwrap_or(From::Live) {
        From::Live => None,
        From::Earliest => Some(Start::Earliest),
        From::Last => Some(Start::Last),
        From::Recent(n) => Some(Start::Recent(n)),
        From::After {
            epoch,
            offset,
            otherwise,
        } => Some(Start::After {
            epoch,
            offset,
            otherwise,
        }),
        From::Positions { .. } => {
            let why = "the log of this node has one partition: name a position by epoch and offset";
            return Err(refusal(ErrorCode::BadField, "from.positions", why));
        }
    })
}

/// Whether a subscription to `text` can receive nothing but what `pattern` stands for.
fn covers(pattern: &str, text: &str) -> bool {
    pattern == text || (!is_pattern(text) && matches(pattern, text)) || includes(pattern, text)
}

/// Whether every topic that `text` matches is matched by `pattern` too, token by token.
fn includes(pattern: &str, text: &str) -> bool {
    let (mut outer, mut inner) = (pattern.split('.'), text.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (Some(">"), Some(_)) | (None, None) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::includes;

    #[test]
    fn a_pattern_includes_another_that_matches_no_more() {
        assert!(includes("quotes.>", "quotes.*"));
        assert!(includes("quotes.>", "quotes.>"));
        assert!(includes("quotes.>", "quotes.A.b"));
        assert!(includes("quotes.*", "quotes.A"));
        assert!(!includes("quotes.*", "quotes.>"));
        assert!(!includes("quotes.>", ">"));
        assert!(!includes("quotes.>", "quotes"));
        assert!(!includes("quotes.A", "quotes.*"));
    }
}
