//! The read models: what queries answer, and how far the rows have come.

use std::time::Duration;

use capstan_dispatch::{CommandContext, Decided};
use capstan_domain::id::{AgentId, BindingId, OutputId, RunId, ScheduleId, TaskId, TokenId};
use capstan_domain::task::TaskDecider;
use capstan_envelope::{Commit, CommitHash, CommitId, Metadata, Position, Recorded, StreamId, Workspace};
use capstan_projections::{
    AgentStats, BindingFilter, BlockerFilter, Listing, OutputFilter, Page, QueryError, ReadModels, RunFilter,
    ScheduleFilter, TaskFilter,
};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::problem::{Code, Problem};

/// Most objects on a page; a larger limit is reduced to it, and the page says so.
pub(crate) const LIMIT_MAX: u32 = 500;

/// One object as JSON.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) json: Box<RawValue>,
    pub(crate) version: u64,
    pub(crate) position: Position,
}

/// A value read at a position.
#[derive(Debug)]
pub(crate) struct Positioned<T>(pub(crate) T, pub(crate) Position);

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct List<T = Box<RawValue>> {
    pub(crate) items: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_cursor: Option<String>,
    pub(crate) position: Position,
    pub(crate) limit: u32,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(crate) total: Option<ListTotal>,
}

/// The number of objects on all pages together, when the caller asks for it.
#[derive(Debug, Serialize)]
pub(crate) struct ListTotal {
    /// Number of objects counted.
    total: u64,
    /// True when more objects exist than were counted.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    total_is_more: bool,
}

