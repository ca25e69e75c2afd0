//! The answers, by request. Types of this crate ignore and keep unknown fields.

use capstan_contract::lease::{
    AttemptPage, ClaimedInput, ClaimedToolCall, LeasedAttempt, RegisteredWorker, RenewAnswer, ReportOutcomes,
    ToolDecision,
};
use capstan_contract::request::Request;
use capstan_contract::{admin, command, query};
use capstan_domain::id::OutputId;
use capstan_domain::usage::Usage;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A request that a client can send.
pub trait Sendable: Request<Beside: Serialize> {
    /// The type its answer is read into.
    type Answer: DeserializeOwned;
}

macro_rules! answers {
    ($($module:ident { $($answer:ty: $($request:ident),+;)* })*) => {
        $($($(impl Sendable for $module::$request {
            type Answer = $answer;
        })+)*)*
    };
}

answers! {
    command {
        Accepted: AcceptAgentCommand, CancelTask, CancelRun, RetryTask, ArchiveTask, UnarchiveTask, UpdateTask;
        InputAccepted: SubmitTaskInput, EnqueueRunInput;
        Value: CreateWorkspace, UpdateWorkspace, IssueToken, RevokeToken, CreateAgent, UpdateAgent, DeleteAgent,
            UpsertChannelBinding, DeleteChannelBinding, ConfigureClass, CreateSchedule, UpdateSchedule, DeleteSchedule,
            PauseSchedule, ResumeSchedule, TriggerSchedule, PublishSourceEvent, CreateTaskOutput, AppendTaskOutputRows,
            FinalizeTaskOutput, ArchiveOutput, ArchiveAllOutputs;

        RegisteredWorker: RegisterWorker;
        Vec<LeasedAttempt>: LeaseAttempts;
        AttemptPage: FetchAttempt;
        Vec<RenewAnswer>: RenewLeases;
        ReportOutcomes: SendReports;
        Produced: ProduceOutput;
        Claimed: ClaimInput;
        ToolDecision: CheckToolCall;
        Option<ClaimedToolCall>: ClaimToolCall;
        IgnoredAny: DrainWorker, AppendLogs, AppendRunEvents, AppendOutputRows, FinalizeOutput,
            OpenBlocker, AckInput, DeferInput, RecordUsage, FinishAttempt, ReturnAttempt, ReportToolCall;
    }
    query {
        Task: GetTask;
        Page<Task>: ListTasks, ListSubtasks;
        Run: GetRun;
        Page<Run>: ListRuns, ListTaskRuns;
        Output: GetOutput, GetTaskOutput;
        Page<Output>: ListOutputs, ListTaskOutputs;
        Agent: GetAgent;
        Page<Agent>: ListAgents;
        Channel: GetChannelBinding;
        Page<Channel>: ListChannelBindings;
        Class: GetClass;
        Page<Class>: ListClasses;
        Schedule: GetSchedule;
        Page<Schedule>: ListSchedules;
        Workspace: GetWorkspace;
        Page<Value>: ListTokens, ListTaskInputs, ListInbox, ListOutputRows;
        Value: GetAgentConfig, GetDefaultConfig, GetAgentStats, GetTaskTree, GetTaskEventBatch, GetTaskHistory, GetTaskLogs,
            GetWorkspaceLiveBatch, GetRunInteraction, ListRunSnapshots, ListRunEvents, PreviewSchedule,
            WhyIsTaskWaiting;
    }
    admin {
        Page<Value>: ListProjections, ListDeadLetters;
        Value: GetDeadLetter, RetryDeadLetter, DiscardDeadLetter, RebuildProjection, VerifyProjection;
    }
}

/// One page of a list.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page<T> {
    /// The page's objects.
    pub items: Vec<T>,
    /// Asks for the next page; none on the last one.
    pub next_cursor: Option<String>,
    /// The position the page shows.
    #[serde(default)]
    pub position: Option<String>,
}

/// The proof that a command was accepted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// The command.
    pub command_id: Uuid,
    /// The entity whose version this is: an id, a class key or the name of a workspace; absent for commands about many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The position of its events in the log; wait for it with `min_position`.
    pub position: String,
    /// The entity's version after it.
    pub version: u64,
    /// True when the same command had been accepted before.
    #[serde(default)]
    pub duplicate: bool,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A task as the server shows it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The task.
    pub id: Uuid,
    /// `queued`, `sleeping`, `running`, `waiting`, `done`, `error`, `cancelled` or `dropped`.
    pub state: String,
    /// The agent.
    #[serde(default)]
    pub agent_id: Option<Uuid>,
    /// The conversation its runs share.
    #[serde(default)]
    pub session_id: Option<String>,
    /// The display name.
    pub label: Option<String>,
    /// The error text.
    pub error: Option<String>,
    /// The open question.
    pub current_blocker: Option<Value>,
    /// Counts the task's commits.
    #[serde(default)]
    pub version: Option<u64>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

impl Task {
    /// True when nothing will happen any more unless somebody asks for it.
    pub fn is_terminal(&self) -> bool {
        matches!(self.state.as_str(), "done" | "error" | "cancelled" | "dropped")
    }

    /// The usage of its runs so far.
    pub fn usage(&self) -> Usage {
        self.rest.get("usage").and_then(|usage| Usage::deserialize(usage).ok()).unwrap_or_default()
    }
}

