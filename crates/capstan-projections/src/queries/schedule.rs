//! Reads of schedules.

use capstan_domain::id::{AgentId, ScheduleId};

use crate::queries::cursor::Page;
use crate::queries::select::{Direction, Select};
use crate::queries::{Item, Listing, QueryError};
use crate::read_models::ReadModels;

/// Which schedules to list; everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleFilter {
    /// For this view.
    pub source_view_id: Option<String>,
    /// Of this agent.
    pub agent_id: Option<AgentId>,
    /// Active, or paused; both when absent.
    pub active: Option<bool>,
}

impl ReadModels {
    /// A schedule.
    pub async fn schedule(&self, workspace: &str, id: ScheduleId) -> Result<Option<Item>, QueryError> {
        let mut select = Select::of("schedules", workspace, "created_at");
        select.filter("id = ?", id.0);
        select.one(self).await
    }

    /// How many schedules there are; counts no further than `limit`.
    pub async fn count_schedules(&self, workspace: &str, limit: u64) -> Result<u64, QueryError> {
        Select::of("schedules", workspace, "created_at").count(self, limit).await
    }

    /// Schedules, newest first.
    pub async fn schedules(
        &self,
        workspace: &str,
        filter: &ScheduleFilter,
        page: &Page,
    ) -> Result<Listing, QueryError> {
        let mut select = Select::of("schedules", workspace, "created_at");
        select.filter_some("source_view_id = ?", filter.source_view_id.clone());
        select.filter_some("agent_id = ?", filter.agent_id.map(|id| id.0));
        select.filter_some("active = ?", filter.active);
        select.page(self, page, Direction::NewestFirst).await
    }
}
