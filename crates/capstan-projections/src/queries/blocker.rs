//! Reads of blockers.

use capstan_contract::query::WaitingReason;
use capstan_domain::id::{AgentId, TaskId};
use capstan_domain::task::event::BlockerKind;

use crate::queries::select::{Query, Select};

const TABLE: &str = "blockers";

/// The inbox: the open blockers of a workspace, oldest first. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockerFilter {
    /// Accepted kinds; any when empty.
    pub kinds: Vec<BlockerKind>,
    /// The agent.
    pub agent_id: Option<AgentId>,
}

impl Query for BlockerFilter {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace);
        select.filter_plain("open");
        if !self.kinds.is_empty() {
            select.each_word("kind", self.kinds.iter().map(|kind| WaitingReason::from(*kind).as_str()));
        }
        select.filter_some("agent_id = ?", self.agent_id.map(|id| id.0));
        select
    }
}

/// All blockers of a task, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct BlockersOfTask(pub TaskId);

impl Query for BlockersOfTask {
    fn select(&self, workspace: &str) -> Select {
        let mut select = Select::all(TABLE, workspace);
        select.filter("task_id = ?", self.0.0);
        select
    }
}
