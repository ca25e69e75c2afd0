//! What did each run and its attempts do?

use capstan_contract::DomainEvent;
use capstan_domain::id::{AgentId, AttemptId, RunId, TaskId, WorkerId};
use capstan_domain::outcome_text::ErrorClass;
use capstan_domain::task::event::{
    AttemptEnded, AttemptLeased, AttemptOutcome, Event, RunRequested, RunStatus, TaskAccepted,
};
use capstan_domain::usage::Usage;
use capstan_envelope::Recorded;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::Model;
use crate::redaction::shown;

/// The model.
#[derive(Debug)]
pub(crate) struct Runs;

/// Where an attempt stands.
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

/// One try at a run.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[expect(clippy::struct_field_names, reason = "the names are those of the API's object")]
struct Attempt {
    id: AttemptId,
    attempt_no: u32,
    status: AttemptStatus,
    worker_id: WorkerId,
    worker_name: String,
    leased_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cancel_requested: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_class: Option<ErrorClass>,
}

impl Attempt {
    fn of(leased: &AttemptLeased) -> Self {
        Self {
            id: leased.attempt_id.clone(),
            attempt_no: leased.attempt_no,
            status: AttemptStatus::Leased,
            worker_id: leased.worker_id,
            worker_name: leased.worker_name.clone(),
            leased_at: leased.leased_at,
            started_at: None,
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
        self.error.clone_from(&ended.error);
        self.error_class = ended.error_class;
    }
}

/// A run as reads show it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct RunRow {
    id: RunId,
    task_id: TaskId,
    agent_id: AgentId,
    session_id: String,
    status: RunStatus,
    attempt_no: u32,
    attempts: Vec<Attempt>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    worker_id: Option<WorkerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    policy: Box<RawValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    cost_usd: f64,
    usage: Usage,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    started_at: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resumed_from_run_id: Option<RunId>,
}

impl Model for Runs {
    const NAME: &'static str = "runs";
    const VERSION: i32 = 5;
    const SCHEMA: &'static str = include_str!("../../../../projections/runs/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("task_id", CellType::Uuid),
        Column::fixed("agent_id", CellType::Uuid),
        Column::fixed("session_id", CellType::Text),
        Column::changing("status", CellType::Text),
        Column::changing("ok_ms", CellType::BigInt),
        Column::changing("cost_usd", CellType::Float),
        Column::fixed("created_at", CellType::Time),
        Column::changing("updated_at", CellType::Time),
    ];
    type Key = Uuid;
    type Row = RunRow;

    fn keys(_: &Recorded, event: &DomainEvent, keys: &mut Vec<Uuid>) {
        let DomainEvent::Task(event) = event else { return };
        keys.extend(run_of(event).map(|run_id| run_id.0));
    }

    fn apply(row: Option<RunRow>, _: &Uuid, fact: &Fact<'_>) -> Option<RunRow> {
        let Some((event, accepted)) = fact.task_event() else { return row };
        let mut row = match (row, event) {
            (_, Event::RunRequested(requested)) => begin(requested, accepted),
            (row, _) => row?,
        };
        change(&mut row, event);
        row.updated_at = fact.occurred_at();
        Some(row)
    }

    fn cells(row: &RunRow) -> Vec<Cell<'_>> {
        vec![
            Cell::Uuid(Some(row.task_id.0)),
            Cell::Uuid(Some(row.agent_id.0)),
            Cell::text(&row.session_id),
            Cell::text(row.status.as_str()),
            Cell::BigInt(ok_ms(row)),
            Cell::Float(Some(row.cost_usd)),
            Cell::Time(Some(row.created_at)),
            Cell::Time(Some(row.updated_at)),
        ]
    }
}

/// How long a run took that ended well.
fn ok_ms(row: &RunRow) -> Option<i64> {
    let began = row.started_at.unwrap_or(row.created_at);
    let ended = row.ended_at.unwrap_or(row.updated_at);
    (row.status == RunStatus::Ok).then(|| (ended - began).num_milliseconds().max(0))
}

fn run_of(event: &Event) -> Option<RunId> {
    match event {
        Event::RunRequested(e) => Some(e.run_id),
        Event::AttemptLeased(e) => Some(e.run_id),
        Event::AttemptStarted(e) => Some(e.run_id),
        Event::AttemptCancelRequested(e) => Some(e.run_id),
        Event::AttemptEnded(e) => Some(e.run_id),
        Event::RetryScheduled(e) => Some(e.run_id),
        Event::RunEnded(e) => Some(e.run_id),
        Event::UsageRecorded(e) => Some(e.run_id),
        _ => None,
    }
}

fn begin(requested: &RunRequested, accepted: &TaskAccepted) -> RunRow {
    RunRow {
        id: requested.run_id,
        task_id: accepted.task_id,
        agent_id: accepted.agent_id,
        session_id: accepted.session_id.clone(),
        status: RunStatus::Accepted,
        attempt_no: 0,
        attempts: Vec::new(),
        worker_id: None,
        provider: accepted.provider.clone(),
        model: accepted.model.clone(),
        policy: shown(&accepted.policy),
        exit_code: None,
        error: None,
        result: None,
        cost_usd: 0.0,
        usage: Usage::default(),
        started_at: None,
        ended_at: None,
        created_at: requested.queued_at,
        updated_at: requested.queued_at,
        resumed_from_run_id: requested.resumed_from_run_id,
    }
}

fn change(row: &mut RunRow, event: &Event) {
    match event {
        Event::AttemptLeased(e) => {
            row.attempt_no = e.attempt_no;
            row.worker_id = Some(e.worker_id);
            row.attempts.push(Attempt::of(e));
        }
        Event::AttemptStarted(e) => {
            row.status = RunStatus::Running;
            row.started_at = row.started_at.or(Some(e.started_at));
            with_attempt(row, &e.attempt_id, |attempt| {
                attempt.status = AttemptStatus::Running;
                attempt.started_at = Some(e.started_at);
            });
        }
        Event::AttemptCancelRequested(e) => {
            with_attempt(row, &e.attempt_id, |attempt| attempt.cancel_requested = Some(e.reason.clone()));
        }
        Event::AttemptEnded(e) => with_attempt(row, &e.attempt_id, |attempt| attempt.end(e)),
        Event::RetryScheduled(_) => row.status = RunStatus::Accepted,
        Event::RunEnded(e) => {
            row.status = e.status;
            row.exit_code = e.exit_code;
            row.error.clone_from(&e.error);
            row.result = e.result.as_ref().map(shown);
            row.ended_at = Some(e.ended_at);
        }
        Event::UsageRecorded(e) => {
            row.usage.add(&e.usage);
            row.cost_usd = row.usage.cost_usd;
        }
        // A run is made from its request; the others name no run.
        _ => {}
    }
}

fn with_attempt(row: &mut RunRow, id: &AttemptId, change: impl FnOnce(&mut Attempt)) {
    if let Some(attempt) = row.attempts.iter_mut().rev().find(|attempt| attempt.id == *id) {
        change(attempt);
    }
}
