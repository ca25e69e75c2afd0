//! Bodies of the commands of callers and of the calls of workers: the same over HTTP, NATS and in batches.
//!
//! A body about an entity is the domain's command itself; the types here are about what has no decider: workers, logs, and
//! selections of many entities. Bodies are read strictly (the reader refuses a field that is not declared, at every
//! depth), so the types themselves need not.

use crate::requests;
use crate::schema::NamedSchema;

mod append_logs;
mod append_run_events;
mod archive_all_outputs;
mod claim_tool_call;
mod conditions;
mod drain_worker;
mod idempotency_key;
mod lease_attempts;
mod register_worker;
mod renew_leases;
mod report_tool_call;

pub use capstan_domain::agent::{CreateAgent, DeleteAgent, UpdateAgent};
pub use capstan_domain::channel::{DeleteChannelBinding, UpsertChannelBinding};
pub use capstan_domain::class::ConfigureClass;
pub use capstan_domain::schedule::command::{
    CreateSchedule, DeleteSchedule, PauseSchedule, ResumeSchedule, TriggerSchedule, UpdateSchedule,
};
pub use capstan_domain::task::command::{
    AcceptAgentCommand, AckInput, AppendOutputRows, AppendTaskOutputRows, ArchiveOutput, ArchiveTask,
    AskedDeadline, AskedItem, AskedKind, CancelRun, CancelTask, CheckToolCall, ClaimInput, CreateTaskOutput,
    DecidedItem, DeferInput, EnqueueRunInput, FinalizeOutput, FinalizeTaskOutput, FinishAttempt, OpenBlocker,
    ProduceOutput, PublishSourceEvent, RecordUsage, ReportedOutcome, RetryTask, ReturnAttempt, StartAttempt,
    SubmitTaskInput, SubtaskSpec, TaskPayload, UnarchiveTask, UpdateTask, WakePlan,
};
pub use capstan_domain::token::{IssueToken, RevokeToken};
pub use capstan_domain::workspace::tool::ToolSettings;
pub use capstan_domain::workspace::{CreateWorkspace, QuotaChanges, SettingsChanges, UpdateWorkspace};

pub use append_logs::{AppendLogs, LogLine, LogStream};
pub use append_run_events::{AppendRunEvents, RunEvent};
pub use archive_all_outputs::ArchiveAllOutputs;
pub use claim_tool_call::ClaimToolCall;
pub use conditions::{
    BatchConditions, ClaimConditions, Conditions, KeyConditions, LeaseConditions, Unconditional,
};
pub use drain_worker::DrainWorker;
pub use idempotency_key::IdempotencyKey;
pub use lease_attempts::LeaseAttempts;
pub use register_worker::{RegisterWorker, WorkerCapabilities};
pub use renew_leases::{RenewLeases, Renewal};
pub use report_tool_call::ReportToolCall;

/// Hands the callers' commands to a macro, as [`requests!`] takes them. They are the same over HTTP, NATS and in batches.
#[macro_export]
macro_rules! for_each_command {
    ($callback:ident) => {
        $callback! {
            AcceptAgentCommand(KeyConditions) = "accept-agent-command", Post "/tasks";
            SubmitTaskInput(Conditions) = "submit-task-input", Post "/tasks/{task_id}/input";
            EnqueueRunInput(Conditions) = "enqueue-run-input", Post "/runs/{run_id}/input";
            CancelTask(Conditions) = "cancel-task", Post "/tasks/{task_id}/cancel";
            CancelRun(Conditions) = "cancel-run", Post "/runs/{run_id}/cancel";
            RetryTask(Conditions) = "retry-task", Post "/tasks/{task_id}/retry";
            ArchiveTask(Conditions) = "archive-task", Post "/tasks/{task_id}/archive";
            UnarchiveTask(Conditions) = "unarchive-task", Post "/tasks/{task_id}/unarchive";
            UpdateTask(Conditions) = "update-task", Patch "/tasks/{task_id}";
            PublishSourceEvent(KeyConditions) = "publish-source-event", Post "/source-events";
            CreateAgent(Conditions) = "create-agent", Post "/agents";
            CreateWorkspace(Conditions) = "create-workspace", Post "/v1/workspaces";
            ConfigureClass(Conditions) = "configure-class", Put "/classes/{instance_key}";
            CreateSchedule(Conditions) = "create-schedule", Post "/schedules";
            UpdateSchedule(Conditions) = "update-schedule", Patch "/schedules/{schedule_id}";
            DeleteSchedule(Conditions) = "delete-schedule", Delete "/schedules/{schedule_id}";
            PauseSchedule(Conditions) = "pause-schedule", Post "/schedules/{schedule_id}/pause";
            ResumeSchedule(Conditions) = "resume-schedule", Post "/schedules/{schedule_id}/resume";
            TriggerSchedule(Conditions) = "trigger-schedule", Post "/schedules/{schedule_id}/trigger";
            UpdateAgent(Conditions) = "update-agent", Patch "/agents/{agent_id}";
            DeleteAgent(Conditions) = "delete-agent", Delete "/agents/{agent_id}";
            UpdateWorkspace(Conditions) = "update-workspace", Patch "";
            UpsertChannelBinding(Conditions) = "upsert-channel-binding", Put "/channels/{channel_type}/{address}";
            DeleteChannelBinding(Conditions) = "delete-channel-binding", Delete "/channels/{channel_type}/{address}";
            IssueToken(Conditions) = "issue-token", Post "/tokens";
            RevokeToken(Conditions) = "revoke-token", Delete "/tokens/{token_id}";
            CreateTaskOutput(Conditions) = "create-task-output", Post "/tasks/{task_id}/outputs";
            AppendTaskOutputRows(Conditions) = "append-task-output-rows", Post "/tasks/{task_id}/outputs/{output_id}/rows";
            FinalizeTaskOutput(Conditions) = "finalize-task-output", Post "/tasks/{task_id}/outputs/{output_id}/finalize";
            ArchiveOutput(Conditions) = "archive-output", Post "/outputs/{output_id}/archive";
            ArchiveAllOutputs(KeyConditions) = "archive-all-outputs", Post "/outputs/archive-all";
        }
    };
}

