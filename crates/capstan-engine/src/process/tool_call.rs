//! Questions about an approved tool call.

use capstan_domain::task::command::EndToolCall;
use capstan_domain::task::event::{ToolExecutor, ToolOutcome};
use capstan_domain::task::state::ToolCallState;
use capstan_domain::workspace::Settings;
use chrono::{DateTime, Utc};

use super::facts::CallFacts;

pub(super) fn is_disabled(settings: &Settings, tool: &str) -> bool {
    settings.disabled_tools.iter().any(|disabled| disabled == tool)
}

impl CallFacts {
    /// The executor of a call that is approved or claimed.
    pub(super) fn executor(&self) -> Option<ToolExecutor> {
        match self.state {
            ToolCallState::Approved { executor, .. } | ToolCallState::Executing { executor, .. } => {
                Some(executor)
            }
            ToolCallState::Pending | ToolCallState::Rejected { .. } | ToolCallState::PreApproved { .. } => {
                None
            }
        }
    }

    /// The number and the end of the claim, when the call is claimed.
    pub(super) fn claim(&self) -> Option<(u32, DateTime<Utc>)> {
        match self.state {
            ToolCallState::Executing { try_no, until, .. } => Some((try_no, until)),
            ToolCallState::Pending
            | ToolCallState::Rejected { .. }
            | ToolCallState::PreApproved { .. }
            | ToolCallState::Approved { .. } => None,
        }
    }

    /// The end of a call that is not tried again.
    pub(super) fn given_up(&self, error: &str) -> EndToolCall {
        let (try_no, worker_id, outcome) = match self.state {
            ToolCallState::Executing { try_no, worker_id, .. } => (try_no, worker_id, ToolOutcome::Unknown),
            ToolCallState::Pending
            | ToolCallState::Rejected { .. }
            | ToolCallState::PreApproved { .. }
            | ToolCallState::Approved { .. } => (0, None, ToolOutcome::Error),
        };
        EndToolCall {
            tool_call_id: self.tool_call_id,
            try_no,
            worker_id,
            outcome,
            exit_code: None,
            stdout: String::new(),
            stderr: String::new(),
            error: Some(error.to_owned()),
        }
    }
}
