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

pub use agent::*;
pub use as_of::*;
pub use channel::*;
pub use class::*;
pub use output::*;
pub use page::*;
pub use run::*;
pub use schedule::*;
pub use task::*;
pub use token::*;
pub use waiting_reason::*;
pub use workspace::*;

/// Hands the queries of a workspace to a macro, as [`requests!`] takes them.
#[macro_export]
macro_rules! for_each_query {
    ($callback:ident $($before:tt)*) => {
        $callback! {
            $($before)*
            GetWorkspace(Wait) = "get-workspace", Get ""
                => [200, Entity("workspace"), Read, "one workspace"];
            ListTokens(Page) = "list-tokens", Get "/tokens"
                => [200, List("token"), Admin, "the tokens of a workspace, without their secrets"];
            ListAgents(Page) = "list-agents", Get "/agents"
                => [200, List("agent"), Read, "the agents of a workspace"];
            GetAgent(Wait) = "get-agent", Get "/agents/{agent_id}"
                => [200, Entity("agent"), Read, "one agent, by id, key or similar name"];
            GetAgentConfig(Wait) = "get-agent-config", Get "/agents/{agent_id}/configs/{version}"
                => [200, Object("agent-configuration"), Read, "a configuration an agent has or had, by number"];
            GetDefaultConfig(Wait) = "get-default-config", Get "/agents/defaults"
                => [200, Object("agent-defaults"), Read, "the default configuration of an agent"];
            GetAgentStats(Wait) = "get-agent-stats", Get "/agents/{agent_id}/stats"
                => [200, View("agent-stats"), Read, "agent statistics"];
            ListChannelBindings(Page) = "list-channel-bindings", Get "/channels"
                => [200, List("channel"), Read, "the channel bindings of a workspace"];
            GetChannelBinding(Wait) = "get-channel-binding", Get "/channels/{channel_type}/{address}"
                => [200, Entity("channel"), Read, "one channel binding"];
            ListClasses(Page) = "list-classes", Get "/classes"
                => [200, List("class"), Read, "execution classes with settings or history"];
            GetClass(Wait) = "get-class", Get "/classes/{instance_key}"
                => [200, Entity("class"), Read, "one execution class"];
            ListSchedules(Page) = "list-schedules", Get "/schedules"
                => [200, List("schedule"), Read, "the schedules of a workspace, filtered"];
            GetSchedule(Wait) = "get-schedule", Get "/schedules/{schedule_id}"
                => [200, Entity("schedule"), Read, "one schedule"];
            PreviewSchedule(Wait) = "preview-schedule", Get "/schedules/{schedule_id}/next"
                => [200, Object("schedule-preview"), Read, "the next ticks of a schedule"];
            ListTasks(Page) = "list-tasks", Get "/tasks"
                => [200, List("task"), Read, "tasks, filtered"];
            GetTask(Wait) = "get-task", Get "/tasks/{task_id}"
                => [200, Entity("task"), Read, "one task"];
            ListSubtasks(Page) = "list-subtasks", Get "/tasks/{task_id}/subtasks"
                => [200, List("task"), Read, "the subtasks of a task, optionally by the outputs they were created for"];
            ListTaskRuns(Page) = "list-task-runs", Get "/tasks/{task_id}/runs"
                => [200, List("run"), Read, "the runs of a task"];
            ListTaskOutputs(Page) = "list-task-outputs", Get "/tasks/{task_id}/outputs"
                => [200, List("output"), Read, "the outputs of a task"];
            ListTaskInputs(Page) = "list-task-inputs", Get "/tasks/{task_id}/inputs"
                => [200, List("input"), Read, "the inputs of a task"];
            GetTaskTree(Wait) = "get-task-tree", Get "/tasks/{task_id}/tree"
                => [200, View("task-tree"), Read, "a task with all its subtasks, with costs"];
            GetTaskHistory(Wait) = "get-task-history", Get "/tasks/{task_id}/history"
                => [200, List("history-entry"), Read, "the events of a task"];
            GetTaskLogs(Wait) = "get-task-logs", Get "/tasks/{task_id}/logs"
                => [200, List("log-entry"), Read, "the log lines of a task"];
            WhyIsTaskWaiting(Wait) = "why-is-task-waiting", Get "/tasks/{task_id}/why"
                => [200, Object("why"), Read, "the reasons why a task is not running"];
            GetTaskEventBatch(Wait) = "get-task-event-batch", Get "/tasks/{task_id}/batch"
                => [200, View("task-event-batch"), Read, "a task with its new log lines, run events and outputs"];
            GetTaskOutput(Wait) = "get-task-output", Get "/tasks/{task_id}/outputs/{output_id}"
                => [200, Entity("output"), Read, "one output of a task"];
            ListRuns(Page) = "list-runs", Get "/runs"
                => [200, List("run"), Read, "runs, filtered"];
            GetRun(Wait) = "get-run", Get "/runs/{run_id}"
                => [200, Entity("run"), Read, "one run"];
            ListRunSnapshots(Wait) = "list-run-snapshots", Get "/runs/{run_id}/snapshots"
                => [200, List("run-snapshot"), Read, "the state of a run after each change"];
            ListRunEvents(Wait) = "list-run-events", Get "/runs/{run_id}/events"
                => [200, List("log-entry"), Read, "the steps of the agent of a run"];
            GetRunInteraction(Wait) = "get-run-interaction", Get "/runs/{run_id}/interaction"
                => [200, Object("interaction"), Read, "the interaction state of a run: working, waiting for input or closed"];
            ListOutputs(Page) = "list-outputs", Get "/outputs"
                => [200, List("output"), Read, "the outputs of a workspace, filtered"];
            GetOutput(Wait) = "get-output", Get "/outputs/{output_id}"
                => [200, Entity("output"), Read, "one output"];
            ListOutputRows(Wait) = "list-output-rows", Get "/outputs/{output_id}/rows"
                => [200, List("output-row"), Read, "the rows of an output"];
            ListInbox(Page) = "list-inbox", Get "/inbox"
                => [200, List("blocker"), Read, "the open questions of all tasks"];
            GetWorkspaceLiveBatch(Wait) = "get-workspace-live-batch", Get "/batch"
                => [200, View("workspace-live-batch"), Read, "the newest tasks and outputs"];
        }
    };
}

for_each_query! { requests
    /// Every query of a workspace and its JSON Schema.
    pub QUERIES:
}
