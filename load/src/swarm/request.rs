//! What is called, and whether an answer is the one to it.
//!
//! Pure. An answer is known by where its fields stand, as our own server writes them, or read by the parser where they stand otherwise.
use pubsub_wire::command::{Call, Command, Id};
use pubsub_wire::encode;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::Write;

/// Accounts that orders are spread over.
const ACCOUNTS: u64 = 1000;

/// What is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// `order.echo`, the 2012 prototype's request, with so many executions.
    Echo {
        /// How many.
        rows: usize,
    },
    /// `order.submit`, a market order, each with an id of its own.
    Submit {
        /// What is bought.
        symbol: String,
        /// What the ids begin with, so that no two runs have the same.
        run: String,
    },
}

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Which {
    /// The how manieth connection of its run makes it.
    pub caller: u64,
    /// The how manieth call of its connection it is: its id.
    pub id: u64,
    /// When it was due, milliseconds of the monotonic clock.
    pub due_ms: u64,
}

impl Method {
    /// The name that travels.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Echo { .. } => "order.echo",
            Self::Submit { .. } => "order.submit",
        }
    }

    /// Appends the `call` command.
    pub fn write(&self, out: &mut Vec<u8>, which: Which, deadline_ms: Option<u64>) {
        let params = self.params(which);
        let call = Call {
            method: Cow::Borrowed(self.name()),
            params: &params,
            deadline_ms,
        };
        let id = Id::number(which.id);
        encode::command::command(out, Some(&id), &Command::Call(call));
    }

    fn params(&self, which: Which) -> String {
        match self {
            Self::Echo { rows } => {
                let mut text = echo(which);
                text.pop();
                text.push_str(r#","execs":["#);
                for row in 0..*rows {
                    let comma = if row > 0 { "," } else { "" };
                    // Writing to a string does not fail.
                    let _ = write!(text, "{comma}{}", execution(which, row));
                }
                text.push_str("]}");
                text
            }
            Self::Submit { symbol, run } => {
                let symbol = serde_json::Value::from(symbol.as_str());
                let (client, account) = (client(run, which), which.caller % ACCOUNTS);
                format!(
                    r#"{{"client_order_id":"{client}","account":"load-{account}","symbol":{symbol},"side":"buy","qty":100,"type":"market"}}"#
                )
            }
        }
    }

    /// Whether this result is the one of this call.
    pub fn is_answered_by(&self, which: Which, result: &[u8]) -> bool {
        match self {
            Self::Echo { .. } => {
                let expected = echo(which);
                result == expected.as_bytes() || same(result, expected.as_bytes())
            }
            Self::Submit { run, .. } => {
                let Ok(order) = serde_json::from_slice::<Order<'_>>(result) else {
                    return false;
                };
                order.client_order_id == client(run, which)
                    && matches!(order.status.as_ref(), "accepted" | "working" | "filled")
                    && !order.duplicate
            }
        }
    }
}

/// What comes back of an echo.
fn echo(which: Which) -> String {
    format!(
        r#"{{"request":{},"timestamp":{},"address":"load-{}"}}"#,
        which.id, which.due_ms, which.caller
    )
}

/// A row of the prototype's.
fn execution(which: Which, row: usize) -> String {
    let sequence = which.id * 10 + row as u64;
    format!(
        r#"{{"sequence":{sequence},"activityDateStr":"20121212","com":"7.95","price":"150.25","accountId":"load-{}","symbol":"RRC","transaction":"Bought","description":"RANGE RESOURCES CORP","qty":"100","key":"{sequence}","netAmount":"-15032.95"}}"#,
        which.caller
    )
}

fn client(run: &str, which: Which) -> String {
    format!("{run}-{}-{}", which.caller, which.id)
}

fn same(one: &[u8], other: &[u8]) -> bool {
    let read = |text| serde_json::from_slice::<serde_json::Value>(text).ok();
    read(one).is_some_and(|value| Some(value) == read(other))
}

