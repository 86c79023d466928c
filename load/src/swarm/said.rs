//! What a server said in a text frame that is not a plain `msg`, reduced to what the generator needs of it.
//!
//! Pure. Off the hot path: this is a parser of JSON, and what it does not know it ignores.
use super::head::Head;
use serde::Deserialize;

/// One message of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// First of all.
    Welcome,
    /// The subscription stands; messages follow after this offset (none where positions are a vector).
    Subscribed {
        /// Position after which messages follow.
        offset: Option<i64>,
    },
    /// One or more messages, in order.
    Messages(Vec<Head>),
    /// Something was lost.
    Gap {
        /// Last offset of the hole, if known.
        to: Option<i64>,
        /// How many, if known.
        count: Option<u64>,
        /// Position after which messages follow.
        offset: Option<i64>,
        /// Whether offsets go on or begin anew.
        log: Log,
    },
    /// The books of the subscription.
    Ledger(Ledger),
    /// A publication is in the log.
    Published {
        /// The command's id.
        id: u64,
    },
    /// A command was refused.
    Error {
        /// The command's id, if it had a number for one.
        id: Option<u64>,
        /// Error code.
        code: String,
        /// What the server says about it.
        message: String,
    },
    /// The server wants this client to go.
    Goaway,
    /// Anything else.
    Other,
}

/// Whether a gap is a hole in the log that was read so far, or the beginning of another log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Log {
    /// The same.
    Same,
    /// Another epoch: its offsets have nothing to do with those before.
    Another,
}

/// A ledger's counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Ledger {
    pub published: u64,
    pub delivered: u64,
    pub filtered_by_rate: u64,
    pub conflated: u64,
    pub dropped: Dropped,
    pub expired: u64,
    pub retention: u64,
    pub pending: Pending,
}

/// A ledger's losses by policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Dropped {
    pub drop_oldest: u64,
    pub drop_newest: u64,
    pub memory: u64,
}

/// What a ledger holds to be delivered yet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
#[allow(missing_docs)]
pub struct Pending {
    pub memory: u64,
    pub spilled: Option<u64>,
}

impl Ledger {
    /// Lost for any reason.
    pub fn lost(&self) -> u64 {
        self.dropped.drop_oldest
            + self.dropped.drop_newest
            + self.dropped.memory
            + self.expired
            + self.retention
    }

    /// Published less all that became of it: zero, if the server's books close.
    pub fn residual(&self) -> i64 {
        let pending = self.pending.memory + self.pending.spilled.unwrap_or(0);
        let known = self.delivered + self.filtered_by_rate + self.conflated + self.lost() + pending;
        self.published.wrapping_sub(known) as i64
    }
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    op: std::borrow::Cow<'a, str>,
    #[serde(default)]
    id: Option<serde_json::Value>,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    ts: u64,
    #[serde(default)]
    to: Option<i64>,
    #[serde(default)]
    count: Option<u64>,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    ledger: Option<Ledger>,
    #[serde(default)]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    offset: i64,
    ts: u64,
}

/// Reads one text payload; `None`: it is not a message of this protocol.
pub fn parse(payload: &[u8]) -> Option<Said> {
    let raw: Raw<'_> = serde_json::from_slice(payload).ok()?;
    let id = raw.id.as_ref().and_then(serde_json::Value::as_u64);
    Some(match &*raw.op {
        "welcome" => Said::Welcome,
        "subscribed" => Said::Subscribed { offset: raw.offset },
        "msg" => Said::Messages(vec![Head {
            offset: raw.offset?,
            ts_us: raw.ts,
        }]),
        "batch" => Said::Messages(
            raw.items
                .iter()
                .map(|item| Head {
                    offset: item.offset,
                    ts_us: item.ts,
                })
                .collect(),
        ),
        "gap" => Said::Gap {
            to: raw.to,
            count: raw.count,
            offset: raw.offset,
            log: if raw.reason.as_deref() == Some("epoch") {
                Log::Another
            } else {
                Log::Same
            },
        },
        "ledger" => Said::Ledger(raw.ledger?),
        "published" => Said::Published { id: id? },
        "error" => Said::Error {
            id,
            code: raw.code.unwrap_or_default(),
            message: raw.message.unwrap_or_default(),
        },
        "goaway" => Said::Goaway,
        _ => Said::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_its_messages() {
        let batch = br#"{"op":"batch","topic":"q.*","items":[{"topic":"q.A","offset":4,"ts":9,"data":1},{"topic":"q.B","offset":7,"ts":9,"data":1}]}"#;
        let heads = vec![
            Head {
                offset: 4,
                ts_us: 9,
            },
            Head {
                offset: 7,
                ts_us: 9,
            },
        ];
        assert_eq!(parse(batch), Some(Said::Messages(heads)));
    }

    #[test]
    fn a_ledger_closes_when_everything_has_become_something() {
        let text = br#"{"op":"ledger","id":2,"topic":"t","epoch":"e","ledger":{"published":28,"delivered":1,"filtered_by_rate":2,"conflated":3,
            "dropped":{"drop_oldest":4,"drop_newest":5,"memory":6},"expired":1,"retention":2,"pending":{"memory":4,"spilled":null}}}"#;
        let Some(Said::Ledger(mut ledger)) = parse(text) else {
            panic!("no ledger")
        };
        assert_eq!((ledger.lost(), ledger.residual()), (18, 0));
        ledger.published += 2;
        assert_eq!(ledger.residual(), 2);
    }

    #[test]
    fn an_error_names_its_command() {
        let text = br#"{"op":"error","id":1,"code":"bad_field","message":"no","field":"topic"}"#;
        assert_eq!(
            parse(text),
            Some(Said::Error {
                id: Some(1),
                code: "bad_field".into(),
                message: "no".into()
            })
        );
    }

    #[test]
    fn what_is_unknown_is_ignored_and_what_is_no_message_is_none() {
        assert_eq!(
            parse(br#"{"op":"news","from":{"a":[1]}}"#),
            Some(Said::Other)
        );
        assert_eq!(parse(b"[1]"), None);
        assert_eq!(parse(b"{\"op\":\"msg\"}"), None);
    }
}
