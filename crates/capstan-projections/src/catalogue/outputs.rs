//! The outputs agents have produced.

use capstan_contract::schema::NamedSchema;
use capstan_domain::id::{AgentId, OutputId, RunId, TaskId};
use capstan_domain::redaction::{redact, redact_fields};
use capstan_domain::task::event::{OutputProduced, OutputStatus, TaskAccepted};
use capstan_domain::task::output_feed::is_hidden;
use capstan_domain::task::state::rows_of;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::events::task_events;
use crate::fact::Fact;
use crate::model::{Model, Stored};
use crate::redaction::{map_of, shown};

/// Most bytes of the rows that an output shows itself.
const SHOWN_ROWS_BYTES_MAX: usize = 4096;

/// An output as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Output")]
pub struct OutputRow {
    id: OutputId,
    task_id: TaskId,
    run_id: Option<RunId>,
    agent_id: AgentId,
    output_type: String,
    title: String,
    summary: Option<String>,
    uri: Option<String>,
    /// The content as it was produced, but for `rows`: of the rows it shows the first ones, at most 4 KiB.
    data: Map<String, Value>,
    /// Number of its rows, those of `data.rows` included; absent without any.
    #[serde(default, skip_serializing_if = "crate::model::is_default")]
    row_count: u64,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    metadata: Box<RawValue>,
    status: OutputStatus,
    status_reason: Option<String>,
    archived_at: Option<DateTime<Utc>>,
    /// Left out of the workspace's feed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    hidden: bool,
    created_at: DateTime<Utc>,
}

task_events! {
    /// Events of an output.
    #[expect(clippy::enum_variant_names, reason = "the variants have the names of the events")]
    OutputEvent reads {
        OutputProduced, OutputRowsAppended, OutputFinalized, OutputStatusChanged, OutputArchived,
    } ignores {
        TaskAccepted, RunRequested, AttemptLeased, AttemptStarted, AttemptCancelRequested, AttemptEnded,
        RetryScheduled, RunEnded, UsageRecorded, TaskContinued, TaskSlept, TaskDone, TaskFailed,
        TaskCancelled, TaskDropped, TaskArchived, TaskUnarchived, TaskReprioritised, TaskBudgetSet,
        TaskLabelled, TaskDeadlineSet, TaskRoutingSet, TaskPayloadSet, BlockerOpened, BlockerUpdated,
        BlockerVoted, BlockerClosed, InputAccepted, InputClaimed, InputReturned, InputDeferred,
        InputConsumed, ToolCallDeferred, ToolCallAllowed, ToolCallDecided, ToolExecutionStarted,
        ToolExecutionEnded, SubtasksSpawned, SubtaskEnded, ParentTold, WatchArmed, WatchFired,
        WatchDisarmed, BudgetWarned, BudgetExceeded,
    }
}

impl Model for OutputRow {
    const VERSION: i32 = 5;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("task_id", CellType::Uuid, |row| Cell::Uuid(Some(row.task_id.0))),
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(Some(row.agent_id.0))),
        Column::fixed("output_type", CellType::Text, |row| Cell::text(&row.output_type)),
        Column::changing("status", CellType::Text, |row| Cell::text(row.status.as_str())),
        Column::changing("archived", CellType::Flag, |row| Cell::Flag(Some(row.archived_at.is_some()))),
        Column::changing("hidden", CellType::Flag, |row| Cell::Flag(Some(row.hidden))),
        Column::changing("row_count", CellType::BigInt, |row| Cell::number(row.row_count)),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<OutputRow>("output"));
    type Event<'a> = OutputEvent<'a>;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            OutputEvent::OutputProduced(e) => e.output_id.0,
            OutputEvent::OutputRowsAppended(e) => e.output_id.0,
            OutputEvent::OutputFinalized(e) => e.output_id.0,
            OutputEvent::OutputStatusChanged(e) => e.output_id.0,
            OutputEvent::OutputArchived(e) => e.output_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let mut row = match (row, fact.event) {
            (_, OutputEvent::OutputProduced(produced)) => return Some(begin(produced, fact.accepted?)),
            (row, _) => row?,
        };
        match fact.event {
            OutputEvent::OutputProduced(_) => {}
            OutputEvent::OutputRowsAppended(e) => {
                show_rows(&mut row.data, row.row_count, &e.rows);
                row.row_count = e.first_row.saturating_sub(1).saturating_add(e.rows.len() as u64);
            }
            OutputEvent::OutputFinalized(e) => row.summary = Some(e.summary.clone()),
            OutputEvent::OutputStatusChanged(e) => {
                row.status = e.status;
                row.status_reason.clone_from(&e.reason);
                row.hidden = is_hidden(&row.output_type, &row.data, &map_of(&row.metadata), row.status);
            }
            OutputEvent::OutputArchived(e) => row.archived_at = Some(e.at),
        }
        Some(row)
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

/// Adds rows to those shown, while all before them are shown and these fit.
fn show_rows(data: &mut Map<String, Value>, row_count: u64, rows: &[Value]) {
    if rows.is_empty() {
        return;
    }
    let shown = data.entry("rows").or_insert(Value::Null);
    if !shown.is_array() {
        // Another value is replaced: appended rows could not be told apart from it later.
        *shown = Value::Array(Vec::new());
    }
    let Value::Array(shown) = shown else { return };
    if shown.len() as u64 != row_count {
        return;
    }
    let length = |value: &Value| value.to_string().len() + 1;
    let mut bytes: usize = shown.iter().map(length).sum();
    for row in rows {
        bytes = bytes.saturating_add(length(row));
        if bytes > SHOWN_ROWS_BYTES_MAX {
            return;
        }
        let mut row = row.clone();
        redact(&mut row);
        shown.push(row);
    }
}

fn begin(produced: &OutputProduced, accepted: &TaskAccepted) -> OutputRow {
    let rows = rows_of(&produced.data);
    let mut data = produced.data.clone();
    if !rows.is_empty() {
        data.remove("rows");
    }
    redact_fields(&mut data);
    show_rows(&mut data, 0, rows);
    OutputRow {
        id: produced.output_id,
        task_id: accepted.task_id,
        run_id: produced.run_id,
        agent_id: accepted.agent_id,
        output_type: produced.output_type.clone(),
        title: produced.title.clone(),
        summary: produced.summary.clone(),
        uri: produced.uri.clone(),
        data,
        row_count: rows.len() as u64,
        metadata: shown(&produced.metadata),
        status: produced.status,
        status_reason: None,
        archived_at: None,
        hidden: is_hidden(&produced.output_type, &produced.data, &produced.metadata, produced.status),
        created_at: produced.created_at,
    }
}
