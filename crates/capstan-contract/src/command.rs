//! Bodies of the commands of callers and of the calls of workers: the same over HTTP, NATS and in batches.
//!
//! The body of a caller's command is the domain's command itself; rules are the domain's too. Bodies are read strictly (the reader refuses a field that is not
//! declared, at every depth), so the types themselves need not.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::{NamedSchema, request_schema_of};

mod ack_input;
mod append_logs;
mod append_output_rows;
mod append_run_events;
mod append_task_output_rows;
mod archive_all_outputs;
mod archive_output;
mod check_tool_call;
mod claim_input;
mod claim_tool_call;
mod conditions;
mod defer_input;
mod drain_worker;
mod fan_out;
mod finalize_output;
mod finalize_task_output;
mod finish_attempt;
mod lease_attempts;
mod open_blocker;
mod produce_output;
mod publish_source_event;
mod record_usage;
mod register_worker;
mod renew_leases;
mod report_tool_call;
mod return_attempt;
mod start_attempt;

pub use capstan_domain::agent::{CreateAgent, DeleteAgent, UpdateAgent};
pub use capstan_domain::channel::{DeleteChannelBinding, UpsertChannelBinding};
pub use capstan_domain::class::ConfigureClass;
pub use capstan_domain::schedule::command::{
    CreateSchedule, DeleteSchedule, PauseSchedule, ResumeSchedule, TriggerSchedule, UpdateSchedule,
};
pub use capstan_domain::task::command::{
    AcceptAgentCommand, ArchiveTask, CancelRun, CancelTask, DecidedItem, EnqueueRunInput, RetryTask,
    SubmitTaskInput, TaskPayload, UnarchiveTask, UpdateTask,
};
pub use capstan_domain::token::{IssueToken, RevokeToken};
pub use capstan_domain::workspace::tool::ToolSettings;
pub use capstan_domain::workspace::{CreateWorkspace, QuotaChanges, SettingsChanges, UpdateWorkspace};

pub use ack_input::AckInput;
pub use append_logs::{AppendLogs, LogLine};
pub use append_output_rows::AppendOutputRows;
pub use append_run_events::{AppendRunEvents, RunEvent};
pub use append_task_output_rows::AppendTaskOutputRows;
pub use archive_all_outputs::ArchiveAllOutputs;
pub use archive_output::ArchiveOutput;
pub use check_tool_call::CheckToolCall;
pub use claim_input::ClaimInput;
pub use claim_tool_call::ClaimToolCall;
pub use conditions::{ClaimConditions, Conditions, LeaseConditions, Unconditional};
pub use defer_input::DeferInput;
pub use drain_worker::DrainWorker;
pub use fan_out::{SourceWatchRequest, SubtaskRequest};
pub use finalize_output::FinalizeOutput;
pub use finalize_task_output::FinalizeTaskOutput;
pub use finish_attempt::{AgendaEntry, FinishAttempt, WakeRequest};
pub use lease_attempts::LeaseAttempts;
pub use open_blocker::{AskedApprovers, AskedDeadline, AskedItem, AskedKind, BlockerQuestion, OpenBlocker};
pub use produce_output::{CreateTaskOutput, ProduceOutput};
pub use publish_source_event::PublishSourceEvent;
pub use record_usage::RecordUsage;
pub use register_worker::{RegisterWorker, WorkerCapabilities};
pub use renew_leases::{RenewLeases, Renewal};
pub use report_tool_call::ReportToolCall;
pub use return_attempt::ReturnAttempt;
pub use start_attempt::StartAttempt;

/// The body of a command.
pub trait CommandBody: Serialize + DeserializeOwned + JsonSchema {
    /// Name of the type, which is that of the operation in the published documents.
    const TYPE: &'static str;
    /// The command's wire name, as it stands in subjects, batches and metadata.
    const NAME: &'static str;

    /// Fields that stand beside those of the body.
    type Conditions: Serialize + DeserializeOwned + JsonSchema + 'static;
}

