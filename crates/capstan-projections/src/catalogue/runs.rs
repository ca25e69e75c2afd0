//! The runs of tasks and their attempts.

use capstan_contract::schema::NamedSchema;
use capstan_domain::id::{AgentId, AttemptId, RunId, TaskId, WorkerId};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::event::{
    AttemptEnded, AttemptLeased, AttemptOutcome, RunRequested, RunStatus, TaskAccepted,
};
use capstan_domain::usage::Usage;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::catalogue::tasks::read_acceptance;
use crate::cell::{Cell, CellType, Column};
use crate::events::task_events;
use crate::fact::Fact;
use crate::model::{Answer, Model, Stored, Sum, hour};
use crate::redaction::shown;

/// Attempts of a run that reads show: the newest. The document is written with each commit of the run.
const ATTEMPTS_MAX: usize = 20;
/// Bytes of an attempt's error, and of the reason it was asked to stop for, that reads show. The run shows its last error as
/// it was reported.
const TEXT_BYTES_MAX: usize = 4096;

/// State of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum AttemptStatus {
    Leased,
    Running,
    Ok,
    Error,
    Timeout,
    Lost,
    Cancelled,
}

impl From<AttemptOutcome> for AttemptStatus {
    fn from(outcome: AttemptOutcome) -> Self {
        match outcome {
            AttemptOutcome::Ok => Self::Ok,
            AttemptOutcome::Error => Self::Error,
            AttemptOutcome::Timeout => Self::Timeout,
            AttemptOutcome::Lost => Self::Lost,
            AttemptOutcome::Cancelled => Self::Cancelled,
        }
    }
}

/// One attempt of a run.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those of the API's object")]
struct Attempt {
    id: AttemptId,
    attempt_no: u32,
    status: AttemptStatus,
    worker_id: WorkerId,
    worker_name: String,
    leased_at: DateTime<Utc>,
    cancel_requested: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    exit_code: Option<i32>,
    error: Option<String>,
    error_class: Option<ErrorClass>,
}

impl Attempt {
    fn from_leased(leased: &AttemptLeased) -> Self {
        Self {
            id: leased.attempt_id.clone(),
            attempt_no: leased.attempt_no,
            status: AttemptStatus::Leased,
            worker_id: leased.worker_id,
            worker_name: leased.worker_name.clone(),
            leased_at: leased.leased_at,
            cancel_requested: None,
            ended_at: None,
            exit_code: None,
            error: None,
            error_class: None,
        }
    }

    fn end(&mut self, ended: &AttemptEnded) {
        self.status = ended.outcome.into();
        self.ended_at = Some(ended.ended_at);
        self.exit_code = ended.exit_code;
        self.error = ended.error.as_deref().map(shortened);
        self.error_class = ended.error_class;
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_owned();
    }
    format!("{} …", &text[..text.floor_char_boundary(TEXT_BYTES_MAX)])
}

/// A run as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[schemars(rename = "Run")]
pub struct RunObject {
    id: RunId,
    task_id: TaskId,
    agent_id: AgentId,
    session_id: String,
    status: RunStatus,
    /// Number of the newest attempt, from 1; 0 before the first.
    attempt_no: u32,
    /// The newest 20 attempts, oldest first, with at most 4,096 bytes of each error. The history has all of them.
    attempts: Vec<Attempt>,
    worker_id: Option<WorkerId>,
    provider: Option<String>,
    model: Option<String>,
    #[schemars(with = "capstan_domain::policy::RunPolicy")]
    policy: Box<RawValue>,
    exit_code: Option<i32>,
    error: Option<String>,
    /// Result of the agent, any JSON value; absent when the worker reported none.
    result: Option<Box<RawValue>>,
    cost_usd: f64,
    usage: Usage,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    resumed_from_run_id: Option<RunId>,
}

/// A run and its attempts; what they share with their task is in its acceptance.
#[serde_with::apply(Option => #[serde(default, skip_serializing_if = "Option::is_none")])]
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct RunRow {
    /// Columns that are written once: absent in rows that were read.
    #[serde(skip)]
    task_id: Option<TaskId>,
    #[serde(skip)]
    agent_id: Option<AgentId>,
    #[serde(skip)]
    session_id: Option<String>,
    status: RunStatus,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    attempts: Vec<Attempt>,
    exit_code: Option<i32>,
    error: Option<String>,
    result: Option<Box<RawValue>>,
    #[serde(default, skip_serializing_if = "crate::model::is_default")]
    usage: Usage,
    started_at: Option<DateTime<Utc>>,
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    resumed_from_run_id: Option<RunId>,
}

