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
mod fetch_attempt;
mod idempotency_key;
mod lease_attempts;
mod register_worker;
mod renew_leases;
mod report_tool_call;
mod send_reports;

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
    ProduceOutput, PublishSourceEvent, RecordUsage, ReportedOutcome, RetryTask, ReturnAttempt,
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
pub use fetch_attempt::FetchAttempt;
pub use idempotency_key::IdempotencyKey;
pub use lease_attempts::LeaseAttempts;
pub use register_worker::{RegisterWorker, WorkerCapabilities};
pub use renew_leases::{RenewLeases, Renewal};
pub use report_tool_call::ReportToolCall;
pub use send_reports::{REPORTS, REPORTS_MAX, SendReports};

/// Hands the callers' commands to a macro, as [`requests!`] takes them. They are the same over HTTP, NATS and in batches.
#[macro_export]
macro_rules! for_each_command {
    ($callback:ident $($before:tt)*) => {
        $callback! {
            $($before)*
            AcceptAgentCommand(KeyConditions) = "accept-agent-command", Post "/tasks"
                => [202 200, Receipt("task"), Command, "creates a task for an agent, or continues its session"];
            SubmitTaskInput(Conditions) = "submit-task-input", Post "/tasks/{task_id}/input"
                => [202 200, Receipt("task"), Command, "submits an input to a task"];
            EnqueueRunInput(Conditions) = "enqueue-run-input", Post "/runs/{run_id}/input"
                => [202 200, Receipt("task"), Command, "submits an input to the task of a run"];
            CancelTask(Conditions) = "cancel-task", Post "/tasks/{task_id}/cancel"
                => [202 200, Receipt("task"), Command, "cancels a task"];
            CancelRun(Conditions) = "cancel-run", Post "/runs/{run_id}/cancel"
                => [202 200, Receipt("task"), Command, "cancels a run"];
            RetryTask(Conditions) = "retry-task", Post "/tasks/{task_id}/retry"
                => [202 200, Receipt("task"), Command, "retries a task that failed, was dropped or was cancelled"];
            ArchiveTask(Conditions) = "archive-task", Post "/tasks/{task_id}/archive"
                => [202 200, Receipt("task"), Command, "archives a task; an active one is cancelled"];
            UnarchiveTask(Conditions) = "unarchive-task", Post "/tasks/{task_id}/unarchive"
                => [202 200, Receipt("task"), Command, "unarchives a task"];
            UpdateTask(Conditions) = "update-task", Patch "/tasks/{task_id}"
                => [200, Receipt("task"), Command, "updates a task; null clears a field"];
            PublishSourceEvent(KeyConditions) = "publish-source-event", Post "/source-events"
                => [202 200, Receipt("event"), Command, "publishes an event of an external source; wakes the tasks that watch for it"];
            CreateAgent(Conditions) = "create-agent", Post "/agents"
                => [201 200, Receipt("agent"), Command, "creates an agent"];
            CreateWorkspace(Conditions) = "create-workspace", Post "/v1/workspaces"
                => [201 200, Receipt("workspace"), Admin, "creates a workspace"];
            ConfigureClass(Conditions) = "configure-class", Put "/classes/{instance_key}"
                => [200, Receipt("class"), Command, "sets the limits of an execution class, pauses or resets it"];
            CreateSchedule(Conditions) = "create-schedule", Post "/schedules"
                => [201 200, Receipt("schedule"), Command, "creates a schedule"];
            UpdateSchedule(Conditions) = "update-schedule", Patch "/schedules/{schedule_id}"
                => [200, Receipt("schedule"), Command, "updates a schedule"];
            DeleteSchedule(Conditions) = "delete-schedule", Delete "/schedules/{schedule_id}"
                => [200, Receipt("schedule"), Command, "deletes a schedule"];
            PauseSchedule(Conditions) = "pause-schedule", Post "/schedules/{schedule_id}/pause"
                => [200, Receipt("schedule"), Command, "pauses a schedule"];
            ResumeSchedule(Conditions) = "resume-schedule", Post "/schedules/{schedule_id}/resume"
                => [200, Receipt("schedule"), Command, "resumes a schedule"];
            TriggerSchedule(Conditions) = "trigger-schedule", Post "/schedules/{schedule_id}/trigger"
                => [202 200, Receipt("task"), Command, "creates one task from a schedule now"];
            UpdateAgent(Conditions) = "update-agent", Patch "/agents/{agent_id}"
                => [200, Receipt("agent"), Command, "updates an agent; null clears a field"];
            DeleteAgent(Conditions) = "delete-agent", Delete "/agents/{agent_id}"
                => [200, Receipt("cancelled_tasks"), Command, "deletes an agent"];
            UpdateWorkspace(Conditions) = "update-workspace", Patch ""
                => [200, Receipt("workspace"), Admin, "updates a workspace and its settings"];
            UpsertChannelBinding(Conditions) = "upsert-channel-binding", Put "/channels/{channel_type}/{address}"
                => [200, Receipt("channel"), Command, "binds a channel address to the workspace"];
            DeleteChannelBinding(Conditions) = "delete-channel-binding", Delete "/channels/{channel_type}/{address}"
                => [200, Receipt("channel"), Command, "releases a channel address"];
            IssueToken(Conditions) = "issue-token", Post "/tokens"
                => [201 200, Receipt("token"), Admin, "issues a token; only this response contains its secret"];
            RevokeToken(Conditions) = "revoke-token", Delete "/tokens/{token_id}"
                => [200, Receipt("token"), Admin, "revokes a token"];
            CreateTaskOutput(Conditions) = "create-task-output", Post "/tasks/{task_id}/outputs"
                => [201 200, Receipt("output"), Command, "adds an output to a task"];
            AppendTaskOutputRows(Conditions) = "append-task-output-rows", Post "/tasks/{task_id}/outputs/{output_id}/rows"
                => [200, Receipt("output"), Command, "appends rows to an output of a task"];
            FinalizeTaskOutput(Conditions) = "finalize-task-output", Post "/tasks/{task_id}/outputs/{output_id}/finalize"
                => [200, Receipt("output"), Command, "finalizes an output of a task with its summary"];
            ArchiveOutput(Conditions) = "archive-output", Post "/outputs/{output_id}/archive"
                => [200, Receipt("output"), Command, "archives an output"];
            ArchiveAllOutputs(KeyConditions) = "archive-all-outputs", Post "/outputs/archive-all"
                => [200, Receipt("archived"), Command, "archives outputs of a workspace"];
        }
    };
}