/// Hands the calls of workers to a macro, as [`requests!`] takes them.
#[macro_export]
macro_rules! for_each_worker_call {
    ($callback:ident) => {
        $callback! {
            RegisterWorker(Unconditional) = "register-worker", Post "/v1/workers";
            LeaseAttempts(Unconditional) = "lease-attempts", Post "/v1/workers/{worker_id}/lease";
            RenewLeases(Unconditional) = "renew-leases", Post "/v1/workers/{worker_id}/renew";
            DrainWorker(Unconditional) = "drain-worker", Post "/v1/workers/{worker_id}/drain";
            StartAttempt(LeaseConditions) = "start-attempt", Post "/v1/attempts/{attempt_id}/start";
            AppendLogs(LeaseConditions) = "append-logs", Post "/v1/attempts/{attempt_id}/logs";
            AppendRunEvents(LeaseConditions) = "append-run-events", Post "/v1/attempts/{attempt_id}/events";
            ProduceOutput(LeaseConditions) = "produce-output", Post "/v1/attempts/{attempt_id}/outputs";
            AppendOutputRows(LeaseConditions) = "append-output-rows", Post "/v1/attempts/{attempt_id}/outputs/{output_id}/rows";
            FinalizeOutput(LeaseConditions) = "finalize-output", Post "/v1/attempts/{attempt_id}/outputs/{output_id}/finalize";
            OpenBlocker(LeaseConditions) = "open-blocker", Post "/v1/attempts/{attempt_id}/blockers";
            ClaimInput(LeaseConditions) = "claim-input", Post "/v1/attempts/{attempt_id}/inputs/claim";
            AckInput(LeaseConditions) = "ack-input", Post "/v1/attempts/{attempt_id}/inputs/{input_id}/ack";
            DeferInput(LeaseConditions) = "defer-input", Post "/v1/attempts/{attempt_id}/inputs/{input_id}/defer";
            RecordUsage(LeaseConditions) = "record-usage", Post "/v1/attempts/{attempt_id}/usage";
            CheckToolCall(LeaseConditions) = "check-tool-call", Post "/v1/attempts/{attempt_id}/tool-calls";
            ClaimToolCall(Unconditional) = "claim-tool-call", Post "/v1/workers/{worker_id}/tool-calls";
            ReportToolCall(ClaimConditions) = "report-tool-call", Post "/v1/workers/{worker_id}/tool-calls/{claim}/result";
            FinishAttempt(LeaseConditions) = "finish-attempt", Post "/v1/attempts/{attempt_id}/finish";
            ReturnAttempt(LeaseConditions) = "return-attempt", Post "/v1/attempts/{attempt_id}/return";
        }
    };
}

macro_rules! name_commands {
    ($($command:ident($beside:ident) = $name:literal, $method:ident $path:literal;)*) => {
        /// The wire names of the callers' commands.
        pub const COMMAND_NAMES: &[&str] = &[$($name,)*];

        requests! {
            /// Every command of a caller and the JSON Schema of its body.
            pub COMMANDS: $($command($beside) = $name, $method $path;)*
        }
    };
}

macro_rules! name_worker_calls {
    ($($calls:tt)*) => {
        requests! {
            /// Every call of a worker and the JSON Schema of its body.
            pub WORKER_CALLS: $($calls)*
        }
    };
}

for_each_command!(name_commands);
for_each_worker_call!(name_worker_calls);

/// Every body and its JSON Schema: the commands of callers and the calls of workers.
pub fn body_schemas() -> impl Iterator<Item = &'static NamedSchema> {
    COMMANDS.iter().chain(WORKER_CALLS)
}
