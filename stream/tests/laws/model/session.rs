//! A session of one subscription: its control lane goes first, and one frame is offered at a time.
use std::collections::VecDeque;
use std::rc::Rc;

use pubsub_stream::Now;
use pubsub_wire::value::Overflow;
use serde_json::{Value, json};

use super::pipeline::Pipeline;
use super::queue::{Item, Loss, Place};
use super::{render, settings};
use crate::drive::Entry;
use crate::subject::covers;

enum Control {
    Text(String),
    Ledger(Value),
    Unsubscribed(Value),
}

/// What the frame on offer means once its first byte is taken.
enum Offer {
    Control,
    /// And how many superseded messages are left out before it.
    Gap(Loss, usize),
    Live,
    Behind,
    Messages(Vec<(usize, Item)>),
    Last,
}

struct Leaving {
    id: Value,
    until_ns: u64,
}

pub struct Session {
    control: VecDeque<Control>,
    subscription: Option<Pipeline>,
    leaving: Option<Leaving>,
    /// The rest of the frame under way, and how many messages it holds.
    rest: Option<(Vec<u8>, u64)>,
    offer: Option<(Vec<u8>, Offer)>,
    blocked: bool,
    ended: bool,
}

impl Session {
    pub fn new() -> Self {
        let welcome = Control::Text(json!({"op": "welcome"}).to_string());
        Self {
            control: VecDeque::from([welcome]),
            subscription: None,
            leaving: None,
            rest: None,
            offer: None,
            blocked: false,
            ended: false,
        }
    }

    pub fn take_close(&mut self) -> Option<u16> {
        let over = self.subscription.as_ref().is_some_and(|s| s.over);
        (over && !std::mem::replace(&mut self.ended, true)).then_some(4001)
    }

    pub fn arrive(&mut self, now: Now, entry: &Rc<Entry>) {
        let stays = self.leaving.is_none() && !self.leaves_at_once();
        if let Some(subscription) = self
            .subscription
            .as_mut()
            .filter(|s| stays && covers(&s.text, &entry.topic))
        {
            subscription.arrive(now, entry);
        }
    }

    fn leaves_at_once(&self) -> bool {
        self.control
            .iter()
            .any(|c| matches!(c, Control::Unsubscribed(_)))
    }

    pub fn timeout(&self) -> Option<u64> {
        let open = self.subscription.as_ref().filter(|_| !self.ended);
        let until = self.leaving.as_ref().map(|l| l.until_ns);
        [open.and_then(Pipeline::due), until]
            .into_iter()
            .flatten()
            .min()
    }

    pub fn wake(&mut self, now: Now) {
        if let Some(subscription) = &mut self.subscription {
            subscription.wake(now);
        }
        if let Some(leaving) = self.leaving.take_if(|l| l.until_ns <= now.mono_ns) {
            self.control.push_back(Control::Unsubscribed(leaving.id));
        }
    }

    pub fn command(&mut self, now: Now, command: &Value, head: i64) {
        let (id, text) = (&command["id"], command["topic"].as_str().unwrap_or(""));
        if command["op"] == "subscribe" {
            let answer = match settings::subscribed(command) {
                Ok(settings) => {
                    let told = json!({"epoch": crate::subject::EPOCH, "offset": head, "settings": settings});
                    self.subscription = Some(Pipeline::new(text, settings, head));
                    render::answer("subscribed", id, text, told)
                }
                Err(field) => render::error(id, "bad_field", field),
            };
            self.control.push_back(Control::Text(answer));
            return;
        }
        let gone = self.leaves_at_once();
        let Some(subscription) = self.subscription.as_mut().filter(|_| !gone) else {
            self.control
                .push_back(Control::Text(render::error(id, "not_subscribed", "topic")));
            return;
        };
        let answer = match command["op"].as_str() {
            Some("reconfigure") => match subscription.reconfigure(now, command) {
                Ok(()) => render::answer(
                    "reconfigured",
                    id,
                    text,
                    json!({"settings": subscription.settings}),
                ),
                Err(field) => render::error(id, "bad_field", field),
            },
            Some("credit") => match subscription.demand {
                None => render::error(id, "bad_field", "credit"),
                Some(demand) => {
                    subscription.give(now);
                    subscription.demand =
                        Some(demand.saturating_add(command["n"].as_u64().unwrap_or(0)));
                    return;
                }
            },
            Some("ledger") => {
                self.control.push_back(Control::Ledger(id.clone()));
                return;
            }
            _ => {
                self.unsubscribe(now, id, command["drain"] == true);
                return;
            }
        };
        self.control.push_back(Control::Text(answer));
    }

