//! Queries of a workspace, the same over HTTP and NATS.
//!
//! Over HTTP the fields of a query stand in the path and in the query string, where the items of a list are separated by
//! commas and a blank value counts as absent. Over NATS they are the body. Queries are read strictly, as commands are.

mod agent;
mod as_of;
mod channel;
mod class;
mod output;
mod page;
mod run;
mod schedule;
mod task;
mod token;
mod waiting_reason;
mod workspace;

use crate::requests;

pub use agent::{GetAgent, GetAgentStats, GetDefaultConfig, ListAgents};
pub use as_of::AsOf;
pub use channel::{GetChannelBinding, ListChannelBindings};
pub use class::{GetClass, ListClasses};
pub use output::{Archived, GetOutput, GetTaskOutput, ListOutputs};
pub use page::{LIMIT_MAX, Page, Wait, page_size};
pub use run::{GetRun, GetRunInteraction, ListRunEvents, ListRunSnapshots, ListRuns};
pub use schedule::{GetSchedule, ListSchedules, PreviewSchedule};
pub use task::{
    GetTask, GetTaskEventBatch, GetTaskHistory, GetTaskLogs, GetTaskTree, ListInbox, ListSubtasks,
    ListTaskInputs, ListTaskOutputs, ListTaskRuns, ListTasks, WhyIsTaskWaiting,
};
pub use token::ListTokens;
pub use waiting_reason::WaitingReason;
pub use workspace::{GetWorkspace, GetWorkspaceLiveBatch};

/// Hands the queries of a workspace to a macro, as [`requests!`] takes them.
#[macro_export]
macro_rules! for_each_query {
    ($callback:ident) => {
        $callback! {
            GetWorkspace(Wait) = "get-workspace", Get "";
            ListTokens(Page) = "list-tokens", Get "/tokens";
            ListAgents(Page) = "list-agents", Get "/agents";
            GetAgent(Wait) = "get-agent", Get "/agents/{agent_id}";
            GetDefaultConfig(Wait) = "get-default-config", Get "/agents/defaults";
            GetAgentStats(Wait) = "get-agent-stats", Get "/agents/{agent_id}/stats";
            ListChannelBindings(Page) = "list-channel-bindings", Get "/channels";
            GetChannelBinding(Wait) = "get-channel-binding", Get "/channels/{channel_type}/{address}";
            ListClasses(Page) = "list-classes", Get "/classes";
            GetClass(Wait) = "get-class", Get "/classes/{instance_key}";
            ListSchedules(Page) = "list-schedules", Get "/schedules";
            GetSchedule(Wait) = "get-schedule", Get "/schedules/{schedule_id}";
            PreviewSchedule(Wait) = "preview-schedule", Get "/schedules/{schedule_id}/next";
            ListTasks(Page) = "list-tasks", Get "/tasks";
            GetTask(Wait) = "get-task", Get "/tasks/{task_id}";
            ListSubtasks(Page) = "list-subtasks", Get "/tasks/{task_id}/subtasks";
            ListTaskRuns(Page) = "list-task-runs", Get "/tasks/{task_id}/runs";
            ListTaskOutputs(Page) = "list-task-outputs", Get "/tasks/{task_id}/outputs";
            ListTaskInputs(Page) = "list-task-inputs", Get "/tasks/{task_id}/inputs";
            GetTaskTree(Wait) = "get-task-tree", Get "/tasks/{task_id}/tree";
            GetTaskHistory(Wait) = "get-task-history", Get "/tasks/{task_id}/history";
            GetTaskLogs(Wait) = "get-task-logs", Get "/tasks/{task_id}/logs";
            WhyIsTaskWaiting(Wait) = "why-is-task-waiting", Get "/tasks/{task_id}/why";
            GetTaskEventBatch(Wait) = "get-task-event-batch", Get "/tasks/{task_id}/batch";
            GetTaskOutput(Wait) = "get-task-output", Get "/tasks/{task_id}/outputs/{output_id}";
            ListRuns(Page) = "list-runs", Get "/runs";
            GetRun(Wait) = "get-run", Get "/runs/{run_id}";
            ListRunSnapshots(Wait) = "list-run-snapshots", Get "/runs/{run_id}/snapshots";
            ListRunEvents(Wait) = "list-run-events", Get "/runs/{run_id}/events";
            GetRunInteraction(Wait) = "get-run-interaction", Get "/runs/{run_id}/interaction";
            ListOutputs(Page) = "list-outputs", Get "/outputs";
            GetOutput(Wait) = "get-output", Get "/outputs/{output_id}";
            ListInbox(Page) = "list-inbox", Get "/inbox";
            GetWorkspaceLiveBatch(Wait) = "get-workspace-live-batch", Get "/batch";
        }
    };
}

macro_rules! name_queries {
    ($($queries:tt)*) => {
        requests! {
            /// Every query of a workspace and its JSON Schema.
            pub QUERIES: $($queries)*
        }
    };
}

for_each_query!(name_queries);
