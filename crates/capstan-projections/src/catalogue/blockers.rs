//! Which questions wait for a person, and how were the others answered?

use capstan_contract::DomainEvent;
use capstan_domain::id::{AgentId, BlockerId, InputId, RunId, TaskId};
use capstan_domain::task::event::{
    BlockerKind, BlockerOpened, BlockerStatus, Event, InputKind, Question, TaskAccepted,
};
use capstan_envelope::Recorded;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::Model;

/// The model.
#[derive(Debug)]
pub(crate) struct Blockers;

/// A question as reads show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct BlockerRow {
    id: BlockerId,
    task_id: TaskId,
    run_id: RunId,
    agent_id: AgentId,
    agent_name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task_label: Option<String>,
    kind: BlockerKind,
    input_kind: InputKind,
    status: BlockerStatus,
    summary: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    details: Option<String>,
    questions: Vec<Question>,
    revision: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_id: Option<InputId>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resolved_at: Option<DateTime<Utc>>,
}

impl Model for Blockers {
    const NAME: &'static str = "blockers";
    const VERSION: i32 = 1;
    const SCHEMA: &'static str = include_str!("../../../../projections/blockers/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("task_id", CellType::Uuid),
        Column::changing("open", CellType::Flag),
        Column::fixed("created_at", CellType::Time),
    ];
    type Key = Uuid;
    type Row = BlockerRow;

    fn keys(_: &Recorded, event: &DomainEvent, keys: &mut Vec<Uuid>) {
        let DomainEvent::Task(event) = event else { return };
        match event {
            Event::BlockerOpened(e) => keys.push(e.blocker_id.0),
            Event::BlockerClosed(e) => keys.push(e.blocker_id.0),
            _ => {}
        }
    }

    fn apply(row: Option<BlockerRow>, _: &Uuid, fact: &Fact<'_>) -> Option<BlockerRow> {
        let Some((event, accepted)) = fact.task_event() else { return row };
        let mut row = match (row, event) {
            (_, Event::BlockerOpened(opened)) => begin(opened, accepted),
            (row, _) => row?,
        };
        if let Event::BlockerClosed(closed) = event {
            row.status = closed.status;
            row.input_id = closed.input_id;
            row.resolved_at = Some(closed.closed_at);
        }
        row.updated_at = fact.occurred_at();
        Some(row)
    }

    fn cells(row: &BlockerRow) -> Vec<Cell<'_>> {
        vec![
            Cell::Uuid(Some(row.task_id.0)),
            Cell::Flag(Some(row.status == BlockerStatus::Open)),
            Cell::Time(Some(row.created_at)),
        ]
    }
}

fn begin(opened: &BlockerOpened, accepted: &TaskAccepted) -> BlockerRow {
    BlockerRow {
        id: opened.blocker_id,
        task_id: accepted.task_id,
        run_id: opened.run_id,
        agent_id: accepted.agent_id,
        agent_name: accepted.agent_name.clone(),
        task_label: accepted.label.clone(),
        kind: opened.kind,
        input_kind: InputKind::FreeText,
        status: BlockerStatus::Open,
        summary: opened.summary.clone(),
        details: opened.details.clone(),
        questions: opened.questions.clone(),
        revision: opened.revision,
        input_id: None,
        created_at: opened.opened_at,
        updated_at: opened.opened_at,
        resolved_at: None,
    }
}
