//! From a text frame to counts.
//!
//! Driven by `inbound`. The cost per message decides whether the generator can follow a server, so a plain `msg` touches the
//! record, a prefix comparison, two numbers and a histogram; a `batch` is scanned for its items; everything else goes through the parser.
use super::batch::{self, Item};
use super::conn::{Conn, Owed, State};
use super::counters::{self, Seen};
use super::head::{self, Found, Head};
use super::inbound::Inbound;
use super::order::{Order, Step};
use super::request;
use super::said::{self, Said};
use super::topics::id;
use pubsub_wire::value::{GapReason, Ledger, Mode};

impl Inbound {
    #[inline]
    pub(super) fn text(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        let Some(found) = self.topics[conn.topic as usize].head(payload) else {
            return self.not_a_msg(conn, payload, now_us);
        };
        self.message(
            conn,
            &found.head,
            || found.identity(),
            payload.len(),
            now_us,
        );
        self.until_check -= 1;
        if self.until_check == 0 {
            self.check(&found, payload);
        }
    }

    /// `identity` names the message's topic and key, where that matters.
    #[inline]
    fn message(
        &mut self,
        conn: &mut Conn,
        head: &Head,
        identity: impl FnOnce() -> u64,
        bytes: usize,
        now_us: u64,
    ) {
        conn.received += 1;
        self.counters.received += 1;
        let topic = &mut self.topics[conn.topic as usize];
        if topic.rated || head.part.is_some() {
            self.placed(conn, head, identity());
        } else if head.offset > conn.last {
            conn.last = head.offset;
        } else {
            self.counters.duplicates += u64::from(head.offset == conn.last);
            self.counters.disorders += u64::from(head.offset < conn.last);
        }
        if let Some(published) = &mut self.topics[conn.topic as usize].published {
            published.saw(head.offset, head.ts_us);
        }
        conn.held.ts_us = conn.held.ts_us.max(head.ts_us);
        let tally = &mut self.groups[conn.group.index()].tally;
        tally.early += u64::from(head.ts_us > now_us);
        tally.receive(now_us.saturating_sub(head.ts_us), bytes);
    }

    /// A message whose place is not just after the last one: of a rate, or of one partition among several.
    #[cold]
    fn placed(&mut self, conn: &mut Conn, head: &Head, identity: u64) {
        let rated = self.topics[conn.topic as usize].rated;
        let room = &mut self.room;
        let order = conn
            .order
            .get_or_insert_with(|| Box::new(Order::after(i64::MIN)));
        let step = match (head.resume.filter(|_| rated), head.part) {
            (Some(resume), _) => order.released(identity, head.offset, resume, room),
            (None, Some(part)) => order.in_part(part, head.offset, room),
            (None, None) => order.raw(head.offset, room),
        };
        conn.last = conn.last.max(head.offset);
        self.counters.duplicates += u64::from(step == Step::Again);
        self.counters.disorders += u64::from(step == Step::Falls);
        self.counters.unfollowed = room.unfollowed;
    }

    /// Every so often a message is parsed whole: what the fast path read must be what a parser reads.
    #[cold]
    fn check(&mut self, found: &Found<'_>, payload: &[u8]) {
        self.until_check = self.check_every;
        self.counters.checked += 1;
        let whole = said::whole_msg(payload);
        let agrees = whole.is_some_and(|msg| {
            let Head {
                offset,
                ts_us,
                part,
                resume,
            } = found.head;
            (msg.offset, msg.ts, msg.part, msg.resume) == (offset, ts_us, part, resume)
        });
        self.counters.malformed += u64::from(!agrees);
    }

    #[inline(never)]
    fn not_a_msg(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        if conn.caller.is_some()
            && let Some((id, result)) = request::reply(payload)
        {
            return self.replied(conn, id, result, payload.len());
        }
        let mut items = std::mem::take(&mut self.items);
        match batch::scan(&self.topics[conn.topic as usize].batch, payload, &mut items) {
            Some(()) => self.batch(conn, payload, &items, now_us),
            None => self.other(conn, payload, now_us),
        }
        self.items = items;
    }

    fn batch(&mut self, conn: &mut Conn, payload: &[u8], items: &[Item], now_us: u64) {
        self.counters.batches += 1;
        for item in items {
            let bytes = &payload[item.at.clone()];
            let identity = || head::in_batch(bytes).map_or(0, |found| found.identity());
            self.message(conn, &item.head, identity, bytes.len(), now_us);
        }
        self.until_check = self.until_check.saturating_sub(items.len() as u32);
        if self.until_check == 0 {
            self.check_batch(payload, items);
        }
    }

    #[cold]
    fn check_batch(&mut self, payload: &[u8], items: &[Item]) {
        self.until_check = self.check_every;
        self.counters.checked += items.len() as u64;
        let agrees = match said::parse(payload) {
            Some(Said::Messages(parsed)) => parsed
                .iter()
                .map(|message| message.head)
                .eq(items.iter().map(|item| item.head)),
            _ => false,
        };
        self.counters.malformed += u64::from(!agrees);
    }