/// What matters of an order's answer.
#[derive(Deserialize)]
struct Order<'a> {
    #[serde(borrow)]
    client_order_id: Cow<'a, str>,
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(default)]
    duplicate: bool,
}

/// The id and the result of a `reply` by their places; `None`: ask the parser.
#[inline]
pub fn reply(payload: &[u8]) -> Option<(u64, &[u8])> {
    let rest = payload.strip_prefix(br#"{"op":"reply","id":"#)?;
    let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
    let id = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    let result = rest[end..].strip_prefix(br#","result":"#)?;
    Some((id, result.strip_suffix(b"}")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pubsub_wire::Limits;
    use pubsub_wire::command::parse;

    const WHICH: Which = Which {
        caller: 1004,
        id: 7,
        due_ms: 99,
    };

    fn submit() -> Method {
        Method::Submit {
            symbol: "AAPL".to_owned(),
            run: "r".to_owned(),
        }
    }

    /// The method and params as a server reads them.
    fn read(method: &Method) -> (String, serde_json::Value) {
        let mut text = Vec::new();
        method.write(&mut text, WHICH, Some(500));
        let text = String::from_utf8(text).unwrap();
        let request = parse(&text, &Limits::default()).unwrap();
        assert_eq!(request.id, Some(Id::number(7)));
        let Command::Call(call) = request.command else {
            panic!("no call")
        };
        assert_eq!(call.deadline_ms, Some(500));
        (
            call.method.into_owned(),
            serde_json::from_str(call.params).unwrap(),
        )
    }

    #[test]
    fn an_echo_has_as_many_rows_as_asked_and_only_its_own_answer() {
        let method = Method::Echo { rows: 3 };
        let (name, params) = read(&method);
        assert_eq!(
            (name.as_str(), params["execs"].as_array().unwrap().len()),
            ("order.echo", 3)
        );
        let answer = r#"{"request":7,"timestamp":99,"address":"load-1004"}"#;
        assert!(method.is_answered_by(WHICH, answer.as_bytes()));
        let otherwise = r#"{ "address":"load-1004", "timestamp":99, "request":7 }"#;
        assert!(method.is_answered_by(WHICH, otherwise.as_bytes()));
        for wrong in [
            r#"{"request":8,"timestamp":99,"address":"load-1004"}"#,
            r#"{"request":7,"timestamp":99}"#,
            "null",
            "",
        ] {
            assert!(!method.is_answered_by(WHICH, wrong.as_bytes()), "{wrong}");
        }
    }

    #[test]
    fn an_order_is_answered_once_by_its_own_id_and_not_rejected() {
        let (name, params) = read(&submit());
        assert_eq!(
            (name.as_str(), &params["client_order_id"]),
            ("order.submit", &"r-1004-7".into())
        );
        assert_eq!(params["account"], "load-4");
        let answered = |client: &str, rest: &str| {
            let result = format!(r#"{{"order_id":"o","client_order_id":"{client}",{rest}}}"#);
            submit().is_answered_by(WHICH, result.as_bytes())
        };
        assert!(answered("r-1004-7", r#""status":"filled""#));
        assert!(answered(
            "r-1004-7",
            r#""status":"accepted","duplicate":false"#
        ));
        assert!(!answered("r-1004-8", r#""status":"filled""#));
        assert!(!answered("r-1004-7", r#""status":"rejected""#));
        assert!(!answered(
            "r-1004-7",
            r#""status":"filled","duplicate":true"#
        ));
    }

    #[test]
    fn a_reply_is_read_by_its_place_as_a_server_writes_it() {
        let mut text = Vec::new();
        encode::reply(&mut text, Some(&Id::number(12)), r#"{"a":1}"#);
        assert_eq!(reply(&text), Some((12, br#"{"a":1}"#.as_slice())));
        for other in [
            r#"{"op":"reply","id":"x","result":1}"#,
            r#"{"op":"msg"}"#,
            r#"{"op":"reply","id":1"#,
        ] {
            assert_eq!(reply(other.as_bytes()), None, "{other}");
        }
    }
}