impl From<capstan_projections::Total> for ListTotal {
    fn from(total: capstan_projections::Total) -> Self {
        Self { total: total.count, total_is_more: total.is_more }
    }
}

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
                metadata: Metadata {
                    occurred_at: context.occurred_at,
                    actor: context.actor.clone(),
                    command: context.command.to_owned(),
                    correlation_id: context.correlation_id,
                    causation_id: None,
                    traceparent: None,
                    idempotency: None,
                },
                events: Vec::new(),
            },
        };
        capstan_projections::new_task(&recorded, &decided.events)
    }

    pub(crate) async fn workspace(&self, workspace: &Workspace) -> Result<Option<Object>, Problem> {
        Ok(self.models.workspace(workspace.as_str()).await?.map(Object::from))
    }

    pub(crate) async fn agent(&self, workspace: &Workspace, id: AgentId) -> Result<Option<Object>, Problem> {
        Ok(self.models.agent(workspace.as_str(), id).await?.map(Object::from))
    }

    pub(crate) async fn agents(&self, workspace: &Workspace, page: &Page) -> Result<List, Problem> {
        Ok(self.models.agents(workspace.as_str(), page).await?.into())
    }

    pub(crate) async fn agent_stats(
        &self,
        workspace: &Workspace,
        id: AgentId,
    ) -> Result<(AgentStats, Position), Problem> {
        Ok(self.models.agent_stats(workspace.as_str(), id).await?)
    }

    pub(crate) async fn open_tasks_of(
        &self,
        workspace: &Workspace,
        agent: AgentId,
        limit: u32,
    ) -> Result<Vec<TaskId>, Problem> {
        Ok(self.models.open_tasks_of(workspace.as_str(), agent, limit.into()).await?)
    }

    pub(crate) async fn channel(
        &self,
        workspace: &Workspace,
        id: BindingId,
    ) -> Result<Option<Object>, Problem> {
        Ok(self.models.channel(workspace.as_str(), id).await?.map(Object::from))
    }

    pub(crate) async fn channels(
        &self,
        workspace: &Workspace,
        filter: &BindingFilter,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.channels(workspace.as_str(), filter, page).await?.into())
    }

    pub(crate) async fn addresses_of(
        &self,
        workspace: &Workspace,
        agent: AgentId,
    ) -> Result<Vec<(String, String)>, Problem> {
        Ok(self.models.addresses_of(workspace.as_str(), agent).await?)
    }

    pub(crate) async fn class(
        &self,
        workspace: &Workspace,
        instance_key: &str,
    ) -> Result<Option<Object>, Problem> {
        Ok(self.models.class(workspace.as_str(), instance_key).await?.map(Object::from))
    }

    pub(crate) async fn classes(&self, workspace: &Workspace, page: &Page) -> Result<List, Problem> {
        Ok(self.models.classes(workspace.as_str(), page).await?.into())
    }

    pub(crate) async fn token(&self, workspace: &Workspace, id: TokenId) -> Result<Option<Object>, Problem> {
        Ok(self.models.token(workspace.as_str(), id).await?.map(Object::from))
    }

    pub(crate) async fn tokens(
        &self,
        workspace: &Workspace,
        revoked: Option<bool>,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.tokens(workspace.as_str(), revoked, page).await?.into())
    }

    pub(crate) async fn task(&self, workspace: &Workspace, id: TaskId) -> Result<Option<Object>, Problem> {
        Ok(self.models.task(workspace.as_str(), id).await?.map(Object::from))
    }

    pub(crate) async fn tasks(
        &self,
        workspace: &Workspace,
        filter: &TaskFilter,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.tasks(workspace.as_str(), filter, page).await?.into())
    }

    pub(crate) async fn run(&self, workspace: &Workspace, id: RunId) -> Result<Option<Object>, Problem> {
        Ok(self.models.run(workspace.as_str(), id).await?.map(Object::from))
    }

    pub(crate) async fn runs(
        &self,
        workspace: &Workspace,
        filter: &RunFilter,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.runs(workspace.as_str(), filter, page).await?.into())
    }

    pub(crate) async fn task_of_run(
        &self,
        workspace: &Workspace,
        id: RunId,
    ) -> Result<Option<TaskId>, Problem> {
        Ok(self.models.task_of_run(workspace.as_str(), id).await?)
    }

    pub(crate) async fn schedule(
        &self,
        workspace: &Workspace,
        id: ScheduleId,
    ) -> Result<Option<Object>, Problem> {
        Ok(self.models.schedule(workspace.as_str(), id).await?.map(Object::from))
    }

    pub(crate) async fn schedules(
        &self,
        workspace: &Workspace,
        filter: &ScheduleFilter,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.schedules(workspace.as_str(), filter, page).await?.into())
    }

    pub(crate) async fn output(
        &self,
        workspace: &Workspace,
        task: Option<TaskId>,
        id: OutputId,
    ) -> Result<Option<Object>, Problem> {
        Ok(self.models.output(workspace.as_str(), task, id).await?.map(Object::from))
    }

    pub(crate) async fn outputs(
        &self,
        workspace: &Workspace,
        filter: &OutputFilter,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.outputs(workspace.as_str(), filter, page).await?.into())
    }

    pub(crate) async fn task_of_output(
        &self,
        workspace: &Workspace,
        id: OutputId,
    ) -> Result<Option<TaskId>, Problem> {
        Ok(self.models.task_of_output(workspace.as_str(), id).await?)
    }

    pub(crate) async fn inputs(
        &self,
        workspace: &Workspace,
        task: TaskId,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.inputs(workspace.as_str(), task, page).await?.into())
    }

    pub(crate) async fn open_blockers(
        &self,
        workspace: &Workspace,
        filter: &BlockerFilter,
        page: &Page,
    ) -> Result<List, Problem> {
        Ok(self.models.blockers(workspace.as_str(), filter, page).await?.into())
    }
}

impl From<capstan_projections::Item> for Object {
    fn from(item: capstan_projections::Item) -> Self {
        Self { json: item.doc, version: item.version, position: item.position }
    }
}

impl From<Listing> for List {
    fn from(listing: Listing) -> Self {
        let Listing { items, next_cursor, limit, total, position } = listing;
        Self { items, next_cursor, position, limit, total: total.map(Into::into) }
    }
}

impl From<QueryError> for Problem {
    fn from(error: QueryError) -> Self {
        match error {
            QueryError::Unavailable(_) => {
                Self::new(Code::ReadModelUnavailable, "read models are temporarily unavailable")
                    .because(error)
            }
            QueryError::Cursor(_) => {
                Self::invalid_field("?cursor", "must be a next_cursor of this list with the same filters")
            }
            QueryError::Malformed(_) => Self::internal(error),
        }
    }
}
