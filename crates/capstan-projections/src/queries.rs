//! The reads the API is allowed. Each answers stored JSON as it is, with the position it was read at; each is
//! limited to one workspace in SQL.

pub(crate) mod agent;
pub(crate) mod agent_stats;
pub(crate) mod blocker;
pub(crate) mod channel;
pub(crate) mod class;
pub(crate) mod cursor;
pub(crate) mod input;
pub(crate) mod output;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod select;
pub(crate) mod span;
pub(crate) mod task;
pub(crate) mod token;
pub(crate) mod tree;
pub(crate) mod workspace;

use capstan_envelope::Position;
use serde_json::value::RawValue;

use crate::queries::cursor::InvalidCursor;

/// An object as reads show it.
#[derive(Clone, Debug)]
pub struct Item {
    /// The object as JSON text.
    pub doc: Box<RawValue>,
    /// The version of the stream it is part of, at its last change.
    pub version: u64,
    /// The position of the read models when it was read.
    pub position: Position,
}

/// A page of objects.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The objects as JSON texts.
    pub items: Vec<Box<RawValue>>,
    /// Where the next page begins; none after the last.
    pub next_cursor: Option<String>,
    /// The limit that was applied.
    pub limit: u32,
    /// How many there are on all pages together, when it was asked for.
    pub total: Option<Total>,
    /// The position of the read models when they were read.
    pub position: Position,
}

/// How many objects a list holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// So many, when there are no more.
    pub count: u64,
    /// True when there are more, which were not counted.
    pub is_more: bool,
}

/// Why a read could not be answered.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The read models cannot be reached for now, or are being made.
    #[error("read the read models: they are not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The caller's cursor is not one of ours.
    #[error("read a page")]
    Cursor(#[from] InvalidCursor),
    /// A stored document is not JSON.
    #[error("read a stored document")]
    Malformed(#[from] serde_json::Error),
}

impl QueryError {
    /// True when asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    pub(crate) fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Box::new(source))
    }
}
