//! From the text of a frame to a command.
use super::field::{Object, Stray, boolean, count, millis, quoted, string};
use super::patch::{FieldError, Reconfigure};
use super::subscribe as settings;
use super::{Call, Command, CommandError, Id, Publish, Request, Subscribe};
use crate::codes::ErrorCode;
use crate::limits::Limits;
use crate::topic::{TopicError, check_subscription, check_topic};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Most levels of nesting in a command, its own object included. What is published is delivered inside other objects and
/// read by parsers that stop at 128 levels or overflow their stack somewhere above; this leaves room below the former.
pub const DEPTH_MAX: usize = 100;

/// Every field that some command has.
const FIELDS: [&str; 16] = [
    "op",
    "id",
    "topic",
    "from",
    "rate",
    "batch",
    "bound",
    "overflow",
    "credit",
    "n",
    "drain",
    "key",
    "data",
    "method",
    "params",
    "deadline_ms",
];
const OP: usize = 0;
const ID: usize = 1;
const TOPIC: usize = 2;
const FROM: usize = 3;
const RATE: usize = 4;
const BATCH: usize = 5;
const BOUND: usize = 6;
const OVERFLOW: usize = 7;
const CREDIT: usize = 8;
const N: usize = 9;
const DRAIN: usize = 10;
const KEY: usize = 11;
const DATA: usize = 12;
const METHOD: usize = 13;
const PARAMS: usize = 14;
const DEADLINE: usize = 15;

/// Every command with the fields it takes.
const OPS: [(&str, &[&str]); 8] = [
    (
        "subscribe",
        &[
            "op", "id", "topic", "from", "rate", "batch", "bound", "overflow", "credit",
        ],
    ),
    (
        "reconfigure",
        &[
            "op", "id", "topic", "rate", "batch", "bound", "overflow", "credit",
        ],
    ),
    ("credit", &["op", "id", "topic", "n"]),
    ("ledger", &["op", "id", "topic"]),
    ("unsubscribe", &["op", "id", "topic", "drain"]),
    ("publish", &["op", "id", "topic", "key", "data"]),
    ("call", &["op", "id", "method", "params", "deadline_ms"]),
    ("ping", &["op", "id"]),
];

type Fields<'a> = Object<'a, 16>;

/// What is wrong, before the id is put to it.
struct Problem {
    code: ErrorCode,
    field: Option<String>,
    message: String,
}

impl Problem {
    fn new(code: ErrorCode, field: &str, message: impl Into<String>) -> Self {
        Self {
            code,
            field: Some(field.to_owned()),
            message: message.into(),
        }
    }

    fn bad_json(message: impl Into<String>) -> Self {
        Self {
            code: ErrorCode::BadJson,
            field: None,
            message: message.into(),
        }
    }

    fn missing(field: &str) -> Self {
        Self::new(ErrorCode::BadField, field, "is needed")
    }

    fn with_id(self, id: Option<Id>) -> CommandError {
        let Self {
            code,
            field,
            message,
        } = self;
        CommandError {
            id,
            code,
            message,
            field,
        }
    }
}

impl From<FieldError> for Problem {
    fn from(error: FieldError) -> Self {
        Self {
            code: ErrorCode::BadField,
            field: Some(error.field),
            message: error.message,
        }
    }
}

/// Reads one command. Strict; the id is found even when the rest is wrong.
pub fn parse<'a>(text: &'a str, limits: &Limits) -> Result<Request<'a>, CommandError> {
    let mut fields = Fields::new(&FIELDS);
    let read = fields.read(text);
    let id = read_id(&fields, limits);
    let checked = read
        .map_err(|error| syntax(&error))
        .and_then(|()| check_depth(text));
    match (checked, id) {
        (Err(problem), id) => Err(problem.with_id(id.unwrap_or(None))),
        (Ok(()), Err(problem)) => Err(problem.with_id(None)),
        (Ok(()), Ok(id)) => match read_command(&fields, limits) {
            Ok(command) => Ok(Request { id, command }),
            Err(problem) => Err(problem.with_id(id)),
        },
    }
}

fn syntax(error: &serde_json::Error) -> Problem {
    if error.is_data() {
        return Problem::bad_json("a command is one JSON object");
    }
    Problem::bad_json(format!("no valid JSON: {error}"))
}

/// Refuses what nests too deeply. Fewer opening brackets than levels, the common case, need no look at strings.
fn check_depth(text: &str) -> Result<(), Problem> {
    let opening = memchr::memchr2_iter(b'[', b'{', text.as_bytes());
    if opening.take(DEPTH_MAX + 1).count() <= DEPTH_MAX || depth(text) <= DEPTH_MAX {
        return Ok(());
    }
    Err(Problem::bad_json(format!(
        "nested deeper than {DEPTH_MAX} levels"
    )))
}

/// Levels of nesting of valid JSON.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

/// Goes on behind the closing quote.
fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => {
                bytes.next();
            }
            _ => {}
        }
    }
}

fn read_id(fields: &Fields<'_>, limits: &Limits) -> Result<Option<Id>, Problem> {
    if let Some(Stray::Twice("id")) = fields.stray() {
        return Err(Problem::new(ErrorCode::BadField, "id", "is given twice"));
    }
    let Some(raw) = fields.value(ID) else {
        return Ok(None);
    };
    let Some(id) = Id::from_json(raw.get()) else {
        let message = format!("must be a string or an integer, not {}", quoted(raw.get()));
        return Err(Problem::new(ErrorCode::BadField, "id", message));
    };
    if id.size() > limits.id_bytes {
        let message = format!(
            "has at most {} bytes, this one has {}",
            limits.id_bytes,
            id.size()
        );
        return Err(Problem::new(ErrorCode::TooLarge, "id", message));
    }
    Ok(Some(id))
}

