//! Reads of runs.

use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::event::RunStatus;

use crate::queries::select::{Query, Select};
use crate::queries::span::Span;
use crate::queries::task::storable;

/// Runs, newest first. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunFilter {
    /// Accepted states; any when empty.
    pub statuses: Vec<RunStatus>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// The task.
    pub task_id: Option<TaskId>,
    /// The session.
    pub session_id: Option<String>,
    /// Time of the request.
    pub created: Span,
    /// Time of the last change.
    pub updated: Span,
}

impl Query for RunFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all("runs", workspace).newest_first();
        // These have an index in the order of the list.
        let is_narrow = self.task_id.is_some() || self.session_id.is_some();
        if !self.statuses.is_empty() {
            select.each_word("status", self.statuses.iter().map(|status| status.as_str()));
        } else if !is_narrow {
            select.each_word("status", RunStatus::ALL.map(RunStatus::as_str));
        }
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select.filter_some("task_id = ?", self.task_id.map(|id| id.0));
        if let Some(session_id) = self.session_id.as_deref().map(storable) {
            select.filter("hashtextextended(session_id, 0) = hashtextextended(?, 0)", session_id.clone());
            select.filter("session_id = ?", session_id);
        }
        select.within("created_at", self.created);
        if is_narrow || self.statuses.len() > 1 {
            select.plan_by_value();
        }
        select.updated_within(self.updated);
        select
    }
}
