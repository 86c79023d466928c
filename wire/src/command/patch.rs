//! `reconfigure`: what changes and what it becomes.
//!
//! A field can be absent (it stays), null (back to its default) or a value. Objects merge field by field; whether the
//! outcome makes sense (a debounce without its `max_wait_ms`) shows only after merging, so merging can fail.
use crate::value::{Batch, Bound, Overflow, Rate, RateMode, When};
use serde::{Deserialize, Serialize, Serializer};
use std::fmt;

/// One field of a `reconfigure`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Patch<T> {
    /// Absent: it stays as it is.
    #[default]
    Keep,
    /// Null: back to the default.
    Reset,
    /// This value.
    Set(T),
}

impl<T> Patch<T> {
    /// What the field is afterwards.
    pub fn apply(self, current: T, default: T) -> T {
        match self {
            Self::Keep => current,
            Self::Reset => default,
            Self::Set(value) => value,
        }
    }

    /// What an optional field is afterwards, whose default is to be off.
    pub fn apply_option(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Reset => None,
            Self::Set(value) => Some(value),
        }
    }
}

impl<T> Patch<T> {
    fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }
}

/// A field that is absent must be skipped by whoever writes it; `Keep` has no JSON of its own.
impl<T: Serialize> Serialize for Patch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Keep | Self::Reset => serializer.serialize_none(),
            Self::Set(value) => value.serialize(serializer),
        }
    }
}

/// A field that is wrong, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The field with its path: `bound.messages`.
    pub field: String,
    /// What is wrong and what would be right.
    pub message: String,
}

impl FieldError {
    /// A wrong field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for FieldError {}

/// Other settings for a subscription.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reconfigure {
    /// The subscription.
    pub topic: String,
    /// Its rate.
    pub rate: Patch<RatePatch>,
    /// Its batches.
    pub batch: Patch<BatchPatch>,
    /// Its bound.
    pub bound: Patch<BoundPatch>,
    /// What gives when the bound is reached.
    pub overflow: Patch<Overflow>,
    /// Its demand; `Reset` lifts it.
    pub credit: Patch<u64>,
}

/// What changes of a rate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct RatePatch {
    /// Which entries pass.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub mode: Patch<RateMode>,
    /// The interval.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub ms: Patch<u64>,
    /// Longest wait of a debounce.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub max_wait_ms: Patch<u64>,
    /// When it acts.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub when: Patch<When>,
}

impl RatePatch {
    /// The rate afterwards; `current` is `None` where there was none.
    pub fn merge(self, current: Option<Rate>) -> Result<Rate, FieldError> {
        let Some(mode) = self.mode.apply_option(current.map(|rate| rate.mode)) else {
            return Err(FieldError::new("rate.mode", "is needed"));
        };
        Ok(Rate {
            mode,
            ms: self.merge_ms(mode, current)?,
            max_wait_ms: self.merge_max_wait(mode, current)?,
            when: self
                .when
                .apply(current.map_or(When::Always, |rate| rate.when), When::Always),
        })
    }

    fn merge_ms(self, mode: RateMode, current: Option<Rate>) -> Result<u64, FieldError> {
        let current = current.map(|rate| rate.ms).filter(|&ms| ms > 0);
        match (mode, self.ms) {
            (RateMode::All, Patch::Set(_)) => {
                Err(FieldError::new("rate.ms", "has no meaning with mode all"))
            }
            (RateMode::All, _) => Ok(0),
            (_, patch) => patch.apply_option(current).ok_or_else(|| {
                FieldError::new("rate.ms", format!("is needed with mode {}", mode.as_str()))
            }),
        }
    }

    fn merge_max_wait(
        self,
        mode: RateMode,
        current: Option<Rate>,
    ) -> Result<Option<u64>, FieldError> {
        let current = current.and_then(|rate| rate.max_wait_ms);
        match (mode, self.max_wait_ms) {
            (RateMode::Debounce, patch) => match patch.apply_option(current) {
                None => Err(FieldError::new(
                    "rate.max_wait_ms",
                    "is needed with mode debounce",
                )),
                some => Ok(some),
            },
            (_, Patch::Set(_)) => Err(FieldError::new(
                "rate.max_wait_ms",
                "has a meaning with mode debounce only",
            )),
            _ => Ok(None),
        }
    }
}

/// What changes of the batches.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BatchPatch {
    /// Time since the first item.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub ms: Patch<u64>,
    /// Items.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub messages: Patch<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub bytes: Patch<u64>,
}

impl BatchPatch {
    /// The batches afterwards; `None` when nothing would make one due any more.
    pub fn merge(self, current: Option<Batch>) -> Option<Batch> {
        let current = current.unwrap_or_default();
        let batch = Batch {
            ms: self.ms.apply_option(current.ms),
            messages: self.messages.apply_option(current.messages),
            bytes: self.bytes.apply_option(current.bytes),
        };
        (batch != Batch::default()).then_some(batch)
    }
}

/// What changes of a bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct BoundPatch {
    /// Messages.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub messages: Patch<u64>,
    /// Bytes.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub bytes: Patch<u64>,
    /// Age.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub age_ms: Patch<u64>,
}

impl BoundPatch {
    /// The bound afterwards, not yet clamped to the node's limits.
    #[must_use]
    pub fn merge(self, current: Bound, default: Bound) -> Bound {
        let pick = |patch: Patch<u64>, current, default| match patch {
            Patch::Keep => current,
            Patch::Reset => default,
            Patch::Set(value) => Some(value),
        };
        Bound {
            messages: pick(self.messages, current.messages, default.messages),
            bytes: pick(self.bytes, current.bytes, default.bytes),
            age_ms: pick(self.age_ms, current.age_ms, default.age_ms),
        }
    }
}
