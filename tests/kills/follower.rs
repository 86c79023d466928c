//! One who follows a pattern from the beginning and, whenever its connection ends, goes on after the position it has come to.
//!
//! Laws it checks at once: offsets rise, no gap is told, and whatever the ledger says adds up.
use super::harness::{Socket, offset, residual};
use super::stage::{Stage, State};
use fastrand::Rng;
use serde_json::{Value, json};
use std::ops::Range;

/// Data of the very last publication.
pub(crate) const END: &str = "end";
/// The ledger is asked for after so many messages.
const LEDGER_EVERY: usize = 300;

/// How one follows.
pub(crate) struct Habits {
    /// For failures.
    pub(crate) name: &'static str,
    /// What it subscribes to.
    pub(crate) pattern: &'static str,
    /// Further fields of `subscribe`.
    pub(crate) settings: Value,
    /// Bytes the kernel takes for it.
    pub(crate) receive_buffer: Option<u32>,
    /// After so many messages it stops reading until so many publications more have been acknowledged.
    pub(crate) pauses: Option<(Range<u64>, Range<u64>)>,
    /// After so many messages it leaves and comes back.
    pub(crate) leaves: Option<Range<u64>>,
}

/// What one has received.
#[derive(Debug, Default)]
pub(crate) struct Followed {
    /// Offset and data of each message.
    pub(crate) messages: Vec<(i64, Value)>,
    /// How often it has gone on after a position.
    pub(crate) resumed: u64,
    /// How often it fell behind in the log without a new connection.
    pub(crate) spilled: u64,
}

/// Follows until the very last publication.
pub(crate) async fn follow(stage: &Stage, habits: Habits, mut rng: Rng) -> Followed {
    let mut follower = Follower {
        stage,
        followed: Followed::default(),
        position: None,
        pause_in: draw(&mut rng, habits.pauses.as_ref().map(|pauses| &pauses.0)),
        leave_in: draw(&mut rng, habits.leaves.as_ref()),
        habits,
        rng,
        is_replay: false,
        was_live: false,
    };
    loop {
        let mut socket = stage.connect(follower.habits.receive_buffer).await;
        if follower.attend(&mut socket).await.is_some() {
            return follower.followed;
        }
        if follower.position.is_some() {
            follower.followed.resumed += 1;
        }
    }
}

fn draw(rng: &mut Rng, range: Option<&Range<u64>>) -> u64 {
    range.map_or(u64::MAX, |range| rng.u64(range.clone()))
}

struct Follower<'a> {
    stage: &'a Stage,
    habits: Habits,
    rng: Rng,
    followed: Followed,
    position: Option<i64>,
    /// Messages until it stops reading for a while.
    pause_in: u64,
    /// Messages until it leaves.
    leave_in: u64,
    /// What comes over this connection is history.
    is_replay: bool,
    /// What came before over this connection was not.
    was_live: bool,
}

impl Follower<'_> {
    /// Follows over this connection; nothing if it ends before the run does.
    async fn attend(&mut self, socket: &mut Socket) -> Option<()> {
        (self.is_replay, self.was_live) = (false, false);
        socket.send_or_lose(&self.subscribe()).await;
        loop {
            let frame = socket.try_next().await?;
            match frame["op"].as_str() {
                Some("msg") => {
                    self.take(&frame);
                    if frame["data"] == END {
                        socket.ledger(self.habits.pattern).await;
                        return Some(());
                    }
                    self.have_a_whim(socket).await?;
                }
                Some("subscribed" | "position") => {
                    assert_eq!(frame["epoch"], self.stage.epoch, "{frame}");
                    self.position = self.position.max(Some(offset(&frame)));
                }
                Some("mode") => self.note_mode(&frame),
                Some("ledger") => assert_eq!(residual(&frame["ledger"]), 0, "{frame}"),
                Some("error") if frame["code"] == "unavailable" => {
                    super::a_moment().await;
                    return None;
                }
                _ => panic!("{} after {:?}: {frame}", self.habits.name, self.position),
            }
        }
    }

    fn subscribe(&self) -> Value {
        let from = match self.position {
            Some(offset) => json!({"epoch": self.stage.epoch, "offset": offset}),
            None => json!("earliest"),
        };
        let mut command = self.habits.settings.clone();
        command["op"] = json!("subscribe");
        command["id"] = json!("subscribe");
        command["topic"] = json!(self.habits.pattern);
        command["from"] = from;
        command
    }

    fn take(&mut self, message: &Value) {
        let (name, offset) = (self.habits.name, offset(message));
        let before = self.position.unwrap_or(0);
        assert!(offset > before, "{name} at {before}: {message}");
        self.position = Some(offset);
        self.was_live = !self.is_replay;
        let data = message["data"].clone();
        self.followed.messages.push((offset, data));
    }

    fn note_mode(&mut self, frame: &Value) {
        let is_replay = frame["mode"] == "replay";
        self.followed.spilled += u64::from(is_replay && self.was_live);
        self.is_replay = is_replay;
    }

    /// Asks for the ledger, stops reading or leaves, if it is time to. Nothing: it leaves.
    async fn have_a_whim(&mut self, socket: &mut Socket) -> Option<()> {
        if self.followed.messages.len().is_multiple_of(LEDGER_EVERY) {
            let command = json!({"op": "ledger", "id": "ledger", "topic": self.habits.pattern});
            socket.send_or_lose(&command).await;
        }
        self.pause_in -= 1;
        if let Some((reads, waits)) = self.habits.pauses.clone().filter(|_| self.pause_in == 0) {
            self.pause_in = self.rng.u64(reads);
            let upto = self.stage.now().sum() + self.rng.u64(waits);
            let is_over = |state: &State| state.has_ended || state.sum() >= upto;
            self.stage.until("the end of a pause", is_over).await;
        }
        self.leave_in -= 1;
        if let Some(leaves) = self.habits.leaves.clone().filter(|_| self.leave_in == 0) {
            self.leave_in = self.rng.u64(leaves);
            return None;
        }
        Some(())
    }
}
