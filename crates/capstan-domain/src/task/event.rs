//! The facts of a task. These names and fields are stored for ever: see `schemas/README.md` before touching one.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Declares stored structs: serde and schema derives.
macro_rules! stored {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident : $type:ty,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        pub struct $name { $($(#[$field_meta])* pub $field: $type,)* }
    )*};
}

/// Declares stored choices, written in `snake_case`.
macro_rules! choice {
    ($($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident,)* })*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$variant_meta])* $variant,)* }
    )*};
}

mod acceptance;
mod blocker;
mod budget;
mod inbox;
mod lifecycle;
mod output;
mod run;
mod subtask;
mod tool_call;
mod watch;

pub use acceptance::{ParentClose, TaskAccepted};
pub use blocker::{
    Approvers, BlockerClosed, BlockerDeadline, BlockerItem, BlockerKind, BlockerOpened, BlockerStatus,
    BlockerUpdated, BlockerVoted, BudgetScope, DeadlineDefault, Decision, ItemDecision, Question, Resolution,
    Verdict,
};
pub use budget::{BudgetExceeded, BudgetWarned};
pub use inbox::{
    InputAccepted, InputClaimed, InputConsumed, InputDeferred, InputKind, InputOutcome, InputReturned,
    InputSource, QueueMode,
};
pub use lifecycle::{
    AgendaItem, DropReason, TaskArchived, TaskBudgetSet, TaskCancelled, TaskContinued, TaskDeadlineSet,
    TaskDone, TaskDropped, TaskFailed, TaskLabelled, TaskPayloadSet, TaskReprioritised, TaskRoutingSet,
    TaskSlept, TaskUnarchived,
};
pub use output::{
    OutputArchived, OutputFinalized, OutputProduced, OutputRowsAppended, OutputStatus, OutputStatusChanged,
};
pub use run::{
    AttemptCancelRequested, AttemptEnded, AttemptLeased, AttemptOutcome, AttemptStarted, RetryReason,
    RetryScheduled, RunCause, RunEnded, RunRequested, RunStatus, UsageRecorded,
};
pub use subtask::{Join, JoinWait, ParentTold, Subtask, SubtaskEnded, SubtasksSpawned};
pub use tool_call::{
    ToolCallAllowed, ToolCallDecided, ToolCallDeferred, ToolExecutionEnded, ToolExecutionStarted,
    ToolExecutor, ToolOutcome, ToolPermission,
};
pub use watch::{DisarmCause, SourceWatch, WatchArmed, WatchDisarmed, WatchFired};

/// True for what need not be written.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A fact about a task.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant is documented at its struct")]
pub enum Event {
    TaskAccepted(Arc<TaskAccepted>),
    RunRequested(RunRequested),
    AttemptLeased(AttemptLeased),
    AttemptStarted(AttemptStarted),
    AttemptCancelRequested(AttemptCancelRequested),
    AttemptEnded(AttemptEnded),
    RetryScheduled(RetryScheduled),
    RunEnded(RunEnded),
    UsageRecorded(UsageRecorded),
    TaskContinued(TaskContinued),
    TaskSlept(TaskSlept),
    TaskDone(TaskDone),
    TaskFailed(TaskFailed),
    TaskCancelled(TaskCancelled),
    TaskDropped(TaskDropped),
    TaskArchived(TaskArchived),
    TaskUnarchived(TaskUnarchived),
    TaskReprioritised(TaskReprioritised),
    TaskBudgetSet(TaskBudgetSet),
    TaskLabelled(TaskLabelled),
    TaskDeadlineSet(TaskDeadlineSet),
    TaskRoutingSet(TaskRoutingSet),
    TaskPayloadSet(TaskPayloadSet),
    BlockerOpened(BlockerOpened),
    BlockerUpdated(BlockerUpdated),
    BlockerVoted(BlockerVoted),
    BlockerClosed(BlockerClosed),
    InputAccepted(InputAccepted),
    InputClaimed(InputClaimed),
    InputReturned(InputReturned),
    InputDeferred(InputDeferred),
    InputConsumed(InputConsumed),
    OutputProduced(OutputProduced),
    OutputRowsAppended(OutputRowsAppended),
    OutputFinalized(OutputFinalized),
    OutputStatusChanged(OutputStatusChanged),
    OutputArchived(OutputArchived),
    ToolCallDeferred(ToolCallDeferred),
    ToolCallAllowed(ToolCallAllowed),
    ToolCallDecided(ToolCallDecided),
    ToolExecutionStarted(ToolExecutionStarted),
    ToolExecutionEnded(ToolExecutionEnded),
    SubtasksSpawned(SubtasksSpawned),
    SubtaskEnded(SubtaskEnded),
    ParentTold(ParentTold),
    WatchArmed(WatchArmed),
    WatchFired(WatchFired),
    WatchDisarmed(WatchDisarmed),
    BudgetWarned(BudgetWarned),
    BudgetExceeded(BudgetExceeded),
}

impl Event {
    /// When it ended the task, if it did.
    pub(super) fn ends_task_at(&self) -> Option<chrono::DateTime<chrono::Utc>> {
        if let Self::TaskDone(TaskDone { at })
        | Self::TaskFailed(TaskFailed { at, .. })
        | Self::TaskCancelled(TaskCancelled { at, .. })
        | Self::TaskDropped(TaskDropped { at, .. }) = self
        {
            return Some(*at);
        }
        None
    }
}

/// How urgent a task is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Runs when nothing else waits, or when it has waited long enough.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Before normal.
    High,
    /// Before everything else.
    Urgent,
}

impl Priority {
    /// The wire word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Urgent => "urgent",
        }
    }
}
