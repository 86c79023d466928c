//! Commands of clients: what is asked for, refused or carried out.
//!
//! Commands of a session take effect in the order in which they come. A refusal changes nothing.

use std::rc::Rc;

use pubsub_wire::command::{self, Subscribe};
use pubsub_wire::value::From;
use pubsub_wire::{Command, CommandError, ErrorCode, Id, close, encode};

use crate::config::{Now, SessionId};
use crate::engine::Engine;
use crate::history::Step;
use crate::hub::Start;
use crate::ring::Hold;
use crate::session::Control;
use crate::subscription::{Opening, UNLIMITED};

/// Refusals for their rate after which a client that goes on is closed, in bursts of its own.
const STRIKES_BURSTS: u32 = 2;

pub(crate) fn refusal(code: ErrorCode, field: &'static str, message: &str) -> CommandError {
    CommandError {
        id: None,
        code,
        message: message.to_owned(),
        field: Some(field.to_owned()),
    }
}

/// What is said of a subscription that isn't there.
pub(crate) fn not_subscribed() -> CommandError {
    refusal(
        ErrorCode::NotSubscribed,
        "topic",
        "this session has no such subscription",
    )
}

/// An error as its client is told.
pub(crate) fn frame_of<'a>(error: &'a CommandError, id: Option<&'a Id>) -> encode::ErrorFrame<'a> {
    encode::ErrorFrame {
        id,
        code: error.code,
        message: &error.message,
        field: error.field.as_deref(),
        retry_after_ms: None,
    }
}

impl Engine {
    /// One command of a client.
    pub fn handle_text(&mut self, now: Now, session: SessionId, text: &str) {
        let Some(index) = self.open_session(session) else {
            return;
        };
        self.now = now;
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
        self.mind_memory();
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
            Command::Credit { topic, n } => self.credit(now, index, &topic, n),
            Command::Reconfigure(change) => self.reconfigure(now, index, id.as_ref(), &change),
            Command::Call(call) => {
                self.call(now, index, id, &call);
                Ok(())
            }
            // Has its own way, for its own pace.
            Command::Publish(_) => Ok(()),
        }
    }

    pub(crate) fn answer_error(&mut self, index: u32, id: Option<&Id>, error: &CommandError) {
        match error.code {
            ErrorCode::Limit => self.stats.rejected_limit += 1,
            _ => self.stats.rejected_bad += 1,
        }
        let frame = frame_of(error, id.or(error.id.as_ref()));
        self.send(index, |out| encode::error(out, &frame));
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
            self.stats.closed_policy += 1;
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
        let settings = self.settings_of(wanted);
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
        self.check_cohorts(&wanted.topic, &settings)?;
        let index = self.add_subscription(now, session, &wanted.topic, &settings);
        self.subscriptions[index as usize].extra().opening = Some(Box::new(Opening {
            id,
            start,
            asked: false,
            leave: None,
        }));
        self.open(now, index);
        Ok(())
    }

    /// Demand for `n` more messages.
    fn credit(&mut self, now: Now, session: u32, topic: &str, n: u64) -> Result<(), CommandError> {
        let index = self.find(session, topic)?;
        if self.subscriptions[index as usize].credit == UNLIMITED {
            return Err(refusal(
                ErrorCode::BadField,
                "credit",
                "this subscription has no credit setting: its demand is unlimited",
            ));
        }
        // What waited for credit was bounded until now.
        let key = self.key(index);
        if self.subscriptions[index as usize].hold == Hold::Parked {
            self.settle(now, index);
        }
        if self.subscription_index(key).is_some() {
            self.subscriptions[index as usize].add_credit(n);
            self.go_on(now, index);
        }
        Ok(())
    }

    /// A subscription that may have waited for credit, or whose settings are others now, goes on.
    pub(crate) fn go_on(&mut self, now: Now, index: u32) {
        let key = self.key(index);
        let session = self.subscriptions[index as usize].session;
        let blocked = self.sessions[session as usize].blocked;
        if !blocked {
            self.unpark(index);
        }
        if self.subscriptions[index as usize].credit > 0 {
            self.wake_reader(index, Step::Starved);
        }
        self.next_step(now, index);
        if self.subscription_index(key).is_none() {
            return;
        }
        if blocked && self.subscriptions[index as usize].is_ready {
            self.park(now, index);
        } else {
            self.queue(session);
        }
    }

    /// The subscription that a session has under this text.
    pub(crate) fn find(&self, session: u32, text: &str) -> Result<u32, CommandError> {
        let found = self
            .views
            .find(text)
            .and_then(|view| self.named(session, view));
        found.ok_or_else(not_subscribed)
    }

    /// Tells a client where its subscription begins.
    pub(crate) fn answer_subscribed(&mut self, index: u32, position: i64) {
        let settings = self.settings(index);
        let subscription = &self.subscriptions[index as usize];
        let view = self.views.get(subscription.view);
        let Some(opening) = subscription.extra.as_ref().and_then(|e| e.opening.as_ref()) else {
            return;
        };
        let (id, text, epoch) = (opening.id.as_ref(), &view.text, &view.epoch);
        let frame = Rc::from(
            self.frames
                .text(|out| encode::subscribed(out, id, text, epoch, position, &settings)),
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
