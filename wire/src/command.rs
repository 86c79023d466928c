//! Placeholder.
/// Placeholder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Id(Box<str>);
/// Placeholder.
pub struct Request;
/// Placeholder.
pub struct Command;
/// Placeholder.
pub struct CommandError;
