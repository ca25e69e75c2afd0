//! The API tokens of a workspace and their scopes.

use capstan_contract::catalogue::TokenCodec;
use capstan_contract::schema::NamedSchema;
use capstan_domain::id::TokenId;
use capstan_domain::token::{Event, Scope};
use capstan_envelope::{Carried, Codec as _, Recorded, StreamId};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::cell::{Cell, CellType, Column};
use crate::fact::Fact;
use crate::model::{Model, Stored, shown_in};

/// A token as the API returns it: without the secret or its hash.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct TokenRow {
    id: TokenId,
    workspace: String,
    name: String,
    scopes: Vec<Scope>,
    last_four: String,
    expires_at: Option<DateTime<Utc>>,
    revoked_at: Option<DateTime<Utc>>,
    revoked_reason: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
    version: u64,
}

impl Model for TokenRow {
    const VERSION: i32 = 2;
    const COLUMNS: &'static [Column<Self>] = &[
        Column::changing("revoked", CellType::Flag, |row| Cell::Flag(Some(row.revoked_at.is_some()))),
        Column::fixed("created_at", CellType::Time, |row| Cell::Time(Some(row.created_at))),
    ];
    const ANSWER: Option<NamedSchema> = Some(NamedSchema::of_answer::<TokenRow>("token"));
    const IS_CARRIED: bool = true;
    type Event<'a> = &'a Event;
    type Key = Uuid;

    fn keys(fact: &Fact<'_, Self::Event<'_>>, keys: &mut Vec<Uuid>) {
        keys.push(match fact.event {
            Event::Issued(issued) => issued.token_id.0,
            Event::Revoked(revoked) => revoked.token_id.0,
        });
    }

    fn apply(row: Option<Self>, _: &Uuid, fact: &Fact<'_, Self::Event<'_>>) -> Option<Self> {
        let row = match fact.event {
            Event::Issued(issued) => TokenRow {
                id: issued.token_id,
                workspace: issued.workspace.clone(),
                name: issued.name.clone(),
                scopes: issued.scopes.clone(),
                last_four: issued.last_four.clone(),
                expires_at: issued.expires_at,
                revoked_at: None,
                revoked_reason: None,
                created_at: issued.issued_at,
                updated_at: fact.occurred_at(),
                version: 0,
            },
            Event::Revoked(revoked) => TokenRow {
                revoked_at: Some(revoked.revoked_at),
                revoked_reason: revoked.reason.clone(),
                ..row?
            },
        };
        Some(TokenRow { updated_at: fact.occurred_at(), version: fact.version(), ..row })
    }

    fn carried_key(stream: &StreamId, _: &RawValue) -> Option<Uuid> {
        stream.id().parse().ok().filter(|_| stream.category() == TokenCodec::CATEGORY)
    }

    fn carried(recorded: &Recorded, carried: &Carried) -> serde_json::Result<Option<(String, Self)>> {
        let row: Option<Self> = shown_in(carried)?;
        let version = recorded.commit.version;
        Ok(row.map(|row| (row.workspace.clone(), Self { version, ..row })))
    }

    fn read(_: &Uuid, stored: &Stored<'_>) -> serde_json::Result<Self> {
        serde_json::from_str(stored.doc)
    }
}
