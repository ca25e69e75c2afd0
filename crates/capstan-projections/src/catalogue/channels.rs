//! Which channels has a workspace bound?

use capstan_contract::DomainEvent;
use capstan_domain::channel::{Bound, Event};
use capstan_domain::id::{AgentId, BindingId};
use capstan_envelope::Recorded;
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::Model;
use crate::redaction::{map_of, shown};

/// The model. A channel's stream serves all tenants, its rows do not: each binding is a row of its holder's.
#[derive(Debug)]
pub(crate) struct Channels;

/// A channel binding as reads show it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct ChannelRow {
    id: BindingId,
    workspace: String,
    channel_type: String,
    address: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent_id: Option<AgentId>,
    config: Box<RawValue>,
    active: bool,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

impl Model for Channels {
    const NAME: &'static str = "channels";
    const VERSION: i32 = 1;
    const SCHEMA: &'static str = include_str!("../../../../projections/channels/schema.sql");
    const COLUMNS: &'static [Column] = &[
        Column::fixed("channel_type", CellType::Text),
        Column::fixed("address", CellType::Text),
        Column::changing("agent_id", CellType::Uuid),
        Column::changing("active", CellType::Flag),
        Column::fixed("created_at", CellType::Time),
    ];
    type Key = Uuid;
    type Row = ChannelRow;

    fn workspace<'a>(fact: &Fact<'a>) -> &'a str {
        match fact.event {
            DomainEvent::Channel(Event::Bound(bound)) => &bound.workspace,
            DomainEvent::Channel(Event::Changed(changed)) => &changed.workspace,
            DomainEvent::Channel(Event::Released(released)) => &released.workspace,
            _ => fact.workspace(),
        }
    }

    fn keys(_: &Recorded, event: &DomainEvent, keys: &mut Vec<Uuid>) {
        let DomainEvent::Channel(event) = event else { return };
        keys.push(match event {
            Event::Bound(bound) => bound.binding_id.0,
            Event::Changed(changed) => changed.binding_id.0,
            Event::Released(released) => released.binding_id.0,
        });
    }

    fn apply(row: Option<ChannelRow>, _: &Uuid, fact: &Fact<'_>) -> Option<ChannelRow> {
        match fact.event {
            DomainEvent::Channel(Event::Bound(bound)) => Some(begin(bound, fact)),
            DomainEvent::Channel(Event::Changed(changed)) => row.map(|mut row| {
                let mut config = map_of(&row.config);
                changed.apply(&mut row.agent_id, &mut config, &mut row.active);
                row.config = shown(&config);
                row.updated_at = fact.occurred_at();
                row.version = fact.version();
                row
            }),
            DomainEvent::Channel(Event::Released(_)) => None,
            _ => row,
        }
    }

    fn cells(row: &ChannelRow) -> Vec<Cell<'_>> {
        vec![
            Cell::text(&row.channel_type),
            Cell::text(&row.address),
            Cell::Uuid(row.agent_id.map(|id| id.0)),
            Cell::Flag(Some(row.active)),
            Cell::Time(Some(row.created_at)),
        ]
    }
}

fn begin(bound: &Bound, fact: &Fact<'_>) -> ChannelRow {
    ChannelRow {
        id: bound.binding_id,
        workspace: bound.workspace.clone(),
        channel_type: bound.channel_type.clone(),
        address: bound.address.clone(),
        agent_id: bound.agent_id,
        config: shown(&bound.config),
        active: bound.active,
        created_at: bound.bound_at,
        updated_at: fact.occurred_at(),
        version: fact.version(),
    }
}
