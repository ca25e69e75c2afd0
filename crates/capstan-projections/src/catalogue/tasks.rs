//! The tasks and their state.

mod payload;
pub(crate) mod row;

use capstan_contract::query::WaitingReason;
use capstan_contract::schema::{NamedSchema, answer_schema_of};
use capstan_domain::task::Event;
use capstan_envelope::Recorded;
use uuid::Uuid;

use self::row::TaskRow;
use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::labels;
use crate::model::Model;

/// The read model.
#[derive(Debug)]
pub(crate) struct Tasks;

impl Model for Tasks {
    const NAME: &'static str = "tasks";
    const VERSION: i32 = 4;
    const SCHEMA: &'static str = include_str!("../../../../projections/tasks/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("agent_id", CellType::Uuid),
        Column::changing("state", CellType::Text),
        Column::changing("open", CellType::Flag),
        Column::changing("priority", CellType::Text),
        Column::changing("label", CellType::Text),
        Column::changing("labels", CellType::Text),
        Column::fixed("parent_task_id", CellType::Uuid),
        Column::fixed("source_output_id", CellType::Text),
        Column::changing("archived", CellType::Flag),
        Column::changing("waiting_reason", CellType::Text),
        Column::fixed("created_at", CellType::Time),
        Column::changing("updated_at", CellType::Time),
    ];
    const ANSWER: Option<NamedSchema> =
        Some(NamedSchema { name: "task", schema: || answer_schema_of::<TaskRow>("task") });
    type Event<'a> = &'a Event;
    type Key = Uuid;
    type Row = TaskRow;

    fn keys(recorded: &Recorded, _: &Event, keys: &mut Vec<Uuid>) {
        keys.extend(Uuid::parse_str(recorded.commit.stream.id()));
    }

    fn apply(row: Option<TaskRow>, _: &Uuid, fact: &Fact<'_, &Event>) -> Option<TaskRow> {
        let Some(accepted) = fact.accepted else { return row };
        let mut row = row.unwrap_or_else(|| TaskRow::new(accepted));
        row.change(fact.event, accepted);
        row.updated_at = fact.occurred_at();
        row.version = fact.version();
        Some(row)
    }

    fn cells(row: &TaskRow) -> Vec<Cell<'_>> {
        vec![
            Cell::Uuid(Some(row.agent_id.0)),
            Cell::text(row.state.as_str()),
            Cell::Flag(Some(!row.state.is_terminal())),
            Cell::text(row.priority.as_str()),
            Cell::text_or_null(row.label.as_deref()),
            Cell::text(labels::column(&row.labels)),
            Cell::Uuid(row.parent_task_id.map(|id| id.0)),
            Cell::text_or_null(row.source_output_id.as_deref()),
            Cell::Flag(Some(row.archived_at.is_some())),
            Cell::text_or_null(row.waiting_reason.map(WaitingReason::as_str)),
            Cell::Time(Some(row.created_at)),
            Cell::Time(Some(row.updated_at)),
        ]
    }
}
