//! One call, as a request that is awaited, and its reply.
mod error;

pub use error::CallError;

use crate::link::Link;
use crate::session::{Call, Repeat};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

/// What a method answered: JSON, byte for byte as it came.
#[derive(Debug, Clone)]
pub struct Reply {
    result: Box<RawValue>,
    stands_for: Option<Box<CallError>>,
}

impl Reply {
    /// The JSON text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.result.get()
    }

    /// The result as a value of the reader's.
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.get())
    }

    /// The error this reply stands for, when it is the call's [`fallback`](CallRequest::fallback) and no answer of the server.
    #[must_use]
    pub fn stands_for(&self) -> Option<&CallError> {
        self.stands_for.as_deref()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.get())
    }
}

type Fallback = Box<dyn FnOnce(&CallError) -> serde_json::Result<Box<RawValue>> + Send>;

/// A call that is made when awaited. Made by [`Client::call`](crate::Client::call).
#[must_use = "nothing is called until it is awaited"]
pub struct CallRequest {
    link: Link,
    method: String,
    params: serde_json::Result<String>,
    deadline: Option<Duration>,
    repeat: Repeat,
    fallback: Option<Fallback>,
}

impl CallRequest {
    pub(crate) fn new(link: Link, method: String, params: serde_json::Result<String>) -> Self {
        Self {
            link,
            method,
            params,
            deadline: None,
            repeat: Repeat::Never,
            fallback: None,
        }
    }

    /// How long the result is of use, instead of [`Builder::call_timeout`](crate::Builder::call_timeout). The server is told what is left of it
    /// when the call is sent, and doesn't begin it later; one that could not be sent in this time never is.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// It does no harm to carry it out twice: when the connection is lost before the answer, it is sent again on the next
    /// one, within its deadline. Orders are (one per `client_order_id`); a call that isn't ends in
    /// [`CallError::UnknownOutcome`] then.
    pub fn idempotent(mut self) -> Self {
        self.repeat = Repeat::Allowed;
        self
    }

    /// What to reply when nobody answers ([`CallError::is_unanswered`]); a no of the server stays an error.
    /// [`Reply::stands_for`] tells it from an answer.
    pub fn fallback<T: Serialize + ?Sized>(mut self, value: &T) -> Self {
        let value = to_raw_value(value);
        self.fallback = Some(Box::new(|_| value));
        self
    }

    /// As [`fallback`](Self::fallback), made only when it is needed, from the error it will stand for.
    pub fn fallback_with<T, F>(mut self, make: F) -> Self
    where
        T: Serialize,
        F: FnOnce(&CallError) -> T + Send + 'static,
    {
        self.fallback = Some(Box::new(|error| to_raw_value(&make(error))));
        self
    }

    async fn answered(self) -> Result<Reply, CallError> {
        let fallback = self.fallback;
        let params = self
            .params
            .map_err(|error| CallError::Data(error.to_string()))?;
        let call = Call {
            method: self.method,
            params,
            repeat: self.repeat,
        };
        let answer = self.link.call(call, self.deadline).await;
        match (answer, fallback) {
            (Ok(result), _) => Ok(Reply {
                result,
                stands_for: None,
            }),
            (Err(error), Some(make)) if error.is_unanswered() => stand_in(make, error),
            (Err(error), _) => Err(error),
        }
    }
}

fn stand_in(make: Fallback, error: CallError) -> Result<Reply, CallError> {
    let result = make(&error).map_err(|error| CallError::Data(error.to_string()))?;
    let stands_for = Some(Box::new(error));
    Ok(Reply { result, stands_for })
}

impl fmt::Debug for CallRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRequest")
            .field("method", &self.method)
            .field("params", &self.params)
            .field("deadline", &self.deadline)
            .field("repeat", &self.repeat)
            .finish_non_exhaustive()
    }
}

impl IntoFuture for CallRequest {
    type Output = Result<Reply, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.answered())
    }
}