impl RunRow {
    /// The object the API returns.
    pub(crate) fn object(self, id: RunId, accepted: &TaskAccepted) -> RunObject {
        let last = self.attempts.last();
        RunObject {
            id,
            task_id: accepted.task_id,
            agent_id: accepted.agent_id,
            session_id: accepted.session_id.clone(),
            status: self.status,
            attempt_no: last.map_or(0, |attempt| attempt.attempt_no),
            worker_id: last.map(|attempt| attempt.worker_id),
            provider: accepted.provider.clone(),
            model: accepted.model.clone(),
            policy: shown(&accepted.policy),
            attempts: self.attempts,
            exit_code: self.exit_code,
            error: self.error,
            result: self.result,
            cost_usd: self.usage.cost_usd,
            usage: self.usage,
            started_at: self.started_at,
            ended_at: self.ended_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
            resumed_from_run_id: self.resumed_from_run_id,
        }
    }
}

task_events! {
    /// Events of a run and its attempts.
    RunEvent reads {
        RunRequested, AttemptLeased, AttemptStarted, AttemptCancelRequested, AttemptEnded, RetryScheduled,
        RunEnded, UsageRecorded,
    } ignores {
        TaskAccepted, TaskContinued, TaskSlept, TaskDone, TaskFailed, TaskCancelled, TaskDropped,
        TaskArchived, TaskUnarchived, TaskReprioritised, TaskBudgetSet, TaskLabelled, TaskDeadlineSet,
        TaskRoutingSet, TaskPayloadSet, BlockerOpened, BlockerUpdated, BlockerVoted, BlockerClosed,
        InputAccepted, InputClaimed, InputReturned, InputDeferred, InputConsumed, OutputProduced,
        OutputRowsAppended, OutputFinalized, OutputStatusChanged, OutputArchived, ToolCallDeferred,
        ToolCallAllowed, ToolCallDecided, ToolExecutionStarted, ToolExecutionEnded, SubtasksSpawned,
        SubtaskEnded, ParentTold, WatchArmed, WatchFired, WatchDisarmed, BudgetWarned, BudgetExceeded,
    }
}

impl Model for RunRow {
    const VERSION: i32 = 8;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("task_id", CellType::Uuid, |row| Cell::Uuid(row.task_id.map(|id| id.0))),
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(row.agent_id.map(|id| id.0))),
        Column::fixed("session_id", CellType::Text, |row| Cell::text_or_null(row.session_id.as_deref())),
        Column::changing("status", CellType::Text, |row| Cell::text(row.status.as_str())),
        Column::changing("ok_ms", CellType::BigInt, |row| Cell::BigInt(ok_ms(row))),
        Column::changing("cost_usd", CellType::Float, |row| Cell::Float(Some(row.usage.cost_usd))),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
        Column::changing("updated_at", CellType::Time, |row| Cell::Time(Some(row.updated_at))),
        Column::changing("updated_hour", CellType::BigInt, |row| Cell::BigInt(Some(hour(row.updated_at)))),
    ];
    const SUMS: &'static [Sum] = &[Sum {
        table: "run_counts",
        of_rows: "counted_runs",
        columns: &["agent_id", "workspace", "counted", "ok", "ok_ms", "cost_usd"],
    }];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<RunObject>("run"));
    const ANSWER_FROM: Option<Answer> = Some(Answer {
        task_id: "task_id",
        object: |id, task_id, stored| {
            let accepted = read_acceptance(task_id, stored.aside)?;
            let row = RunRow::read(&id, stored)?;
            serde_json::value::to_raw_value(&row.object(RunId(id), &accepted))
        },
    });
    type Event<'a> = RunEvent<'a>;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            RunEvent::RunRequested(e) => e.run_id.0,
            RunEvent::AttemptLeased(e) => e.run_id.0,
            RunEvent::AttemptStarted(e) => e.run_id.0,
            RunEvent::AttemptCancelRequested(e) => e.run_id.0,
            RunEvent::AttemptEnded(e) => e.run_id.0,
            RunEvent::RetryScheduled(e) => e.run_id.0,
            RunEvent::RunEnded(e) => e.run_id.0,
            RunEvent::UsageRecorded(e) => e.run_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let mut row = match (row, fact.event) {
            (_, RunEvent::RunRequested(requested)) => begin(requested, fact.accepted?),
            (row, _) => row?,
        };
        change(&mut row, fact.event);
        row.updated_at = fact.occurred_at();
        Some(row)
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

