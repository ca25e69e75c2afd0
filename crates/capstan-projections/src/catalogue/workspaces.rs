//! The workspaces and their settings.

use capstan_contract::catalogue::WorkspaceCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::workspace::{Event, Settings};
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in};

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
    const IS_CARRIED: bool = true;
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

    fn carried_key(stream: &StreamId, _: &RawValue) -> Option<String> {
        (stream.category() == WorkspaceCodec::CATEGORY).then(|| stream.workspace().as_str().to_owned())
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let row: Option<Self> = shown_in(carried)?;
        let version = recorded.commit.version;
        Ok(row.map(|row| (row.workspace.clone(), Self { version, ..row })))
    }

    fn read(_: &String, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
