//! The read models: what queries answer, and how far the rows have come.

use std::time::Duration;

use capstan_contract::query::{FOREIGN_CURSOR, Page};
use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::task::TaskDecider;
use capstan_envelope::{Commit, CommitHash, CommitId, Metadata, Position, Recorded, StreamId, Workspace};
use capstan_projections::{Query, QueryError, ReadModels};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::answered::{Answered, List, Object};
use crate::problem::{Code, Problem};

/// The read models and the position they have reached.
#[derive(Clone, Debug)]
pub struct Reads {
    models: ReadModels,
    reached: watch::Receiver<Position>,
}

impl Reads {
    /// Reads these models.
    pub fn new(models: ReadModels) -> Self {
        let reached = models.reached();
        Self { models, reached }
    }

    /// The models themselves.
    pub(crate) fn models(&self) -> &ReadModels {
        &self.models
    }

    /// The lowest position of the read models this process knows.
    pub(crate) fn position(&self) -> Position {
        *self.reached.borrow()
    }

    /// Waits until reads show everything up to `position`.
    pub(crate) async fn wait_for(&self, position: Position, wait: Duration) -> Result<Position, Problem> {
        self.models.wait_for(position, wait).await.map_err(|timeout| {
            let detail =
                format!("read models are at position {}; {} was requested", timeout.current, timeout.wanted);
            let lag = timeout.wanted.commits_since(timeout.current);
            Problem {
                position: Some(timeout.current),
                lag_events: Some(lag),
                ..Problem::new(Code::PositionTimeout, detail)
            }
        })
    }

    /// A task that was just accepted, as reads will show it.
    pub(crate) fn new_task(
        stream: &StreamId,
        context: &CommandContext,
        decided: &Decided<TaskDecider>,
    ) -> Option<Box<RawValue>> {
        let recorded = Recorded {
            position: decided.position,
            recorded_at: context.occurred_at,
            hash: decided.loaded.head.hash,
            commit: Commit {
                commit_id: CommitId(context.command_id),
                stream: stream.clone(),
                version: decided.version,
                previous: Position::START,
                previous_hash: CommitHash::NONE,
                metadata: Metadata::new(
                    context.command,
                    context.actor.clone(),
                    context.correlation_id,
                    context.occurred_at,
                ),
                events: Vec::new(),
            },
        };
        capstan_projections::new_task(&recorded, &decided.events)
    }

    /// The object that matches, or none.
    pub(crate) async fn one(
        &self,
        workspace: &Workspace,
        query: &impl Query,
    ) -> Result<Option<Object>, Problem> {
        Ok(self.models.one(workspace.as_str(), query).await?.map(Object::from))
    }

    /// The object that matches; not found, as `what`, when there is none.
    pub(crate) async fn get(
        &self,
        workspace: &Workspace,
        query: &impl Query,
        what: &str,
    ) -> Result<Answered, Problem> {
        let found = self.one(workspace, query).await?;
        found.map(Answered::from).ok_or_else(|| Problem::not_found(what))
    }

    /// A page of the objects that match.
    pub(crate) async fn list(
        &self,
        workspace: &Workspace,
        query: &impl Query,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.list(workspace.as_str(), query, page).await?.into())
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(_) => {
                Self::new(Code::ReadModelUnavailable, "read models are temporarily unavailable")
                    .because(error)
            }
            QueryError::Cursor(_) => Self::invalid_field("/cursor", FOREIGN_CURSOR),
            QueryError::Value(_) => Self::invalid_field(
                "",
                "a value cannot be compared with stored ones: times are from the year -4712 to 294276, texts without NUL",
            ),
            QueryError::Malformed(_) => Self::internal(error),
        }
    }
}
