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
            GetWorkspace(Wait) = "get-workspace", Get "/v1/workspaces/{workspace}";
            ListTokens(Page) = "list-tokens", Get "/v1/workspaces/{workspace}/tokens";
            ListAgents(Page) = "list-agents", Get "/v1/workspaces/{workspace}/agents";
            GetAgent(Wait) = "get-agent", Get "/v1/workspaces/{workspace}/agents/{agent_id}";
            GetDefaultConfig(Wait) = "get-default-config", Get "/v1/workspaces/{workspace}/agents/defaults";
            GetAgentStats(Wait) = "get-agent-stats", Get "/v1/workspaces/{workspace}/agents/{agent_id}/stats";
            ListChannelBindings(Page) = "list-channel-bindings", Get "/v1/workspaces/{workspace}/channels";
            GetChannelBinding(Wait) = "get-channel-binding", Get "/v1/workspaces/{workspace}/channels/{channel_type}/{address}";
            ListClasses(Page) = "list-classes", Get "/v1/workspaces/{workspace}/classes";
            GetClass(Wait) = "get-class", Get "/v1/workspaces/{workspace}/classes/{instance_key}";
            ListSchedules(Page) = "list-schedules", Get "/v1/workspaces/{workspace}/schedules";
            GetSchedule(Wait) = "get-schedule", Get "/v1/workspaces/{workspace}/schedules/{schedule_id}";
            PreviewSchedule(Wait) = "preview-schedule", Get "/v1/workspaces/{workspace}/schedules/{schedule_id}/next";
            ListTasks(Page) = "list-tasks", Get "/v1/workspaces/{workspace}/tasks";
            GetTask(Wait) = "get-task", Get "/v1/workspaces/{workspace}/tasks/{task_id}";
            ListSubtasks(Page) = "list-subtasks", Get "/v1/workspaces/{workspace}/tasks/{task_id}/subtasks";
            ListTaskRuns(Page) = "list-task-runs", Get "/v1/workspaces/{workspace}/tasks/{task_id}/runs";
            ListTaskOutputs(Page) = "list-task-outputs", Get "/v1/workspaces/{workspace}/tasks/{task_id}/outputs";
            ListTaskInputs(Page) = "list-task-inputs", Get "/v1/workspaces/{workspace}/tasks/{task_id}/inputs";
            GetTaskTree(Wait) = "get-task-tree", Get "/v1/workspaces/{workspace}/tasks/{task_id}/tree";
            GetTaskHistory(Wait) = "get-task-history", Get "/v1/workspaces/{workspace}/tasks/{task_id}/history";
            GetTaskLogs(Wait) = "get-task-logs", Get "/v1/workspaces/{workspace}/tasks/{task_id}/logs";
            WhyIsTaskWaiting(Wait) = "why-is-task-waiting", Get "/v1/workspaces/{workspace}/tasks/{task_id}/why";
            GetTaskEventBatch(Wait) = "get-task-event-batch", Get "/v1/workspaces/{workspace}/tasks/{task_id}/batch";
            GetTaskOutput(Wait) = "get-task-output", Get "/v1/workspaces/{workspace}/tasks/{task_id}/outputs/{output_id}";
            ListRuns(Page) = "list-runs", Get "/v1/workspaces/{workspace}/runs";
            GetRun(Wait) = "get-run", Get "/v1/workspaces/{workspace}/runs/{run_id}";
            ListRunSnapshots(Wait) = "list-run-snapshots", Get "/v1/workspaces/{workspace}/runs/{run_id}/snapshots";
            ListRunEvents(Wait) = "list-run-events", Get "/v1/workspaces/{workspace}/runs/{run_id}/events";
            GetRunInteraction(Wait) = "get-run-interaction", Get "/v1/workspaces/{workspace}/runs/{run_id}/interaction";
            ListOutputs(Page) = "list-outputs", Get "/v1/workspaces/{workspace}/outputs";
            GetOutput(Wait) = "get-output", Get "/v1/workspaces/{workspace}/outputs/{output_id}";
            ListInbox(Page) = "list-inbox", Get "/v1/workspaces/{workspace}/inbox";
            GetWorkspaceLiveBatch(Wait) = "get-workspace-live-batch", Get "/v1/workspaces/{workspace}/batch";
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