fn read_command<'a>(fields: &Fields<'a>, limits: &Limits) -> Result<Command<'a>, Problem> {
    let op = needed(fields, OP)?;
    let op = string(op, "op")?;
    let Some(&(op, allowed)) = OPS.iter().find(|(name, _)| *name == op) else {
        let names: Vec<_> = OPS.iter().map(|(name, _)| *name).collect();
        let message = format!("must be one of {}, not {}", names.join(", "), quoted(&op));
        return Err(Problem::new(ErrorCode::UnknownOp, "op", message));
    };
    check_strays(fields, op, allowed)?;
    Ok(match op {
        "subscribe" => Command::Subscribe(subscribe(fields, limits)?),
        "reconfigure" => Command::Reconfigure(reconfigure(fields, limits)?),
        "credit" => Command::Credit {
            topic: subscription(fields, limits)?,
            n: count(needed(fields, N)?, "n", 1)?,
        },
        "ledger" => Command::Ledger {
            topic: subscription(fields, limits)?,
        },
        "unsubscribe" => Command::Unsubscribe {
            topic: subscription(fields, limits)?,
            drain: optional(fields, DRAIN, |raw| boolean(raw, "drain"))?.unwrap_or(false),
        },
        "publish" => Command::Publish(publish(fields, limits)?),
        "call" => Command::Call(call(fields)?),
        _ => Command::Ping,
    })
}

fn check_strays(fields: &Fields<'_>, op: &str, allowed: &[&str]) -> Result<(), Problem> {
    if let Some(stray) = fields.stray() {
        return Err(stray.error(None, &allowed.join(", ")).into());
    }
    match fields.present().find(|name| !allowed.contains(name)) {
        None => Ok(()),
        Some(name) => {
            let message = format!("is no field of {op}; allowed: {}", allowed.join(", "));
            Err(Problem::new(ErrorCode::BadField, name, message))
        }
    }
}

fn needed<'a>(fields: &Fields<'a>, index: usize) -> Result<&'a RawValue, Problem> {
    fields
        .value(index)
        .ok_or_else(|| Problem::missing(FIELDS[index]))
}

fn optional<'a, T>(
    fields: &Fields<'a>,
    index: usize,
    read: impl FnOnce(&'a RawValue) -> Result<T, FieldError>,
) -> Result<Option<T>, FieldError> {
    fields.value(index).map(read).transpose()
}

type TopicCheck = fn(&str, &Limits) -> Result<(), TopicError>;

fn topic<'a>(
    fields: &Fields<'a>,
    limits: &Limits,
    check: TopicCheck,
) -> Result<Cow<'a, str>, Problem> {
    let topic = string(needed(fields, TOPIC)?, "topic")?;
    match check(&topic, limits) {
        Ok(()) => Ok(topic),
        Err(error) => Err(Problem::new(
            ErrorCode::BadField,
            "topic",
            error.to_string(),
        )),
    }
}

fn subscription(fields: &Fields<'_>, limits: &Limits) -> Result<String, Problem> {
    topic(fields, limits, check_subscription).map(Cow::into_owned)
}

fn subscribe(fields: &Fields<'_>, limits: &Limits) -> Result<Subscribe, Problem> {
    Ok(Subscribe {
        topic: subscription(fields, limits)?,
        from: optional(fields, FROM, settings::from)?,
        rate: optional(fields, RATE, settings::rate)?,
        batch: optional(fields, BATCH, settings::batch)?,
        bound: optional(fields, BOUND, settings::bound)?.unwrap_or_default(),
        overflow: optional(fields, OVERFLOW, settings::overflow)?,
        credit: optional(fields, CREDIT, settings::credit)?,
    })
}

fn reconfigure(fields: &Fields<'_>, limits: &Limits) -> Result<Reconfigure, Problem> {
    Ok(Reconfigure {
        topic: subscription(fields, limits)?,
        rate: settings::patch(fields.raw(RATE), settings::rate_patch)?,
        batch: settings::patch(fields.raw(BATCH), settings::batch_patch)?,
        bound: settings::patch(fields.raw(BOUND), settings::bound_patch)?,
        overflow: settings::patch(fields.raw(OVERFLOW), settings::overflow)?,
        credit: settings::patch(fields.raw(CREDIT), settings::credit)?,
    })
}

fn publish<'a>(fields: &Fields<'a>, limits: &Limits) -> Result<Publish<'a>, Problem> {
    let topic = topic(fields, limits, check_topic)?;
    let key = optional(fields, KEY, |raw| string(raw, "key"))?;
    if let Some(key) = key.as_ref().filter(|key| key.len() > limits.key_bytes) {
        let message = format!(
            "has at most {} bytes, this one has {}",
            limits.key_bytes,
            key.len()
        );
        return Err(Problem::new(ErrorCode::TooLarge, "key", message));
    }
    let data = fields
        .raw(DATA)
        .ok_or_else(|| Problem::missing("data"))?
        .get();
    Ok(Publish { topic, key, data })
}

fn call<'a>(fields: &Fields<'a>) -> Result<Call<'a>, Problem> {
    Ok(Call {
        method: string(needed(fields, METHOD)?, "method")?,
        params: fields.raw(PARAMS).map_or("null", RawValue::get),
        deadline_ms: optional(fields, DEADLINE, |raw| millis(raw, "deadline_ms"))?,
    })
}
