//! From a text frame to counts.
//!
//! Driven by `inbound`. The cost per message decides whether the generator can follow a server, so a plain `msg` touches the
//! record, a prefix comparison, two numbers and a histogram; everything else goes through the parser.
use super::conn::{Conn, Owed, State};
use super::head::Head;
use super::inbound::Inbound;
use super::said::{self, Log, Said};
use super::topics::id;

impl Inbound {
    #[inline]
    pub(super) fn text(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        let Some(head) = self.topics[conn.topic as usize].head(payload) else {
            return self.other(conn, payload, now_us);
        };
        self.message(conn, head, payload.len(), now_us);
        self.until_check -= 1;
        if self.until_check == 0 {
            self.check(head, payload);
        }
    }

    #[inline]
    fn message(&mut self, conn: &mut Conn, head: Head, bytes: usize, now_us: u64) {
        let topic = &mut self.topics[conn.topic as usize];
        conn.received += 1;
        self.counters.received += 1;
        if head.offset > conn.last {
            conn.last = head.offset;
        } else if topic.rises {
            self.counters.duplicates += u64::from(head.offset == conn.last);
            self.counters.disorders += u64::from(head.offset < conn.last);
        }
        if let Some(published) = &mut topic.published {
            published.saw(head);
        }
        self.tallies[conn.group.index()].receive(now_us.saturating_sub(head.ts_us), bytes);
    }

    /// Every so often a message is parsed whole: what the fast path read must be what a parser reads.
    #[cold]
    fn check(&mut self, head: Head, payload: &[u8]) {
        self.until_check = self.check_every;
        self.counters.checked += 1;
        let whole = said::whole_msg(payload);
        let agrees = whole.is_some_and(|msg| msg.offset == head.offset && msg.ts == head.ts_us);
        self.counters.malformed += u64::from(!agrees);
    }

    #[cold]
    fn other(&mut self, conn: &mut Conn, payload: &[u8], now_us: u64) {
        self.counters.parsed += 1;
        match said::parse(payload) {
            Some(Said::Messages(heads)) => {
                let each = payload.len() / heads.len().max(1);
                for head in heads {
                    self.message(conn, head, each, now_us);
                }
            }
            Some(Said::Subscribed { offset }) => self.subscribed(conn, offset),
            Some(Said::Gap {
                to,
                count,
                offset,
                log: Log::Same,
            }) => self.gap(conn, to.or(offset), count, now_us),
            Some(Said::Gap {
                offset,
                log: Log::Another,
                ..
            }) => self.another_log(conn, offset),
            Some(Said::Ledger(ledger)) => {
                conn.asked = false;
                self.counters.books.enter(&ledger, conn.received);
            }
            Some(Said::Error { id, text }) => self.error(conn, id, text),
            Some(Said::Welcome { worker }) => {
                *self.counters.workers.entry(worker).or_default() += 1;
            }
            Some(Said::Goaway) => self.counters.goaways += 1,
            Some(Said::Published { .. } | Said::Other) => {}
            None => self.counters.malformed += 1,
        }
    }

    fn subscribed(&mut self, conn: &mut Conn, offset: Option<i64>) {
        conn.state = State::Subscribed;
        self.counters.subscribed += 1;
        let followed = self.topics[conn.topic as usize].published.is_some();
        if let Some(offset) = offset {
            conn.last = offset;
            conn.owed = if followed {
                Owed::After(offset)
            } else {
                Owed::Unknown
            };
        }
    }

    fn gap(&mut self, conn: &mut Conn, to: Option<i64>, count: Option<u64>, now_us: u64) {
        self.counters.gaps += 1;
        let Some(count) = count else {
            self.counters.gaps_uncounted += 1;
            conn.owed = Owed::Unknown;
            return;
        };
        conn.lost += count;
        self.tallies[conn.group.index()].lost += count;
        if let (Some(published), Some(to)) = (&mut self.topics[conn.topic as usize].published, to) {
            published.heard_of(to, count, now_us);
        }
    }

    /// Another epoch: the ledger and the offsets begin anew, and what was owed in the old log never will be.
    fn another_log(&mut self, conn: &mut Conn, offset: Option<i64>) {
        self.counters.gaps += 1;
        self.counters.gaps_uncounted += 1;
        conn.received = 0;
        conn.lost = 0;
        conn.last = offset.unwrap_or(i64::MIN);
        conn.owed = Owed::Unknown;
        self.topics[conn.topic as usize].published = None;
    }

    fn error(&mut self, conn: &mut Conn, id: Option<u64>, text: String) {
        self.counters.error(text);
        match id {
            Some(id::SUBSCRIBE) => conn.state = State::Refused,
            Some(id::LEDGER) => {
                conn.asked = false;
                self.counters.books.unanswered += 1;
            }
            _ => {}
        }
    }
}
