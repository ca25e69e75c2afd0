//! The workspaces and their settings.

use capstan_contract::catalogue::WorkspaceCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::workspace::{Details, Event, Settings, State};
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in, shown_of};

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

/// What a workspace shows that its state lacks.
#[derive(Serialize, Deserialize)]
struct Shown {
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
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

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<String> {
        (stream.category() == WorkspaceCodec::CATEGORY).then(|| stream.workspace().as_str().to_owned())
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        shown_of::<Shown>(doc).map(Some)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let state: State = serde_json::from_str(carried.state.get())?;
        let Some((details, shown)) = state.details.zip(shown_in(carried)?) else { return Ok(None) };
        let (Details { display_name, settings }, Shown { created_at, updated_at }) = (details, shown);
        let workspace = recorded.commit.stream.workspace().as_str().to_owned();
        let version = recorded.commit.version;
        let row =
            Self { workspace: workspace.clone(), display_name, settings, created_at, updated_at, version };
        Ok(Some((workspace, row)))
    }

    fn read(_: &String, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
