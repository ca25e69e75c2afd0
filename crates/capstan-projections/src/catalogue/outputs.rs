//! What have agents produced?

use capstan_contract::DomainEvent;
use capstan_domain::id::{AgentId, OutputId, RunId, TaskId};
use capstan_domain::task::event::{Event, OutputProduced, OutputStatus, TaskAccepted};
use capstan_envelope::Recorded;
use capstan_envelope::redaction::redact_fields;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::Model;
use crate::redaction::shown;

/// The model.
#[derive(Debug)]
pub(crate) struct Outputs;

/// An output as reads show it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct OutputRow {
    id: OutputId,
    task_id: TaskId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    run_id: Option<RunId>,
    agent_id: AgentId,
    output_type: String,
    title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uri: Option<String>,
    data: Map<String, Value>,
    metadata: Box<RawValue>,
    status: OutputStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    archived_at: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
}

impl Model for Outputs {
    const NAME: &'static str = "outputs";
    const VERSION: i32 = 2;
    const SCHEMA: &'static str = include_str!("../../../../projections/outputs/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("task_id", CellType::Uuid),
        Column::changing("status", CellType::Text),
        Column::fixed("created_at", CellType::Time),
    ];
    type Key = Uuid;
    type Row = OutputRow;

    fn keys(_: &Recorded, event: &DomainEvent, keys: &mut Vec<Uuid>) {
        let DomainEvent::Task(event) = event else { return };
        keys.extend(match event {
            Event::OutputProduced(e) => Some(e.output_id.0),
            Event::OutputRowsAppended(e) => Some(e.output_id.0),
            Event::OutputFinalized(e) => Some(e.output_id.0),
            Event::OutputStatusChanged(e) => Some(e.output_id.0),
            Event::OutputArchived(e) => Some(e.output_id.0),
            _ => None,
        });
    }

    fn apply(row: Option<OutputRow>, _: &Uuid, fact: &Fact<'_>) -> Option<OutputRow> {
        let Some((event, accepted)) = fact.task_event() else { return row };
        let mut row = match (row, event) {
            (_, Event::OutputProduced(produced)) => return Some(begin(produced, accepted)),
            (row, _) => row?,
        };
        match event {
            Event::OutputRowsAppended(e) => {
                let rows = row.data.entry("rows").or_insert_with(|| Value::Array(Vec::new()));
                match rows {
                    Value::Array(rows) => rows.extend(e.rows.iter().cloned()),
                    // Something else stands there: it gives way, as the rows cannot be told from it later.
                    other => *other = Value::Array(e.rows.clone()),
                }
                redact_fields(&mut row.data);
            }
            Event::OutputFinalized(e) => row.summary = Some(e.summary.clone()),
            Event::OutputStatusChanged(e) => {
                row.status = e.status;
                row.status_reason.clone_from(&e.reason);
            }
            Event::OutputArchived(e) => row.archived_at = Some(e.at),
            _ => {}
        }
        Some(row)
    }

    fn cells(row: &OutputRow) -> Vec<Cell<'_>> {
        vec![
            Cell::Uuid(Some(row.task_id.0)),
            Cell::text(row.status.as_str()),
            Cell::Time(Some(row.created_at)),
        ]
    }
}

fn begin(produced: &OutputProduced, accepted: &TaskAccepted) -> OutputRow {
    let mut data = produced.data.clone();
    redact_fields(&mut data);
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
        metadata: shown(&produced.metadata),
        status: produced.status,
        status_reason: None,
        archived_at: None,
        created_at: produced.created_at,
    }
}
