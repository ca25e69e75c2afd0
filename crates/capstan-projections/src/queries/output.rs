//! Reads of outputs.

use capstan_domain::id::{AgentId, OutputId, TaskId};
use capstan_domain::task::event::OutputStatus;

use crate::queries::select::{Query, Select};
use crate::queries::span::Span;
use crate::queries::task::storable;

/// Outputs of one task in the order of creation, or of the whole workspace, newest first. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputFilter {
    /// The task.
    pub task_id: Option<TaskId>,
    /// The agent.
    pub agent_id: Option<AgentId>,
    /// The type.
    pub output_type: Option<String>,
    /// Accepted states; any when empty.
    pub statuses: Vec<OutputStatus>,
    /// Archived or not; both when absent.
    pub archived: Option<bool>,
    /// Hidden from the workspace's feed or not; both when absent.
    pub hidden: Option<bool>,
    /// Time of creation.
    pub created: Span,
}

impl Query for OutputFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all("outputs", workspace);
        if self.task_id.is_none() {
            select = select.newest_first();
        }
        if self.task_id.is_none() {
            select.each_flag("archived", self.archived);
            select.each_flag("hidden", self.hidden);
            if !self.statuses.is_empty() {
                select.each_word("status", self.statuses.iter().map(|status| status.as_str()));
            }
        } else {
            select.filter_some("archived = ?", self.archived);
            select.filter_some("hidden = ?", self.hidden);
            select.filter_any("status", self.statuses.iter().map(|status| status.as_str()));
        }
        select.filter_some("task_id = ?", self.task_id.map(|id| id.0));
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select.filter_some("output_type = ?", self.output_type.as_deref().map(storable));
        select.within("created_at", self.created);
        select
    }
}

/// The output with this id, if the task produced it.
#[derive(Clone, Copy, Debug)]
pub struct OutputOfTask(pub TaskId, pub OutputId);

impl Query for OutputOfTask {
    fn select(&self, workspace: &str) -> Select {
        let Self(task_id, id) = self;
        let mut select = id.select(workspace);
        select.filter("task_id = ?", task_id.0);
        select
    }
}
