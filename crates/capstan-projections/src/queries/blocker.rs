//! Reads of blockers.

use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::event::BlockerKind;

use crate::catalogue::tasks::WaitingReason;
use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Listing, QueryError};
use crate::read_models::ReadModels;

/// Which open questions to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockerFilter {
    /// Of one of these kinds; any when empty.
    pub kinds: Vec<BlockerKind>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
}

impl ReadModels {
    /// The inbox: the open questions of a workspace, oldest first.
    pub async fn blockers(
        &self,
        workspace: &str,
        filter: &BlockerFilter,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("blockers", workspace, "created_at");
        select.filter_plain("open");
        if !filter.kinds.is_empty() {
            let kinds: Vec<&'static str> =
                filter.kinds.iter().map(|kind| WaitingReason::from(*kind).as_str()).collect();
            select.filter("kind = ANY(?)", kinds);
        }
        select.filter_some("agent_id = ?", filter.agent_id.map(|id| id.0));
        select.page(self, page, Direction::OldestFirst).await
    }

    /// All questions of a task, oldest first.
    pub async fn blockers_of_task(
        &self,
        workspace: &str,
        task: TaskId,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("blockers", workspace, "created_at");
        select.filter("task_id = ?", task.0);
        select.page(self, page, Direction::OldestFirst).await
    }
}
