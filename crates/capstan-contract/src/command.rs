//! What callers and workers send: one body a file, the same over HTTP, on the bus and in tests.
//!
//! A body only has a shape; rules and limits are the domain's. Unknown fields are refused, so that nothing a
//! caller says is silently dropped. A text the domain requires reads as blank when it is absent, so that its
//! absence is reported together with every other fault.

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::schema::{NamedSchema, schema_of};

mod accept_agent_command;
mod ack_input;
mod any_command;
mod append_logs;
mod append_rows;
mod append_run_events;
mod append_task_output_rows;
mod archive_all_outputs;
mod archive_output;
mod archive_task;
mod cancel_run;
mod cancel_task;
mod check_tool_call;
mod claim_input;
mod claim_tool_call;
mod configure_class;
mod create_agent;
mod create_schedule;
mod create_workspace;
mod defer_input;
mod delete_agent;
mod delete_channel_binding;
mod delete_schedule;
mod enqueue_run_input;
mod fan_out;
mod finalize_output;
mod finalize_task_output;
mod fingerprint;
mod finish_attempt;
mod issue_token;
mod lease_request;
mod open_blocker;
mod pause_schedule;
mod policy;
mod produce_output;
mod publish_source_event;
mod record_usage;
mod register_worker;
mod renew_request;
mod report_tool_call;
mod resume_schedule;
mod retry_task;
mod return_attempt;
mod revoke_token;
mod start_attempt;
mod submit_task_input;
mod trigger_schedule;
mod unarchive_task;
mod update_agent;
mod update_schedule;
mod update_task;
mod update_workspace;
mod upsert_channel_binding;
mod usage;

pub use accept_agent_command::AcceptAgentCommand;
pub use ack_input::AckInput;
pub use any_command::{AnyCommand, ReadCommandError};
pub use append_logs::{AppendLogs, LogLine};
pub use append_rows::AppendRows;
pub use append_run_events::{AppendRunEvents, RunEvent};
pub use append_task_output_rows::AppendTaskOutputRows;
pub use archive_all_outputs::ArchiveAllOutputs;
pub use archive_output::ArchiveOutput;
pub use archive_task::ArchiveTask;
pub use cancel_run::CancelRun;
pub use cancel_task::CancelTask;
pub use check_tool_call::CheckToolCall;
pub use claim_input::ClaimInput;
pub use claim_tool_call::ClaimToolCall;
pub use configure_class::ConfigureClass;
pub use create_agent::CreateAgent;
pub use create_schedule::CreateSchedule;
pub use create_workspace::CreateWorkspace;
pub use defer_input::DeferInput;
pub use delete_agent::DeleteAgent;
pub use delete_channel_binding::DeleteChannelBinding;
pub use delete_schedule::DeleteSchedule;
pub use enqueue_run_input::EnqueueRunInput;
pub use fan_out::{SourceWatchRequest, SubtaskRequest};
pub use finalize_output::FinalizeOutput;
pub use finalize_task_output::FinalizeTaskOutput;
pub use fingerprint::fingerprint;
pub use finish_attempt::{AgendaEntry, FinishAttempt, WakeRequest};
pub use issue_token::IssueToken;
pub use lease_request::LeaseRequest;
pub use open_blocker::{AskedApprovers, AskedDeadline, AskedItem, AskedKind, BlockerQuestion, OpenBlocker};
pub use pause_schedule::PauseSchedule;
pub use produce_output::{CreateTaskOutput, ProduceOutput};
pub use publish_source_event::PublishSourceEvent;
pub use record_usage::RecordUsage;
pub use register_worker::{RegisterWorker, WorkerCapabilities};
pub use renew_request::{RenewRequest, Renewal};
pub use report_tool_call::ReportToolCall;
pub use resume_schedule::ResumeSchedule;
pub use retry_task::RetryTask;
pub use return_attempt::ReturnAttempt;
pub use revoke_token::RevokeToken;
pub use start_attempt::StartAttempt;
pub use submit_task_input::{DecidedItem, SubmitTaskInput};
pub use trigger_schedule::TriggerSchedule;
pub use unarchive_task::UnarchiveTask;
pub use update_agent::UpdateAgent;
pub use update_schedule::UpdateSchedule;
pub use update_task::{TaskPayload, UpdateTask};
pub use update_workspace::{QuotaSettings, SettingsChanges, ToolSettings, UpdateWorkspace};
pub use upsert_channel_binding::UpsertChannelBinding;