/// The answer to a command about a task.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accepted {
    /// The proof.
    pub receipt: Receipt,
    /// The task after the command; absent when the server could not show it in time, or was asked for a minimal reply.
    pub task: Option<Task>,
}

/// The answer to an input.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputAccepted {
    /// The proof.
    pub receipt: Receipt,
    /// `delivered`, `queued`, `resumed` …
    pub outcome: String,
    /// The input.
    pub input_id: Uuid,
    /// The task after the input; absent when the server could not show it in time, or was asked for a minimal reply.
    pub task: Option<Task>,
}

/// A run as the server shows it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The run.
    pub id: Uuid,
    /// The task it is a run of.
    pub task_id: Uuid,
    /// `accepted`, `running`, `ok`, `error`, `timeout` or `cancelled`.
    pub status: String,
    /// The number of its attempts.
    #[serde(default)]
    pub attempt_no: Option<u32>,
    /// The tries.
    #[serde(default)]
    pub attempts: Vec<Value>,
    /// The exit code of the last try.
    pub exit_code: Option<i32>,
    /// The error text.
    pub error: Option<String>,
    /// The run whose session this one resumes.
    pub resumed_from_run_id: Option<Uuid>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An output as the server shows it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// The output.
    pub id: Uuid,
    /// The task it was made for.
    pub task_id: Uuid,
    /// The run that made it.
    pub run_id: Option<Uuid>,
    /// The type of the output, free.
    pub output_type: String,
    /// The display name.
    pub title: String,
    /// The summary of its content.
    pub summary: Option<String>,
    /// The address of its content.
    pub uri: Option<String>,
    /// The content.
    #[serde(default)]
    pub data: Value,
    /// Details, free.
    #[serde(default)]
    pub metadata: Value,
    /// `active`, `pending`, `approved`, `rejected` or `cancelled`.
    #[serde(default)]
    pub status: String,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An agent as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// The agent.
    pub id: Uuid,
    /// Its key.
    pub agent_key: String,
    /// The display name.
    pub name: String,
    /// False when it takes no new work.
    #[serde(default)]
    pub active: Option<bool>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A channel binding as the server shows it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Channel {
    /// The binding.
    pub id: Uuid,
    /// The type of the channel, for example `email`.
    pub channel_type: String,
    /// Its address.
    pub address: String,
    /// The agent that receives the messages; the workspace when absent.
    pub agent_id: Option<Uuid>,
    /// True when messages are accepted.
    #[serde(default)]
    pub active: Option<bool>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// An execution class as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its key, as tasks name it.
    pub instance_key: String,
    /// `healthy`, `degraded` or `half_open`.
    pub status: String,
    /// False when nothing of it is given out.
    pub active: bool,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A schedule as the server shows it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The schedule.
    pub id: Uuid,
    /// The agent of its tasks.
    pub agent_id: Uuid,
    /// The agent's name.
    #[serde(default)]
    pub agent_name: String,
    /// Five-field cron expression.
    pub cron_expr: String,
    /// IANA name of its zone.
    pub timezone: String,
    /// The prompt of its tasks.
    pub prompt: String,
    /// False while it is paused.
    pub active: bool,
    /// The time of its next tick, jitter included.
    pub next_run_at: Option<String>,
    /// The time of its last tick.
    pub last_run_at: Option<String>,
    /// The task made last.
    pub last_task_id: Option<Uuid>,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// A workspace as the server shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its name.
    #[serde(alias = "id", alias = "workspace")]
    pub name: String,
    /// Every other field, by its wire name.
    #[serde(flatten)]
    pub rest: Map<String, Value>,
}

/// The answer to an output of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Produced {
    /// The output.
    pub output_id: OutputId,
}

/// The answer to the claim of an input.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Claimed {
    /// The oldest pending input; none when there is none.
    #[serde(default)]
    pub input: Option<ClaimedInput>,
}

#[cfg(test)]
mod tests {
    use capstan_contract::lease::RenewStatus;
    use serde_json::json;

    use super::*;

    const TASK: &str = "00000000-0000-0000-0000-000000000001";

    #[test]
    fn a_leased_attempt_is_read_with_fields_missing_and_fields_unknown() {
        let attempt = json!({
            "attempt_id": format!("dev.{TASK}.1"), "epoch": 1, "lease_ms": 30000, "workspace": "dev", "task_id": TASK,
            "run_id": TASK, "run_no": 1, "attempt_no": 1, "agent_id": TASK, "agent_key": "a", "agent_name": "A",
            "agent_config_version": 1, "agent_config": {}, "prompt": "hi", "cause": "accepted", "session_id": "s",
            "policy": {"new_field": 1}, "timeout_ms": 0, "new_field": [1],
        });
        let attempts: <command::LeaseAttempts as Sendable>::Answer =
            serde_json::from_value(json!([attempt])).unwrap();
        assert_eq!((attempts[0].epoch, attempts[0].prompt.as_str()), (1, "hi"));
    }

    #[test]
    fn a_renew_answer_without_hints_has_none() {
        let attempt_id = format!("dev.{TASK}.1");
        let answer =
            json!({ "attempt_id": attempt_id, "status": "cancel", "reason": "enough", "new_field": 1 });
        let answers: <command::RenewLeases as Sendable>::Answer =
            serde_json::from_value(json!([answer])).unwrap();
        assert_eq!((answers[0].status, answers[0].inputs_pending), (RenewStatus::Cancel, 0));
    }
}
