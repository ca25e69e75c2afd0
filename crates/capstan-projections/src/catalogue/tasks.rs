//! The tasks and their state.

mod payload;
mod row;

use capstan_contract::query::WaitingReason;
use capstan_contract::schema::NamedSchema;
use capstan_domain::task::Event;
use capstan_envelope::Recorded;
use uuid::Uuid;

pub use self::row::TaskRow;
use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::labels;
use crate::model::Model;

impl Model for TaskRow {
    const VERSION: i32 = 4;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("agent_id", CellType::Uuid, |row| Cell::Uuid(Some(row.agent_id.0))),
        Column::changing("state", CellType::Text, |row| Cell::text(row.state.as_str())),
        Column::changing("open", CellType::Flag, |row| Cell::Flag(Some(!row.state.is_terminal()))),
        Column::changing("priority", CellType::Text, |row| Cell::text(row.priority.as_str())),
        Column::changing("label", CellType::Text, |row| Cell::text_or_null(row.label.as_deref())),
        Column::changing("labels", CellType::Text, |row| Cell::text(labels::column(&row.labels))),
        Column::fixed("parent_task_id", CellType::Uuid, |row| Cell::Uuid(row.parent_task_id.map(|id| id.0))),
        Column::fixed("source_output_id", CellType::Text, |row| {
            Cell::text_or_null(row.source_output_id.as_deref())
        }),
        Column::changing("archived", CellType::Flag, |row| Cell::Flag(Some(row.archived_at.is_some()))),
        Column::changing("waiting_reason", CellType::Text, |row| {
            Cell::text_or_null(row.waiting_reason.map(WaitingReason::as_str))
        }),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
        Column::changing("updated_at", CellType::Time, |row| Cell::Time(Some(row.updated_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<TaskRow>("task"));
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(recorded: &Recorded, _: &Event, keys: &mut Vec<Uuid>) {
        keys.extend(Uuid::parse_str(recorded.commit.stream.id()));
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, &Event>) -> Option<Self> {
        let Some(accepted) = fact.accepted else { return row };
        let mut row = row.unwrap_or_else(|| TaskRow::new(accepted));
        row.change(fact.event, accepted);
        row.updated_at = fact.occurred_at();
        row.version = fact.version();
        Some(row)
    }
}
