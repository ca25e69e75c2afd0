//! Snapshots: the state of a stream at one of its commits, so that a reader need not fold the whole past again.

use async_trait::async_trait;
use capstan_envelope::{Applied, CommitId, Position, StreamHead, StreamId};
use futures_util::stream::BoxStream;
use serde_json::value::RawValue;

/// The folded state of one stream at one of its commits. Disposable: the log can always make it anew.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Head of the stream; the state holds everything up to it and nothing after it.
    pub head: StreamHead,
    /// The decider's state as JSON.
    pub state: Box<RawValue>,
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

    /// A keyed command that the head of a stream may have forgotten. The answer counts every command that was applied up to
    /// and including `until`: a store that is not there yet is waited for, and refuses when it takes too long.
    async fn applied(
        &self,
        _stream: &StreamId,
        _command: CommitId,
        _until: Position,
    ) -> Result<KeptKey, SnapshotError> {
        Ok(KeptKey::NotKept)
    }
}

/// The answer of a store to a question about a keyed command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeptKey {
    /// It was applied.
    Applied(Applied),
    /// It was applied; its answer is archived.
    Archived,
    /// It was not applied.
    New,
    /// This store keeps no keys: the stream itself has them.
    NotKept,
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

/// The state of a stream the engine begins with.
#[derive(Clone, Debug)]
pub struct OpenStream {
    /// The stream.
    pub stream: StreamId,
    /// Commits the state holds.
    pub version: u64,
    /// The decider's state as JSON. The acceptance of a task may be reduced to what matching and timers read.
    pub state: Box<RawValue>,
}

/// The states the engine begins with, at one position.
pub struct OpenStreams {
    /// The position of all of them: tailing the log after it misses nothing.
    pub position: Position,
    /// The states, some at a time, so that however many there are only these are in memory.
    pub chunks: BoxStream<'static, Result<Vec<OpenStream>, SnapshotError>>,
}

impl std::fmt::Debug for OpenStreams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenStreams at {}", self.position)
    }
}

/// Lists the streams the engine must watch: tasks that are not over, or over with an attempt that still holds a lease,
/// active schedules, and what else it decides by.
#[async_trait]
pub trait OpenTasks: Send + Sync {
    /// Costs of agents and of the workspaces of the day, and the position up to which they count.
    async fn spending(&self) -> Result<(Position, Vec<Spent>), SnapshotError>;

    /// Those and everything that decides which of them may run.
    async fn open_tasks(&self) -> Result<OpenStreams, SnapshotError>;
}