/// Hands the callers' commands, `Type = "wire-name";` each, to a macro. They are the same over HTTP, NATS and in batches.
#[macro_export]
macro_rules! for_each_command {
    ($callback:ident) => {
        $callback! {
            AcceptAgentCommand = "accept-agent-command";
            SubmitTaskInput = "submit-task-input";
            EnqueueRunInput = "enqueue-run-input";
            CancelTask = "cancel-task";
            CancelRun = "cancel-run";
            RetryTask = "retry-task";
            ArchiveTask = "archive-task";
            UnarchiveTask = "unarchive-task";
            UpdateTask = "update-task";
            PublishSourceEvent = "publish-source-event";
            CreateAgent = "create-agent";
            CreateWorkspace = "create-workspace";
            ConfigureClass = "configure-class";
            CreateSchedule = "create-schedule";
            UpdateSchedule = "update-schedule";
            DeleteSchedule = "delete-schedule";
            PauseSchedule = "pause-schedule";
            ResumeSchedule = "resume-schedule";
            TriggerSchedule = "trigger-schedule";
            UpdateAgent = "update-agent";
            DeleteAgent = "delete-agent";
            UpdateWorkspace = "update-workspace";
            UpsertChannelBinding = "upsert-channel-binding";
            DeleteChannelBinding = "delete-channel-binding";
            IssueToken = "issue-token";
            RevokeToken = "revoke-token";
            CreateTaskOutput = "create-task-output";
            AppendTaskOutputRows = "append-task-output-rows";
            FinalizeTaskOutput = "finalize-task-output";
            ArchiveOutput = "archive-output";
            ArchiveAllOutputs = "archive-all-outputs";
        }
    };
}

/// Hands the calls of workers, `Type(Conditions) = "wire-name";` each, to a macro.
#[macro_export]
macro_rules! for_each_worker_call {
    ($callback:ident) => {
        $callback! {
            RegisterWorker(Unconditional) = "register-worker";
            LeaseAttempts(Unconditional) = "lease-attempts";
            RenewLeases(Unconditional) = "renew-leases";
            DrainWorker(Unconditional) = "drain-worker";
            StartAttempt(LeaseConditions) = "start-attempt";
            AppendLogs(LeaseConditions) = "append-logs";
            AppendRunEvents(LeaseConditions) = "append-run-events";
            ProduceOutput(LeaseConditions) = "produce-output";
            AppendOutputRows(LeaseConditions) = "append-output-rows";
            FinalizeOutput(LeaseConditions) = "finalize-output";
            OpenBlocker(LeaseConditions) = "open-blocker";
            ClaimInput(LeaseConditions) = "claim-input";
            AckInput(LeaseConditions) = "ack-input";
            DeferInput(LeaseConditions) = "defer-input";
            RecordUsage(LeaseConditions) = "record-usage";
            CheckToolCall(LeaseConditions) = "check-tool-call";
            ClaimToolCall(Unconditional) = "claim-tool-call";
            ReportToolCall(ClaimConditions) = "report-tool-call";
            FinishAttempt(LeaseConditions) = "finish-attempt";
            ReturnAttempt(LeaseConditions) = "return-attempt";
        }
    };
}

macro_rules! name_commands {
    ($($body:ident = $name:literal;)*) => {
        $(impl CommandBody for $body {
            const TYPE: &'static str = stringify!($body);
            const NAME: &'static str = $name;
            type Conditions = Conditions;
        })*

        /// The wire names of the callers' commands.
        pub const COMMAND_NAMES: &[&str] = &[$($name,)*];

        /// Every command of a caller and the JSON Schema of its body.
        pub static COMMANDS: &[NamedSchema] =
            &[$(NamedSchema { name: $name, schema: || request_schema_of::<$body, Conditions>($name) },)*];
    };
}

macro_rules! name_worker_calls {
    ($($body:ident($conditions:ident) = $name:literal;)*) => {
        $(impl CommandBody for $body {
            const TYPE: &'static str = stringify!($body);
            const NAME: &'static str = $name;
            type Conditions = $conditions;
        })*

        /// Every call of a worker and the JSON Schema of its body.
        pub static WORKER_CALLS: &[NamedSchema] =
            &[$(NamedSchema { name: $name, schema: || request_schema_of::<$body, $conditions>($name) },)*];
    };
}

for_each_command!(name_commands);
for_each_worker_call!(name_worker_calls);

/// Every body and its JSON Schema: the commands of callers and the calls of workers.
pub fn body_schemas() -> impl Iterator<Item = &'static NamedSchema> {
    COMMANDS.iter().chain(WORKER_CALLS)
}
