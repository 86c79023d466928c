//! One who publishes numbered messages, many under way at a time, and keeps what became of each.
//!
//! A number whose answer was lost or unknown is not published again: the next one is.
use super::harness::{Socket, offset};
use super::stage::{Stage, State};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Where they publish.
pub(crate) const TOPICS: [&str; 3] = ["load.a", "load.b", "load.c"];
/// So many are under way while all goes well.
const WINDOW: usize = 32;

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is in the log, at this offset.
    Acknowledged(i64),
    /// It is not in the log.
    Refused,
    /// It may be in the log.
    Unknown,
}

/// Publishes for as long as the run lasts; what became of each number.
pub(crate) async fn publish(stage: &Stage, by: usize) -> Vec<Outcome> {
    let mut publisher = Publisher {
        stage,
        by,
        outcomes: Vec::new(),
        under_way: BTreeSet::new(),
        window: WINDOW,
    };
    loop {
        let mut socket = stage.connect(None).await;
        if publisher.use_up(&mut socket).await.is_some() {
            return publisher.outcomes;
        }
        publisher.under_way.clear();
    }
}

/// The topic of a publication.
pub(crate) fn topic(by: usize, number: usize) -> &'static str {
    TOPICS[(by + number) % TOPICS.len()]
}

/// The data of a publication: who published it, its number, and a filling that follows from both.
pub(crate) fn data(by: usize, number: usize) -> Value {
    let filling = "x".repeat(100 + (by * 331 + number * 97) % 900);
    json!([by, number, filling])
}

struct Publisher<'a> {
    stage: &'a Stage,
    by: usize,
    /// By number; unknown until it is answered.
    outcomes: Vec<Outcome>,
    /// Numbers that are to be answered on this connection.
    under_way: BTreeSet<usize>,
    window: usize,
}

impl Publisher<'_> {
    /// Publishes over this connection; nothing if it ends before the run does.
    async fn use_up(&mut self, socket: &mut Socket) -> Option<()> {
        loop {
            while self.under_way.len() < self.window && self.may_publish() {
                self.send_next(socket).await;
            }
            if !self.under_way.is_empty() {
                let answer = socket.try_next().await?;
                self.take(&answer).await;
            } else if self.stage.now().has_ended {
                return Some(());
            } else {
                self.rest().await;
            }
        }
    }

    fn may_publish(&self) -> bool {
        let state = self.stage.now();
        let taken = state.acknowledged[self.by] + self.under_way.len() as u64;
        taken < state.allowed && !state.has_ended
    }

    async fn rest(&self) {
        let goes_on =
            |state: &State| state.has_ended || state.acknowledged[self.by] < state.allowed;
        self.stage.until("more to publish", goes_on).await;
    }

    async fn send_next(&mut self, socket: &mut Socket) {
        let number = self.outcomes.len();
        self.outcomes.push(Outcome::Unknown);
        self.under_way.insert(number);
        let (topic, data) = (topic(self.by, number), data(self.by, number));
        let command = json!({"op": "publish", "id": number, "topic": topic, "data": data});
        socket.send_or_lose(&command).await;
    }

    async fn take(&mut self, answer: &Value) {
        let number = answer["id"].as_u64().map(|number| number as usize);
        let number = number.filter(|number| self.under_way.remove(number));
        let number =
            number.unwrap_or_else(|| panic!("nothing was asked that is answered {answer}"));
        let word = answer.get("code").unwrap_or(&answer["op"]);
        self.outcomes[number] = match word.as_str() {
            Some("published") => {
                assert_eq!(answer["epoch"], self.stage.epoch, "{answer}");
                Outcome::Acknowledged(offset(answer))
            }
            Some("unavailable") => {
                assert!(answer["retry_after_ms"].is_u64(), "{answer}");
                Outcome::Refused
            }
            Some("unknown_outcome") => Outcome::Unknown,
            _ => panic!("not an answer that a dead process explains: {answer}"),
        };
        match self.outcomes[number] {
            Outcome::Acknowledged(_) => {
                self.window = WINDOW;
                let by = self.by;
                self.stage.change(|state| state.acknowledged[by] += 1);
            }
            Outcome::Unknown => {}
            // One at a time until one is taken again.
            Outcome::Refused => {
                self.window = 1;
                super::a_moment().await;
            }
        }
    }
}
