//! The agents of a workspace and their configuration.

use capstan_contract::catalogue::AgentCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::agent::lookup::normal_form;
use capstan_domain::agent::{Created, Event, Fields, State, Updated};
use capstan_domain::id::AgentId;
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in, shown_of};
use crate::redaction::{map_of, shown};

/// An agent as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct AgentRow {
    id: AgentId,
    workspace: String,
    agent_key: String,
    name: String,
    role: String,
    memory_scope: String,
    quality_score: Option<f64>,
    cost_budget_usd: Option<f64>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    config: Box<RawValue>,
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

/// What an agent shows that its state lacks.
#[derive(Serialize, Deserialize)]
struct Shown {
    updated_at: DateTime<Utc>,
}

impl Model for AgentRow {
    const VERSION: i32 = 2;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("agent_key", CellType::Text, |row| Cell::text(&row.agent_key)),
        Column::changing("active", CellType::Flag, |row| Cell::Flag(Some(row.active))),
        Column::fixed("key_form", CellType::Text, |row| Cell::text(normal_form(&row.agent_key))),
        Column::changing("name_form", CellType::Text, |row| Cell::text(normal_form(&row.name))),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<AgentRow>("agent"));
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            Event::Created(created) => created.agent_id.0,
            Event::Updated(updated) => updated.agent_id.0,
            Event::Deleted(deleted) => deleted.agent_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        match fact.event {
            Event::Created(created) => {
                Some(Self { updated_at: fact.occurred_at(), ..begin(created, fact.version()) })
            }
            Event::Updated(updated) => row.map(|mut row| {
                change(&mut row, updated);
                row.updated_at = fact.occurred_at();
                row.version = fact.version();
                row
            }),
            Event::Deleted(_) => None,
        }
    }

    fn carried_key(stream: &StreamId, _: &Carried) -> Option<Uuid> {
        stream.id().parse().ok().filter(|_| stream.category() == AgentCodec::CATEGORY)
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        shown_of::<Shown>(doc).map(Some)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let state: State = serde_json::from_str(carried.state.get())?;
        let Some((created, Shown { updated_at })) = state.profile.zip(shown_in(carried)?) else {
            return Ok(None);
        };
        let workspace = created.workspace.clone();
        Ok(Some((workspace, Self { updated_at, ..begin(&created, recorded.commit.version) })))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn begin(created: &Created, version: u64) -> AgentRow {
    AgentRow {
        id: created.agent_id,
        workspace: created.workspace.clone(),
        agent_key: created.agent_key.clone(),
        name: created.name.clone(),
        role: created.role.clone(),
        memory_scope: created.memory_scope.clone(),
        quality_score: created.quality_score,
        cost_budget_usd: created.cost_budget_usd,
        config: shown(&created.config),
        active: created.active,
        created_at: created.created_at,
        updated_at: created.created_at,
        version,
    }
}

fn change(row: &mut AgentRow, updated: &Updated) {
    let mut config = map_of(&row.config);
    updated.apply(Fields {
        name: &mut row.name,
        role: &mut row.role,
        memory_scope: &mut row.memory_scope,
        quality_score: &mut row.quality_score,
        cost_budget_usd: &mut row.cost_budget_usd,
        config: &mut config,
        active: &mut row.active,
    });
    row.config = shown(&config);
}
