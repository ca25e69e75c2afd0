//! Snapshots: the state of a stream at one of its commits, so that a reader need not fold the whole past again.

use async_trait::async_trait;
use capstan_envelope::{Position, StreamHead, StreamId};
use serde_json::Value;

/// The folded state of one stream at one of its commits. Disposable: the log can always make it anew.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// Head of the stream; the state holds everything up to it and nothing after it.
    pub head: StreamHead,
    /// The decider's state as JSON.
    pub state: Value,
}

/// The reasons a snapshot could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The store cannot be reached for now.
    #[error("load a snapshot: the store is not available")]
    Unavailable {
        /// Error of the store.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The stored snapshot cannot be read by this build; a rebuild makes it anew.
    #[error("load the snapshot of {stream}: the stored state has another shape")]
    Malformed {
        /// Stream of the snapshot.
        stream: StreamId,
        /// Error of the decoder.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SnapshotError {
    /// True when asking again may succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}

/// Loads the newest snapshot of a stream. It may lag behind the log, never run ahead of it.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// The newest snapshot; `None` when the stream has none yet.
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, SnapshotError>;
}

/// Cost charged to a budget that several tasks share.
#[derive(Clone, Debug, PartialEq)]
pub struct Spent {
    /// Workspace of the budget.
    pub workspace: String,
    /// By which agent, over all its time; by the whole workspace in a day when absent.
    pub agent_id: Option<uuid::Uuid>,
    /// On which day, in UTC.
    pub day: Option<chrono::NaiveDate>,
    /// Cost in US dollars.
    pub cost_usd: f64,
    /// The limit people were warned about last.
    pub warned_limit_usd: Option<f64>,
}

/// Lists the streams the engine must watch: tasks that are not over, or over with an attempt that still holds a lease,
/// active schedules, and what else it decides by.
#[async_trait]
pub trait OpenTasks: Send + Sync {
    /// Costs of agents and of the workspaces of the day, and the position up to which they count.
    async fn spending(&self) -> Result<(Position, Vec<Spent>), SnapshotError>;

    /// Those and everything that decides which of them may run, at one position: tailing the log after it misses nothing.
    async fn open_tasks(&self) -> Result<(Position, Vec<(StreamId, Snapshot)>), SnapshotError>;
}