/// Duration of a successful run, in milliseconds.
fn ok_ms(row: &RunRow) -> Option<i64> {
    let began = row.started_at.unwrap_or(row.created_at);
    let ended = row.ended_at.unwrap_or(row.updated_at);
    (row.status == RunStatus::Ok).then(|| (ended - began).num_milliseconds().max(0))
}

fn begin(requested: &RunRequested, accepted: &TaskAccepted) -> RunRow {
    RunRow {
        task_id: Some(accepted.task_id),
        agent_id: Some(accepted.agent_id),
        session_id: Some(accepted.session_id.clone()),
        resumed_from_run_id: requested.resumed_from_run_id,
        ..RunRow::waiting_since(requested.queued_at)
    }
}

impl RunRow {
    /// A run without attempts.
    fn waiting_since(queued_at: DateTime<Utc>) -> Self {
        Self {
            task_id: None,
            agent_id: None,
            session_id: None,
            status: RunStatus::Accepted,
            attempts: Vec::new(),
            exit_code: None,
            error: None,
            result: None,
            usage: Usage::default(),
            started_at: None,
            ended_at: None,
            created_at: queued_at,
            updated_at: queued_at,
            resumed_from_run_id: None,
        }
    }
}

fn change(row: &mut RunRow, event: RunEvent<'_>) {
    match event {
        // The row was made from it.
        RunEvent::RunRequested(_) => {}
        RunEvent::AttemptLeased(e) => {
            if row.attempts.len() == ATTEMPTS_MAX {
                row.attempts.remove(0);
            }
            row.attempts.push(Attempt::from_leased(e));
        }
        RunEvent::AttemptStarted(e) => {
            // A run that was stopped is over before its attempt reports.
            if row.ended_at.is_none() {
                row.status = RunStatus::Running;
            }
            let mut leased_at = None;
            with_attempt(row, &e.attempt_id, |attempt| {
                attempt.status = AttemptStatus::Running;
                leased_at = Some(attempt.leased_at);
            });
            row.started_at = row.started_at.or(leased_at);
        }
        RunEvent::AttemptCancelRequested(e) => {
            with_attempt(row, &e.attempt_id, |attempt| {
                attempt.cancel_requested = Some(shortened(&e.reason));
            });
        }
        RunEvent::AttemptEnded(e) => with_attempt(row, &e.attempt_id, |attempt| attempt.end(e)),
        RunEvent::RetryScheduled(_) => row.status = RunStatus::Accepted,
        RunEvent::RunEnded(e) => {
            row.status = e.status;
            row.exit_code = e.exit_code;
            row.error.clone_from(&e.error);
            row.result = e.result.as_ref().map(shown);
            row.ended_at = Some(e.ended_at);
        }
        RunEvent::UsageRecorded(e) => {
            row.usage.add(&e.usage);
        }
    }
}

fn with_attempt(row: &mut RunRow, id: &AttemptId, change: impl FnOnce(&mut Attempt)) {
    if let Some(attempt) = row.attempts.iter_mut().rev().find(|attempt| attempt.id == *id) {
        change(attempt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_many_attempts_with_long_errors_shows_the_newest() {
        let attempt = |epoch| AttemptId { workspace: "dev".into(), task: TaskId(Uuid::nil()), epoch };
        let run_id = RunId(Uuid::nil());
        let now = DateTime::<Utc>::UNIX_EPOCH;
        let mut row = RunRow::waiting_since(now);
        for number in 1..=1000 {
            let leased = AttemptLeased {
                attempt_id: attempt(number),
                run_id,
                attempt_no: number as u32,
                worker_id: WorkerId(Uuid::nil()),
                worker_name: "w".into(),
                lease_ms: 1,
                leased_at: now,
            };
            change(&mut row, RunEvent::AttemptLeased(&leased));
            let ended = AttemptEnded {
                attempt_id: attempt(number),
                run_id,
                outcome: AttemptOutcome::Error,
                exit_code: None,
                error: Some("ä".repeat(50_000)),
                error_class: None,
                ended_at: now,
            };
            change(&mut row, RunEvent::AttemptEnded(&ended));
        }
        let numbers: Vec<_> = row.attempts.iter().map(|attempt| attempt.attempt_no).collect();
        assert_eq!(numbers, (981..=1000).collect::<Vec<_>>());
        let bytes = serde_json::to_vec(&row).unwrap().len();
        assert!(bytes < ATTEMPTS_MAX * (TEXT_BYTES_MAX + 512), "{bytes}");
    }
}
