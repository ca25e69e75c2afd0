//! Queries of a workspace, the same over HTTP and NATS.
//!
//! Over HTTP the fields of a query stand in the path and in the query string, where the items of a list are separated by
//! commas and an empty value counts as absent. Over NATS they are the body. Queries are read strictly, as commands are.

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

use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use crate::beside::Beside;
use crate::schema::{NamedSchema, request_schema_of};

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

/// The body of a query.
pub trait Query: DeserializeOwned + JsonSchema + Send + 'static {
    /// The wire name, as in the subject of a request.
    const NAME: &'static str;
    /// The name of the operation, as in the published documents.
    const OPERATION: &'static str;
    /// The fields beside the query.
    type Beside: Beside;
}

/// Hands the queries of a workspace, `Type = "wire-name", Beside;` each, to a macro.
#[macro_export]
macro_rules! for_each_query {
    ($callback:ident) => {
        $callback! {
            GetWorkspace = "get-workspace", Wait;
            ListTokens = "list-tokens", Page;
            ListAgents = "list-agents", Page;
            GetAgent = "get-agent", Wait;
            GetDefaultConfig = "get-default-config", Wait;
            GetAgentStats = "get-agent-stats", Wait;
            ListChannelBindings = "list-channel-bindings", Page;
            GetChannelBinding = "get-channel-binding", Wait;
            ListClasses = "list-classes", Page;
            GetClass = "get-class", Wait;
            ListSchedules = "list-schedules", Page;
            GetSchedule = "get-schedule", Wait;
            PreviewSchedule = "preview-schedule", Wait;
            ListTasks = "list-tasks", Page;
            GetTask = "get-task", Wait;
            ListSubtasks = "list-subtasks", Page;
            ListTaskRuns = "list-task-runs", Page;
            ListTaskOutputs = "list-task-outputs", Page;
            ListTaskInputs = "list-task-inputs", Page;
            GetTaskTree = "get-task-tree", Wait;
            GetTaskHistory = "get-task-history", Wait;
            GetTaskLogs = "get-task-logs", Wait;
            WhyIsTaskWaiting = "why-is-task-waiting", Wait;
            GetTaskEventBatch = "get-task-event-batch", Wait;
            GetTaskOutput = "get-task-output", Wait;
            ListRuns = "list-runs", Page;
            GetRun = "get-run", Wait;
            ListRunSnapshots = "list-run-snapshots", Wait;
            ListRunEvents = "list-run-events", Wait;
            GetRunInteraction = "get-run-interaction", Wait;
            ListOutputs = "list-outputs", Page;
            GetOutput = "get-output", Wait;
            ListInbox = "list-inbox", Page;
            GetWorkspaceLiveBatch = "get-workspace-live-batch", Wait;
        }
    };
}

macro_rules! name_queries {
    ($($query:ident = $name:literal, $beside:ident;)*) => {
        $(impl Query for $query {
            const NAME: &'static str = $name;
            const OPERATION: &'static str = stringify!($query);
            type Beside = $beside;
        })*

        /// Every query of a workspace and its JSON Schema.
        pub static QUERIES: &[NamedSchema] =
            &[$(NamedSchema { name: $name, schema: || request_schema_of::<$query, $beside>($name) },)*];
    };
}

for_each_query!(name_queries);
