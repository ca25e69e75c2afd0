//! The reads of the API. Each returns stored JSON unchanged, with the position it was read at, and is restricted to
//! one workspace in SQL.

pub(crate) mod agent;
pub(crate) mod agent_stats;
pub(crate) mod blocker;
pub(crate) mod by_id;
pub(crate) mod channel;
pub(crate) mod class;
pub(crate) mod cursor;
pub(crate) mod input;
pub(crate) mod open_reference;
pub(crate) mod output;
pub(crate) mod output_rows;
#[cfg(test)]
mod plans;
pub(crate) mod run;
pub(crate) mod schedule;
pub(crate) mod select;
pub(crate) mod span;
pub(crate) mod task;
pub(crate) mod token;
pub(crate) mod tree;
pub(crate) mod workspace;

pub use agent::*;
pub use agent_stats::*;
pub use blocker::*;
pub use channel::*;
pub use class::*;
pub use cursor::InvalidCursor;
pub use input::*;
pub use open_reference::*;
pub use output::*;
pub use output_rows::*;
pub use run::*;
pub use schedule::*;
pub use select::*;
pub use span::*;
pub use task::*;
pub use token::*;
pub use tree::*;
pub use workspace::*;

use capstan_envelope::Position;
use serde_json::value::RawValue;
use tokio_postgres::error::SqlState;

/// An object.
#[derive(Clone, Debug)]
pub struct Item {
    /// The object as JSON text.
    pub doc: Box<RawValue>,
    /// The version of its stream at its last change.
    pub version: u64,
    /// The position of the read models at the time of the read.
    pub position: Position,
}

/// A page of objects.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The objects as JSON texts.
    pub items: Vec<Box<RawValue>>,
    /// The cursor of the next page; `None` on the last.
    pub next_cursor: Option<String>,
    /// The applied limit.
    pub limit: u32,
    /// The length of the whole list, if requested.
    pub total: Option<Total>,
    /// The position of the read models at the time of the read.
    pub position: Position,
}

/// The length of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Total {
    /// The counted objects.
    pub count: u64,
    /// True when there are more than were counted.
    pub is_more: bool,
}

/// The reason a read failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The read models are unreachable, or being rebuilt.
    #[error("query the read models: they are not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The cursor is invalid for this list.
    #[error("read a page")]
    Cursor(#[from] InvalidCursor),
    /// A value of the query is outside what a column holds.
    #[error("compare a value of the query with stored ones")]
    Value(#[source] tokio_postgres::Error),
    /// A stored document is not JSON.
    #[error("read a stored document")]
    Malformed(#[from] serde_json::Error),
}

impl QueryError {
    /// True when a retry may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// The error of a statement.
    pub(crate) fn from_statement(error: tokio_postgres::Error) -> Self {
        let out_of_range = [
            SqlState::DATETIME_FIELD_OVERFLOW,
            SqlState::NUMERIC_VALUE_OUT_OF_RANGE,
            SqlState::CHARACTER_NOT_IN_REPERTOIRE,
        ];
        match error.code() {
            Some(code) if out_of_range.contains(code) => Self::Value(error),
            _ => Self::unavailable(error),
        }
    }

    pub(crate) fn unavailable(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Unavailable(Box::new(source))
    }
}
