//! Reads of schedules.

use capstan_domain::id::{AgentId, ScheduleId};

use crate::queries::select::{Query, Select};

const TABLE: &str = "schedules";

/// Schedules, newest first. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScheduleFilter {
    /// The view.
    pub source_view_id: Option<String>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// Active or paused; both when absent.
    pub active: Option<bool>,
}

impl Query for ScheduleFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace).newest_first();
        select.filter_some("source_view_id = ?", self.source_view_id.clone());
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select.filter_some("active = ?", self.active);
        select
    }
}

impl Query for ScheduleId {
    fn select(&self, workspace: &str) -> Select {
        Select::by_id(TABLE, workspace, self.0)
    }
}
