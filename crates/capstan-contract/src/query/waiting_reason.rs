use capstan_domain::task::event::BlockerKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The reason a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitingReason {
    /// An open question.
    Input,
    /// An open approval.
    Approval,
    /// A spent budget.
    Budget,
    /// Subtasks that have not ended.
    Subtasks,
    /// An approved tool call that is being executed.
    ToolExecution,
}

impl From<BlockerKind> for WaitingReason {
    fn from(kind: BlockerKind) -> Self {
        match kind {
            BlockerKind::Input => Self::Input,
            BlockerKind::Approval => Self::Approval,
            BlockerKind::Budget => Self::Budget,
            BlockerKind::Subtasks => Self::Subtasks,
        }
    }
}

impl WaitingReason {
    /// The wire name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Approval => "approval",
            Self::Budget => "budget",
            Self::Subtasks => "subtasks",
            Self::ToolExecution => "tool_execution",
        }
    }
}
