//! Reads of schedules.

use capstan_domain::id::AgentId;

use crate::queries::select::{Query, Select};

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
        let mut select = Select::all("schedules", workspace).newest_first();
        select.filter_some("source_view_id = ?", self.source_view_id.clone());
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select.filter_some("active = ?", self.active);
        select
    }
}
