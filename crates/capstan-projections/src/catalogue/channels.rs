//! The channels bound to a workspace.

use capstan_contract::catalogue::ChannelCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::channel::{Bound, Event, State};
use capstan_domain::id::{AgentId, BindingId};
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

/// A channel binding as the API returns it.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ChannelRow {
    id: BindingId,
    workspace: String,
    channel_type: String,
    address: String,
    agent_id: Option<AgentId>,
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    config: Box<RawValue>,
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

/// What a binding shows that the state of its channel lacks.
#[derive(Serialize, Deserialize)]
struct Shown {
    updated_at: DateTime<Utc>,
}

impl Model for ChannelRow {
    const VERSION: i32 = 1;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::fixed("channel_type", CellType::Text, |row| Cell::text(&row.channel_type)),
        Column::fixed("address", CellType::Text, |row| Cell::text(&row.address)),
        Column::changing("agent_id", CellType::Uuid, |row| Cell::Uuid(row.agent_id.map(|id| id.0))),
        Column::changing("active", CellType::Flag, |row| Cell::Flag(Some(row.active))),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<ChannelRow>("channel"));
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    // The stream of a channel serves all workspaces; a row belongs to the workspace that holds the binding.
    fn workspace<'a>(fact: &Fact<'a, &'a Event>) -> &'a str {
        match fact.event {
            Event::Bound(bound) => &bound.workspace,
            Event::Changed(changed) => &changed.workspace,
            Event::Released(released) => &released.workspace,
        }
    }

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            Event::Bound(bound) => bound.binding_id.0,
            Event::Changed(changed) => changed.binding_id.0,
            Event::Released(released) => released.binding_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        match fact.event {
            Event::Bound(bound) => Some(begin(bound, fact.occurred_at(), fact.version())),
            Event::Changed(changed) => row.map(|mut row| {
                let mut config = map_of(&row.config);
                changed.apply(&mut row.agent_id, &mut config, &mut row.active);
                row.config = shown(&config);
                row.updated_at = fact.occurred_at();
                row.version = fact.version();
                row
            }),
            Event::Released(_) => None,
        }
    }

    fn carried_key(stream: &StreamId, carried: &Carried) -> Option<Uuid> {
        if stream.category() != ChannelCodec::CATEGORY {
            return None;
        }
        let state: State = serde_json::from_str(carried.state.get()).ok()?;
        state.binding.map(|bound| bound.binding_id.0)
    }

    fn shown(doc: &str) -> serde_json::Result<Option<Box<RawValue>>> {
        shown_of::<Shown>(doc).map(Some)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let state: State = serde_json::from_str(carried.state.get())?;
        let Some((bound, Shown { updated_at })) = state.binding.zip(shown_in(carried)?) else {
            return Ok(None);
        };
        Ok(Some((bound.workspace.clone(), begin(&bound, updated_at, recorded.commit.version))))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}

fn begin(bound: &Bound, updated_at: DateTime<Utc>, version: u64) -> ChannelRow {
    ChannelRow {
        id: bound.binding_id,
        workspace: bound.workspace.clone(),
        channel_type: bound.channel_type.clone(),
        address: bound.address.clone(),
        agent_id: bound.agent_id,
        config: shown(&bound.config),
        active: bound.active,
        created_at: bound.bound_at,
        updated_at,
        version,
    }
}
