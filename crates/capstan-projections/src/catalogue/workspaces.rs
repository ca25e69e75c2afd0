//! The workspaces and their settings.

use capstan_contract::schema::NamedSchema;
use capstan_domain::workspace::{Event, Settings};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored};

/// A workspace as the API returns it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct WorkspaceRow {
    workspace: String,
    display_name: String,
    settings: Settings,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

impl Model for WorkspaceRow {
    const VERSION: i32 = 2;
    const COLUMNS: &'static [Column<Self>] =
        &[Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at)))];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<WorkspaceRow>("workspace"));
    type Event<'a> = &'a Event;
    type Key = String;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<String>) {
        keys.push(match fact.event {
            Event::Created(created) => created.workspace.clone(),
            Event::Updated(updated) => updated.workspace.clone(),
        });
    }

    fn apply(row: Option<Self>, _: &String, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        match fact.event {
            Event::Created(created) => Some(WorkspaceRow {
                workspace: created.workspace.clone(),
                display_name: created.display_name.clone(),
                settings: Settings::default(),
                created_at: created.created_at,
                updated_at: fact.occurred_at(),
                version: fact.version(),
            }),
            Event::Updated(updated) => row.map(|mut row| {
                updated.apply(&mut row.display_name, &mut row.settings);
                row.updated_at = fact.occurred_at();
                row.version = fact.version();
                row
            }),
        }
    }

    fn read(_: &String, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
