//! The inputs of each task and their state.

use capstan_contract::schema::NamedSchema;
use capstan_domain::id::{AttemptId, BlockerId, InputId, RunId, TaskId, derived};
use capstan_domain::task::event::{
    InputAccepted, InputKind, InputOutcome, InputSource, ItemDecision, QueueMode, TaskAccepted, Verdict,
};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::events::task_events;
use crate::fact::Fact;
use crate::model::{Model, Stored};
use crate::redaction::shown;

/// State of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum InputStatus {
    Pending,
    Claimed,
    Consumed,
}

/// An input as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct InputRow {
    id: InputId,
    task_id: TaskId,
    session_id: String,
    seq: u32,
    kind: InputKind,
    message: String,
    said: Option<String>,
    action: Option<Verdict>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<ItemDecision>,
    queue_mode: QueueMode,
    source: InputSource,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    answers: Box<RawValue>,
    blocker_id: Option<BlockerId>,
    outcome: InputOutcome,
    status: InputStatus,
    claimed_by_attempt_id: Option<AttemptId>,
    consumed_by_run_id: Option<RunId>,
    created_at: DateTime<Utc>,
    claimed_at: Option<DateTime<Utc>>,
    consumed_at: Option<DateTime<Utc>>,
}

task_events! {
    /// Events of the inbox.
    InputEvent reads {
        RunRequested, InputAccepted, InputClaimed, InputReturned, InputDeferred, InputConsumed,
    } ignores {
        TaskAccepted, AttemptLeased, AttemptStarted, AttemptCancelRequested, AttemptEnded, RetryScheduled,
        RunEnded, UsageRecorded, TaskContinued, TaskSlept, TaskDone, TaskFailed, TaskCancelled, TaskDropped,
        TaskArchived, TaskUnarchived, TaskReprioritised, TaskBudgetSet, TaskLabelled, TaskDeadlineSet,
        TaskRoutingSet, TaskPayloadSet, BlockerOpened, BlockerUpdated, BlockerVoted, BlockerClosed,
        OutputProduced, OutputRowsAppended, OutputFinalized, OutputStatusChanged, OutputArchived,
        ToolCallDeferred, ToolCallAllowed, ToolCallDecided, ToolExecutionStarted, ToolExecutionEnded,
        SubtasksSpawned, SubtaskEnded, ParentTold, WatchArmed, WatchFired, WatchDisarmed, BudgetWarned,
        BudgetExceeded,
    }
}

impl Model for InputRow {
    const VERSION: i32 = 3;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("task_id", CellType::Uuid, |row| Cell::Uuid(Some(row.task_id.0))),
        Column::fixed("seq", CellType::BigInt, |row| Cell::number(row.seq.into())),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<InputRow>("input"));
    type Event<'a> = InputEvent<'a>;
    /// Derived from the task and the number, by which events name an input.
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        let task = fact.recorded.commit.stream.id();
        let key = |seq: u32| derived(&["input row", task, &seq.to_string()]);
        match fact.event {
            InputEvent::InputAccepted(e) => keys.push(key(e.seq)),
            InputEvent::InputClaimed(e) => keys.push(key(e.seq)),
            InputEvent::InputReturned(e) => keys.push(key(e.seq)),
            InputEvent::InputDeferred(e) => keys.push(key(e.seq)),
            InputEvent::InputConsumed(e) => keys.push(key(e.seq)),
            InputEvent::RunRequested(e) => keys.extend(e.inputs.iter().map(key)),
        }
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let mut row = match (row, fact.event) {
            (_, InputEvent::InputAccepted(input)) => return Some(begin(input, fact.accepted?)),
            (row, _) => row?,
        };
        match fact.event {
            InputEvent::InputAccepted(_) => {}
            InputEvent::InputClaimed(e) => {
                row.status = InputStatus::Claimed;
                row.claimed_by_attempt_id = Some(e.attempt_id.clone());
                row.claimed_at = Some(e.at);
            }
            InputEvent::InputReturned(_) => {
                row.status = InputStatus::Pending;
                row.claimed_by_attempt_id = None;
                row.claimed_at = None;
            }
            InputEvent::InputDeferred(_) => {
                row.status = InputStatus::Pending;
                row.claimed_by_attempt_id = None;
                row.claimed_at = None;
                row.queue_mode = QueueMode::Followup;
                row.outcome = InputOutcome::Queued;
            }
            InputEvent::InputConsumed(e) => {
                row.status = InputStatus::Consumed;
                row.consumed_at = Some(e.at);
            }
            InputEvent::RunRequested(e) => {
                row.status = InputStatus::Consumed;
                row.consumed_by_run_id = Some(e.run_id);
                row.consumed_at = Some(e.queued_at);
            }
        }
        Some(row)
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn begin(input: &InputAccepted, accepted: &TaskAccepted) -> InputRow {
    InputRow {
        id: input.input_id,
        task_id: accepted.task_id,
        session_id: accepted.session_id.clone(),
        seq: input.seq,
        kind: input.kind,
        message: input.message.clone(),
        said: input.said.clone(),
        action: input.action,
        items: input.items.clone(),
        queue_mode: input.queue_mode,
        source: input.source,
        answers: shown(&input.answers),
        blocker_id: input.blocker_id,
        outcome: input.outcome,
        // An input without a message has nothing for the agent, so it is consumed at once.
        status: if input.message.is_empty() { InputStatus::Consumed } else { InputStatus::Pending },
        claimed_by_attempt_id: None,
        consumed_by_run_id: None,
        created_at: input.accepted_at,
        claimed_at: None,
        consumed_at: None,
    }
}