    fn unsubscribe(&mut self, now: Now, id: &Value, drain: bool) {
        let Some(subscription) = &mut self.subscription else {
            return;
        };
        if drain {
            // It takes what is pending now: what a rate holds comes behind what a hole has lost so far.
            let in_hole = subscription.queue.is_before_hole();
            subscription.rests |= in_hole || subscription.is_derived();
            subscription.queue.close_hole();
            subscription.flush(now);
            self.leaving = Some(Leaving {
                id: id.clone(),
                until_ns: now.mono_ns + 5_000_000_000,
            });
        } else {
            self.control.push_back(Control::Unsubscribed(id.clone()));
        }
    }

    pub fn writable(&mut self) {
        self.set_blocked(false);
    }

    fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
        if let Some(subscription) = &mut self.subscription {
            subscription.blocked = blocked;
            subscription.parked |= blocked;
        }
    }

    pub fn has_work(&mut self, now: Now) -> bool {
        !self.blocked && !self.ended && !self.lend(now).is_empty()
    }

    pub fn lend(&mut self, now: Now) -> Vec<u8> {
        let leaves = matches!(self.control.front(), Some(Control::Unsubscribed(_)));
        if let Some(subscription) = &mut self.subscription {
            subscription.give(now);
            if leaves && self.rest.is_none() {
                subscription.flush_at_end(now);
            }
        }
        if let Some((rest, _)) = &self.rest {
            return rest.clone();
        }
        self.offer = self.next(now);
        self.offer
            .as_ref()
            .map_or(Vec::new(), |(bytes, _)| bytes.clone())
    }

    fn next(&self, now: Now) -> Option<(Vec<u8>, Offer)> {
        if let Some(control) = self.control.front() {
            return Some((self.control_bytes(now, control), Offer::Control));
        }
        let subscription = self.subscription.as_ref()?;
        let (text, bound) = (&subscription.text, subscription.settings.bound);
        let queue = &subscription.queue;
        let skips = subscription.behind && subscription.settings.overflow == Overflow::Conflate;
        let (skipped, passed) = queue.superseded(skips);
        let lost = match queue.places.get(skipped) {
            Some(Place::Lost(loss)) => Some(loss),
            _ => None,
        };
        // What is left out before a gap is explained by the mode in which it is.
        if subscription.announce && (lost.is_none() || skipped > 0) {
            return Some((mode(subscription, now, "behind"), Offer::Behind));
        }
        if let Some(loss) = lost {
            let bytes = gap(subscription, loss, passed.unwrap_or(subscription.last));
            return Some((bytes, Offer::Gap(loss.clone(), skipped)));
        }
        let through = !subscription.rests || queue.places.is_empty();
        let low = !queue.has_hole() && queue.is_low(bound, now.mono_ns);
        if subscription.behind && through && low {
            return Some((mode(subscription, now, "live"), Offer::Live));
        }
        let credit = subscription.demand.unwrap_or(u64::MAX);
        let frame = if credit > 0 {
            queue.next_frame(skips, credit)
        } else {
            Vec::new()
        };
        if frame.is_empty() {
            let leaving = self.leaving.as_ref()?;
            // What credit doesn't cover is not waited for.
            let through = queue.places.is_empty() || credit == 0;
            let out = through || now.mono_ns >= leaving.until_ns;
            return out.then(|| {
                (
                    Self::unsubscribed(subscription, &leaving.id, 0),
                    Offer::Last,
                )
            });
        }
        let items: Vec<Item> = frame.iter().map(|(_, i)| i.clone()).collect();
        Some((messages(text, &items), Offer::Messages(frame)))
    }

    fn control_bytes(&self, now: Now, control: &Control) -> Vec<u8> {
        match (control, &self.subscription) {
            (Control::Text(text), _) => render::frame(text),
            (Control::Ledger(id), Some(s)) => {
                let more = json!({"epoch": crate::subject::EPOCH, "ledger": s.ledger(0)});
                render::frame(&render::answer("ledger", id, &s.text, more))
            }
            (Control::Unsubscribed(id), Some(s)) => {
                let text = &s.text;
                // Its mode and losses that nothing stands before are told first, then what was flushed.
                let (mut bytes, mut last) = (Vec::new(), s.last);
                if s.announce {
                    bytes.extend(mode(s, now, "behind"));
                }
                for place in &s.queue.places {
                    let Place::Lost(loss) = place else { break };
                    bytes.extend(gap(s, loss, last));
                    last = loss.to;
                }
                let flushed = if s.flushed {
                    s.flushed_frames()
                } else {
                    Vec::new()
                };
                for frame in &flushed {
                    bytes.extend(messages(text, frame));
                }
                bytes.extend(Self::unsubscribed(
                    s,
                    id,
                    flushed.iter().map(Vec::len).sum(),
                ));
                bytes
            }
            _ => Vec::new(),
        }
    }

    /// With `flushed` messages before it in one piece.
    fn unsubscribed(subscription: &Pipeline, id: &Value, flushed: usize) -> Vec<u8> {
        let more = json!({"ledger": subscription.ledger(flushed as u64)});
        render::frame(&render::answer(
            "unsubscribed",
            id,
            &subscription.text,
            more,
        ))
    }

    pub fn took(&mut self, now: Now, bytes: usize, blocked: bool) {
        if bytes > 0 {
            let (frame, messages) = match self.rest.take() {
                Some(rest) => rest,
                None => self.begin(now),
            };
            if bytes < frame.len() {
                self.rest = Some((frame[bytes..].to_vec(), messages));
            } else if let Some(subscription) = &mut self.subscription {
                subscription.counts.delivered += messages;
                subscription.queue.under_way = (0, 0);
                subscription.parked &= blocked;
            }
        }
        if blocked {
            self.set_blocked(true);
            if let Some(subscription) = &mut self.subscription {
                subscription.give(now);
            }
        }
    }

    /// The first byte of what is on offer is with the kernel.
    fn begin(&mut self, now: Now) -> (Vec<u8>, u64) {
        let Some((bytes, offer)) = self.offer.take() else {
            return (Vec::new(), 0);
        };
        if matches!(offer, Offer::Control) {
            if let Some(Control::Unsubscribed(_)) = self.control.pop_front() {
                self.subscription = None;
            }
            return (bytes, 0);
        }
        let Some(subscription) = &mut self.subscription else {
            return (bytes, 0);
        };
        match offer {
            Offer::Control => {}
            Offer::Gap(loss, skipped) => {
                subscription.queue.places.drain(..=skipped);
                subscription.counts.conflated += skipped as u64;
                subscription.last = loss.to;
            }
            Offer::Behind => subscription.announce = false,
            Offer::Live => subscription.on_live(now),
            Offer::Last => (self.subscription, self.leaving) = (None, None),
            Offer::Messages(frame) => {
                subscription.queue.under_way = (frame.len() as u64, bytes.len() as u64);
                for (skipped, item) in &frame {
                    subscription.queue.places.drain(..=*skipped);
                    subscription.counts.conflated += *skipped as u64;
                    subscription.last = item.position();
                    subscription.demand = subscription.demand.map(|d| d - 1);
                }
                return (bytes, frame.len() as u64);
            }
        }
        (bytes, 0)
    }
}

/// One frame of these.
fn messages(text: &str, items: &[Item]) -> Vec<u8> {
    let first = &items[0];
    let payload = if first.batch.is_some() {
        render::batch(text, items.iter().map(|i| (&*i.entry, i.resume)))
    } else {
        render::msg(text, &first.entry, first.resume)
    };
    render::frame(&payload)
}

fn mode(subscription: &Pipeline, now: Now, mode: &str) -> Vec<u8> {
    let queue = &subscription.queue;
    let age_ms = queue.age_ns(now.mono_ns) / 1_000_000;
    let (messages, bytes) = (queue.messages(), queue.bytes());
    let text = &subscription.text;
    render::frame(&render::mode(text, mode, messages, bytes, age_ms))
}

fn gap(subscription: &Pipeline, loss: &Loss, last: i64) -> Vec<u8> {
    let range = loss.ranged.then_some((last + 1, loss.to));
    render::frame(&render::gap(
        &subscription.text,
        range,
        loss.count,
        loss.reason,
        loss.to,
    ))
}