/// The body of a command.
pub trait CommandBody: Serialize + DeserializeOwned + JsonSchema {
    /// The command's wire name, as it stands in subjects, batches and metadata.
    const NAME: &'static str;

    /// The key under which the command may be repeated, when the caller gave one in the body.
    fn idempotency_key(&self) -> Option<&str> {
        None
    }
}

/// Names bodies: `Type = "wire-name"`, with `keyed` when the caller may give an idempotency key.
macro_rules! bodies {
    ($($body:ident = $name:literal $($keyed:ident)?;)*) => {
        $(impl CommandBody for $body {
            const NAME: &'static str = $name;
            $(bodies!(@$keyed);)?
        })*

        /// Every command's wire name and the JSON Schema of its body.
        pub static COMMANDS: &[NamedSchema] =
            &[$(NamedSchema { name: $name, schema: || schema_of::<$body>($name) },)*];
    };
    (@keyed) => {
        fn idempotency_key(&self) -> Option<&str> {
            self.idempotency_key.as_deref()
        }
    };
}

bodies! {
    AcceptAgentCommand = "accept-agent-command" keyed;
    SubmitTaskInput = "submit-task-input" keyed;
    EnqueueRunInput = "enqueue-run-input" keyed;
    CancelTask = "cancel-task" keyed;
    CancelRun = "cancel-run" keyed;
    RetryTask = "retry-task" keyed;
    ArchiveTask = "archive-task" keyed;
    UnarchiveTask = "unarchive-task" keyed;
    UpdateTask = "update-task" keyed;
    PublishSourceEvent = "publish-source-event" keyed;
    CreateAgent = "create-agent" keyed;
    CreateWorkspace = "create-workspace" keyed;
    ConfigureClass = "configure-class" keyed;
    CreateSchedule = "create-schedule" keyed;
    UpdateSchedule = "update-schedule" keyed;
    DeleteSchedule = "delete-schedule" keyed;
    PauseSchedule = "pause-schedule" keyed;
    ResumeSchedule = "resume-schedule" keyed;
    TriggerSchedule = "trigger-schedule" keyed;
    UpdateAgent = "update-agent" keyed;
    DeleteAgent = "delete-agent" keyed;
    UpdateWorkspace = "update-workspace" keyed;
    UpsertChannelBinding = "upsert-channel-binding" keyed;
    DeleteChannelBinding = "delete-channel-binding" keyed;
    IssueToken = "issue-token" keyed;
    RevokeToken = "revoke-token" keyed;
    CreateTaskOutput = "create-task-output" keyed;
    AppendTaskOutputRows = "append-task-output-rows" keyed;
    FinalizeTaskOutput = "finalize-task-output" keyed;
    ArchiveOutput = "archive-output" keyed;
    ArchiveAllOutputs = "archive-all-outputs" keyed;
    RegisterWorker = "register-worker";
    LeaseRequest = "lease-attempts";
    RenewRequest = "renew-leases";
    StartAttempt = "start-attempt";
    AppendLogs = "append-logs";
    AppendRunEvents = "append-run-events";
    ProduceOutput = "produce-output";
    AppendRows = "append-rows";
    FinalizeOutput = "finalize-output";
    OpenBlocker = "open-blocker";
    ClaimInput = "claim-input";
    AckInput = "ack-input";
    DeferInput = "defer-input";
    RecordUsage = "record-usage";
    CheckToolCall = "check-tool-call";
    ClaimToolCall = "claim-tool-call";
    ReportToolCall = "report-tool-call";
    FinishAttempt = "finish-attempt";
    ReturnAttempt = "return-attempt";
}