/// Hands the calls of workers to a macro, as [`requests!`] takes them.
#[macro_export]
macro_rules! for_each_worker_call {
    ($callback:ident $($before:tt)*) => {
        $callback! {
            $($before)*
            RegisterWorker(Unconditional) = "register-worker", Post "/v1/workers"
                => [201, Object("registered-worker"), Worker, "registers a worker"];
            LeaseAttempts(Unconditional) = "lease-attempts", Post "/v1/workers/{worker_id}/lease"
                => [200, Array("leased-attempt"), Worker, "leases attempts to a worker; waits for them"];
            RenewLeases(Unconditional) = "renew-leases", Post "/v1/workers/{worker_id}/renew"
                => [200, Array("renew-answer"), Worker, "renews leases; returns cancellations and new inputs"];
            DrainWorker(Unconditional) = "drain-worker", Post "/v1/workers/{worker_id}/drain"
                => [200, Object("draining"), Worker, "stops leasing attempts to a worker"];
            SendReports(Unconditional) = "send-reports", Post "/v1/workers/{worker_id}/reports"
                => [200, Object("report-outcomes"), Worker, "takes reports about attempts together, each with an outcome of its own"];
            FetchAttempt(LeaseConditions) = "fetch-attempt", Post "/v1/attempts/{attempt_id}/fetch"
                => [200, Object("attempt-page"), Worker, "reads an attempt the lease had no room for, in pages"];
            AppendLogs(LeaseConditions) = "append-logs", Post "/v1/attempts/{attempt_id}/logs"
                => [202, Object("accepted-lines"), Worker, "appends log lines of the agent"];
            AppendRunEvents(LeaseConditions) = "append-run-events", Post "/v1/attempts/{attempt_id}/events"
                => [202, Object("accepted-lines"), Worker, "appends run events of the agent"];
            ProduceOutput(LeaseConditions) = "produce-output", Post "/v1/attempts/{attempt_id}/outputs"
                => [201 200, Receipt("output_id"), Worker, "produces an output"];
            AppendOutputRows(LeaseConditions) = "append-output-rows", Post "/v1/attempts/{attempt_id}/outputs/{output_id}/rows"
                => [200, Receipt("output_id"), Worker, "appends rows to an output"];
            FinalizeOutput(LeaseConditions) = "finalize-output", Post "/v1/attempts/{attempt_id}/outputs/{output_id}/finalize"
                => [200, Receipt("output_id"), Worker, "finalizes an output"];
            OpenBlocker(LeaseConditions) = "open-blocker", Post "/v1/attempts/{attempt_id}/blockers"
                => [201 200, Receipt(""), Worker, "opens a question to people"];
            ClaimInput(LeaseConditions) = "claim-input", Post "/v1/attempts/{attempt_id}/inputs/claim"
                => [200, Receipt("input"), Worker, "claims the oldest pending input"];
            AckInput(LeaseConditions) = "ack-input", Post "/v1/attempts/{attempt_id}/inputs/{input_id}/ack"
                => [200, Receipt("input"), Worker, "acknowledges that the agent has the input"];
            DeferInput(LeaseConditions) = "defer-input", Post "/v1/attempts/{attempt_id}/inputs/{input_id}/defer"
                => [200, Receipt("input"), Worker, "defers an input that could not reach the live turn"];
            RecordUsage(LeaseConditions) = "record-usage", Post "/v1/attempts/{attempt_id}/usage"
                => [200, Receipt(""), Worker, "records the usage of the agent so far"];
            CheckToolCall(LeaseConditions) = "check-tool-call", Post "/v1/attempts/{attempt_id}/tool-calls"
                => [200, Object("tool-decision"), Worker, "asks whether the agent may call a tool"];
            ClaimToolCall(Unconditional) = "claim-tool-call", Post "/v1/workers/{worker_id}/tool-calls"
                => [200, Maybe("claimed-tool-call"), Worker, "leases an approved tool call to a worker; waits for one"];
            ReportToolCall(ClaimConditions) = "report-tool-call", Post "/v1/workers/{worker_id}/tool-calls/{claim}/result"
                => [200, Receipt(""), Worker, "reports the result of a tool call"];
            FinishAttempt(LeaseConditions) = "finish-attempt", Post "/v1/attempts/{attempt_id}/finish"
                => [200, Receipt(""), Worker, "reports the end of the attempt"];
            ReturnAttempt(LeaseConditions) = "return-attempt", Post "/v1/attempts/{attempt_id}/return"
                => [200, Receipt(""), Worker, "returns the attempt unfinished"];
        }
    };
}

macro_rules! name_commands {
    ($($command:ident($beside:ident) = $name:literal, $method:ident $path:literal => $shown:tt;)*) => {
        /// The wire names of the callers' commands.
        pub const COMMAND_NAMES: &[&str] = &[$($name,)*];
    };
}

for_each_command!(name_commands);

for_each_command! { requests
    /// Every command of a caller and the JSON Schema of its body.
    pub COMMANDS:
}

for_each_worker_call! { requests
    /// Every call of a worker and the JSON Schema of its body.
    pub WORKER_CALLS:
}

/// Every body and its JSON Schema: the commands of callers and the calls of workers.
pub fn body_schemas() -> impl Iterator<Item = &'static NamedSchema> {
    COMMANDS.iter().chain(WORKER_CALLS)
}