    #[cold]
    fn other(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        self.counters.parsed += 1;
        match said::parse(payload) {
            Some(Said::Messages(messages)) => {
                let each = payload.len() / messages.len().max(1);
                for message in messages {
                    self.message(conn, &message.head, || message.identity, each, now_us);
                }
            }
            Some(Said::Subscribed { offset }) => self.subscribed(conn, offset, now_us),
            Some(Said::Gap {
                to,
                count,
                offset,
                reason,
            }) => {
                self.counters.lost.add(reason, count.unwrap_or(0));
                match reason {
                    GapReason::Epoch => self.another_log(conn, offset),
                    _ => self.gap(conn, to.or(offset), count, now_us),
                }
            }
            Some(Said::Mode(mode)) => self.mode(conn, mode),
            Some(Said::Reply { id, result }) => {
                self.replied(conn, id, result.as_bytes(), payload.len());
            }
            Some(Said::Ledger(ledger)) => self.ledger(conn, &ledger),
            Some(Said::Error { id, text }) => self.error(conn, id, text),
            Some(Said::Welcome { worker }) => {
                *self.counters.workers.entry(worker).or_default() += 1;
            }
            Some(Said::Goaway) => self.counters.goaways += 1,
            Some(Said::Published { .. } | Said::Other) => {}
            None => self.counters.malformed += 1,
        }
    }

    /// It has come to what it is for.
    pub(super) fn stands(&mut self, conn: &mut Conn, now_us: u64) {
        conn.state = State::Subscribed;
        conn.held.since_us = now_us;
        self.counters.subscribed += 1;
        let members = &mut self.groups[conn.group.index()];
        members.account.subscribed += 1;
        if members.pace.pauses() {
            conn.pause();
        }
    }

    fn subscribed(&mut self, conn: &mut Conn, offset: Option<i64>, now_us: u64) {
        self.stands(conn, now_us);
        let topic = &self.topics[conn.topic as usize];
        if topic.rated {
            conn.order = Some(Box::new(Order::after(offset.unwrap_or(i64::MIN))));
        }
        if let Some(offset) = offset {
            conn.last = offset;
            conn.owed = if topic.published.is_some() {
                Owed::After(offset)
            } else {
                Owed::Unknown
            };
        }
    }

    fn gap(&mut self, conn: &mut Conn, to: Option<i64>, count: Option<u64>, now_us: u64) {
        let members = &mut self.groups[conn.group.index()];
        members.account.gap(count);
        self.counters.gaps += 1;
        let Some(count) = count else {
            self.counters.gaps_uncounted += 1;
            conn.owed = Owed::Unknown;
            return;
        };
        conn.lost += count;
        members.tally.lost += count;
        if let (Some(published), Some(to)) = (&mut self.topics[conn.topic as usize].published, to) {
            published.heard_of(to, count, now_us);
        }
    }

    /// Another epoch: the ledger and the offsets begin anew, and what was owed in the old log never will be.
    fn another_log(&mut self, conn: &mut Conn, offset: Option<i64>) {
        self.groups[conn.group.index()].account.gap(None);
        self.counters.gaps += 1;
        self.counters.gaps_uncounted += 1;
        conn.granted = conn.granted.wrapping_sub(conn.received);
        (conn.received, conn.lost, conn.told) = (0, 0, 0);
        conn.last = offset.unwrap_or(i64::MIN);
        if let Some(order) = &mut conn.order {
            order.clear(&mut self.room);
            **order = Order::after(conn.last);
        }
        conn.owed = Owed::Unknown;
        self.topics[conn.topic as usize].published = None;
    }

    fn mode(&mut self, conn: &mut Conn, mode: Mode) {
        let account = &mut self.groups[conn.group.index()].account;
        match mode {
            Mode::Live => {}
            Mode::Behind => account.behind += 1,
            Mode::Replay => {
                account.replays += 1;
                if let (Some(order), true) =
                    (&mut conn.order, self.topics[conn.topic as usize].rated)
                {
                    order.replay(&mut self.room);
                }
            }
        }
    }

    fn ledger(&mut self, conn: &mut Conn, ledger: &Ledger) {
        conn.asked = false;
        conn.booked = true;
        conn.told = counters::lost(ledger);
        let seen = Seen {
            received: conn.received,
            announced: conn.lost,
        };
        self.counters.books.enter(ledger, seen);
        self.groups[conn.group.index()]
            .account
            .books
            .enter(ledger, seen);
    }

    fn error(&mut self, conn: &mut Conn, id: Option<u64>, text: String) {
        if conn.caller.is_some() {
            self.call_refused(conn, id, &text);
            return self.counters.error(text);
        }
        self.counters.error(text);
        match id {
            Some(id::SUBSCRIBE) => conn.state = State::Refused,
            Some(id::LEDGER) => self.unanswered(conn),
            _ => {}
        }
    }

    /// The ledger that was asked for does not come.
    pub(super) fn unanswered(&mut self, conn: &mut Conn) {
        conn.asked = false;
        self.counters.books.unanswered += 1;
        self.groups[conn.group.index()].account.books.unanswered += 1;
    }
}
